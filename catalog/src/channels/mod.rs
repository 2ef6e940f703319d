//! Channels: films that belong together, and to whom.

pub mod conformance;
pub mod sql;

use async_trait::async_trait;
use contracts::id::{ChannelId, UserId, VideoId};
use contracts::time::UnixSeconds;

use crate::error::Error;

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name in the API.
    pub id: ChannelId,
    /// Whose it is. The channel stays when the account goes.
    pub owner: UserId,
    /// As its owner named it.
    pub name: String,
    /// When it was made.
    pub created: UnixSeconds,
}

/// The channels of a site.
#[async_trait]
pub trait Channels: Send + Sync {
    /// Makes a channel. Fails with [`Error::Exists`] when the id is taken.
    async fn create(&self, channel: &Channel) -> Result<(), Error>;

    /// The channel of that id.
    async fn find(&self, id: &ChannelId) -> Result<Option<Channel>, Error>;

    /// Somebody's channels by their ids, at most `limit`, after the one given.
    async fn list(
        &self,
        owner: &UserId,
        after: Option<&ChannelId>,
        limit: u32,
    ) -> Result<Vec<Channel>, Error>;

    /// Puts a film into a channel instead of the one where it is, `from`; `None` is none. `false`,
    /// and nothing changes, when the film is elsewhere by now, or there is no such film.
    async fn put(
        &self,
        video: &VideoId,
        from: Option<&ChannelId>,
        to: Option<&ChannelId>,
    ) -> Result<bool, Error>;

    /// The channel that a film is in, if it is in one.
    async fn of(&self, video: &VideoId) -> Result<Option<Channel>, Error>;
}
