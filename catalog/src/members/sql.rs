//! Nodes that have enrolled in the catalogue's database.

use async_trait::async_trait;
use contracts::fleet::{Announce, Heartbeat};
use contracts::id::{JoinId, NodeId};
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AHEAD_S, Beat, Change, Join, Member, Members, Newcomer, Pulse};
use crate::digest::SecretDigest;
use crate::error::Error;
use crate::open::{begin, engine};
use crate::sql::{Row, change, is_news, number, seconds, statement};

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
impl Members for Sql {
    async fn invite(&self, join: &Join, secret: &SecretDigest) -> Result<(), Error> {
        let sql = "INSERT INTO joins (id, node, digest, terms, created_unix_s, expires_unix_s) \
                   SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS \
                   (SELECT 1 FROM members WHERE name = $2 AND dismissed_unix_s IS NOT NULL) \
                   ON CONFLICT DO NOTHING";
        let values = vec![
            join.id.as_str().into(),
            join.node.as_str().into(),
            secret.as_str().into(),
            json(&join.terms)?,
            seconds(join.created),
            seconds(join.expires),
        ];
        if change(&self.db, sql, values).await? == 0 {
            return Err(Error::Exists {
                what: format!("join {} of {}", join.id, join.node),
            });
        }
        Ok(())
    }

    async fn joins(&self, now: UnixSeconds) -> Result<Vec<Join>, Error> {
        let sql = "SELECT * FROM joins WHERE expires_unix_s > $1 ORDER BY id";
        let rows = self.db.query_all_raw(statement(sql, vec![seconds(now)]));
        rows.await.map_err(engine)?.iter().map(join).collect()
    }

    async fn join(&self, secret: &SecretDigest, now: UnixSeconds) -> Result<Option<Join>, Error> {
        find_join(&self.db, secret, now).await
    }

    async fn withdraw(&self, id: &JoinId) -> Result<bool, Error> {
        let sql = "DELETE FROM joins WHERE id = $1";
        Ok(change(&self.db, sql, vec![id.as_str().into()]).await? == 1)
    }

    async fn enrol(
        &self,
        secret: &SecretDigest,
        newcomer: &Newcomer,
        now: UnixSeconds,
    ) -> Result<Option<Member>, Error> {
        let within = begin(&self.db).await?;
        // Of two at once the second sees what the first has written.
        let sql = "UPDATE joins SET used_by = $2 \
                   WHERE digest = $1 AND expires_unix_s > $3 AND used_by IS NULL";
        let values = vec![
            secret.as_str().into(),
            newcomer.key.as_str().into(),
            seconds(now),
        ];
        let first = change(&within, sql, values).await? == 1;
        let Some(join) = find_join(&within, secret, now).await? else {
            return Ok(None);
        };
        let enrolled = if first {
            place(&within, &join, newcomer, now).await?
        } else {
            again(&within, secret, &join.node, newcomer).await?
        };
        if !enrolled {
            return Ok(None);
        }
        let member = find(&within, &join.node).await?;
        within.commit().await.map_err(engine)?;
        Ok(member)
    }

    async fn find(&self, name: &NodeId) -> Result<Option<Member>, Error> {
        find(&self.db, name).await
    }

    async fn list(&self) -> Result<Vec<Member>, Error> {
        let sql = "SELECT * FROM members ORDER BY name";
        let rows = self.db.query_all_raw(statement(sql, vec![])).await;
        rows.map_err(engine)?.iter().map(member).collect()
    }

    async fn announce(&self, name: &NodeId, key: &str, announce: &Announce) -> Result<bool, Error> {
        let within = begin(&self.db).await?;
        // Held by the first statement, so that what is read stays until it is written.
        let sql = "UPDATE members SET revision = revision + 1 \
                   WHERE name = $1 AND public_key = $2 AND dismissed_unix_s IS NULL";
        if change(&within, sql, vec![name.as_str().into(), key.into()]).await? == 0 {
            return Ok(false);
        }
        let Some(member) = find(&within, name).await? else {
            return Ok(false);
        };
        let serves_on = !member.terms.probe || member.announce.is_reached_as(announce);
        let sql = "UPDATE members SET announce = $2, \
                   activated_unix_s = CASE WHEN $3 THEN activated_unix_s END WHERE name = $1";
        let values = vec![name.as_str().into(), json(announce)?, serves_on.into()];
        change(&within, sql, values).await?;
        within.commit().await.map_err(engine)?;
        Ok(true)
    }

    async fn certify(&self, name: &NodeId, key: &str, ends: UnixSeconds) -> Result<bool, Error> {
        let sql = "UPDATE members SET certificate_ends_unix_s = \
                   CASE WHEN certificate_ends_unix_s > $3 THEN certificate_ends_unix_s ELSE $3 END \
                   WHERE name = $1 AND public_key = $2 AND dismissed_unix_s IS NULL";
        let values = vec![name.as_str().into(), key.into(), seconds(ends)];
        Ok(change(&self.db, sql, values).await? == 1)
    }

