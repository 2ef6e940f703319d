//! Events in the catalogue's database.

use async_trait::async_trait;
use contracts::id::{UserId, VideoId};
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};

use super::{Event, Events, Kind};
use crate::error::Error;
use crate::open::{begin_alone, engine};
use crate::sql::{Row, change, number, seconds, statement};
use crate::videos::Video;

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }

    /// Numbers what was written since, in the order of its time.
    async fn number(&self, now: UnixSeconds) -> Result<(), Error> {
        let any = statement(UNNUMBERED, vec![1_i64.into()]);
        let any = self.db.query_one_raw(any).await.map_err(engine)?;
        if any.is_none() {
            return Ok(());
        }
        let within = begin_alone(&self.db, "events").await?;
        let head = statement(
            "SELECT COALESCE(MAX(id), 0) AS id FROM video_events",
            vec![],
        );
        let head = within.query_one_raw(head).await.map_err(engine)?;
        let head = head.map(|row| of(&row).number("id")).transpose()?;
        let first = now.0.saturating_mul(1000).max(head.unwrap_or(0) + 1);
        let rows = within.query_all_raw(statement(UNNUMBERED, vec![MOST.into()]));
        for (id, row) in (first..).zip(rows.await.map_err(engine)?) {
            let row = of(&row);
            let sql = "UPDATE video_events SET id = $3 WHERE video = $1 AND turn = $2";
            let (video, turn) = (row.text("video")?, row.number("turn")?);
            let values = vec![video.into(), number(turn), number(id)];
            change(&within, sql, values).await?;
        }
        within.commit().await.map_err(engine)
    }
}

#[async_trait]
impl Events for Sql {
    async fn after(
        &self,
        id: u64,
        owner: Option<&UserId>,
        limit: u32,
        now: UnixSeconds,
    ) -> Result<Vec<Event>, Error> {
        self.number(now).await?;
        let sql = "SELECT video_events.*, videos.title, channels.owner FROM video_events \
                   JOIN videos ON videos.id = video_events.video \
                   LEFT JOIN channels ON channels.id = videos.channel \
                   WHERE video_events.id > $1 AND ($2 = '' OR channels.owner = $2) \
                   ORDER BY video_events.id LIMIT $3";
        let owner = owner.map_or("", UserId::as_str);
        let values = vec![number(id), owner.into(), i64::from(limit).into()];
        let rows = self.db.query_all_raw(statement(sql, values)).await;
        rows.map_err(engine)?.iter().map(event).collect()
    }

    async fn take(
        &self,
        holder: &str,
        now: UnixSeconds,
        until: UnixSeconds,
    ) -> Result<Option<u64>, Error> {
        let sql = "UPDATE event_hook SET holder = $1, until_unix_s = $3 \
                   WHERE holder = $1 OR until_unix_s <= $2 RETURNING told AS id";
        let values = vec![holder.into(), seconds(now), seconds(until)];
        let row = self.db.query_one_raw(statement(sql, values)).await;
        let row = row.map_err(engine)?;
        row.map(|row| of(&row).number("id")).transpose()
    }

    async fn pass_over(&self, holder: &str, limit: UnixSeconds) -> Result<u64, Error> {
        let within = begin_alone(&self.db, "events").await?;
        let sql = "SELECT told AS id FROM event_hook WHERE holder = $1";
        let told = within.query_one_raw(statement(sql, vec![holder.into()]));
        let told = told.await.map_err(engine)?;
        let Some(told) = told.map(|row| of(&row).number("id")).transpose()? else {
            return Ok(0);
        };
        let sql = "SELECT COUNT(*) AS many, COALESCE(MAX(id), $1) AS last FROM video_events \
                   WHERE id > $1 AND id < COALESCE((SELECT MIN(id) FROM video_events \
                   WHERE id > $1 AND at_unix_s >= $2), $3)";
        let values = vec![number(told), seconds(limit), number(u64::MAX)];
        let row = within.query_one_raw(statement(sql, values)).await;
        let Some(row) = row.map_err(engine)? else {
            return Ok(0);
        };
        let (many, last) = (of(&row).number("many")?, of(&row).number("last")?);
        let sql = "UPDATE event_hook SET told = $2 WHERE holder = $1";
        change(&within, sql, vec![holder.into(), number(last)]).await?;
        within.commit().await.map_err(engine)?;
        Ok(many)
    }

    async fn told(&self, holder: &str, id: u64) -> Result<bool, Error> {
        let sql = "UPDATE event_hook SET told = $2 WHERE holder = $1 AND told <= $2";
        let changed = change(&self.db, sql, vec![holder.into(), number(id)]).await?;
        Ok(changed == 1)
    }
}

/// Writes what became of a film, within the transaction that moves it on.
pub(crate) async fn write(
    db: &impl ConnectionTrait,
    kind: Kind,
    video: &Video,
    now: UnixSeconds,
) -> Result<(), Error> {
    // Whoever moves a film on holds its row until the end: no other takes the same turn.
    let sql = "INSERT INTO video_events (video, turn, kind, at_unix_s, duration_ms, reason) \
               SELECT $1, COALESCE(MAX(turn), 0) + 1, $2, $3, $4, $5 FROM video_events WHERE video = $1";
    let duration = video
        .duration_ms
        .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let values = vec![
        video.id.as_str().into(),
        kind.as_str().into(),
        seconds(now),
        duration.into(),
        video.failure.clone().into(),
    ];
    change(db, sql, values).await.map(drop)
}

fn event(row: &QueryResult) -> Result<Event, Error> {
    let row = of(row);
    let kind = Kind::parse(&row.text("kind")?).ok_or_else(|| row.corrupt("kind"))?;
    let duration: Option<i64> = row.row.try_get("", "duration_ms").map_err(engine)?;
    let duration = duration.map(u64::try_from).transpose();
    let owner = row.optional_text("owner")?;
    let owner = owner.map(|owner| UserId::parse(&owner)).transpose();
    Ok(Event {
        id: row.number("id")?,
        kind,
        video: row.parsed("video", VideoId::parse)?,
        at: row.instant("at_unix_s")?,
        duration_ms: duration.map_err(|_| row.corrupt("duration_ms"))?,
        reason: row.optional_text("reason")?,
        title: row.text("title")?,
        owner: owner.map_err(|_| row.corrupt("owner"))?,
    })
}

const fn of(row: &QueryResult) -> Row<'_> {
    let table = "video_events";
    Row { row, table }
}

const UNNUMBERED: &str = "SELECT video, turn FROM video_events WHERE id IS NULL \
                          ORDER BY at_unix_s, video, turn LIMIT $1";
/// Events that are numbered at once, at most: others wait for the next look.
const MOST: i64 = 1000;
