//! The nodes that follow the feed: which there are, when each was heard of, and how far it is.

pub mod conformance;
pub mod sql;
pub mod standing;

use async_trait::async_trait;
use contracts::fleet::Kind;
use contracts::id::{FeedId, NodeId};
use contracts::time::UnixSeconds;

use crate::error::Error;

/// What a node said of itself when it asked for orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its name.
    pub name: NodeId,
    /// What it is.
    pub kind: Kind,
    /// When it asked.
    pub at: UnixSeconds,
    /// The feed whose orders it has applied; `None` before the first.
    pub feed: Option<FeedId>,
    /// The number of the last of them.
    pub applied: u64,
    /// For how many seconds after a question it may go on to serve what was purged; `None`: for ever.
    pub stops_s: Option<u64>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// When it was first heard of.
    pub first_seen: UnixSeconds,
    /// What it said last.
    pub last: Sighting,
}

/// The nodes of a site.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Notes what nodes said, all or nothing. What was said before what is known already changes nothing.
    async fn note(&self, seen: &[Sighting]) -> Result<(), Error>;

    /// All nodes, by name.
    async fn list(&self) -> Result<Vec<Node>, Error>;

    /// Forgets the nodes that were not heard of since `limit`, and tells how many.
    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error>;
}