    async fn activate(&self, name: &NodeId, revision: u64, now: UnixSeconds) -> Result<(), Error> {
        let sql = "UPDATE members SET revision = revision + 1, activated_unix_s = $3 \
                   WHERE name = $1 AND revision = $2 \
                   AND activated_unix_s IS NULL AND dismissed_unix_s IS NULL";
        let values = vec![name.as_str().into(), number(revision), seconds(now)];
        change(&self.db, sql, values).await.map(drop)
    }

    async fn change(&self, name: &NodeId, wish: &Change) -> Result<Option<Member>, Error> {
        let within = begin(&self.db).await?;
        // Held by the first statement, so that what is read stays until it is written.
        let sql = "UPDATE members SET revision = revision + 1 \
                   WHERE name = $1 AND dismissed_unix_s IS NULL";
        if change(&within, sql, vec![name.as_str().into()]).await? == 0 {
            return Ok(None);
        }
        let Some(mut member) = find(&within, name).await? else {
            return Ok(None);
        };
        member.drain = wish.drain.unwrap_or(member.drain);
        member.terms.weight = wish.weight.or(member.terms.weight);
        member.terms.priority = wish.priority.unwrap_or(member.terms.priority);
        let sql = "UPDATE members SET terms = $2, drain = $3 WHERE name = $1";
        let values = vec![
            name.as_str().into(),
            json(&member.terms)?,
            member.drain.into(),
        ];
        change(&within, sql, values).await?;
        within.commit().await.map_err(engine)?;
        Ok(Some(member))
    }

    async fn dismiss(&self, name: &NodeId, now: UnixSeconds) -> Result<Option<Member>, Error> {
        let sql = "UPDATE members SET revision = revision + 1, dismissed_unix_s = $2 \
                   WHERE name = $1 AND dismissed_unix_s IS NULL";
        let values = vec![name.as_str().into(), seconds(now)];
        change(&self.db, sql, values).await?;
        self.find(name).await
    }

    async fn note(&self, beats: &[Beat], silence_s: u64) -> Result<(), Error> {
        let mut beats: Vec<&Beat> = beats.iter().collect();
        // In one order everywhere: two who note the same nodes wait for each other, and not for ever.
        beats.sort_by(|one, other| one.name.cmp(&other.name));
        let within = begin(&self.db).await?;
        for beat in beats {
            // The first of them would have had to come by then, and the last not much later than this one.
            let silent_since = beat.first.0.saturating_sub(silence_s);
            let wrong_after = beat.last.plus(AHEAD_S);
            let is_news = is_news("pulses", "$6");
            let sql = format!(
                "INSERT INTO pulses (name, last_unix_s, beats, said) \
                       SELECT $1, $2, $3, $4 FROM members WHERE name = $1 AND public_key = $7 \
                       ON CONFLICT (name) DO UPDATE SET \
                       last_unix_s = CASE WHEN {is_news} \
                                     THEN excluded.last_unix_s ELSE pulses.last_unix_s END, \
                       said = CASE WHEN {is_news} THEN excluded.said ELSE pulses.said END, \
                       beats = CASE WHEN $5 > pulses.last_unix_s OR pulses.last_unix_s > $6 \
                               THEN excluded.beats ELSE pulses.beats + excluded.beats END"
            );
            let values = vec![
                beat.name.as_str().into(),
                seconds(beat.last),
                number(beat.count),
                json(&beat.said)?,
                number(silent_since),
                seconds(wrong_after),
                beat.key.as_str().into(),
            ];
            change(&within, sql, values).await?;
        }
        within.commit().await.map_err(engine)
    }

    async fn pulses(&self) -> Result<Vec<(NodeId, u64, Option<Pulse>)>, Error> {
        let sql = "SELECT members.name, members.revision, last_unix_s, beats, said \
                   FROM members LEFT JOIN pulses ON pulses.name = members.name \
                   ORDER BY members.name";
        let rows = self.db.query_all_raw(statement(sql, vec![])).await;
        rows.map_err(engine)?.iter().map(pulse).collect()
    }

    async fn forget(&self, now: UnixSeconds, limit: UnixSeconds) -> Result<(), Error> {
        let sql = "DELETE FROM joins WHERE expires_unix_s <= $1";
        change(&self.db, sql, vec![seconds(now)]).await?;
        let sql = "DELETE FROM members \
                   WHERE dismissed_unix_s IS NOT NULL AND certificate_ends_unix_s < $1";
        change(&self.db, sql, vec![seconds(limit)]).await.map(drop)
    }
}

async fn find_join(
    db: &impl ConnectionTrait,
    secret: &SecretDigest,
    now: UnixSeconds,
) -> Result<Option<Join>, Error> {
    let sql = "SELECT * FROM joins WHERE digest = $1 AND expires_unix_s > $2";
    let values = vec![secret.as_str().into(), seconds(now)];
    let row = db.query_one_raw(statement(sql, values)).await;
    row.map_err(engine)?.map(|row| join(&row)).transpose()
}

