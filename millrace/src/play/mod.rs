//! `millrace play`: a headless player that checks everything a manifest promises.
//!
//! 1. [`client`] gets an address over HTTP/1.1, HTTP/2 or HTTP/3 ([`h3`]), trusting whom [`trust`] says.
//! 2. [`hls`] and [`dash`] turn a manifest into promises ([`manifest`]).
//! 3. [`session`] fetches every init, key and segment, some at once, and opens what is encrypted whole ([`seal`]).
//! 4. [`check`] looks into them; it shares no code with the packager, whose witness it is.
//! 5. [`report`] says what was found.

mod check;
mod client;
mod dash;
mod h3;
mod hls;
mod manifest;
mod report;
mod seal;
mod session;
mod trust;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub(crate) use report::Report;

/// What to play, and how.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// An HLS playlist or a DASH MPD, `http` or `https`; may bear a token.
    pub(crate) url: String,
    /// The protocol to insist on; without it, HTTP/2 or HTTP/1.1 by ALPN.
    pub(crate) protocol: Option<Protocol>,
    /// A PEM file with one more root to trust.
    pub(crate) ca: Option<PathBuf>,
    /// Whether any certificate is taken.
    pub(crate) insecure: bool,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// HTTP/1.1, plain or over TLS.
    H1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/3.
    H3,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::H3 => "h3",
        })
    }
}

/// Plays everything once and reports. Never fails: what goes wrong stands in the report.
///
/// Shows its progress on stderr when that is a terminal.
pub(crate) async fn play(options: &Options) -> Report {
    match session::Session::open(options) {
        Ok(session) => session.run().await,
        Err(sentence) => Report::unusable(sentence),
    }
}
