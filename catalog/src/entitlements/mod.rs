//! Entitlements: which films were granted to whom, and for how long.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::id::{ChannelId, GrantId, UserId, VideoId};
use contracts::time::UnixSeconds;

use crate::error::Error;

/// What a grant is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covers {
    /// One film.
    Video(VideoId),
    /// The films that are in a channel when they are watched.
    Channel(ChannelId),
    /// Every film of the site.
    Site,
}

impl Covers {
    /// Whether a film that is in this channel is among it.
    #[must_use]
    pub fn holds(&self, video: &VideoId, channel: Option<&ChannelId>) -> bool {
        match self {
            Self::Video(one) => one == video,
            Self::Channel(one) => channel == Some(one),
            Self::Site => true,
        }
    }
}

/// That an account may watch something, for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its name in the API.
    pub id: GrantId,
    /// Who may watch.
    pub account: UserId,
    /// What.
    pub covers: Covers,
    /// From when on.
    pub from: UnixSeconds,
    /// Until when; never to end without it.
    pub until: Option<UnixSeconds>,
    /// When it was made.
    pub created: UnixSeconds,
}

impl Grant {
    /// Whether it counts at an instant.
    #[must_use]
    pub fn counts(&self, now: UnixSeconds) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// What became of the wish to grant something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It is granted.
    New,
    /// The same was granted before under this id: this.
    Same(Grant),
    /// The id stands for something else.
    Conflict,
}

/// Which grants are asked for: those that have all of this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this account.
    pub account: Option<UserId>,
    /// For this.
    pub covers: Option<Covers>,
}

/// The grants of a site.
#[async_trait]
pub trait Entitlements: Send + Sync {
    /// Grants something, once an id.
    async fn grant(&self, grant: &Grant) -> Result<Granted, Error>;

    /// The grant of that id.
    async fn find(&self, id: &GrantId) -> Result<Option<Grant>, Error>;

    /// Grants by their ids, at most `limit`, after the one given.
    async fn list(
        &self,
        wanted: &Wanted,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<Grant>, Error>;

    /// An account's grants that hold a film, by itself, by its channel or with the whole site. Those that
    /// count now come first, what lasts longest before the others; 32 at most.
    async fn of(
        &self,
        account: &UserId,
        video: &VideoId,
        now: UnixSeconds,
    ) -> Result<Vec<Grant>, Error>;

    /// Takes a grant back; gives it as it was. Of two who take the same back, one is given it.
    async fn take_back(&self, id: &GrantId) -> Result<Option<Grant>, Error>;
}
