//! Nodes that have enrolled: who may, who has, on what terms, and how each is.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::fleet::{Announce, Heartbeat, Network};
use contracts::id::{JoinId, NodeId};
use contracts::time::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::digest::SecretDigest;
use crate::error::Error;

/// What an operator says of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The site that it stands in; empty: none in particular.
    pub site: String,
    /// The region of its site; empty: none in particular.
    pub region: String,
    /// The networks that it may announce, or parts of them.
    pub prefixes: Vec<Network>,
    /// Its capacity beside those of others; `None`: by what it announces.
    pub weight: Option<u32>,
    /// Smaller comes first, wherever it stands.
    pub priority: u32,
    /// Whether a partner runs it: it serves viewers of its site and region alone.
    pub partner: bool,
    /// Whether protected films may come from it.
    pub protected: bool,
    /// Whether it can be reached from here, and is to be before anybody is sent there.
    pub probe: bool,
}

/// That one node may enrol, without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Its name in the API.
    pub id: JoinId,
    /// The name that the node gets.
    pub node: NodeId,
    /// On what terms.
    pub terms: Terms,
    /// When it was made.
    pub created: UnixSeconds,
    /// From when on it counts no more.
    pub expires: UnixSeconds,
    /// Whether a node has enrolled with it.
    pub used: bool,
}

/// Who wants to enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// The SHA-256 of its public key, in hexadecimal digits.
    pub key: String,
    /// What it announces.
    pub announce: Announce,
    /// When the certificate ends that it is going to get.
    pub certificate_ends: UnixSeconds,
}

/// A node that has enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: NodeId,
    /// Changes with each change of what stands here.
    pub revision: u64,
    /// On what terms.
    pub terms: Terms,
    /// What it announces.
    pub announce: Announce,
    /// The SHA-256 of its public key, in hexadecimal digits.
    pub key: String,
    /// Whether an operator wants it emptied.
    pub drain: bool,
    /// When it enrolled.
    pub enrolled: UnixSeconds,
    /// When the last of its certificates ends.
    pub certificate_ends: UnixSeconds,
    /// When it was first found to serve where it says; `None`: not yet.
    pub activated: Option<UnixSeconds>,
    /// When it was dismissed, if it was.
    pub dismissed: Option<UnixSeconds>,
}

/// Heartbeats of one node, of which the last is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The node.
    pub name: NodeId,
    /// Its key, as [`Member::key`]: another one of that name has said nothing.
    pub key: String,
    /// When the first of them came.
    pub first: UnixSeconds,
    /// When the last of them came.
    pub last: UnixSeconds,
    /// How many there were.
    pub count: u64,
    /// What the last said.
    pub said: Heartbeat,
}

/// By how many seconds the clocks of control planes may differ.
pub const AHEAD_S: u64 = 60;

/// How a node is, by its heartbeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// When the last one came.
    pub last: UnixSeconds,
    /// How many came since it was last silent for too long.
    pub beats: u64,
    /// What the last said.
    pub said: Heartbeat,
}

/// What an operator changes; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Whether the node is to be emptied.
    pub drain: Option<bool>,
    /// Its capacity beside those of others.
    pub weight: Option<u32>,
    /// Smaller comes first.
    pub priority: Option<u32>,
}

/// The nodes of a site that have enrolled.
#[async_trait]
pub trait Members: Send + Sync {
    /// Makes a join that is known by the digest of its secret. Fails with [`Error::Exists`] when the id or the digest
    /// is taken, or the node's name is of one that was dismissed and is not forgotten.
    async fn invite(&self, join: &Join, secret: &SecretDigest) -> Result<(), Error>;

    /// The joins that have not expired, by their ids.
    async fn joins(&self, now: UnixSeconds) -> Result<Vec<Join>, Error>;

    /// The join with that secret, used or not, unless it has expired.
    async fn join(&self, secret: &SecretDigest, now: UnixSeconds) -> Result<Option<Join>, Error>;

    /// Takes a join back; tells whether there was one.
    async fn withdraw(&self, id: &JoinId) -> Result<bool, Error>;

    /// Enrols a node by a secret, or tells that it may not. A secret counts for one key: with the same key again the
    /// same node is told, as long as it has that key. Of two at once with two keys one enrols. A node of the same name
    /// gives way, unless it was dismissed.
    async fn enrol(
        &self,
        secret: &SecretDigest,
        newcomer: &Newcomer,
        now: UnixSeconds,
    ) -> Result<Option<Member>, Error>;

    /// The node of that name, dismissed ones too.
    async fn find(&self, name: &NodeId) -> Result<Option<Member>, Error>;

    /// All nodes by name, dismissed ones too.
    async fn list(&self) -> Result<Vec<Member>, Error>;

    /// Notes what a node with that key announces; tells whether there is one that is not dismissed. One that can be
    /// probed, and is reached elsewhere than before, is to be found to serve anew.
    async fn announce(&self, name: &NodeId, key: &str, announce: &Announce) -> Result<bool, Error>;

    /// Notes until when a node with that key has a certificate; tells whether there is one that is not dismissed.
    async fn certify(&self, name: &NodeId, key: &str, ends: UnixSeconds) -> Result<bool, Error>;

    /// Notes that a node serves as it was at a revision; once is enough. Of one that has changed since nothing is noted.
    async fn activate(&self, name: &NodeId, revision: u64, now: UnixSeconds) -> Result<(), Error>;

    /// Changes what an operator may change of a node that is not dismissed, and tells the outcome.
    async fn change(&self, name: &NodeId, change: &Change) -> Result<Option<Member>, Error>;

    /// Dismisses a node, and tells it; once is enough.
    async fn dismiss(&self, name: &NodeId, now: UnixSeconds) -> Result<Option<Member>, Error>;

    /// Notes heartbeats, all or nothing; of a node that is not known, or has another key, nothing is noted. One that was
    /// silent for longer than `silence_s` begins to be counted anew, and so does one whose last heartbeat lies more than
    /// [`AHEAD_S`] in the future of this one: a clock was wrong. What was said before what is known already, by less
    /// than that, adds to the count alone.
    async fn note(&self, beats: &[Beat], silence_s: u64) -> Result<(), Error>;

    /// How each node is, by name, with its revision.
    async fn pulses(&self) -> Result<Vec<(NodeId, u64, Option<Pulse>)>, Error>;

    /// Forgets joins that have expired, and nodes that were dismissed and whose certificates ended before `limit`.
    async fn forget(&self, now: UnixSeconds, limit: UnixSeconds) -> Result<(), Error>;
}
