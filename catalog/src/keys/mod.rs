//! Content keys of films, sealed: the catalogue keeps what it cannot read.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::id::VideoId;
use contracts::time::UnixSeconds;

use crate::error::Error;

/// The sealed content keys of a site's films.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Keeps a film's sealed keys unless it has some, and gives what is kept then: of two that come at once, both
    /// get the first one's.
    async fn keep(
        &self,
        video: &VideoId,
        sealed: &[u8],
        now: UnixSeconds,
    ) -> Result<Vec<u8>, Error>;

    /// A film's sealed keys, if it has any.
    async fn find(&self, video: &VideoId) -> Result<Option<Vec<u8>>, Error>;

    /// Forgets a film's keys; having none is no error.
    async fn forget(&self, video: &VideoId) -> Result<(), Error>;
}
