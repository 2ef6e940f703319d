//! The port: where uploads are remembered whose bytes come in order, so that any instance can take the next ones.

use async_trait::async_trait;
use contracts::{id::UploadId, time::UnixSeconds};
use store::{Key, Part};

use super::{NewFilm, Upload, quota::Over};
use crate::Error;

pub mod conformance;
mod running;
pub(crate) mod sql;

pub use running::Running;

/// What becomes of an upload whose bytes come in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A film.
    Whole,
    /// A part of one, which others are put together with.
    Partial,
    /// A film that was put together of parts; no byte comes to it.
    Final,
}

impl Kind {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Final => "final",
        }
    }
}

/// An upload whose bytes come in order.
#[derive(Debug, Clone)]
pub struct Stream {
    /// What it has in common with others.
    pub upload: Upload,
    /// What becomes of it.
    pub kind: Kind,
    /// How many bytes have arrived, which is where the next ones begin.
    pub arrived_bytes: u64,
    /// The digest of what has arrived, as far as it was worked out on the way; none for what was put together.
    pub running: Option<Running>,
    /// What its publisher said of it, as it was sent.
    pub metadata: String,
    /// What a final one is put together of, in order.
    pub parts: Vec<UploadId>,
    /// Which final one a partial one has become.
    pub became: Option<UploadId>,
}

impl Stream {
    /// Whether every byte has arrived.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.arrived_bytes == self.upload.size_bytes
    }
}

/// Some bytes of an upload, in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where in the upload it begins.
    pub start_bytes: u64,
    /// How long it is.
    pub size_bytes: u64,
    /// Where it lies.
    pub object: Key,
}

impl Piece {
    /// Where in the upload it ends.
    #[must_use]
    pub const fn end_bytes(&self) -> u64 {
        self.start_bytes.saturating_add(self.size_bytes)
    }

    /// What is joined.
    #[must_use]
    pub fn part(self) -> Part {
        Part {
            key: self.object,
            size_bytes: self.size_bytes,
        }
    }
}

/// What became of a [`Streams::concatenate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concatenated {
    /// The final upload is there, and whole.
    Made,
    /// The parts have become this final upload before, of which the same was said.
    Before(UploadId),
    /// This part is not whole, no part, or was put together with others, or as another film.
    Unready(UploadId),
    /// The owner has too much.
    Over(Over),
}

/// The memory of uploads whose bytes come in order, outside any process.
#[async_trait]
pub trait Streams: Send + Sync {
    /// Remembers a new upload, which receives, unless its owner has too much then: that is looked at in the same
    /// transaction.
    ///
    /// # Errors
    /// [`Error::Database`], also when the id is taken.
    async fn create(&self, stream: &Stream, now: UnixSeconds) -> Result<Result<(), Over>, Error>;

    /// Finds an upload.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn find(&self, id: &UploadId) -> Result<Option<Stream>, Error>;

    /// Lists what has arrived, in order.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn pieces(&self, id: &UploadId) -> Result<Vec<Piece>, Error>;

    /// The piece that ends where the next bytes begin.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn last(&self, id: &UploadId) -> Result<Option<Piece>, Error>;

    /// Adds pieces, which lie in the store and follow each other, to the first `from` bytes, all or nothing; the first
    /// one may begin before `from`, in place of the piece that begins there. Of two that add to the same bytes, one
    /// does. `false`, and nothing changes, when other bytes came first, or the upload does not receive (any more).
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn append(
        &self,
        id: &UploadId,
        from: u64,
        pieces: &[Piece],
        running: &Running,
        now: UnixSeconds,
    ) -> Result<bool, Error>;

    /// Puts partial uploads together to a final one, whose [`Stream::parts`] they are, and enters its film into the
    /// catalogue, all or nothing: it has their pieces, and they last as long as it does. Each part becomes one final
    /// upload only, as long as that is not given up.
    ///
    /// # Errors
    /// [`Error::Database`] and [`Error::Catalog`], also when an id is taken.
    async fn concatenate(
        &self,
        whole: &Stream,
        film: &NewFilm,
        now: UnixSeconds,
    ) -> Result<Concatenated, Error>;

    /// Takes up uploads that are whole, still receive, and that nobody was at since `before`: none is given to two
    /// that ask at once. At most `limit`.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn take_whole(
        &self,
        before: UnixSeconds,
        now: UnixSeconds,
        limit: u32,
    ) -> Result<Vec<UploadId>, Error>;

    /// Says that somebody is at an upload.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn touch(&self, id: &UploadId, now: UnixSeconds) -> Result<(), Error>;
}
