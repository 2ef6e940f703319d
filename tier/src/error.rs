//! What can go wrong when a tier is set up.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A fault at start; once a tier serves, faults are answered as [`contracts::reason::Reason`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate or key file holds something else.
    #[error("{}: {rule}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        rule: &'static str,
    },
    /// A file does not hold a credential.
    #[error(transparent)]
    Secret(#[from] runtime::secret::Unusable),
    /// The process before broke the handover off.
    #[error("the process before does not hand over: {0}")]
    Handover(#[source] io::Error),
    /// The client that asks the feed could not be made.
    #[error("no client for the feed: {0}")]
    Client(String),
    /// The node's own randomness is not to be had.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The TLS library refuses the settings.
    #[error("TLS settings are refused: {0}")]
    Tls(#[from] rustls::Error),
    /// A metric could not be registered.
    #[error("metrics are refused: {0}")]
    Metrics(#[from] prometheus::Error),
}
