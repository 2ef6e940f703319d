//! Cache keys: the host zone and the path without its token.

use pingora::cache::CacheKey;
use pingora::cache::key::CacheHashKey as _;

/// Builds the key of an object. Each part bears its length, so that no two pairs share a key.
#[must_use]
pub fn build(zone: &str, path: &str) -> CacheKey {
    let mut primary = Vec::with_capacity(16 + zone.len() + path.len());
    for part in [zone, path] {
        primary.extend_from_slice(&(part.len() as u64).to_be_bytes());
        primary.extend_from_slice(part.as_bytes());
    }
    let mut key = CacheKey::new(primary, "");
    // Hashed once, however often it is asked for.
    key.set_primary_bin_override(key.primary_bin());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifting_a_byte_between_the_parts_changes_the_key() {
        let keys = [
            build("ab", "/c"),
            build("a", "b/c"),
            build("ab/", "c"),
            build("", "ab/c"),
        ];
        for (at, key) in keys.iter().enumerate() {
            for other in keys.iter().skip(at + 1) {
                assert_ne!(key.primary_key(), other.primary_key());
            }
        }
    }
}
