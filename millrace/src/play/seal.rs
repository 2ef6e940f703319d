//! Segments that are encrypted whole, HLS `AES-128` (RFC 8216 §4.3.2.4): what a playlist says of it, and opening them.

use std::collections::HashMap;

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use bytes::Bytes;
use m3u8_rs::{Key, KeyMethod};
use reqwest::Url;

/// Keys, by where they are.
pub(super) type Keys = HashMap<Url, [u8; 16]>;

/// What a segment is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal {
    /// Where its key is.
    pub(super) key: Url,
    iv: [u8; 16],
}

impl Seal {
    /// What a key tag says of the segment with this media sequence number; none where it is not encrypted whole.
    ///
    /// # Errors
    /// A predicate about the playlist.
    pub(super) fn of(key: &Key, base: &Url, sequence: u64) -> Result<Option<Self>, &'static str> {
        if key.method != KeyMethod::AES128 {
            return Ok(None);
        }
        let format = key.keyformat.as_deref();
        if format.is_some_and(|format| format != "identity") {
            return Err(
                "encrypts whole segments (AES-128) with keys of a system that this player does not have: nothing inside them is checked",
            );
        }
        let url = key.uri.as_deref().and_then(|uri| base.join(uri).ok());
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let iv = match &key.iv {
            Some(iv) => vector(iv),
            // RFC 8216 §5.2: the number of the segment, big-endian.
            None => Some(u128::from(sequence).to_be_bytes()),
        };
        match (url, iv) {
            (Some(key), Some(iv)) => Ok(Some(Self { key, iv })),
            (None, _) => Err("names no http address for the key of its segments"),
            (_, None) => Err("has an IV that is no number of 128 bits (RFC 8216 §4.3.2.4)"),
        }
    }

    /// What is in a segment; none, with a fault, where the key does not open it, and none without one where there is no
    /// key: that is said of the key.
    pub(super) fn open(
        &self,
        keys: &Keys,
        sealed: &Bytes,
        faults: &mut Vec<String>,
    ) -> Option<Bytes> {
        let key = keys.get(&self.key)?;
        let opened = opened(key, self.iv, sealed.to_vec());
        if opened.is_none() {
            faults.push(
                "does not open with its key (AES-128): it is damaged, or is encrypted with another key or IV"
                    .to_owned(),
            );
        }
        opened
    }
}

fn opened(key: &[u8; 16], iv: [u8; 16], mut segment: Vec<u8>) -> Option<Bytes> {
    let key = UnboundCipherKey::new(&AES_128, key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let length = key.decrypt(&mut segment, context).ok()?.len();
    segment.truncate(length);
    Some(segment.into())
}

/// `0x` and up to 32 digits.
fn vector(text: &str) -> Option<[u8; 16]> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey};

    use super::*;

    fn tag(iv: Option<&str>) -> Key {
        Key {
            method: KeyMethod::AES128,
            uri: Some("content.key".to_owned()),
            iv: iv.map(str::to_owned),
            ..Key::default()
        }
    }

    #[test]
    fn the_number_of_a_segment_is_its_vector_where_none_is_said() {
        let base = Url::parse("http://x.example/v/film/720p/playlist.m3u8").unwrap();
        let seal = Seal::of(&tag(None), &base, 258).unwrap().unwrap();
        assert_eq!(seal.key.path(), "/v/film/720p/content.key");
        let said = Seal::of(&tag(Some("0x0102")), &base, 7).unwrap().unwrap();
        assert_eq!(seal, said);
        let mut text = b"a segment of a film".to_vec();
        let key = UnboundCipherKey::new(&AES_128, &[7; 16]).unwrap();
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
        let iv = EncryptionContext::Iv128(FixedLength::from(seal.iv));
        key.less_safe_encrypt(&mut text, iv).unwrap();
        let sealed = Bytes::from(text);
        let keys = Keys::from([(seal.key.clone(), [7; 16])]);
        let mut faults = Vec::new();
        let opened = seal.open(&keys, &sealed, &mut faults).unwrap();
        assert_eq!(
            (opened.as_ref(), faults.len()),
            (&b"a segment of a film"[..], 0)
        );
        assert_eq!(seal.open(&Keys::new(), &sealed, &mut faults), None);
        assert_eq!(faults.len(), 0, "it is said of the key");
        let cut = sealed.slice(..20);
        assert_eq!(seal.open(&keys, &cut, &mut faults), None);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn what_cannot_be_followed_is_said_of_the_playlist() {
        let base = Url::parse("http://x.example/playlist.m3u8").unwrap();
        for key in [
            tag(Some("1234")),
            tag(Some("0x")),
            tag(Some("0x0102030405060708090a0b0c0d0e0f1011")),
            Key {
                uri: None,
                ..tag(None)
            },
            Key {
                uri: Some("skd://x".to_owned()),
                ..tag(None)
            },
            Key {
                keyformat: Some("com.apple.streamingkeydelivery".to_owned()),
                ..tag(None)
            },
        ] {
            assert!(Seal::of(&key, &base, 1).is_err(), "{key:?}");
        }
        let clear = Key {
            method: KeyMethod::None,
            ..Key::default()
        };
        assert_eq!(Seal::of(&clear, &base, 1), Ok(None));
    }
}
