//! Playback sessions in the catalogue's database.

use async_trait::async_trait;
use contracts::id::{SessionId, UserId, VideoId};
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Value};

use super::{Beat, Cut, Ending, NewSession, Repeat, Seat, Session, Sessions, Started, Watched};
use crate::error::Error;
use crate::open::{begin, begin_alone, engine};
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
impl Sessions for Sql {
    async fn start(&self, new: NewSession) -> Result<Started, Error> {
        // Of those who begin for one account at once, each counts what the one before it began.
        let within = match &new.seat {
            Some(seat) => begin_alone(&self.db, &format!("sessions/{}", seat.account)).await?,
            None => begin(&self.db).await?,
        };
        let started = start(&within, new).await?;
        within.commit().await.map_err(engine)?;
        Ok(started)
    }

    async fn find(&self, id: &SessionId) -> Result<Option<Session>, Error> {
        find(&self.db, id).await
    }

    async fn beat(
        &self,
        id: &SessionId,
        beat: Beat,
        now: UnixSeconds,
        lease: UnixSeconds,
    ) -> Result<Option<Session>, Error> {
        // Beats that overtake each other do not move the position back.
        let newer = "CASE WHEN seq IS NULL OR seq < $4 THEN";
        let mut values = vec![id.as_str().into(), seconds(now), seconds(lease)];
        values.extend(
            [beat.seq, beat.position_ms]
                .into_iter()
                .flatten()
                .map(bounded),
        );
        let said = match (beat.seq, beat.position_ms) {
            (None, None) => String::new(),
            (None, Some(_)) => ", position_ms = $4".to_owned(),
            (Some(_), None) => format!(", seq = {newer} $4 ELSE seq END"),
            (Some(_), Some(_)) => format!(
                ", seq = {newer} $4 ELSE seq END, position_ms = {newer} $5 ELSE position_ms END"
            ),
        };
        let sql = format!(
            "UPDATE sessions SET last_beat_unix_s = $2, lease_unix_s = $3{said} \
             WHERE id = $1 AND {LIVES} RETURNING *"
        );
        let beaten = self.db.query_one_raw(statement(sql, values)).await;
        if let Some(row) = beaten.map_err(engine)? {
            return session(&row).map(Some);
        }
        let lapsed = "id = $3 AND limited AND lease_unix_s <= $1";
        end(&self.db, lapsed, id.as_str(), Ending::LeaseLost, now).await?;
        find(&self.db, id).await
    }

