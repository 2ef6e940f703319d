//! Which keys a licence challenge asks for, as far as content decryption modules say so in the clear. Whoever passes
//! challenges on compares these names with those that a viewer may have.
//!
//! What is said twice where once is meant, or in a way that is not known here, is refused: two readers of one
//! challenge must not find different keys in it.

mod playready;
mod widevine;

use contracts::keys::KeyId;

pub use playready::playready;
pub use widevine::widevine;

/// What a challenge wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// The certificate of the licence service, which every player may have: no keys.
    Certificate,
    /// A licence for these keys, each named once.
    Keys(Vec<KeyId>),
}

/// The challenge does not say in a known way which keys it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the challenge {0}")]
pub struct Unreadable(pub &'static str);

/// The names of at least one and at most [`MOST_KEYS`] keys, each once.
fn named(mut keys: Vec<KeyId>) -> Result<Vec<KeyId>, Unreadable> {
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Err(Unreadable("names no key"));
    }
    Ok(keys)
}

/// Adds a key, unless there are too many.
fn add(keys: &mut Vec<KeyId>, key: KeyId) -> Result<(), Unreadable> {
    if keys.len() >= MOST_KEYS {
        return Err(Unreadable("names more than 64 keys"));
    }
    keys.push(key);
    Ok(())
}

/// The most keys that one challenge is read for.
pub const MOST_KEYS: usize = 64;
