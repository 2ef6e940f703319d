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
#[expect(unreachable_pub, reason = "tests outside of the crate use it too")]
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_fuzzer_found_is_read_by_the_rules() {
        let count = super::replay::each("caching", |_, input| super::caching::check(input));
        assert!(count.unwrap() >= 10);
    }
}
