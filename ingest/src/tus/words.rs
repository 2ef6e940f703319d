//! What tus 1.0 says in header fields, read from untrusted text.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use contracts::{asset::Privacy, id::UploadId};
use http::HeaderMap;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The version that is spoken here.
pub(crate) const VERSION: &str = "1.0.0";
/// What is spoken of it, beside the core.
pub(crate) const EXTENSIONS: &str =
    "creation,creation-with-upload,checksum,expiration,termination,concatenation";
/// What a checksum may be.
pub(crate) const ALGORITHMS: &str = "sha1,sha256";
/// What the bytes of an upload are called.
pub(crate) const BYTES: &str = "application/offset+octet-stream";

pub(crate) const RESUMABLE: &str = "tus-resumable";
pub(crate) const OFFSET: &str = "upload-offset";
pub(crate) const LENGTH: &str = "upload-length";
pub(crate) const DEFER_LENGTH: &str = "upload-defer-length";
pub(crate) const METADATA: &str = "upload-metadata";
pub(crate) const CHECKSUM: &str = "upload-checksum";
pub(crate) const CONCAT: &str = "upload-concat";
pub(crate) const EXPIRES: &str = "upload-expires";
pub(crate) const OVERRIDE: &str = "x-http-method-override";
/// Not of tus: the film that an upload becomes.
pub(crate) const VIDEO: &str = "x-video-id";
/// Nor this: the secret that opens an upload.
pub(crate) const TOKEN: &str = "upload-token";

/// What pages elsewhere may send.
pub(crate) const SENT: [&str; 8] = [
    RESUMABLE,
    OFFSET,
    LENGTH,
    METADATA,
    CHECKSUM,
    CONCAT,
    OVERRIDE,
    "x-requested-with",
];
/// What pages elsewhere may read.
pub(crate) const SHOWN: [&str; 12] = [
    RESUMABLE,
    "tus-version",
    "tus-extension",
    "tus-max-size",
    "tus-checksum-algorithm",
    OFFSET,
    LENGTH,
    METADATA,
    CONCAT,
    EXPIRES,
    VIDEO,
    TOKEN,
];

/// What a header field says that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `Upload-Length` or `Upload-Offset`.
    Number(&'static str),
    Metadata,
    /// Of the metadata, a key whose value decides who may watch.
    Word(&'static str),
    Checksum,
    Concat,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(field) => write!(f, "{field} is a whole number of bytes."),
            Self::Metadata => f.write_str(
                "Upload-Metadata is keys, each once, with values in base64: filename ZmlsbS5tcDQ=,title QQ==; at most 8 KiB.",
            ),
            Self::Word(key) => write!(
                f,
                "{key} in Upload-Metadata stands once and has a value, in base64: protected is true or false, privacy public, unlisted or private."
            ),
            Self::Checksum => f.write_str(
                "Upload-Checksum is sha1 or sha256, a space, and the digest of the body in base64.",
            ),
            Self::Concat => f.write_str(
                "Upload-Concat is partial, or final; and the addresses of partial uploads, each once, separated by spaces, at most 100.",
            ),
        }
    }
}

/// The one value of a field; `None` when it is absent, and nothing but text counts.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<Result<&'a str, ()>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(Err(()));
    }
    Some(value.to_str().map_err(|_| ()))
}

/// A number of bytes, in decimal digits alone.
pub(crate) fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, Fault> {
    let fault = Fault::Number(name);
    let Some(text) = text(headers, name) else {
        return Ok(None);
    };
    let text = text.map_err(|()| fault)?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits {
        // More than that is more than anything may have.
        true => Ok(Some(text.parse().unwrap_or(u64::MAX))),
        false => Err(fault),
    }
}

