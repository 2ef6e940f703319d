//! Films, from their upload to their end.

pub mod conformance;
pub mod sql;
mod state;

use async_trait::async_trait;
use contracts::asset::Privacy;
use contracts::id::VideoId;
use contracts::time::UnixSeconds;

use crate::error::Error;

pub use state::{Event, Refused, State};

/// A film as the catalogue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// Its name in URLs.
    pub id: VideoId,
    /// As the publisher named it.
    pub title: String,
    /// Who may watch.
    pub privacy: Privacy,
    /// Whether it leaves the house encrypted only.
    pub protected: bool,
    /// Where it is in its life.
    pub state: State,
    /// How much of its making is done, 0 to 100.
    pub progress: u8,
    /// Why it failed, what it waits for to be processed further, or why it has fewer renditions than it was to have,
    /// in words for its publisher.
    pub failure: Option<String>,
    /// Its length in milliseconds, once it is playable, and until it is so no more to anybody.
    pub duration_ms: Option<u64>,
    /// When its upload began.
    pub created: UnixSeconds,
    /// When it was last changed.
    pub updated: UnixSeconds,
}

impl Video {
    /// Whether it can be watched: it is ready, or its first renditions are there while the others are made.
    #[must_use]
    pub const fn is_playable(&self) -> bool {
        match self.state {
            State::Ready => true,
            State::Processing => self.duration_ms.is_some(),
            State::Uploading | State::Failed | State::Deleted => false,
        }
    }

    /// Whether it failed after it could be watched, and that is still being taken back.
    #[must_use]
    pub const fn is_unfit(&self) -> bool {
        matches!(self.state, State::Failed) && self.duration_ms.is_some()
    }

    /// Whether it may be tried once more: it failed, or was left with fewer renditions than it was to have.
    #[must_use]
    pub const fn is_unmade(&self) -> bool {
        match self.state {
            State::Failed => true,
            State::Ready => self.failure.is_some(),
            State::Uploading | State::Processing | State::Deleted => false,
        }
    }
}

/// A film that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVideo {
    /// Its name in URLs.
    pub id: VideoId,
    /// As the publisher names it.
    pub title: String,
    /// Who may watch.
    pub privacy: Privacy,
    /// Whether it is to leave the house encrypted only.
    pub protected: bool,
}

/// The films of a site.
#[async_trait]
pub trait Videos: Send + Sync {
    /// Makes a film that is being uploaded. Fails with [`Error::Exists`] when the id is taken.
    async fn create(&self, new: NewVideo) -> Result<Video, Error>;

    /// The film of that id.
    async fn find(&self, id: &VideoId) -> Result<Option<Video>, Error>;

    /// Public films that can be watched, newest first, at most `limit`, after the one given.
    async fn list(&self, after: Option<&VideoId>, limit: u32) -> Result<Vec<Video>, Error>;

    /// Moves a film on. Atomic: of two that move it at once, the second sees what the first did.
    /// Repeating the event that led to the present state changes nothing and succeeds; but of a film that is
    /// ready, [`Event::Left`] tells why it lacks renditions, and [`Event::Published`] that it lacks none any
    /// more. [`Event::Left`] is refused for a film that cannot be watched, [`Event::Retried`] for one that has
    /// all renditions, or that is [unfit](Video::is_unfit).
    async fn advance(&self, id: &VideoId, event: Event) -> Result<Video, Error>;

    /// Notes progress of a film that is being processed. It only rises; a smaller one, or one of a
    /// film in another state, changes nothing.
    async fn progress(&self, id: &VideoId, percent: u8) -> Result<(), Error>;

    /// Notes what a film that is being processed waits for, or that it waits no longer. Of a film in another state
    /// nothing changes.
    async fn waits(&self, id: &VideoId, reason: Option<&str>) -> Result<(), Error>;

    /// Films that were deleted and whose media may still be there, at most `limit`, those that were
    /// deleted first before the others.
    async fn deleted(&self, limit: u32) -> Result<Vec<Video>, Error>;

    /// Films that failed after they could be watched, and that viewers may still have, at most `limit`, those
    /// that failed first before the others.
    async fn unfit(&self, limit: u32) -> Result<Vec<Video>, Error>;

    /// Notes that nobody has any more of a film that failed what could be watched of it.
    async fn taken_back(&self, id: &VideoId) -> Result<(), Error>;

    /// Notes that nothing is left of a deleted film's media.
    async fn erased(&self, id: &VideoId) -> Result<(), Error>;

    /// How many films there are in each state that has any.
    async fn count(&self) -> Result<Vec<(State, u64)>, Error>;
}
