//! Grants in the catalogue's database.

use async_trait::async_trait;
use contracts::id::{ChannelId, GrantId, UserId, VideoId};
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult, Value};

use super::{Covers, Entitlements, Grant, Granted, Wanted};
use crate::error::Error;
use crate::open::engine;
use crate::sql::{Row, change, seconds, statement};

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }

    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Grant>, Error> {
        let rows = self.db.query_all_raw(statement(sql, values)).await;
        rows.map_err(engine)?.iter().map(grant).collect()
    }
}

#[async_trait]
impl Entitlements for Sql {
    async fn grant(&self, grant: &Grant) -> Result<Granted, Error> {
        let sql = "INSERT INTO grants (id, account, kind, target, from_unix_s, until_unix_s, created_unix_s) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let (kind, target) = written(&grant.covers);
        let until = grant.until;
        let values = vec![
            grant.id.as_str().into(),
            grant.account.as_str().into(),
            kind.into(),
            target.into(),
            seconds(grant.from),
            until.map_or_else(|| NEVER.into(), seconds),
            seconds(grant.created),
        ];
        if change(&self.db, sql, values).await? == 1 {
            return Ok(Granted::New);
        }
        let before = self.find(&grant.id).await?.filter(|before| {
            let same = Grant {
                created: before.created,
                ..grant.clone()
            };
            *before == same
        });
        Ok(before.map_or(Granted::Conflict, Granted::Same))
    }

    async fn find(&self, id: &GrantId) -> Result<Option<Grant>, Error> {
        let sql = "SELECT * FROM grants WHERE id = $1";
        let found = self.rows(sql, vec![id.as_str().into()]).await?;
        Ok(found.into_iter().next())
    }

    async fn list(
        &self,
        wanted: &Wanted,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<Grant>, Error> {
        let mut sql = "SELECT * FROM grants WHERE id > $1".to_owned();
        let after = after.map_or("", GrantId::as_str);
        let mut values = vec![after.into(), i64::from(limit).into()];
        if let Some(account) = &wanted.account {
            values.push(account.as_str().into());
            sql.push_str(&format!(" AND account = ${}", values.len()));
        }
        if let Some(covers) = &wanted.covers {
            let (kind, target) = written(covers);
            values.extend([kind.into(), target.into()]);
            let last = values.len();
            sql.push_str(&format!(" AND kind = ${} AND target = ${last}", last - 1));
        }
        sql.push_str(" ORDER BY id LIMIT $2");
        self.rows(&sql, values).await
    }

    async fn of(
        &self,
        account: &UserId,
        video: &VideoId,
        now: UnixSeconds,
    ) -> Result<Vec<Grant>, Error> {
        let sql = "SELECT * FROM grants WHERE account = $1 AND (kind = 'site' OR (kind = 'video' AND target = $2) \
                   OR (kind = 'channel' AND target = (SELECT channel FROM videos WHERE id = $2))) \
                   ORDER BY CASE WHEN from_unix_s <= $3 AND until_unix_s > $3 THEN 0 ELSE 1 END, \
                   until_unix_s DESC, id LIMIT 32";
        let values = vec![account.as_str().into(), video.as_str().into(), seconds(now)];
        self.rows(sql, values).await
    }

    async fn take_back(&self, id: &GrantId) -> Result<Option<Grant>, Error> {
        let sql = "DELETE FROM grants WHERE id = $1 RETURNING *";
        let gone = self.rows(sql, vec![id.as_str().into()]).await?;
        Ok(gone.into_iter().next())
    }
}

/// What stands for a grant that does not end.
const NEVER: i64 = i64::MAX;

fn written(covers: &Covers) -> (&'static str, &str) {
    match covers {
        Covers::Video(video) => ("video", video.as_str()),
        Covers::Channel(channel) => ("channel", channel.as_str()),
        Covers::Site => ("site", ""),
    }
}

fn grant(row: &QueryResult) -> Result<Grant, Error> {
    let table = "grants";
    let row = Row { row, table };
    let covers = match row.text("kind")?.as_str() {
        "video" => Covers::Video(row.parsed("target", VideoId::parse)?),
        "channel" => Covers::Channel(row.parsed("target", ChannelId::parse)?),
        "site" => Covers::Site,
        _ => return Err(row.corrupt("kind")),
    };
    let until = row.instant("until_unix_s")?;
    Ok(Grant {
        id: row.parsed("id", GrantId::parse)?,
        account: row.parsed("account", UserId::parse)?,
        covers,
        from: row.instant("from_unix_s")?,
        until: (i64::try_from(until.0) != Ok(NEVER)).then_some(until),
        created: row.instant("created_unix_s")?,
    })
}