/// What a publisher says of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// As it was sent.
    pub(crate) text: String,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        match text(headers, METADATA) {
            None => Ok(Self::default()),
            Some(text) => text.map_err(|()| Fault::Metadata)?.parse(),
        }
    }

    /// What stands under the first of these keys that has a value; empty is none.
    pub(crate) fn value(&self, keys: &[&str]) -> Result<Option<String>, Fault> {
        let of = |key: &&str| self.pairs.iter().find(|(name, _)| name == key);
        let found = keys
            .iter()
            .filter_map(of)
            .find(|(_, value)| !value.is_empty());
        let text = found.map(|(_, value)| String::from_utf8(value.clone()));
        text.transpose().map_err(|_| Fault::Metadata)
    }

    pub(crate) fn privacy(&self) -> Result<Privacy, Fault> {
        let Some(word) = self.word("privacy")? else {
            return Ok(Privacy::default());
        };
        [Privacy::Public, Privacy::Unlisted, Privacy::Private]
            .into_iter()
            .find(|privacy| privacy.as_str().as_bytes() == word)
            .ok_or(Fault::Word("privacy"))
    }

    pub(crate) fn protected(&self) -> Result<bool, Fault> {
        match self.word("protected")? {
            None | Some(b"false") => Ok(false),
            Some(b"true") => Ok(true),
            Some(_) => Err(Fault::Word("protected")),
        }
    }

    /// What stands under a key that decides who may watch: whoever writes it so that it might be overlooked, without a
    /// value as a flag or in capitals, means it.
    fn word(&self, key: &'static str) -> Result<Option<&[u8]>, Fault> {
        let mut found = self
            .pairs
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(key));
        let first = found.next();
        let empty = first.is_some_and(|(_, value)| value.is_empty());
        match empty || found.next().is_some() {
            true => Err(Fault::Word(key)),
            false => Ok(first.map(|(_, value)| value.as_slice())),
        }
    }
}

impl FromStr for Metadata {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        if text.len() > MOST_METADATA {
            return Err(Fault::Metadata);
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        for pair in text.split(',') {
            let pair = pair.trim_matches(' ');
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let faulty = key.is_empty()
                || pairs.len() == MOST_PAIRS
                || !key.bytes().all(|byte| byte.is_ascii_graphic())
                || pairs.iter().any(|(known, _)| known == key);
            if faulty {
                return Err(Fault::Metadata);
            }
            let value = STANDARD.decode(value).map_err(|_| Fault::Metadata)?;
            pairs.push((key.to_owned(), value));
        }
        let text = text.to_owned();
        Ok(Self { text, pairs })
    }
}

/// What a body's digest is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Checksum {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let told = text(headers, CHECKSUM);
        let parsed = told.map(|text| text.map_err(|()| Fault::Checksum)?.parse());
        parsed.transpose()
    }
}

impl FromStr for Checksum {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (algorithm, digest) = text.split_once(' ').ok_or(Fault::Checksum)?;
        let digest = STANDARD.decode(digest).map_err(|_| Fault::Checksum)?;
        let read = match algorithm {
            "sha1" => digest.try_into().ok().map(Self::Sha1),
            "sha256" => digest.try_into().ok().map(Self::Sha256),
            _ => None,
        };
        read.ok_or(Fault::Checksum)
    }
}

/// Compares bytes that come with a checksum.
#[derive(Clone)]
pub(crate) enum Check {
    Sha1(Sha1, [u8; 20]),
    Sha256(Sha256, [u8; 32]),
}

impl Check {
    pub(crate) fn new(claimed: Checksum) -> Self {
        match claimed {
            Checksum::Sha1(digest) => Self::Sha1(Sha1::new(), digest),
            Checksum::Sha256(digest) => Self::Sha256(Sha256::new(), digest),
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher, _) => hasher.update(bytes),
            Self::Sha256(hasher, _) => hasher.update(bytes),
        }
    }

    pub(crate) fn holds(self) -> bool {
        match self {
            Self::Sha1(hasher, claimed) => hasher.finalize()[..] == claimed,
            Self::Sha256(hasher, claimed) => hasher.finalize()[..] == claimed,
        }
    }
}

