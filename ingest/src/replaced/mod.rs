//! The port: which generations others took the place of, and how far their removal is (`retiring`).

use async_trait::async_trait;
use contracts::{
    id::{Generation, VideoId},
    time::UnixSeconds,
};

use crate::Error;

pub mod conformance;
pub(crate) mod retiring;
pub(crate) mod sql;

/// A generation of a film that another took the place of, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Whose.
    pub video: VideoId,
    /// Which.
    pub generation: Generation,
    /// When it is to be looked at next; 0 while it is about to be replaced and has not been looked at.
    pub due: UnixSeconds,
    /// When it was found to be replaced.
    pub since: Option<UnixSeconds>,
    /// The number of the purge after which no cache has anything of it; 0 where nobody follows purges.
    pub purge: Option<u64>,
}

/// The memory of them, outside any process.
#[async_trait]
pub trait Replacements: Send + Sync {
    /// Remembers that a generation is about to be replaced; again, it changes nothing.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn note(&self, video: &VideoId, generation: Generation) -> Result<(), Error>;

    /// Lists those of a film that are remembered, by number.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn of(&self, video: &VideoId) -> Result<Vec<Generation>, Error>;

    /// Lists those that are due at `now`, those that have been so longest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn due(&self, now: UnixSeconds, limit: u32) -> Result<Vec<Replaced>, Error>;

    /// Puts `after` in the place of `before`, which is the same generation with another `due`. `false` when somebody
    /// else has changed it since.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn advance(&self, before: &Replaced, after: &Replaced) -> Result<bool, Error>;

    /// Forgets one as it was found; one that somebody has changed since stays.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn forget(&self, found: &Replaced) -> Result<(), Error>;
}
