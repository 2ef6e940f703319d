//! Content keys at rest: drawn once a film and whenever they are rotated, sealed under the first of the key-encryption
//! keys, opened with any of them, for the origin alone.

use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use catalog::keys::Sealed;
use contracts::id::VideoId;
use contracts::keys::{ContentKey, Iv, KeyId, KeyPeriod, KeyValue, TrackType};
use hmac::{Hmac, KeyInit as _, Mac as _};
use runtime::secret::{Secret, Unusable};
use sha2::Sha256;

use crate::keys::sets::Sets;

/// Seals and opens films' keys.
#[derive(Clone)]
pub(crate) struct Vault {
    /// What seals.
    first: Kek,
    /// What opens too.
    others: Vec<Kek>,
}

/// A key-encryption key.
#[derive(Clone)]
struct Kek {
    /// What tells it from others, and nothing else of it.
    name: String,
    cipher: Aes256Gcm,
    root: Root,
}

/// What other secrets are derived from.
#[derive(Clone)]
pub(crate) struct Root(Hmac<Sha256>);

/// What is sealed does not open: another key-encryption key, another film, or damage.
#[derive(Debug, thiserror::Error)]
#[error("the sealed keys of {0} do not open with any key-encryption key")]
pub(crate) struct Shut(VideoId);

impl Vault {
    /// Reads the key-encryption keys; none where no file is named.
    pub(crate) fn load(paths: &[PathBuf]) -> Result<Option<Self>, Unusable> {
        let mut keys: Vec<Kek> = Vec::new();
        for path in paths {
            let key = Kek::load(path)?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(Unusable::new(path, "holds a key that is named before it"));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        Ok(keys.next().map(|first| Self {
            first,
            others: keys.collect(),
        }))
    }

    /// The name of the key that seals.
    pub(crate) fn name(&self) -> &str {
        &self.first.name
    }

    /// What other secrets are derived from, one for each key, that of the key that seals first.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Root> {
        self.all().map(|key| &key.root)
    }

    /// What other secrets are derived from, of the key that is named last.
    pub(crate) fn oldest(&self) -> &Root {
        &self.others.last().unwrap_or(&self.first).root
    }

    fn all(&self) -> impl Iterator<Item = &Kek> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Draws a key for each class of tracks.
    pub(crate) fn draw() -> Result<Vec<KeyPeriod>, getrandom::Error> {
        let classes = [
            TrackType::Audio,
            TrackType::Sd,
            TrackType::Hd,
            TrackType::Uhd,
        ];
        let keys = classes.into_iter().map(|class| {
            Ok(ContentKey {
                kid: KeyId(random()?),
                key: KeyValue(random()?),
                iv: Some(Iv(random()?)),
                tracks: vec![class],
            })
        });
        Ok(vec![KeyPeriod {
            start_ms: 0,
            keys: keys.collect::<Result<_, getrandom::Error>>()?,
        }])
    }

    /// Seals a film's keys: a nonce, then the keys as JSON under AES-256-GCM, bound to the film's id. They are due when
    /// the first of them ends.
    pub(crate) fn seal(&self, video: &VideoId, keys: &Sets) -> Result<Sealed, Sealing> {
        let plain = keys.write()?;
        let nonce: [u8; NONCE] = random()?;
        let payload = Payload {
            msg: &plain,
            aad: video.as_str().as_bytes(),
        };
        let sealed = self.first.cipher.encrypt(&Nonce::from(nonce), payload);
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed.map_err(|_| Sealing::Cipher)?);
        Ok(Sealed {
            bytes,
            by: Some(self.name().to_owned()),
            due: keys.due(),
        })
    }

    /// Opens what [`Vault::seal`] made of the same film's keys.
    pub(crate) fn open(&self, video: &VideoId, sealed: &Sealed) -> Result<Sets, Shut> {
        let shut = || Shut(video.clone());
        let (nonce, bytes) = sealed.bytes.split_first_chunk::<NONCE>().ok_or_else(shut)?;
        let payload = || Payload {
            msg: bytes,
            aad: video.as_str().as_bytes(),
        };
        // From before keys had names: whichever opens it.
        let named = |key: &&Kek| sealed.by.as_ref().is_none_or(|by| *by == key.name);
        let nonce = Nonce::from(*nonce);
        let mut opened = self.all().filter(named);
        let plain = opened.find_map(|key| key.cipher.decrypt(&nonce, payload()).ok());
        Sets::read(&plain.ok_or_else(shut)?).map_err(|_| shut())
    }
}

impl Kek {
    fn load(path: &Path) -> Result<Self, Unusable> {
        let key = digits(path)?;
        let root = Root::new(path, &key)?;
        let name = root.derive(b"millrace name of a key-encryption key 1");
        Ok(Self {
            name: hex::encode(name.first_chunk::<8>().copied().unwrap_or_default()),
            cipher: Aes256Gcm::new(&key.into()),
            root,
        })
    }
}