/// What part an upload has in a concatenation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concat {
    Partial,
    /// Of these partial uploads, in order.
    Final(Vec<UploadId>),
}

impl Concat {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let told = text(headers, CONCAT);
        let parsed = told.map(|text| text.map_err(|()| Fault::Concat)?.parse());
        parsed.transpose()
    }
}

impl FromStr for Concat {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text == "partial" {
            return Ok(Self::Partial);
        }
        let list = text.strip_prefix("final;").ok_or(Fault::Concat)?;
        let mut parts = Vec::new();
        for address in list.split_ascii_whitespace() {
            // Absolute or not, an address here ends with the upload's id.
            let id = address.rsplit('/').next().unwrap_or(address);
            let id = UploadId::parse(id).map_err(|_| Fault::Concat)?;
            if parts.len() == MOST_PARTS || parts.contains(&id) {
                return Err(Fault::Concat);
            }
            parts.push(id);
        }
        match parts.is_empty() {
            true => Err(Fault::Concat),
            false => Ok(Self::Final(parts)),
        }
    }
}

const MOST_METADATA: usize = 8 << 10;
const MOST_PAIRS: usize = 64;
const MOST_PARTS: usize = 100;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_digits_and_stands_once() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(OFFSET, HeaderValue::from_static(value));
            }
            number(&headers, OFFSET)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["0"]), Ok(Some(0)));
        assert_eq!(read(&["70"]), Ok(Some(70)));
        assert_eq!(read(&["99999999999999999999999"]), Ok(Some(u64::MAX)));
        for fault in [&[""][..], &["-1"], &["+1"], &["1 "], &["0x1"], &["1", "1"]] {
            assert_eq!(read(fault), Err(Fault::Number(OFFSET)), "{fault:?}");
        }
    }

    #[test]
    fn metadata_is_read_as_clients_write_it() {
        let told: Metadata = "filename ZmlsbS5tcDQ=, filetype dmlkZW8vbXA0,empty,privacy dW5saXN0ZWQ=,protected dHJ1ZQ=="
            .parse()
            .unwrap();
        let value = |keys: &[&str]| told.value(keys).unwrap();
        assert_eq!(value(&["name", "filename"]).as_deref(), Some("film.mp4"));
        assert_eq!(value(&["filetype"]).as_deref(), Some("video/mp4"));
        assert_eq!(value(&["empty"]), None);
        assert_eq!(value(&["absent"]), None);
        assert_eq!(told.privacy(), Ok(Privacy::Unlisted));
        assert_eq!(told.protected(), Ok(true));
        assert!("".parse::<Metadata>().is_ok());
        for fault in [
            "a YQ==,a YQ==",
            "a YQ",
            "a YQ== x",
            ",",
            "a YQ==,",
            "ä YQ==",
        ] {
            assert_eq!(fault.parse::<Metadata>(), Err(Fault::Metadata), "{fault}");
        }
        let long = format!("a {}", "AAAA".repeat(MOST_METADATA / 4));
        assert_eq!(long.parse::<Metadata>(), Err(Fault::Metadata));
        let many: Vec<String> = (0..=MOST_PAIRS).map(|at| format!("k{at}")).collect();
        assert_eq!(many.join(",").parse::<Metadata>(), Err(Fault::Metadata));
        let odd: Metadata = "privacy eA==,protected eA==,title /w==".parse().unwrap();
        assert_eq!(odd.privacy(), Err(Fault::Word("privacy")));
        assert_eq!(odd.protected(), Err(Fault::Word("protected")));
        assert_eq!(odd.value(&["title"]), Err(Fault::Metadata));
    }

    #[test]
    fn who_may_watch_is_not_overlooked_however_it_is_written() {
        let read = |text: &str| {
            let told: Metadata = text.parse().unwrap();
            (told.protected(), told.privacy())
        };
        let faults = (Err(Fault::Word("protected")), Err(Fault::Word("privacy")));
        assert_eq!(read("protected,privacy"), faults);
        let twice = "protected dHJ1ZQ==,Protected ZmFsc2U=,privacy cHVibGlj,PRIVACY cHJpdmF0ZQ==";
        assert_eq!(read(twice), faults);
        let told = read("Protected dHJ1ZQ==,Privacy cHJpdmF0ZQ==");
        assert_eq!(told, (Ok(true), Ok(Privacy::Private)));
        assert_eq!(read("title QQ=="), (Ok(false), Ok(Privacy::default())));
    }

    #[test]
    fn a_checksum_holds_for_its_bytes_alone() {
        for (name, digest) in [
            ("sha1", Sha1::digest(b"abc").to_vec()),
            ("sha256", Sha256::digest(b"abc").to_vec()),
        ] {
            let text = format!("{name} {}", STANDARD.encode(&digest));
            let claimed: Checksum = text.parse().unwrap();
            let mut check = Check::new(claimed);
            check.add(b"ab");
            assert!(!check.clone().holds());
            check.add(b"c");
            assert!(check.holds());
        }
        let long = format!("sha1 {}", STANDARD.encode([0; 32]));
        for fault in [
            "",
            "sha1",
            "sha1 ",
            "sha1 abc",
            "md5 AAAA",
            "sha256 AAAA",
            &long,
        ] {
            assert_eq!(fault.parse::<Checksum>(), Err(Fault::Checksum), "{fault}");
        }
    }

    #[test]
    fn parts_are_named_by_their_addresses() {
        let ids = |names: &[&str]| {
            let ids = names.iter().map(|name| UploadId::parse(name).unwrap());
            Ok(Concat::Final(ids.collect()))
        };
        assert_eq!("partial".parse(), Ok(Concat::Partial));
        let told = "final;/v1/videos/upload/tus/a https://up.example/v1/videos/upload/tus/b";
        assert_eq!(told.parse::<Concat>(), ids(&["a", "b"]));
        assert_eq!("final; c".parse::<Concat>(), ids(&["c"]));
        let many: Vec<String> = (0..=MOST_PARTS).map(|at| format!("/p{at}")).collect();
        let many = format!("final;{}", many.join(" "));
        for fault in [
            "",
            "final",
            "final;",
            "Partial",
            "final;/a/",
            "final;/a /a",
            "final;/a?b",
            &many,
        ] {
            assert_eq!(fault.parse::<Concat>(), Err(Fault::Concat), "{fault}");
        }
    }

    #[test]
    fn what_the_fuzzer_begins_with_is_read_or_refused() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/tus");
        let mut read = [0; 4];
        for entry in std::fs::read_dir(corpus).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let value = HeaderValue::from_bytes(&bytes).unwrap();
            let names = [LENGTH, METADATA, CHECKSUM, CONCAT];
            let fields = names.map(|name| (name.parse().unwrap(), value.clone()));
            let headers = HeaderMap::from_iter(fields);
            read[0] += u32::from(number(&headers, LENGTH).is_ok());
            read[1] += u32::from(Metadata::of(&headers).is_ok());
            read[2] += u32::from(Checksum::of(&headers).is_ok());
            read[3] += u32::from(Concat::of(&headers).is_ok());
        }
        assert!(read.iter().all(|read| *read >= 2), "{read:?}");
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(text in ".{0,200}") {
            let _ = text.parse::<Metadata>();
            let _ = text.parse::<Checksum>();
            let _ = text.parse::<Concat>();
        }

        #[test]
        fn what_was_said_is_read(pairs in proptest::collection::btree_map("[a-z_]{1,9}", "\\PC{0,30}", 1..9)) {
            let told: Vec<String> = pairs.iter()
                .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
                .collect();
            let read: Metadata = told.join(",").parse().unwrap();
            for (key, value) in &pairs {
                let value = Some(value.clone()).filter(|value| !value.is_empty());
                prop_assert_eq!(read.value(&[key]).unwrap(), value);
            }
        }
    }
}
