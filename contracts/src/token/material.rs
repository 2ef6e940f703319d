//! What a key is made of: with which algorithm it verifies, and whether it can also sign.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Verifier as _;
use sha2::Sha256;

/// Key material. It has no `Debug`: nothing shows a key.
#[derive(Clone)]
pub(super) enum Material {
    /// The state after the key was absorbed: cloning it costs less than starting anew.
    Hmac(Box<Hmac<Sha256>>),
    /// The public half of an Ed25519 key.
    Ed25519(Box<VerifyingKey>),
    /// Both halves: for a backend that mints.
    Ed25519Pair(Box<SigningKey>),
    /// A public key on P-256.
    P256(Box<p256::ecdsa::VerifyingKey>),
}

impl Material {
    /// HMAC-SHA256, at least 16 bytes.
    pub(super) fn hmac(text: &str) -> Result<Self, &'static str> {
        let secret = hex::decode(text).map_err(|_| "key_hex must be hexadecimal")?;
        if secret.len() < 16 {
            return Err("key_hex must hold at least 16 bytes");
        }
        let state = Hmac::<Sha256>::new_from_slice(&secret).map_err(|_| "key_hex is unusable")?;
        Ok(Self::Hmac(Box::new(state)))
    }

    /// An Ed25519 public key, 32 bytes.
    pub(super) fn ed25519(text: &str) -> Result<Self, &'static str> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| "pub_hex must be 32 hexadecimal bytes")?;
        let key =
            VerifyingKey::from_bytes(&bytes).map_err(|_| "pub_hex is no Ed25519 public key")?;
        Ok(Self::Ed25519(Box::new(key)))
    }

    /// An Ed25519 private key, its seed of 32 bytes (RFC 8032 §5.1.5).
    pub(super) fn ed25519_seed(text: &str) -> Result<Self, &'static str> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text, &mut seed)
            .map_err(|_| "seed_hex must be 32 hexadecimal bytes")?;
        Ok(Self::Ed25519Pair(Box::new(SigningKey::from_bytes(&seed))))
    }

    /// A point on P-256 as SEC 1 §2.3.3 writes it, 33 or 65 bytes.
    pub(super) fn p256(text: &str) -> Result<Self, &'static str> {
        let point = hex::decode(text).map_err(|_| "pub_hex must be hexadecimal")?;
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point)
            .map_err(|_| "pub_hex is no P-256 public key")?;
        Ok(Self::P256(Box::new(key)))
    }

    /// Whether whoever holds it can mint.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self, Self::Hmac(_) | Self::Ed25519Pair(_))
    }

    pub(super) fn verifies(&self, message: &[&[u8]], tag: &[u8]) -> bool {
        match self {
            Self::Hmac(state) => absorb(state, message).verify_slice(tag).is_ok(),
            Self::Ed25519(key) => is_signed(key, message, tag),
            Self::Ed25519Pair(pair) => is_signed(&pair.verifying_key(), message, tag),
            Self::P256(key) => p256::ecdsa::Signature::from_slice(tag)
                .is_ok_and(|signature| key.verify(&message.concat(), &signature).is_ok()),
        }
    }

    pub(super) fn sign(&self, message: &[&[u8]]) -> Option<Vec<u8>> {
        match self {
            Self::Hmac(state) => Some(absorb(state, message).finalize().into_bytes().to_vec()),
            Self::Ed25519Pair(pair) => Some(pair.sign(&message.concat()).to_vec()),
            Self::Ed25519(_) | Self::P256(_) => None,
        }
    }
}

/// Strict: a key or a signature of small order is none (RFC 8032 §5.1.7 leaves it open).
fn is_signed(key: &VerifyingKey, message: &[&[u8]], tag: &[u8]) -> bool {
    ed25519_dalek::Signature::from_slice(tag)
        .is_ok_and(|signature| key.verify_strict(&message.concat(), &signature).is_ok())
}

fn absorb(state: &Hmac<Sha256>, message: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = state.clone();
    for part in message {
        mac.update(part);
    }
    mac
}
