//! What is kept of a secret that somebody will show again.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a secret of at least 128 random bits: it is found again by it, and not to be
/// guessed from it. No digest for passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDigest(String);

impl SecretDigest {
    /// The digest of a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(hex::encode(Sha256::digest(secret)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest")
    }
}
