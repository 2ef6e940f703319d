//! The log of events: what was appended is there, in its order, until it is not needed any more.

pub mod conformance;
mod embedded;
mod open;
mod segment;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;

pub use embedded::{Embedded, Limits};
pub use open::{check_address, open};

/// The longest record, in bytes.
pub const LONGEST: usize = 256 * 1024;

/// A place in a log: before a record, or behind the last. Places only rise.
pub type Offset = u64;

/// What stands in a log from a place on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records, in their order.
    pub records: Vec<Vec<u8>>,
    /// The place behind them: what follows is read from there.
    pub next: Offset,
    /// Bytes that were passed over because they are damaged.
    pub damaged: u64,
}

/// Where a log begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first place that can be read from.
    pub first: Offset,
    /// The place behind the last record.
    pub end: Offset,
}

/// A log of records.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The log's name. Places of a log with another name say nothing of this one.
    fn name(&self) -> &str;

    /// Appends a record, of at most [`LONGEST`] bytes and not empty. When it returns, the record
    /// survives a crash; when it fails, the record may be there or not. Of two, one after the other,
    /// the first stands before the second.
    ///
    /// # Cancel safety
    /// When the future is dropped, the record may be there or not.
    async fn append(&self, record: Vec<u8>) -> Result<(), Error>;

    /// Reads whole records from a place on, at most `most` bytes of them but one record at least; an
    /// empty page where nothing follows yet. From before the first place it reads from there.
    async fn read(&self, from: Offset, most: usize) -> Result<Page, Error>;

    /// Where it begins and ends.
    fn extent(&self) -> Extent;

    /// Allows what stands before a place to go. Some of it may stay.
    async fn release(&self, before: Offset) -> Result<(), Error>;

    /// Resolves when something stands behind a place.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn grown(&self, beyond: Offset);
}

/// A log that several use.
pub type Shared = Arc<dyn EventLog>;

/// A log could not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address names no log that is built in.
    #[error("no log at {address}: it must be file:///absolute/path")]
    Address {
        /// The address.
        address: String,
    },
    /// Another process has it.
    #[error("the log at {folder} is another process's")]
    InUse {
        /// Its folder.
        folder: String,
    },
    /// A record is empty, or longer than one may be.
    #[error("a record has 1 to {LONGEST} bytes, not {0}")]
    Length(usize),
    /// It is as long as it may be, and nothing of it may go yet.
    #[error("the log is full: what stands in it is not folded yet")]
    Full,
    /// More records wait to be written than may.
    #[error("more is told than can be written")]
    Busy,
    /// The disk failed.
    #[error("the log's disk failed: {0}")]
    Disk(Arc<std::io::Error>),
    /// It has failed before in a way after which nothing is known of it.
    #[error("the log takes nothing more until it is opened again")]
    Broken,
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(Arc::new(error))
    }
}
