//! The port: where uploads are remembered, so that any instance can take any chunk.

use async_trait::async_trait;
use catalog::videos::NewVideo;
use contracts::{
    id::{ChannelId, UploadId, VideoId},
    time::UnixSeconds,
};
use store::Digest;

use self::quota::Over;
use crate::{Error, jobs::NewJob};

pub(crate) mod abandon;
pub mod conformance;
mod plan;
pub mod quota;
mod refused;
mod session;
pub(crate) mod sql;
pub mod streams;
mod token;
pub(crate) mod turn;

pub(crate) use plan::MAX_TITLE;
pub use plan::{Limits, Plan, Request, title_of};
pub use refused::Refused;
pub use session::{
    Chunk, Completion, Decision, State, Upload, Way, complete, decide, promised, received,
};
pub(crate) use token::Token;

/// The film that an upload becomes, which is entered into the catalogue with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFilm {
    /// The film.
    pub video: NewVideo,
    /// The channel that it is for.
    pub channel: Option<ChannelId>,
}

/// What became of a [`Uploads::claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The caller may store the chunk.
    Granted,
    /// Other bytes were claimed for this place before.
    Taken,
    /// The upload is gone, or no longer receives.
    Closed,
}

/// The memory of uploads, outside any process.
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Remembers a new upload, which receives, unless its owner has too much then: that is looked at in the same
    /// transaction.
    ///
    /// # Errors
    /// [`Error::Database`], also when the id is taken.
    async fn create(&self, upload: &Upload) -> Result<Result<(), Over>, Error>;

    /// Finds an upload that was not given up.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn find(&self, id: &UploadId) -> Result<Option<Upload>, Error>;

    /// Finds what is known of one chunk.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn chunk(&self, id: &UploadId, index: u32) -> Result<Option<Chunk>, Error>;

    /// Lists all that is known of an upload's chunks, by index.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn chunks(&self, id: &UploadId) -> Result<Vec<Chunk>, Error>;

    /// Claims a place for bytes of this digest, before they become visible in the store. Of two
    /// that claim it for different bytes at once, one is granted. Claiming it again for the same
    /// bytes is granted too.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn claim(&self, id: &UploadId, index: u32, sha256: &Digest) -> Result<Claim, Error>;

    /// Notes that the claimed bytes are in the store. `false` when the upload is gone, or no longer
    /// receives: then nobody will look for them.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn stored(&self, id: &UploadId, index: u32) -> Result<bool, Error>;

    /// Forgets a chunk of an upload that receives, so that it can be sent again.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn forget(&self, id: &UploadId, index: u32) -> Result<(), Error>;

    /// Moves the upload from receiving to complete, remembers the digest of its whole, and queues
    /// its job, all or nothing. `false` when it does not receive (any more).
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn complete(&self, id: &UploadId, whole: &Digest, job: &NewJob) -> Result<bool, Error>;

    /// Has an upload last until then at least that receives and whose time was not over at `now`: somebody
    /// puts it together.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn keep(&self, id: &UploadId, now: UnixSeconds, until: UnixSeconds) -> Result<(), Error>;

    /// Remembers what so many stored chunks of an upload make, until one of them is forgotten; nothing when others
    /// are stored by now.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn makes(&self, id: &UploadId, chunks: u32, whole: &Digest) -> Result<(), Error>;

    /// What the stored chunks of an upload make, where somebody found out.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn made(&self, id: &UploadId) -> Result<Option<Digest>, Error>;

    /// Gives up an upload that receives, and its film fails, all or none, and what it was put together of is as it was
    /// before; from then on it is listed among the [`expired`](Self::expired) only, until it is removed. `false` when
    /// it does not receive (any more), or is a part of another that does.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Catalog`].
    async fn give_up(&self, upload: &Upload, reason: &str, now: UnixSeconds)
    -> Result<bool, Error>;

    /// Lists uploads that still receive though their time was over at `now`, and those that were given up, those
    /// that have waited longest first, at most `limit`. Of those whose bytes come in order, what has arrived whole is
    /// not among them, nor the parts that it was put together of: it waits to be joined.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn expired(&self, now: UnixSeconds, limit: u32) -> Result<Vec<Upload>, Error>;

    /// Lists uploads that are complete, or forgotten, and whose parts nobody has said are removed, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn leftovers(&self, limit: u32) -> Result<Vec<UploadId>, Error>;

    /// Says that the parts of an upload that is complete, or forgotten, are removed.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn cleared(&self, id: &UploadId) -> Result<(), Error>;

    /// Remembers that an upload's bytes go straight to the store, which calls it so.
    ///
    /// # Errors
    /// [`Error::Database`], also when there is no such upload.
    async fn go_direct(&self, id: &UploadId, name: &str) -> Result<(), Error>;

    /// What the store calls an upload whose bytes go straight to it.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn direct(&self, id: &UploadId) -> Result<Option<String>, Error>;

    /// Forgets an upload that is not complete, and its chunks. `false` when there is none such.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn remove(&self, id: &UploadId) -> Result<bool, Error>;

    /// Finds the upload that a film came by, or is coming by, also one that was given up.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn of(&self, video: &VideoId) -> Result<Option<Upload>, Error>;

    /// Forgets the upload that a film came by, or is coming by, and tells which it was: the film was taken away. What
    /// one that still receives was put together of is as it was before. Its own parts are
    /// [`leftovers`](Self::leftovers) from then on.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn release(&self, video: &VideoId) -> Result<Option<UploadId>, Error>;
}
