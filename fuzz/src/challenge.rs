//! Any bytes as a licence challenge: the names of a few keys, which are there in the bytes, or an error.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use contracts::keys::KeyId;
use packager::protect::{
    challenge::{self, Challenge, MOST_KEYS},
    signalling::guid,
};

/// Reads `data` in both ways.
pub fn check(data: &[u8]) {
    if let Ok(Challenge::Keys(keys)) = challenge::widevine(data) {
        few(&keys);
        for key in keys {
            assert!(data.windows(16).any(|bytes| bytes == key.0), "{key}");
        }
    }
    if let Ok(keys) = challenge::playready(data) {
        few(&keys);
        // Comments may stand within a name: each of its letters is there at least.
        for key in keys {
            let name = STANDARD.encode(guid(key));
            assert!(name.bytes().all(|letter| data.contains(&letter)), "{key}");
        }
    }
}

fn few(keys: &[KeyId]) {
    assert!((1..=MOST_KEYS).contains(&keys.len()));
    assert!(keys.is_sorted_by(|one, next| one < next), "each key once");
}