    async fn prolong(
        &self,
        id: &SessionId,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Option<Session>, Error> {
        let sql = format!(
            "UPDATE sessions SET expires_unix_s = $3 WHERE id = $1 AND expires_unix_s < $3 AND {LIVES}"
        );
        let values = vec![id.as_str().into(), seconds(now), seconds(expires)];
        change(&self.db, &sql, values).await?;
        find(&self.db, id).await
    }

    async fn stop(
        &self,
        id: &SessionId,
        why: Ending,
        now: UnixSeconds,
    ) -> Result<Option<Session>, Error> {
        end(&self.db, "id = $3", id.as_str(), why, now).await?;
        find(&self.db, id).await
    }

    async fn revoke(&self, id: &SessionId, now: UnixSeconds) -> Result<(), Error> {
        let sql = "UPDATE sessions SET revocable = TRUE, untold = TRUE \
                   WHERE id = $1 AND NOT revocable AND stopped_unix_s IS NOT NULL AND expires_unix_s > $2";
        let values = vec![id.as_str().into(), seconds(now)];
        change(&self.db, sql, values).await.map(drop)
    }

    async fn cut(&self, cut: &Cut, now: UnixSeconds) -> Result<u64, Error> {
        let mut count = 0;
        for video in &cut.videos {
            let sql = format!(
                "{END} WHERE stopped_unix_s IS NULL AND expires_unix_s > $1 AND account = $3 AND video = $4"
            );
            let values = vec![
                seconds(now),
                cut.why.as_str().into(),
                cut.account.as_str().into(),
                video.as_str().into(),
            ];
            count += change(&self.db, &sql, values).await?;
        }
        Ok(count)
    }

    async fn end_all(&self, video: &VideoId, now: UnixSeconds) -> Result<u64, Error> {
        let sql = "UPDATE sessions SET stopped_unix_s = $1, ending = $2, idempotency_key = NULL \
                   WHERE stopped_unix_s IS NULL AND expires_unix_s > $1 AND video = $3";
        let why = Ending::Stopped.as_str().into();
        let values = vec![seconds(now), why, video.as_str().into()];
        change(&self.db, sql, values).await
    }

    async fn watched(&self, account: &UserId, now: UnixSeconds) -> Result<Vec<Watched>, Error> {
        let sql = "SELECT DISTINCT video, terms FROM sessions WHERE account = $1 AND stopped_unix_s IS NULL \
                   AND expires_unix_s > $2 ORDER BY video";
        let values = vec![account.as_str().into(), seconds(now)];
        let rows = self.db.query_all_raw(statement(sql, values)).await;
        let rows = rows.map_err(engine)?;
        let watched = |row| {
            let row = sessions(row);
            Ok(Watched {
                video: row.parsed("video", VideoId::parse)?,
                terms: row.optional_text("terms")?,
            })
        };
        rows.iter().map(watched).collect()
    }

    async fn streams(&self, account: &UserId, now: UnixSeconds) -> Result<Vec<Session>, Error> {
        streams(&self.db, account, now).await
    }

    async fn excuse(&self, lease: UnixSeconds) -> Result<u64, Error> {
        let sql = "UPDATE sessions SET lease_unix_s = $1 \
                   WHERE stopped_unix_s IS NULL AND limited AND lease_unix_s < $1";
        change(&self.db, sql, vec![seconds(lease)]).await
    }

    async fn lapse(&self, now: UnixSeconds) -> Result<u64, Error> {
        let sql = format!("{END} WHERE stopped_unix_s IS NULL AND limited AND lease_unix_s <= $1");
        let values = vec![seconds(now), Ending::LeaseLost.as_str().into()];
        change(&self.db, &sql, values).await
    }

    async fn untold(&self, now: UnixSeconds, limit: u32) -> Result<Vec<Session>, Error> {
        let sql = "SELECT * FROM sessions WHERE untold AND expires_unix_s > $1 ORDER BY stopped_unix_s, id LIMIT $2";
        let rows = statement(sql, vec![seconds(now), i64::from(limit).into()]);
        let rows = self.db.query_all_raw(rows).await.map_err(engine)?;
        rows.iter().map(session).collect()
    }

    async fn told(&self, ids: &[SessionId]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "UPDATE sessions SET untold = FALSE WHERE id IN ({})",
            places.join(", ")
        );
        let ids = ids.iter().map(|id| id.as_str().into()).collect();
        change(&self.db, sql, ids).await.map(drop)
    }

    async fn limit(&self, account: &UserId) -> Result<Option<u32>, Error> {
        limit(&self.db, account).await
    }

    async fn set_limit(&self, account: &UserId, limit: Option<u32>) -> Result<(), Error> {
        let account: Value = account.as_str().into();
        let Some(limit) = limit else {
            let sql = "DELETE FROM stream_limits WHERE account = $1";
            return change(&self.db, sql, vec![account]).await.map(drop);
        };
        let sql = "INSERT INTO stream_limits (account, streams) VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET streams = excluded.streams";
        let values = vec![account, i64::from(limit).into()];
        change(&self.db, sql, values).await.map(drop)
    }

    async fn count(&self, now: UnixSeconds) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) AS many FROM sessions WHERE expires_unix_s > $1 AND stopped_unix_s IS NULL";
        let row = statement(sql, vec![seconds(now)]);
        let row = self.db.query_one_raw(row).await.map_err(engine)?;
        let many = row.map(|row| row.try_get::<i64>("", "many")).transpose();
        Ok(many
            .map_err(engine)?
            .and_then(|many| many.try_into().ok())
            .unwrap_or(0))
    }

    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error> {
        let sql = "DELETE FROM sessions WHERE expires_unix_s < $1";
        change(&self.db, sql, vec![seconds(limit)]).await
    }
}

