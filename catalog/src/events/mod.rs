//! What became of films, for those who wait for it: the backends of a site, and the owners of films.
//!
//! An event is written in the transaction that moves its film on ([`videos::sql::advance`](crate::videos::sql::advance)),
//! so that there is one of every change that counts and of no other. It is numbered when it is first looked for, for
//! numbers that are given within transactions become visible in another order than theirs.

pub mod conformance;
pub(crate) mod sql;

use async_trait::async_trait;
use contracts::id::{UserId, VideoId};
use contracts::time::UnixSeconds;

use crate::error::Error;
use crate::videos::State;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A film can be watched, while the rest of it is made.
    Playable,
    /// A film is whole, or as whole as it will be.
    Ready,
    /// A film cannot be made.
    Failed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Playable, Self::Ready, Self::Failed];

    /// What is told of a film that comes to a state, or comes to be watched in it; `None` of others.
    #[must_use]
    pub const fn of(state: State) -> Option<Self> {
        match state {
            State::Processing => Some(Self::Playable),
            State::Ready => Some(Self::Ready),
            State::Failed => Some(Self::Failed),
            State::Uploading | State::Deleted => None,
        }
    }

    /// The word in JSON and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Playable => "video-playable",
            Self::Ready => "video-ready",
            Self::Failed => "video-failed",
        }
    }

    /// What that word says.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Something that happened to a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, by which it is told from all others.
    pub id: u64,
    /// What happened.
    pub kind: Kind,
    /// To which film.
    pub video: VideoId,
    /// When.
    pub at: UnixSeconds,
    /// How long the film is, where that is known.
    pub duration_ms: Option<u64>,
    /// Why it failed, or has fewer renditions than it was to have.
    pub reason: Option<String>,
    /// What the film is called now.
    pub title: String,
    /// Who has its channel now.
    pub owner: Option<UserId>,
}

/// The events of a site. They stay.
///
/// A number is a Unix time in milliseconds, or one more than the number before where that is later, as in the feed.
#[async_trait]
pub trait Events: Send + Sync {
    /// The events after a number, oldest first, at most so many; of one owner's films, where one is given. Whoever sees
    /// a number, by whatever process, sees all lower ones.
    async fn after(
        &self,
        id: u64,
        owner: Option<&UserId>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<Event>, Error>;

    /// Takes the right to tell events to whom the operator named, until then, and says which was told last: one
    /// `holder` has it at a time. `None` while another does.
    async fn take(
        &self,
        holder: &str,
        now: UnixSeconds,
        until: UnixSeconds,
    ) -> Result<Option<u64>, Error>;

    /// Notes as told those events before all others that were not told which are from before `limit`; tells how many.
    /// None when the right went to another meanwhile.
    async fn pass_over(&self, holder: &str, limit: UnixSeconds) -> Result<u64, Error>;

    /// Notes that all events up to a number were told. `false` when the right went to another meanwhile; then nothing
    /// is noted.
    async fn told(&self, holder: &str, id: u64) -> Result<bool, Error>;
}
