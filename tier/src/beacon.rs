//! Who hears of every answered request.

use std::time::Duration;

use contracts::reason::Reason;

use crate::metrics::CacheUse;
use crate::protocol::Protocol;

/// One answered request. Holds neither token nor query.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// How the client spoke.
    pub protocol: Protocol,
    /// The request's method.
    pub method: &'a str,
    /// The path without its token; `-` when the request was not admitted.
    pub address: &'a str,
    /// The playback session, when a token named one.
    pub session: Option<&'a str>,
    /// The status sent; 0 when the client left before one was.
    pub status: u16,
    /// Bytes of the body handed to the connection.
    pub bytes: usize,
    /// How the request met the cache.
    pub cache_use: CacheUse,
    /// Why it was refused or failed.
    pub reason: Option<Reason>,
    /// From the request's header to the end of the answer.
    pub took: Duration,
    /// Whether the whole answer was sent.
    pub complete: bool,
}

/// Hears of every answered request. Called on the request's path: it must not wait.
pub trait Beacon: Send + Sync + 'static {
    /// Takes note of an answered request.
    fn served(&self, served: &Served<'_>);
}