/// That a session may be played at the instant `$2`; the row's own words for [`Session::lives`].
const LIVES: &str =
    "stopped_unix_s IS NULL AND expires_unix_s > $2 AND (NOT limited OR lease_unix_s > $2)";
/// Ends sessions at the instant `$1` because of `$2`.
const END: &str = "UPDATE sessions SET stopped_unix_s = $1, ending = $2, untold = revocable, idempotency_key = NULL";

async fn start(db: &impl ConnectionTrait, new: NewSession) -> Result<Started, Error> {
    if let Some(repeat) = &new.repeat {
        free(db, &repeat.key, new.started).await?;
        if let Some(before) = begun_by(db, repeat).await? {
            return Ok(before);
        }
    }
    let mut limited = false;
    if let Some(seat) = &new.seat {
        let rule = "account = $3 AND limited AND lease_unix_s <= $1";
        end(
            db,
            rule,
            seat.account.as_str(),
            Ending::LeaseLost,
            new.started,
        )
        .await?;
        if let Some(most) = most(db, seat).await? {
            limited = true;
            let streams = streams(db, &seat.account, new.started).await?;
            if streams.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
                return Ok(Started::Full(streams));
            }
        }
    }
    if let Some(row) = insert(db, &new, limited).await? {
        return session(&row).map(Started::New);
    }
    // The unique key decided between two equal wishes; this is the one that came second.
    let before = match &new.repeat {
        Some(repeat) => begun_by(db, repeat).await?,
        None => None,
    };
    before.ok_or_else(|| Error::Exists {
        what: format!("session {}", new.id),
    })
}

/// Sets a key free whose session is over.
async fn free(db: &impl ConnectionTrait, key: &str, now: UnixSeconds) -> Result<(), Error> {
    let lapsed = "idempotency_key = $3 AND limited AND lease_unix_s <= $1";
    end(db, lapsed, key, Ending::LeaseLost, now).await?;
    let sql = "UPDATE sessions SET idempotency_key = NULL WHERE idempotency_key = $1 AND expires_unix_s <= $2";
    change(db, sql, vec![key.into(), seconds(now)])
        .await
        .map(drop)
}

/// The session that an equal wish began.
async fn begun_by(db: &impl ConnectionTrait, repeat: &Repeat) -> Result<Option<Started>, Error> {
    let sql = "SELECT * FROM sessions WHERE idempotency_key = $1";
    let row = statement(sql, vec![repeat.key.as_str().into()]);
    let Some(row) = db.query_one_raw(row).await.map_err(engine)? else {
        return Ok(None);
    };
    let digest = sessions(&row).optional_text("request_digest")?;
    if digest.as_deref() != Some(repeat.digest.as_str()) {
        return Ok(Some(Started::Conflict));
    }
    session(&row).map(Started::Same).map(Some)
}

/// Writes the row; none when its id or its key is taken.
async fn insert(
    db: &impl ConnectionTrait,
    new: &NewSession,
    limited: bool,
) -> Result<Option<QueryResult>, Error> {
    let sql = "INSERT INTO sessions (id, video, started_unix_s, expires_unix_s, last_beat_unix_s, lease_unix_s, \
               limited, revocable, position_ms, account, device, terms, idempotency_key, request_digest) \
               VALUES ($1, $2, $3, $4, $3, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING RETURNING *";
    let position = new
        .position_ms
        .map(|position| i64::try_from(position).unwrap_or(i64::MAX));
    let repeat = new.repeat.as_ref();
    let values = vec![
        new.id.as_str().into(),
        new.video.as_str().into(),
        seconds(new.started),
        seconds(new.expires),
        seconds(new.lease),
        limited.into(),
        new.revocable.into(),
        position.into(),
        new.seat
            .as_ref()
            .map(|seat| seat.account.to_string())
            .into(),
        new.device.as_deref().map(words).into(),
        new.terms.clone().into(),
        repeat.map(|repeat| repeat.key.clone()).into(),
        repeat.map(|repeat| repeat.digest.clone()).into(),
    ];
    db.query_one_raw(statement(sql, values))
        .await
        .map_err(engine)
}

