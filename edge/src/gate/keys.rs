//! The keyring file.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::Guard;
use contracts::token::KeyRing;
use runtime::watched::{FileError, Watched};
use serde::{Deserialize, Serialize};

/// Which keys a node may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// Any: the node is ours.
    Any,
    /// Such as only verify: the node is a partner's, and whoever reads its files must not be able to mint.
    PublicOnly,
}

/// The keyring file and what was last read from it.
pub(super) struct Keys(Watched<KeyRing>);

impl Keys {
    /// Reads the keyring, which will remember so many verified tokens; without a file there is no key, and every
    /// token is refused.
    pub(super) fn open(
        path: Option<PathBuf>,
        holds: Holds,
        remembered: usize,
    ) -> Result<Self, FileError> {
        let read = move |bytes: Vec<u8>| {
            let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
            let ring = KeyRing::from_json(text).map_err(|error| error.to_string())?;
            match ring.secret() {
                Some(key) if holds == Holds::PublicOnly => Err(format!(
                    "with key {} whoever reads the file can mint, and this node may hold public keys only",
                    key.id()
                )),
                _ => Ok(ring.remembering(remembered)),
            }
        };
        Watched::open(path, MAX_BYTES, KeyRing::default(), read).map(Self)
    }

    /// The keys.
    pub(super) fn ring(&self) -> Guard<Arc<KeyRing>> {
        self.0.current()
    }

    /// Reads the file again if it has changed; tells whether it had.
    pub(super) fn refresh(&self) -> Result<bool, FileError> {
        self.0.refresh()
    }
}

/// Some ten thousand keys.
const MAX_BYTES: u64 = 4 << 20;
