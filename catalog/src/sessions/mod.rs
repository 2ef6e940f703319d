//! Playback sessions: who watches what, until when.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::id::{SessionId, UserId, VideoId};
use contracts::time::UnixSeconds;

use crate::error::Error;

/// A playback session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What acts for its player; in its tokens stands its [mark](SessionId::mark).
    pub id: SessionId,
    /// The film.
    pub video: VideoId,
    /// Whose it is; none where somebody watches who is not known.
    pub account: Option<UserId>,
    /// What it plays on, in words for its account.
    pub device: Option<String>,
    /// When it began.
    pub started: UnixSeconds,
    /// When its token ends.
    pub expires: UnixSeconds,
    /// When the player was last heard of.
    pub last_beat: UnixSeconds,
    /// Until when its lease runs: the next heartbeat must come before.
    pub lease: UnixSeconds,
    /// Whether it ends with its lease: it counts against a limit.
    pub limited: bool,
    /// When and why it ended before its token, if it did.
    pub ended: Option<(UnixSeconds, Ending)>,
    /// Where the player was then, in milliseconds from the film's start.
    pub position_ms: Option<u64>,
    /// What its tokens say, in the words of whoever began it.
    pub terms: Option<String>,
}

impl Session {
    /// Whether it may be played.
    #[must_use]
    pub fn lives(&self, now: UnixSeconds) -> bool {
        self.ended.is_none() && now < self.expires && (!self.limited || now < self.lease)
    }
}

/// Of how many sessions it is noted at once that edges were told.
pub const MOST_TOLD: u32 = 500;

/// Why a session ended before its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its player, or whoever else knows it, said so.
    Stopped,
    /// No heartbeat came in time, and it counted against a limit.
    LeaseLost,
    /// Its account may not watch the film any more.
    NotEntitled,
}

impl Ending {
    /// The word in the catalogue and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::LeaseLost => "lease_lost",
            Self::NotEntitled => "not_entitled",
        }
    }

    /// The ending of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Stopped, Self::LeaseLost, Self::NotEntitled];
        all.into_iter().find(|ending| ending.as_str() == word)
    }
}

/// Whose streams a session counts among.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The account.
    pub account: UserId,
    /// How many streams it may have at once where it has no limit of its own; `None`: any number.
    pub limit: Option<u32>,
}

/// A session that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its name.
    pub id: SessionId,
    /// The film.
    pub video: VideoId,
    /// Whose it is; none where somebody watches who is not known.
    pub seat: Option<Seat>,
    /// What it plays on.
    pub device: Option<String>,
    /// Now.
    pub started: UnixSeconds,
    /// When its token ends.
    pub expires: UnixSeconds,
    /// Until when the first heartbeat must come.
    pub lease: UnixSeconds,
    /// Where the player begins, in milliseconds from the film's start.
    pub position_ms: Option<u64>,
    /// What its tokens say, to be given back as it is.
    pub terms: Option<String>,
    /// Whether edges are to be told when it ends before its token.
    pub revocable: bool,
    /// By what a repeated wish is known again.
    pub repeat: Option<Repeat>,
}

/// A wish that can be told from another: the client's key for it, and the digest of what it wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// `Idempotency-Key`, with whose it is, bounded by the caller.
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
    /// The account has as many streams as it may, these.
    Full(Vec<Session>),
}

/// What a player says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Where it is, in milliseconds from the film's start.
    pub position_ms: Option<u64>,
    /// Which of its heartbeats this is: what an older one says does not count.
    pub seq: Option<u64>,
}

/// What an account watches, in one session or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The film.
    pub video: VideoId,
    /// What their tokens say, as [`Session::terms`].
    pub terms: Option<String>,
}

/// What ends sessions of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whose sessions.
    pub account: UserId,
    /// Of which films.
    pub videos: Vec<VideoId>,
    /// Why.
    pub why: Ending,
}

/// The playback sessions of a site.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Begins a session, once a repeat key: of two equal wishes at once, one begins it and both
    /// get it. A key is free again when the session that it began is over.
    ///
    /// Of an account's sessions, as many have a stream at once as its limit says, wherever and
    /// however many begin at once; one whose lease has run out counts no more, and ends for good
    /// when it was limited.
    async fn start(&self, new: NewSession) -> Result<Started, Error>;

    /// The session of that id.
    async fn find(&self, id: &SessionId) -> Result<Option<Session>, Error>;

    /// Notes that the player lives, and where it is, and prolongs its lease to `lease`. A session
    /// that lives no more stays as it is; one that was limited and whose lease has run out ends.
    async fn beat(
        &self,
        id: &SessionId,
        beat: Beat,
        now: UnixSeconds,
        lease: UnixSeconds,
    ) -> Result<Option<Session>, Error>;

    /// Puts off the end of a session that lives; it is never put forward. Gives it as it is then, if there is one: it
    /// may be over, and a token must end no later than it says.
    async fn prolong(
        &self,
        id: &SessionId,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Option<Session>, Error>;

    /// Ends a session and frees its repeat key; ending it again changes nothing. Gives it as it is
    /// then, if there is one.
    async fn stop(
        &self,
        id: &SessionId,
        why: Ending,
        now: UnixSeconds,
    ) -> Result<Option<Session>, Error>;

    /// Has edges be told of a session that has ended, also of one that was to end untold.
    async fn revoke(&self, id: &SessionId, now: UnixSeconds) -> Result<(), Error>;

    /// Ends an account's sessions of some films; tells how many.
    async fn cut(&self, cut: &Cut, now: UnixSeconds) -> Result<u64, Error>;

    /// Ends all sessions of a film, and frees their streams; tells how many. Edges are told of the film, and not of
    /// each of these.
    async fn end_all(&self, video: &VideoId, now: UnixSeconds) -> Result<u64, Error>;

    /// What an account has living sessions of, each once, by film.
    async fn watched(&self, account: &UserId, now: UnixSeconds) -> Result<Vec<Watched>, Error>;

    /// An account's sessions that have a stream now, oldest first.
    async fn streams(&self, account: &UserId, now: UnixSeconds) -> Result<Vec<Session>, Error>;

    /// Prolongs the lease of all limited sessions that have not ended to `lease` at least: for as long as nobody
    /// could hear players, none was silent.
    async fn excuse(&self, lease: UnixSeconds) -> Result<u64, Error>;

    /// Ends the limited sessions whose lease has run out; tells how many.
    async fn lapse(&self, now: UnixSeconds) -> Result<u64, Error>;

    /// Sessions that ended before their token, and of which edges have not been told, at most
    /// `limit`, the ones that ended first before the others.
    async fn untold(&self, now: UnixSeconds, limit: u32) -> Result<Vec<Session>, Error>;

    /// Notes that edges were told of the ends of these sessions, at most [`MOST_TOLD`].
    async fn told(&self, ids: &[SessionId]) -> Result<(), Error>;

    /// The limit of an account's own, if it has one; 0 is any number.
    async fn limit(&self, account: &UserId) -> Result<Option<u32>, Error>;

    /// Gives an account a limit of its own, or takes it away. It counts from the next start on.
    async fn set_limit(&self, account: &UserId, limit: Option<u32>) -> Result<(), Error>;

    /// How many sessions have neither ended nor expired.
    async fn count(&self, now: UnixSeconds) -> Result<u64, Error>;

    /// Forgets the sessions that expired before `limit`, and tells how many.
    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error>;
}
