//! Replaced generations in the catalogue's database, shared by every instance.

use async_trait::async_trait;
use contracts::{
    id::{Generation, VideoId},
    time::UnixSeconds,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};

use super::{Replaced, Replacements};
use crate::{
    Error,
    schema::{integer, natural, statement},
};

/// The memory of them in the table `ingest_replaced`.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }
}

/// Remembers within the caller's transaction that a generation is replaced by it, and is to be looked at from
/// now on; one that is on its way already stays there.
pub(crate) async fn replace(
    db: &impl ConnectionTrait,
    (video, generation): (&VideoId, Generation),
    now: UnixSeconds,
) -> Result<(), Error> {
    let sql = "INSERT INTO ingest_replaced (video, generation, due_unix_s) VALUES ($1, $2, $3) \
               ON CONFLICT (video, generation) DO UPDATE SET due_unix_s = excluded.due_unix_s \
               WHERE ingest_replaced.since_unix_s IS NULL";
    let values = vec![
        video.as_str().into(),
        generation.0.into(),
        integer(now.0).into(),
    ];
    db.execute_raw(statement(sql, values)).await?;
    Ok(())
}

#[async_trait]
impl Replacements for Sql {
    async fn note(&self, video: &VideoId, generation: Generation) -> Result<(), Error> {
        let sql = "INSERT INTO ingest_replaced (video, generation, due_unix_s) VALUES ($1, $2, 0) \
                   ON CONFLICT (video, generation) DO NOTHING";
        let values = vec![video.as_str().into(), generation.0.into()];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }

    async fn of(&self, video: &VideoId) -> Result<Vec<Generation>, Error> {
        let sql = "SELECT generation FROM ingest_replaced WHERE video = $1 ORDER BY generation";
        let values = vec![video.as_str().into()];
        let rows = self.db.query_all_raw(statement(sql, values)).await?;
        rows.iter().map(generation).collect()
    }

    async fn due(&self, now: UnixSeconds, limit: u32) -> Result<Vec<Replaced>, Error> {
        let sql = "SELECT * FROM ingest_replaced WHERE due_unix_s <= $1 \
                   ORDER BY due_unix_s, video, generation LIMIT $2";
        let values = vec![integer(now.0).into(), limit.into()];
        let rows = self.db.query_all_raw(statement(sql, values)).await?;
        rows.iter().map(replaced).collect()
    }

    async fn advance(&self, before: &Replaced, after: &Replaced) -> Result<bool, Error> {
        let sql = "UPDATE ingest_replaced SET due_unix_s = $4, since_unix_s = $5, purge = $6 \
                   WHERE video = $1 AND generation = $2 AND due_unix_s = $3";
        let values = vec![
            before.video.as_str().into(),
            before.generation.0.into(),
            integer(before.due.0).into(),
            integer(after.due.0).into(),
            after.since.map(|since| integer(since.0)).into(),
            after.purge.map(integer).into(),
        ];
        let changed = self.db.execute_raw(statement(sql, values)).await?;
        Ok(changed.rows_affected() == 1)
    }

    async fn forget(&self, found: &Replaced) -> Result<(), Error> {
        let sql = "DELETE FROM ingest_replaced \
                   WHERE video = $1 AND generation = $2 AND due_unix_s = $3";
        let values = vec![
            found.video.as_str().into(),
            found.generation.0.into(),
            integer(found.due.0).into(),
        ];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }
}

fn replaced(row: &QueryResult) -> Result<Replaced, Error> {
    let corrupt = |column: &'static str| Error::Corrupt {
        table: "ingest_replaced",
        column,
    };
    let number = |column: &str| row.try_get::<Option<i64>>("", column);
    let video = row.try_get::<String>("", "video")?;
    Ok(Replaced {
        video: VideoId::parse(&video).map_err(|_| corrupt("video"))?,
        generation: generation(row)?,
        due: UnixSeconds(natural(row.try_get("", "due_unix_s")?)),
        since: number("since_unix_s")?.map(|since| UnixSeconds(natural(since))),
        purge: number("purge")?.map(natural),
    })
}

fn generation(row: &QueryResult) -> Result<Generation, Error> {
    let number = row.try_get::<i64>("", "generation")?;
    let number = u32::try_from(number).map_err(|_| Error::Corrupt {
        table: "ingest_replaced",
        column: "generation",
    })?;
    Ok(Generation(number))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        replaced::conformance,
        schema::tests::{on_both, open},
    };

    /// As if all films were being made once more.
    pub(crate) async fn are_made_anew(db: &DatabaseConnection) {
        let made = "UPDATE videos SET state = 'processing'";
        db.execute_unprepared(made).await.unwrap();
    }

    #[tokio::test]
    async fn the_memory_keeps_the_promises_of_replacements_on_both_engines() {
        on_both(async |address| {
            let db = open(address).await.connection().clone();
            conformance::all(&Sql::new(db)).await;
        })
        .await;
    }
}
