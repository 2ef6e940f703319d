//! What RFC 9111 says about a request and a response, without a cache and without a socket.
//!
//! Everything here is pure: fields and instants go in, decisions come out. What cannot be read is taken for what
//! forbids more (RFC 9111 §4.2.1): an unreadable lifetime or age makes a response stale, never fresh.

pub(crate) mod condition;
pub(crate) mod directives;
pub(crate) mod freshness;
pub(crate) mod members;
pub(crate) mod vary;
