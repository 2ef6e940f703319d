//! The feed: what edges and shields are ordered to purge and to revoke, with rising numbers.
//!
//! [`contracts::feed`] says what its server promises to those who follow it; here that is kept.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::feed::{Order, Page};
use contracts::id::FeedId;
use contracts::time::UnixSeconds;

use crate::error::Error;

/// How far the feed goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Which feed it is.
    pub id: FeedId,
    /// The number of its newest order; its beginning while there is none.
    pub head: u64,
    /// The last number that it cannot tell one by one any more; at first its beginning.
    pub folded: u64,
}

/// An order that can still be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Its number.
    pub seq: u64,
    /// When it was ordered.
    pub at: UnixSeconds,
    /// What is to be done.
    pub order: Order,
}

/// The orders of a site.
///
/// A number is a Unix time in milliseconds, or one more than the number before where that is later. So what is
/// ordered after a backup was put back is numbered beyond what the backup lacks.
#[async_trait]
pub trait Feed: Send + Sync {
    /// Begins the feed, unless it has begun: then it stays what it is.
    async fn begin(&self, id: &FeedId, now: UnixSeconds) -> Result<(), Error>;

    /// Gives the feed another id and a beginning beyond all its numbers, because orders may have been lost. Revocations
    /// that have not ended are ordered again. Tells the beginning.
    async fn renew(&self, id: &FeedId, now: UnixSeconds) -> Result<u64, Error>;

    /// Adds orders, all or none, and tells the number of the last; the others have those before it. They are on the
    /// disk when this returns. Whoever sees a number, by whatever process it was ordered, sees all lower ones.
    async fn append(&self, orders: &[Order], now: UnixSeconds) -> Result<u64, Error>;

    /// How far the feed goes; `None` when it has not begun.
    async fn extent(&self) -> Result<Option<Extent>, Error>;

    /// The orders after a number, oldest first, some of them at least where there are any; after a gap where it cannot
    /// tell them all. An empty page tells that there are none.
    async fn after(&self, seq: u64, now: UnixSeconds) -> Result<Page, Error>;

    /// The order of that number, while it can be told.
    async fn find(&self, seq: u64) -> Result<Option<Ordered>, Error>;

    /// How many orders there are after a number, of those that can be told.
    async fn count_after(&self, seq: u64) -> Result<u64, Error>;

    /// Folds away orders from before `limit`, and tells how many rows went. Revocations that have not ended stay for
    /// the gap; where they are too many for one, what follows stays as well until enough of them have ended.
    async fn fold(&self, limit: UnixSeconds, now: UnixSeconds) -> Result<u64, Error>;
}
