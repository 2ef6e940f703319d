//! Playback sessions: who watches what, until when.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;

use crate::error::Error;

/// A playback session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name, also in its token.
    pub id: SessionId,
    /// The film.
    pub video: VideoId,
    /// When it began.
    pub started: UnixSeconds,
    /// When its token ends.
    pub expires: UnixSeconds,
    /// When the player was last heard of.
    pub last_beat: UnixSeconds,
    /// When it was stopped, if it was.
    pub stopped: Option<UnixSeconds>,
    /// Where the player was then, in milliseconds from the film's start.
    pub position_ms: Option<u64>,
}

/// A session that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its name.
    pub id: SessionId,
    /// The film.
    pub video: VideoId,
    /// Now.
    pub started: UnixSeconds,
    /// When its token ends.
    pub expires: UnixSeconds,
    /// Where the player begins, in milliseconds from the film's start.
    pub position_ms: Option<u64>,
    /// By what a repeated wish is known again.
    pub repeat: Option<Repeat>,
}

/// A wish that can be told from another: the client's key for it, and the digest of what it wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// `Idempotency-Key`, bounded by the caller.
    pub key: String,
    /// A digest of the request's body.
    pub digest: String,
}

/// What became of the wish to begin a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It has begun.
    New(Session),
    /// The same wish began it before.
    Same(Session),
    /// The same key stood for another wish.
    Conflict,
}

/// The playback sessions of a site.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Begins a session, once a repeat key: of two equal wishes at once, one begins it and both
    /// get it. A key is free again when the session that it began has expired.
    async fn start(&self, new: NewSession) -> Result<Started, Error>;

    /// The session of that id.
    async fn find(&self, id: &SessionId) -> Result<Option<Session>, Error>;

    /// Notes that the player lives, and where it is. A stopped session is given as it is.
    async fn beat(
        &self,
        id: &SessionId,
        position_ms: Option<u64>,
        now: UnixSeconds,
    ) -> Result<Option<Session>, Error>;

    /// Ends a session and frees its repeat key; ending it again changes nothing. Tells whether there is one.
    async fn stop(&self, id: &SessionId, now: UnixSeconds) -> Result<bool, Error>;

    /// How many sessions are neither stopped nor expired.
    async fn count(&self, now: UnixSeconds) -> Result<u64, Error>;

    /// Forgets the sessions that expired before `limit`, and tells how many.
    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error>;
}