impl Root {
    /// Reads a key of its own: 64 hexadecimal digits in a file.
    pub(crate) fn load(path: &Path) -> Result<Self, Unusable> {
        Self::new(path, &digits(path)?)
    }

    fn new(path: &Path, key: &[u8; 32]) -> Result<Self, Unusable> {
        let root = Hmac::new_from_slice(key);
        root.map(Self).map_err(|_| Unusable::new(path, "is no key"))
    }

    /// A secret for a purpose, which tells nothing of the key.
    pub(crate) fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mut derived = self.0.clone();
        derived.update(purpose);
        derived.finalize().into_bytes().into()
    }
}

fn digits(path: &Path) -> Result<[u8; 32], Unusable> {
    let text = Secret::read(path, 1)?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.as_bytes(), &mut key).map_err(|_| {
        let rule = "such a key is 64 hexadecimal digits (openssl rand -hex 32)";
        Unusable::new(path, rule)
    })?;
    Ok(key)
}

/// Why keys could not be sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Sealing {
    #[error("the system gives no randomness: {0}")]
    Random(#[from] getrandom::Error),
    #[error("the keys cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the cipher refused")]
    Cipher,
}

fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

const NONCE: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(keys: &[&str]) -> Result<Vault, Unusable> {
        let folder = tempfile::tempdir().unwrap();
        let write = |(at, key): (usize, &&str)| {
            let path = folder.path().join(at.to_string());
            std::fs::write(&path, format!("{key}\n")).unwrap();
            path
        };
        let paths: Vec<PathBuf> = keys.iter().enumerate().map(write).collect();
        Vault::load(&paths).map(|vault| vault.unwrap())
    }

    fn film(id: &str) -> VideoId {
        VideoId::parse(id).unwrap()
    }

    fn keys() -> Sets {
        Sets::first(Vault::draw().unwrap())
    }

    fn digits(byte: u8) -> String {
        format!("{byte:02x}").repeat(32)
    }

    #[test]
    fn sealed_keys_open_for_their_film_and_their_key_only() {
        let ours = vault(&[&digits(0x0f)]).unwrap();
        let keys = keys();
        let sealed = ours.seal(&film("a"), &keys).unwrap();
        assert_eq!(ours.open(&film("a"), &sealed).unwrap(), keys);
        assert!(ours.open(&film("b"), &sealed).is_err());
        let theirs = vault(&[&digits(0xf0)]).unwrap();
        assert!(theirs.open(&film("a"), &sealed).is_err());
        for at in 0..sealed.bytes.len() {
            let mut damaged = sealed.clone();
            damaged.bytes[at] ^= 1;
            assert!(ours.open(&film("a"), &damaged).is_err(), "byte {at}");
        }
        let mut short = sealed;
        short.bytes.truncate(NONCE - 1);
        assert!(ours.open(&film("a"), &short).is_err());
    }

    #[test]
    fn the_first_key_seals_and_all_open_what_bears_their_name_or_none() {
        let (old, new) = (digits(1), digits(2));
        let before = vault(&[&old]).unwrap();
        let both = vault(&[&new, &old]).unwrap();
        let after = vault(&[&new]).unwrap();
        let (keys, film) = (keys(), film("a"));
        let sealed = before.seal(&film, &keys).unwrap();
        assert_eq!(both.open(&film, &sealed).unwrap(), keys);
        assert!(after.open(&film, &sealed).is_err());
        let nameless = Sealed { by: None, ..sealed };
        assert_eq!(both.open(&film, &nameless).unwrap(), keys);
        let again = both.seal(&film, &keys).unwrap();
        assert_eq!(again.by.as_deref(), Some(after.name()));
        assert_eq!(after.open(&film, &again).unwrap(), keys);
        assert!(before.open(&film, &again).is_err());
        let misnamed = Sealed {
            by: Some(before.name().to_owned()),
            ..again
        };
        assert!(both.open(&film, &misnamed).is_err());
    }

    #[test]
    fn every_film_draws_other_keys_and_every_class_of_tracks_its_own() {
        let (one, other) = (Vault::draw().unwrap(), Vault::draw().unwrap());
        let mut values: Vec<[u8; 16]> = one
            .iter()
            .chain(&other)
            .flat_map(|period| &period.keys)
            .flat_map(|key| [key.kid.0, key.key.0, key.iv.unwrap().0])
            .collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 24);
    }

    #[test]
    fn a_key_encryption_key_that_is_none_or_named_twice_is_refused_without_showing_it() {
        let error = vault(&["00112233"]).err().unwrap().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
        assert!(!error.contains("00112233"), "{error}");
        let twice = digits(7);
        let error = vault(&[&twice, &digits(8), &twice]).err().unwrap();
        assert!(error.to_string().contains("named before"), "{error}");
    }
}
