//! Content keys of films, sealed: the catalogue keeps what it cannot read.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::id::VideoId;
use contracts::time::UnixSeconds;

use crate::error::Error;

/// The keys of a film, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What nobody reads without the key-encryption key.
    pub bytes: Vec<u8>,
    /// The name of the key-encryption key that they are sealed with; none: from before those had names.
    pub by: Option<String>,
    /// When they must be looked at again, because some of them end then; none: never.
    pub due: Option<UnixSeconds>,
}

/// The sealed content keys of a site's films.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Keeps a film's sealed keys unless it has some, and gives what is kept then: of two that come at once, both
    /// get the first one's.
    async fn keep(
        &self,
        video: &VideoId,
        sealed: &Sealed,
        now: UnixSeconds,
    ) -> Result<Sealed, Error>;

    /// A film's sealed keys, if it has any.
    async fn find(&self, video: &VideoId) -> Result<Option<Sealed>, Error>;

    /// Puts others in place of a film's sealed keys, unless their bytes are no longer those that were found; tells
    /// whether it did. Of two that found the same, one does.
    async fn replace(&self, video: &VideoId, found: &[u8], sealed: &Sealed) -> Result<bool, Error>;

    /// Films whose keys are not sealed with this key-encryption key, in the order of their ids, from the one after
    /// `after`, at most `limit`.
    async fn sealed_otherwise(
        &self,
        by: &str,
        after: Option<&VideoId>,
        limit: u32,
    ) -> Result<Vec<VideoId>, Error>;

    /// Films whose keys must be looked at now, at most `limit`, the longest due first.
    async fn due(&self, now: UnixSeconds, limit: u32) -> Result<Vec<VideoId>, Error>;

    /// Forgets a film's keys; having none is no error.
    async fn forget(&self, video: &VideoId) -> Result<(), Error>;
}
