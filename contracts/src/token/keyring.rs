//! The keys that a node holds, by key id.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cat::{Algorithm, Issuer};
use super::claims::{covers, is_scope};
use super::material::Material;
use super::memory::Memory;
use crate::time::UnixSeconds;

/// What a token is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HMAC-SHA256: whoever verifies can mint, so only our own nodes hold the key.
    M1,
    /// Ed25519: partners' nodes hold the public key and cannot mint.
    M2,
    /// A Common Access Token (CTA-5007), with the algorithm that its key is for.
    Cat,
}

impl Version {
    /// As it stands in a keyring, and for the native ones in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M1 => "m1",
            Self::M2 => "m2",
            Self::Cat => "cat",
        }
    }

    /// The version of a native token.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "m1" => Some(Self::M1),
            "m2" => Some(Self::M2),
            _ => None,
        }
    }

    /// The length of a native token's tag.
    pub(super) const fn tag_len(self) -> usize {
        match self {
            Self::M1 => 32,
            Self::M2 | Self::Cat => 64,
        }
    }
}

/// One key with its life and its scope. `Debug` does not show the key.
#[derive(Clone)]
pub struct Key {
    id: Arc<str>,
    version: Version,
    material: Material,
    scope: Vec<String>,
    not_before: UnixSeconds,
    expires: UnixSeconds,
    issuer: Option<Issuer>,
}

impl Key {
    /// The key id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// Which tokens it verifies.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether whoever holds the key can mint with it, and not only verify.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.material.is_secret()
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

    /// Whose Common Access Tokens it verifies.
    pub(super) const fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    pub(super) fn verifies(&self, message: &[&[u8]], tag: &[u8]) -> bool {
        self.material.verifies(message, tag)
    }