/// How many streams an account may have at once.
async fn most(db: &impl ConnectionTrait, seat: &Seat) -> Result<Option<u32>, Error> {
    let own = limit(db, &seat.account).await?;
    Ok(own.map_or(seat.limit, |own| (own > 0).then_some(own)))
}

async fn limit(db: &impl ConnectionTrait, account: &UserId) -> Result<Option<u32>, Error> {
    let sql = "SELECT streams FROM stream_limits WHERE account = $1";
    let row = statement(sql, vec![account.as_str().into()]);
    let Some(row) = db.query_one_raw(row).await.map_err(engine)? else {
        return Ok(None);
    };
    let streams: i64 = row.try_get("", "streams").map_err(engine)?;
    let table = "stream_limits";
    let corrupt = |_| Row { row: &row, table }.corrupt("streams");
    u32::try_from(streams).map(Some).map_err(corrupt)
}

async fn streams(
    db: &impl ConnectionTrait,
    account: &UserId,
    now: UnixSeconds,
) -> Result<Vec<Session>, Error> {
    let sql = "SELECT * FROM sessions WHERE account = $1 AND stopped_unix_s IS NULL AND expires_unix_s > $2 \
               AND lease_unix_s > $2 ORDER BY started_unix_s, id";
    let values = vec![account.as_str().into(), seconds(now)];
    let rows = db.query_all_raw(statement(sql, values)).await;
    rows.map_err(engine)?.iter().map(session).collect()
}

/// Ends those sessions that the rule, of which `$3` is `of`, names.
async fn end(
    db: &impl ConnectionTrait,
    rule: &str,
    of: &str,
    why: Ending,
    now: UnixSeconds,
) -> Result<u64, Error> {
    let sql = format!("{END} WHERE stopped_unix_s IS NULL AND {rule}");
    let values = vec![seconds(now), why.as_str().into(), of.into()];
    change(db, &sql, values).await
}

async fn find(db: &impl ConnectionTrait, id: &SessionId) -> Result<Option<Session>, Error> {
    let sql = "SELECT * FROM sessions WHERE id = $1";
    let row = statement(sql, vec![id.as_str().into()]);
    let row = db.query_one_raw(row).await.map_err(engine)?;
    row.map(|row| session(&row)).transpose()
}

const fn sessions(row: &QueryResult) -> Row<'_> {
    let table = "sessions";
    Row { row, table }
}

fn session(row: &QueryResult) -> Result<Session, Error> {
    let row = sessions(row);
    let account = row.optional_text("account")?;
    let account = account.map(|account| UserId::parse(&account)).transpose();
    let position: Option<i64> = row.row.try_get("", "position_ms").map_err(engine)?;
    let position = position.map(u64::try_from).transpose();
    // Before there were reasons, sessions were stopped by their players alone.
    let why = match row.optional_text("ending")? {
        Some(word) => Ending::parse(&word).ok_or_else(|| row.corrupt("ending"))?,
        None => Ending::Stopped,
    };
    Ok(Session {
        id: row.parsed("id", SessionId::parse)?,
        video: row.parsed("video", VideoId::parse)?,
        account: account.map_err(|_| row.corrupt("account"))?,
        device: row.optional_text("device")?,
        started: row.instant("started_unix_s")?,
        expires: row.instant("expires_unix_s")?,
        last_beat: row.instant("last_beat_unix_s")?,
        lease: row.instant("lease_unix_s")?,
        limited: row.truth("limited")?,
        ended: row.optional_instant("stopped_unix_s")?.map(|at| (at, why)),
        position_ms: position.map_err(|_| row.corrupt("position_ms"))?,
        terms: row.optional_text("terms")?,
    })
}

fn bounded(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}
