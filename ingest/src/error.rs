//! What can go wrong in ingest that is nobody's film's fault.

use std::{io, net::SocketAddr, path::PathBuf};

use contracts::id::VideoId;

/// A fault of this machine or its configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] store::Error),
    /// The catalogue failed.
    #[error("the catalogue failed: {0}")]
    Catalog(#[from] catalog::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row of the database holds what nobody wrote there.
    #[error("{table}.{column} in the database is unreadable")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// What is published of a film cannot be read.
    #[error("asset.json of {video} is unreadable")]
    Unreadable {
        /// The film.
        video: VideoId,
    },
    /// There can be no HTTP client.
    #[error("no HTTP client can be made: {0}")]
    Client(#[from] reqwest::Error),
    /// A file with a secret cannot be used.
    #[error(transparent)]
    Secret(#[from] runtime::secret::Unusable),
    /// A folder or file of this machine failed.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}; is another process there? {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A program that ingest needs cannot be run.
    #[error("cannot run {program}: {source}; install it, or set its path in the configuration")]
    Program {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A metric was registered twice.
    #[error("metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// A tool of the pipeline failed; trying again may help.
    #[error("{0}")]
    Tool(String),
    /// A tool of the pipeline lacked what this machine has at other times, such as room on a disk.
    #[error("{0}")]
    Lacks(String),
    /// A tool of the pipeline was strained beyond what it may take: by the film, or by what else this
    /// machine did.
    #[error("{what}")]
    Strained {
        /// What was seen of it.
        what: String,
        /// What a publisher is told whose film strains it every time.
        told: &'static str,
    },
}

impl Error {
    /// Whether the catalogue's engine or the store did not do what they do at other times: nothing is wrong
    /// with what was asked, and it can be asked again.
    pub(crate) const fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Store(store::Error::Io { .. } | store::Error::Absent { .. })
                | Self::Catalog(catalog::Error::Engine(_))
                | Self::Database(_)
        )
    }

    /// What its publisher is told of a film that waits because of it.
    pub(crate) const fn awaited(&self) -> &'static str {
        match self {
            Self::Store(store::Error::Full { .. }) | Self::Lacks(_) => {
                "there is no room for it now; it goes on by itself once there is"
            }
            _ => "what it needs does not answer now; it goes on by itself once that does",
        }
    }

    /// Whether it is about what ingest stands on, which others look after and which comes back: nothing
    /// that a film could bring about.
    pub(crate) const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Store(_)
                | Self::Catalog(_)
                | Self::Database(_)
                | Self::File { .. }
                | Self::Lacks(_)
        )
    }
}
