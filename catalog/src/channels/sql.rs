//! Channels in the catalogue's database.

use async_trait::async_trait;
use contracts::id::{ChannelId, UserId, VideoId};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};

use super::{Channel, Channels};
use crate::error::Error;
use crate::open::engine;
use crate::sql::{Row, change, seconds, statement};
use crate::words;

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Channels for Sql {
    async fn create(&self, channel: &Channel) -> Result<(), Error> {
        let sql = "INSERT INTO channels (id, owner, name, created_unix_s) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let values = vec![
            channel.id.as_str().into(),
            channel.owner.as_str().into(),
            words(&channel.name).into(),
            seconds(channel.created),
        ];
        if change(&self.db, sql, values).await? == 0 {
            return Err(Error::Exists {
                what: format!("channel {}", channel.id),
            });
        }
        Ok(())
    }

    async fn find(&self, id: &ChannelId) -> Result<Option<Channel>, Error> {
        let sql = "SELECT * FROM channels WHERE id = $1";
        let row = statement(sql, vec![id.as_str().into()]);
        let row = self.db.query_one_raw(row).await.map_err(engine)?;
        row.map(|row| channel(&row)).transpose()
    }

    async fn list(
        &self,
        owner: &UserId,
        after: Option<&ChannelId>,
        limit: u32,
    ) -> Result<Vec<Channel>, Error> {
        let sql = "SELECT * FROM channels WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3";
        let after = after.map_or("", ChannelId::as_str);
        let values = vec![owner.as_str().into(), after.into(), limit.into()];
        let rows = self.db.query_all_raw(statement(sql, values)).await;
        rows.map_err(engine)?.iter().map(channel).collect()
    }

    async fn put(
        &self,
        video: &VideoId,
        from: Option<&ChannelId>,
        to: Option<&ChannelId>,
    ) -> Result<bool, Error> {
        put(&self.db, video, from, to).await
    }

    async fn of(&self, video: &VideoId) -> Result<Option<Channel>, Error> {
        let sql = "SELECT channels.* FROM channels \
                   JOIN videos ON videos.channel = channels.id WHERE videos.id = $1";
        let row = statement(sql, vec![video.as_str().into()]);
        let row = self.db.query_one_raw(row).await.map_err(engine)?;
        row.map(|row| channel(&row)).transpose()
    }
}

/// [`Channels::put`] on a connection or within the caller's transaction.
///
/// # Errors
/// As [`Channels::put`].
pub async fn put(
    db: &impl ConnectionTrait,
    video: &VideoId,
    from: Option<&ChannelId>,
    to: Option<&ChannelId>,
) -> Result<bool, Error> {
    let sql = "UPDATE videos SET channel = $3 WHERE id = $1 AND COALESCE(channel, '') = $2";
    let values = vec![
        video.as_str().into(),
        from.map_or("", ChannelId::as_str).into(),
        to.map(ChannelId::as_str).into(),
    ];
    Ok(change(db, sql, values).await? == 1)
}

fn channel(row: &QueryResult) -> Result<Channel, Error> {
    let table = "channels";
    let row = Row { row, table };
    Ok(Channel {
        id: row.parsed("id", ChannelId::parse)?,
        owner: row.parsed("owner", UserId::parse)?,
        name: row.text("name")?,
        created: row.instant("created_unix_s")?,
    })
}
