//! What RFC 9111 says about a request and a response, without a cache and without a socket.
//!
//! Everything here is pure: fields and instants go in, decisions come out. What cannot be read is taken for what
//! forbids more (RFC 9111 §4.2.1): an unreadable lifetime or age makes a response stale, never fresh.

pub(crate) mod condition;
pub(crate) mod directives;
pub(crate) mod freshness;
pub(crate) mod members;
pub(crate) mod reference;
pub(crate) mod vary;

/// What the fuzz target `caching` asks of all this.
#[cfg(test)]
#[expect(unreachable_pub, reason = "the fuzz target calls it from outside")]
#[path = "../../../fuzz/src/caching.rs"]
mod caching;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn what_the_fuzzer_found_is_read_by_the_rules() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/caching");
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            super::caching::check(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 10);
    }
}