    pub(super) fn sign(&self, message: &[&[u8]]) -> Option<Vec<u8>> {
        self.material.sign(message)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// All keys that a node knows.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: HashMap<String, Key>,
    /// Our ids of the keys of Common Access Tokens, by their key ids in COSE.
    cose: HashMap<Vec<u8>, String>,
    memory: Option<Arc<Memory>>,
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

#[derive(Deserialize, Serialize)]
pub(super) struct File {
    pub(super) keyring: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Entry {
    kid: String,
    ver: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pub_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed_hex: Option<String>,
    scope: Vec<String>,
    nbf: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cose_kid_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
}

impl File {
    pub(super) fn read(text: &str) -> Result<Self, KeyRingError> {
        serde_json::from_str(text).map_err(|error| KeyRingError::Json {
            line: error.line(),
            column: error.column(),
            what: match error.classify() {
                serde_json::error::Category::Data => "a member is missing or of another type",
                _ => "not JSON",
            },
        })
    }
}

impl KeyRing {
    /// Reads the JSON form: `{"keyring":[{"kid","ver","key_hex"|"pub_hex"|"seed_hex","scope":[…],"nbf","exp"}]}`.
    /// `m1` has `key_hex` (at least 16 bytes), `m2` has `pub_hex` (32 bytes) or, to mint, `seed_hex` (32 bytes);
    /// `cat` has `alg` with `key_hex` (HS256) or `pub_hex` (EdDSA, ES256), `cose_kid_hex`, `iss`, and perhaps `aud`.
    /// `scope` entries that end in `/` are subtrees; `nbf` and `exp` are Unix seconds. Other members are ignored.
    ///
    /// # Errors
    /// When the text is no such JSON, or a key in it is unusable; no error shows key material.
    pub fn from_json(text: &str) -> Result<Self, KeyRingError> {
        let file = File::read(text)?;
        let mut ring = Self::default();
        for (index, entry) in file.keyring.into_iter().enumerate() {
            // A text that is no key id may be a key that stands in the wrong place.
            let kid = if is_kid(&entry.kid) {
                entry.kid.clone()
            } else {
                format!("#{}", index + 1)
            };
            let added = entry.parse().and_then(|key| ring.add(key));
            added.map_err(|rule| KeyRingError::Key { kid, rule })?;
        }
        Ok(ring)
    }

    /// Lets the ring remember so many tokens whose signatures cost much to verify (Ed25519, and Common Access
    /// Tokens), each for a minute at most. Each takes some 1 KiB.
    #[must_use]
    pub fn remembering(mut self, tokens: usize) -> Self {
        self.memory = (tokens > 0).then(|| Arc::new(Memory::new(tokens)));
        self
    }

    /// The key of that id.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    /// The key of Common Access Tokens whose COSE key id that is.
    pub(super) fn find_cose(&self, kid: &[u8]) -> Option<&Key> {
        self.find(self.cose.get(kid)?)
    }

    pub(super) fn memory(&self) -> Option<&Memory> {
        self.memory.as_deref()
    }

    /// The key to sign a path with: of the keys that can sign, live now and may sign it, the youngest of
    /// those that live until `until`, or else the one that lives longest. To let a new key reach every edge
    /// before it signs, give it a `nbf` that lies ahead.
    #[must_use]
    pub fn signer(&self, path: &str, now: UnixSeconds, until: UnixSeconds) -> Option<&Key> {
        self.best(path, now, until, |version| version != Version::Cat)
    }

    /// As [`signer`](Self::signer), of the keys whose tokens partners' nodes verify with a public key.
    #[must_use]
    pub fn partner_signer(&self, path: &str, now: UnixSeconds, until: UnixSeconds) -> Option<&Key> {
        self.best(path, now, until, |version| version == Version::M2)
    }

    /// As [`signer`](Self::signer), of the keys that make the plain query form.
    #[must_use]
    pub fn plain_signer(&self, path: &str, now: UnixSeconds, until: UnixSeconds) -> Option<&Key> {
        self.best(path, now, until, |version| version == Version::M1)
    }

    /// Whether any key may sign anything for viewers at that time.
    #[must_use]
    pub fn signs_at(&self, now: UnixSeconds) -> bool {
        let signs = |key: &Key| {
            let counts = key.not_before <= now && now < key.expires;
            counts && key.is_secret() && key.version() != Version::Cat
        };
        self.keys.values().any(signs)
    }

    /// Whether any key may sign anything for those who hold public keys alone, at some time from now on.
    #[must_use]
    pub fn has_partner_signer(&self, now: UnixSeconds) -> bool {
        let signs =
            |key: &Key| key.is_secret() && key.version() == Version::M2 && now < key.expires;
        self.keys.values().any(signs)
    }

    fn best(
        &self,
        path: &str,
        now: UnixSeconds,
        until: UnixSeconds,
        wanted: fn(Version) -> bool,
    ) -> Option<&Key> {
        self.keys
            .values()
            .filter(|key| key.is_secret() && wanted(key.version()))
            .filter(|key| key.is_alive(now) && key.may_sign(path))
            .max_by_key(|key| (key.expires.min(until), key.not_before, &key.id))
    }

    /// A key with which whoever reads the ring could mint, if there is one.
    #[must_use]
    pub fn secret(&self) -> Option<&Key> {
        let secrets = self.keys.values().filter(|key| key.is_secret());
        secrets.min_by_key(|key| &key.id)
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

    fn add(&mut self, key: Key) -> Result<(), &'static str> {
        let id = key.id().to_owned();
        if let Some(issuer) = key.issuer()
            && self.cose.insert(issuer.kid.clone(), id.clone()).is_some()
        {
            return Err("a COSE key id must not be repeated");
        }
        match self.keys.insert(id, key) {
            Some(_) => Err("a key id must not be repeated"),
            None => Ok(()),
        }
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
        let issuer = self.issuer()?;
        let version = match self.ver.as_str() {
            "m1" => Version::M1,
            "m2" => Version::M2,
            "cat" => Version::Cat,
            _ => return Err("ver must be m1, m2 or cat"),
        };
        Ok(Key {
            material: self.material(version, issuer.as_ref())?,
            id: self.kid.into(),
            version,
            scope: self.scope,
            not_before: UnixSeconds(self.nbf),
            expires: UnixSeconds(self.exp),
            issuer,
        })
    }

    fn material(
        &self,
        version: Version,
        issuer: Option<&Issuer>,
    ) -> Result<Material, &'static str> {
        let given = (&self.key_hex, &self.pub_hex, &self.seed_hex);
        match (version, issuer.map(|issuer| issuer.algorithm), given) {
            (Version::M1, _, (Some(secret), None, None))
            | (Version::Cat, Some(Algorithm::Hs256), (Some(secret), None, None)) => {
                Material::hmac(secret)
            }
            (Version::M2, _, (None, Some(public), None))
            | (Version::Cat, Some(Algorithm::EdDsa), (None, Some(public), None)) => {
                Material::ed25519(public)
            }
            (Version::M2, _, (None, None, Some(seed))) => Material::ed25519_seed(seed),
            (Version::Cat, Some(Algorithm::Es256), (None, Some(public), None)) => {
                Material::p256(public)
            }
            (Version::M1, ..) => Err("m1 needs key_hex alone"),
            (Version::M2, ..) => Err("m2 needs pub_hex, or seed_hex to mint"),
            (Version::Cat, ..) => Err("cat needs key_hex for HS256, pub_hex for EdDSA and ES256"),
        }
    }

    /// What only keys of Common Access Tokens have.
    fn issuer(&self) -> Result<Option<Issuer>, &'static str> {
        if self.ver != "cat" {
            return Ok(None);
        }
        let (Some(kid), Some(algorithm), Some(issuer)) = (&self.cose_kid_hex, &self.alg, &self.iss)
        else {
            return Err("cat needs cose_kid_hex, alg and iss");
        };
        let kid = hex::decode(kid).map_err(|_| "cose_kid_hex must be hexadecimal")?;
        if kid.is_empty() || kid.len() > MAX_COSE_KID {
            return Err("cose_kid_hex must hold 1 to 64 bytes");
        }
        if issuer.is_empty() || self.aud.as_ref().is_some_and(String::is_empty) {
            return Err("iss and aud must not be empty");
        }
        Ok(Some(Issuer {
            kid,
            algorithm: Algorithm::parse(algorithm).ok_or("alg must be HS256, EdDSA or ES256")?,
            name: issuer.clone(),
            audience: self.aud.clone(),
        }))
    }
}

pub(super) fn is_kid(text: &str) -> bool {
    matches!(text.len(), 1..=16)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

const MAX_COSE_KID: usize = 64;
