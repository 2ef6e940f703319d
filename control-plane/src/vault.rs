//! Content keys at rest: drawn once a film, sealed under the key-encryption key, opened for the origin alone.

use std::path::Path;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use contracts::id::VideoId;
use contracts::keys::{ContentKey, Iv, KeyId, KeyPeriod, KeyValue, TrackType};
use hmac::{Hmac, KeyInit as _, Mac as _};
use runtime::secret::{Secret, Unusable};
use sha2::Sha256;

use crate::error::Error;

/// Seals and opens a film's keys.
#[derive(Clone)]
pub(crate) struct Vault {
    cipher: Aes256Gcm,
    /// What other secrets are derived from.
    root: Hmac<Sha256>,
}

/// What is sealed does not open: another key-encryption key, another film, or damage.
#[derive(Debug, thiserror::Error)]
#[error("the sealed keys of {0} do not open with this key-encryption key")]
pub(crate) struct Shut(VideoId);

impl Vault {
    /// Reads the key-encryption key: 64 hexadecimal digits in a file.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let text = Secret::read(path, 1)?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.as_bytes(), &mut key).map_err(|_| {
            let rule = "a key-encryption key is 64 hexadecimal digits (openssl rand -hex 32)";
            Unusable::new(path, rule)
        })?;
        let rule = |_| Unusable::new(path, "is no key");
        Ok(Self {
            cipher: Aes256Gcm::new(&key.into()),
            root: Hmac::new_from_slice(&key).map_err(rule)?,
        })
    }

    /// A secret for another purpose, which tells nothing of the key-encryption key.
    pub(crate) fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let mut derived = self.root.clone();
        derived.update(purpose);
        derived.finalize().into_bytes().into()
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

    /// Seals a film's keys: a nonce, then the keys as JSON under AES-256-GCM, bound to the film's id.
    pub(crate) fn seal(&self, video: &VideoId, keys: &[KeyPeriod]) -> Result<Vec<u8>, Sealing> {
        let plain = serde_json::to_vec(keys)?;
        let nonce: [u8; NONCE] = random()?;
        let payload = Payload {
            msg: &plain,
            aad: video.as_str().as_bytes(),
        };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload);
        let mut out = nonce.to_vec();
        out.extend(sealed.map_err(|_| Sealing::Cipher)?);
        Ok(out)
    }

    /// Opens what [`Vault::seal`] made of the same film's keys.
    pub(crate) fn open(&self, video: &VideoId, sealed: &[u8]) -> Result<Vec<KeyPeriod>, Shut> {
        let shut = || Shut(video.clone());
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or_else(shut)?;
        let payload = Payload {
            msg: sealed,
            aad: video.as_str().as_bytes(),
        };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload);
        let plain = plain.map_err(|_| shut())?;
        serde_json::from_slice(&plain).map_err(|_| shut())
    }
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

    fn vault(key: &str) -> Vault {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        std::fs::write(&path, key).unwrap();
        Vault::load(&path).unwrap()
    }

    fn film(id: &str) -> VideoId {
        VideoId::parse(id).unwrap()
    }

    #[test]
    fn sealed_keys_open_for_their_film_and_their_key_only() {
        let ours = vault(&format!("{}\n", "0f".repeat(32)));
        let keys = Vault::draw().unwrap();
        let sealed = ours.seal(&film("a"), &keys).unwrap();
        assert_eq!(ours.open(&film("a"), &sealed).unwrap(), keys);
        assert!(ours.open(&film("b"), &sealed).is_err());
        assert!(vault(&"f0".repeat(32)).open(&film("a"), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(ours.open(&film("a"), &damaged).is_err(), "byte {at}");
        }
        assert!(ours.open(&film("a"), &sealed[..NONCE - 1]).is_err());
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
    fn a_key_encryption_key_that_is_none_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        std::fs::write(&path, "00112233").unwrap();
        let error = Vault::load(&path).err().unwrap().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
        assert!(!error.contains("00112233"), "{error}");
    }
}
