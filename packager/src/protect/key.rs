//! A content key, ready for use, that never shows itself in text.

use std::fmt;

use aes::{Aes128Enc, cipher::KeyInit};
use contracts::keys::{ContentKey, Iv, KeyId, KeyValue};
use sha2::{Digest, Sha256};

/// A content key. Its text form is its id alone.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    value: KeyValue,
    iv: Option<Iv>,
    cipher: Aes128Enc,
}

impl Key {
    pub(super) fn new(key: &ContentKey) -> Self {
        Self {
            id: key.kid,
            value: key.key.clone(),
            iv: key.iv,
            cipher: Aes128Enc::new(&key.key.0.into()),
        }
    }

    /// Its name, which is public.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key itself: a secret.
    #[must_use]
    pub fn value(&self) -> &KeyValue {
        &self.value
    }

    /// The initialization vector that its document gives, if any.
    #[must_use]
    pub fn iv(&self) -> Option<Iv> {
        self.iv
    }

    /// The initialization vector of `cbcs`: the document's, or one that follows from the key's name.
    pub(crate) fn constant_iv(&self) -> [u8; 16] {
        if let Some(Iv(iv)) = self.iv {
            return iv;
        }
        let digest = Sha256::new()
            .chain_update(b"millrace cbcs iv")
            .chain_update(self.id.0)
            .finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }

    pub(super) fn cipher(&self) -> &Aes128Enc {
        &self.cipher
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}
