//! The keys that a node holds, by key id.

use std::collections::HashMap;
use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::claims::{covers, is_scope};
use crate::time::UnixSeconds;

/// What a token is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HMAC-SHA256: whoever verifies can mint, so only our own nodes hold the key.
    M1,
    /// Ed25519: partners' nodes hold the public key and cannot mint.
    M2,
}

impl Version {
    /// As it stands in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M1 => "m1",
            Self::M2 => "m2",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "m1" => Some(Self::M1),
            "m2" => Some(Self::M2),
            _ => None,
        }
    }

    pub(super) const fn tag_len(self) -> usize {
        match self {
            Self::M1 => 32,
            Self::M2 => 64,
        }
    }
}

/// One key with its life and its scope. `Debug` does not show the key.
#[derive(Clone)]
pub struct Key {
    id: String,
    material: Material,
    scope: Vec<String>,
    not_before: UnixSeconds,
    expires: UnixSeconds,
}

#[derive(Clone)]
enum Material {
    /// The state after the key was absorbed: cloning it costs less than starting anew.
    Hmac(Box<Hmac<Sha256>>),
    Ed25519(Box<VerifyingKey>),
}

impl Key {
    /// The key id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which tokens it verifies.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self.material {
            Material::Hmac(_) => Version::M1,
            Material::Ed25519(_) => Version::M2,
        }
    }

    /// Whether the key is good at an instant.
    #[must_use]
    pub fn is_alive(&self, now: UnixSeconds) -> bool {
        self.not_before <= now && now < self.expires
    }

    /// Whether the key may sign for a path or a subtree.
    #[must_use]
    pub fn may_sign(&self, path: &str) -> bool {
        self.scope.iter().any(|scope| covers(scope, path))
    }

    pub(super) fn verifies(&self, message: &[&[u8]], tag: &[u8]) -> bool {
        match &self.material {
            Material::Hmac(state) => absorb(state, message).verify_slice(tag).is_ok(),
            Material::Ed25519(key) => Signature::from_slice(tag)
                .is_ok_and(|signature| key.verify_strict(&message.concat(), &signature).is_ok()),
        }
    }

    pub(super) fn sign(&self, message: &[&[u8]]) -> Option<Vec<u8>> {
        match &self.material {
            Material::Hmac(state) => Some(absorb(state, message).finalize().into_bytes().to_vec()),
            Material::Ed25519(_) => None,
        }
    }
}

fn absorb(state: &Hmac<Sha256>, message: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = state.clone();
    for part in message {
        mac.update(part);
    }
    mac
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("version", &self.version())
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// All keys that a node knows.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: HashMap<String, Key>,
}

/// A keyring file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// It is not the JSON that a keyring is.
    #[error("not a keyring: line {line}, column {column}: {what}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The kind of fault; never the text that was read, which holds keys.
        what: &'static str,
    },
    /// A key in it cannot be used.
    #[error("key {kid}: {rule}")]
    Key {
        /// The key's id, or its place in the list, `#1` being the first.
        kid: String,
        /// What a key must be.
        rule: &'static str,
    },
}

#[derive(Deserialize)]
struct File {
    keyring: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    kid: String,
    ver: String,
    key_hex: Option<String>,
    pub_hex: Option<String>,
    scope: Vec<String>,
    nbf: u64,
    exp: u64,
}

impl KeyRing {
    /// Reads the JSON form: `{"keyring":[{"kid","ver","key_hex"|"pub_hex","scope":[…],"nbf","exp"}]}`.
    /// `m1` has `key_hex` (at least 16 bytes), `m2` has `pub_hex` (32 bytes); `scope` entries that
    /// end in `/` are subtrees; `nbf` and `exp` are Unix seconds. Other members are ignored.
    ///
    /// # Errors
    /// When the text is no such JSON, or a key in it is unusable; no error shows key material.
    pub fn from_json(text: &str) -> Result<Self, KeyRingError> {
        let file: File = serde_json::from_str(text).map_err(|error| KeyRingError::Json {
            line: error.line(),
            column: error.column(),
            what: match error.classify() {
                serde_json::error::Category::Data => "a member is missing or of another type",
                _ => "not JSON",
            },
        })?;
        let mut ring = Self::default();
        for (index, entry) in file.keyring.into_iter().enumerate() {
            // A text that is no key id may be a key that stands in the wrong place.
            let kid = if is_kid(&entry.kid) {
                entry.kid.clone()
            } else {
                format!("#{}", index + 1)
            };
            let key = entry.parse().map_err(|rule| KeyRingError::Key {
                kid: kid.clone(),
                rule,
            })?;
            if ring.keys.insert(kid.clone(), key).is_some() {
                return Err(KeyRingError::Key {
                    kid,
                    rule: "a key id must not be repeated",
                });
            }
        }
        Ok(ring)
    }

    /// The key of that id.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    /// The key to sign a path with: of the `m1` keys that live now and may sign it, the youngest of
    /// those that live until `until`, or else the one that lives longest. To let a new key reach
    /// every edge before it signs, give it a `nbf` that lies ahead.
    #[must_use]
    pub fn signer(&self, path: &str, now: UnixSeconds, until: UnixSeconds) -> Option<&Key> {
        self.keys
            .values()
            .filter(|key| key.version() == Version::M1 && key.is_alive(now) && key.may_sign(path))
            .max_by(|a, b| {
                (a.expires.min(until), a.not_before, &a.id).cmp(&(
                    b.expires.min(until),
                    b.not_before,
                    &b.id,
                ))
            })
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none: then every token is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Entry {
    fn parse(self) -> Result<Key, &'static str> {
        if !is_kid(&self.kid) {
            return Err("a key id is 1 to 16 of a-z 0-9");
        }
        if self.scope.is_empty() || !self.scope.iter().all(|scope| is_scope(scope)) {
            return Err("scope must list paths of the target grammar");
        }
        let material = match (self.ver.as_str(), &self.key_hex, &self.pub_hex) {
            ("m1", Some(secret), None) => hmac_key(secret)?,
            ("m2", None, Some(public)) => ed25519_key(public)?,
            ("m1", ..) => return Err("m1 needs key_hex and no pub_hex"),
            ("m2", ..) => return Err("m2 needs pub_hex and no key_hex"),
            _ => return Err("ver must be m1 or m2"),
        };
        Ok(Key {
            id: self.kid,
            material,
            scope: self.scope,
            not_before: UnixSeconds(self.nbf),
            expires: UnixSeconds(self.exp),
        })
    }
}

fn hmac_key(text: &str) -> Result<Material, &'static str> {
    let secret = hex::decode(text).map_err(|_| "key_hex must be hexadecimal")?;
    if secret.len() < 16 {
        return Err("key_hex must hold at least 16 bytes");
    }
    let state = Hmac::<Sha256>::new_from_slice(&secret).map_err(|_| "key_hex is unusable")?;
    Ok(Material::Hmac(Box::new(state)))
}

fn ed25519_key(text: &str) -> Result<Material, &'static str> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "pub_hex must be 32 hexadecimal bytes")?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| "pub_hex is no Ed25519 public key")?;
    Ok(Material::Ed25519(Box::new(key)))
}

pub(super) fn is_kid(text: &str) -> bool {
    matches!(text.len(), 1..=16)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