async fn find(db: &impl ConnectionTrait, name: &NodeId) -> Result<Option<Member>, Error> {
    let sql = "SELECT * FROM members WHERE name = $1";
    let row = db.query_one_raw(statement(sql, vec![name.as_str().into()]));
    row.await
        .map_err(engine)?
        .map(|row| member(&row))
        .transpose()
}

/// Writes the node of a join that is used for the first time; tells whether it may have its name.
async fn place(
    db: &impl ConnectionTrait,
    join: &Join,
    newcomer: &Newcomer,
    now: UnixSeconds,
) -> Result<bool, Error> {
    let sql = "INSERT INTO members (name, revision, terms, announce, public_key, drain, \
               enrolled_unix_s, certificate_ends_unix_s) VALUES ($1, 1, $2, $3, $4, $7, $5, $6) \
               ON CONFLICT (name) DO UPDATE SET revision = members.revision + 1, \
               terms = excluded.terms, announce = excluded.announce, \
               public_key = excluded.public_key, drain = excluded.drain, \
               enrolled_unix_s = excluded.enrolled_unix_s, activated_unix_s = NULL, \
               certificate_ends_unix_s = \
                   CASE WHEN members.certificate_ends_unix_s > excluded.certificate_ends_unix_s \
                   THEN members.certificate_ends_unix_s \
                   ELSE excluded.certificate_ends_unix_s END \
               WHERE members.dismissed_unix_s IS NULL";
    let values = vec![
        join.node.as_str().into(),
        json(&join.terms)?,
        json(&newcomer.announce)?,
        newcomer.key.as_str().into(),
        seconds(now),
        seconds(newcomer.certificate_ends),
        false.into(),
    ];
    if change(db, sql, values).await? == 0 {
        return Ok(false);
    }
    // Heartbeats of the one before say nothing of this one, and joins that are left would put another in its place.
    for sql in [
        "DELETE FROM pulses WHERE name = $1",
        "DELETE FROM joins WHERE node = $1 AND used_by IS NULL",
    ] {
        change(db, sql, vec![join.node.as_str().into()]).await?;
    }
    Ok(true)
}

/// Whether a join that was used was so by this key, which the node still has: its answer was lost, say.
async fn again(
    db: &impl ConnectionTrait,
    secret: &SecretDigest,
    node: &NodeId,
    newcomer: &Newcomer,
) -> Result<bool, Error> {
    let sql = "UPDATE members SET certificate_ends_unix_s = \
               CASE WHEN certificate_ends_unix_s > $4 THEN certificate_ends_unix_s ELSE $4 END \
               WHERE name = $1 AND public_key = $2 AND dismissed_unix_s IS NULL AND EXISTS \
               (SELECT 1 FROM joins WHERE digest = $3 AND used_by = $2)";
    let values = vec![
        node.as_str().into(),
        newcomer.key.as_str().into(),
        secret.as_str().into(),
        seconds(newcomer.certificate_ends),
    ];
    Ok(change(db, sql, values).await? == 1)
}

fn json(value: &impl Serialize) -> Result<Value, Error> {
    let text = serde_json::to_string(value).map_err(|error| Error::Corrupt(error.to_string()))?;
    Ok(text.into())
}

impl Row<'_> {
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, Error> {
        self.parsed(column, |text| serde_json::from_str(text))
    }
}

fn join(row: &QueryResult) -> Result<Join, Error> {
    let table = "joins";
    let row = Row { row, table };
    Ok(Join {
        id: row.parsed("id", JoinId::parse)?,
        node: row.parsed("node", NodeId::parse)?,
        terms: row.json("terms")?,
        created: row.instant("created_unix_s")?,
        expires: row.instant("expires_unix_s")?,
        used: row.optional_text("used_by")?.is_some(),
    })
}

fn member(row: &QueryResult) -> Result<Member, Error> {
    let table = "members";
    let row = Row { row, table };
    Ok(Member {
        name: row.parsed("name", NodeId::parse)?,
        revision: row.number("revision")?,
        terms: row.json("terms")?,
        announce: row.json("announce")?,
        key: row.text("public_key")?,
        drain: row.truth("drain")?,
        enrolled: row.instant("enrolled_unix_s")?,
        certificate_ends: row.instant("certificate_ends_unix_s")?,
        activated: row.optional_instant("activated_unix_s")?,
        dismissed: row.optional_instant("dismissed_unix_s")?,
    })
}

fn pulse(row: &QueryResult) -> Result<(NodeId, u64, Option<Pulse>), Error> {
    let table = "pulses";
    let row = Row { row, table };
    let name = row.parsed("name", NodeId::parse)?;
    let revision = row.number("revision")?;
    let Some(last) = row.optional_instant("last_unix_s")? else {
        return Ok((name, revision, None));
    };
    let pulse = Pulse {
        last,
        beats: row.number("beats")?,
        said: row.json::<Heartbeat>("said")?,
    };
    Ok((name, revision, Some(pulse)))
}
