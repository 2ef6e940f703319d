//! Why the control plane could not start.

use std::net::SocketAddr;

use runtime::secret::Unusable;
use runtime::watched::FileError;

use crate::routing::file;

/// The control plane could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file with a secret cannot be used.
    #[error(transparent)]
    Secret(#[from] Unusable),
    /// A file that is read again when it changes cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file with the prefixes of sites cannot be used.
    #[error("the prefixes of sites: {0}")]
    Prefixes(#[from] file::Unusable),
    /// The catalogue cannot be opened.
    #[error("the catalogue cannot be opened: {0}")]
    Catalog(#[from] catalog::Error),
    /// The system gives no random bits.
    #[error("the system gives no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// Passwords cannot be hashed.
    #[error("passwords cannot be hashed")]
    Hashing,
    /// The log of events cannot be opened.
    #[error("events cannot be taken: {0}")]
    Events(#[from] telemetry::fold::Error),
    /// There can be no HTTP client.
    #[error("no HTTP client can be made: {0}")]
    Client(#[from] reqwest::Error),
    /// No certificate can be made.
    #[error("no certificate can be made: {0}")]
    Authority(rcgen::Error),
    /// There can be no listener over TLS.
    #[error("TLS cannot be set up for the listener of nodes")]
    Tls,
    /// A metric is declared twice.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}
