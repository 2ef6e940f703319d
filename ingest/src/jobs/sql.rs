//! The queue in the catalogue's database, shared by every instance.

use std::time::Duration;

use async_trait::async_trait;
use catalog::words;
use contracts::{id::VideoId, time::UnixSeconds};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Value};
use store::Key;

use super::{Counts, Job, NewJob, Queue, Step};
use crate::{
    Error,
    schema::{integer, natural, on_server, statement},
};

/// The queue in the table `ingest_jobs`.
#[derive(Clone)]
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }

    /// Changes a job that is still held; `false` when it is not.
    async fn change(&self, job: &Job, set: &str, values: Vec<Value>) -> Result<bool, Error> {
        let sql = format!(
            "UPDATE ingest_jobs SET {set} \
             WHERE video = $1 AND step = $2 AND attempt = $3 AND state = 'running'"
        );
        let mut all: Vec<Value> = vec![
            job.video.as_str().into(),
            job.step.as_str().into(),
            job.attempt.into(),
        ];
        all.extend(values);
        let changed = self.db.execute_raw(statement(sql, all)).await?;
        Ok(changed.rows_affected() == 1)
    }
}

/// Adds a job in a transaction of the caller's.
pub(crate) async fn add(
    db: &impl ConnectionTrait,
    job: &NewJob,
    now: UnixSeconds,
) -> Result<(), Error> {
    let sql = "INSERT INTO ingest_jobs \
               (video, step, input, state, attempt, failures, queued_unix_s, due_unix_s) \
               VALUES ($1, $2, $3, 'queued', 0, 0, $4, $4) ON CONFLICT DO NOTHING";
    let values = vec![
        job.video.as_str().into(),
        job.step.as_str().into(),
        job.input.as_str().into(),
        integer(now.0).into(),
    ];
    db.execute_raw(statement(sql, values)).await?;
    Ok(())
}

#[async_trait]
impl Queue for Sql {
    async fn add(&self, job: &NewJob, now: UnixSeconds) -> Result<(), Error> {
        add(&self.db, job, now).await
    }

    async fn take(&self, now: UnixSeconds, lease: Duration) -> Result<Option<Job>, Error> {
        // One statement, hence atomic; `due` is when the job may be taken: after a pause, or when
        // the present holder's lease is over, which counts as a failure.
        let alone = on_server(&self.db, " FOR UPDATE SKIP LOCKED");
        let sql = format!(
            "UPDATE ingest_jobs SET state = 'running', attempt = attempt + 1, \
             failures = failures + CASE state WHEN 'running' THEN 1 ELSE 0 END, \
             due_unix_s = $2 WHERE (video, step) = ( \
             SELECT video, step FROM ingest_jobs \
             WHERE state IN ('queued', 'running') AND due_unix_s <= $1 \
             ORDER BY queued_unix_s, video LIMIT 1{alone}) \
             RETURNING video, step, input, attempt, failures"
        );
        let values = vec![integer(now.0).into(), until(now, lease).into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        row.map(|row| job(&row)).transpose()
    }

    async fn beat(&self, job: &Job, now: UnixSeconds, lease: Duration) -> Result<bool, Error> {
        self.change(job, "due_unix_s = $4", vec![until(now, lease).into()])
            .await
    }

    async fn finish(&self, job: &Job) -> Result<bool, Error> {
        self.change(job, "state = 'done', reason = NULL", vec![])
            .await
    }

    async fn give_back(&self, job: &Job, due: UnixSeconds, reason: &str) -> Result<bool, Error> {
        let values = vec![integer(due.0).into(), words(reason).into()];
        let set = "state = 'queued', failures = failures + 1, due_unix_s = $4, reason = $5";
        self.change(job, set, values).await
    }

    async fn release(&self, job: &Job, now: UnixSeconds) -> Result<bool, Error> {
        let values = vec![integer(now.0).into()];
        self.change(job, "state = 'queued', due_unix_s = $4", values)
            .await
    }

    async fn bury(&self, job: &Job, reason: &str) -> Result<bool, Error> {
        self.change(
            job,
            "state = 'dead', reason = $4",
            vec![words(reason).into()],
        )
        .await
    }

    async fn counts(&self, now: UnixSeconds) -> Result<Counts, Error> {
        let sql = "SELECT CASE WHEN state = 'running' AND due_unix_s <= $1 THEN 'queued' \
                   ELSE state END AS shown, COUNT(*) AS many FROM ingest_jobs GROUP BY shown";
        let values = vec![integer(now.0).into()];
        let mut counts = Counts::default();
        for row in self.db.query_all_raw(statement(sql, values)).await? {
            let state: String = row.try_get("", "shown")?;
            let many = natural(row.try_get("", "many")?);
            match state.as_str() {
                "queued" => counts.queued = many,
                "running" => counts.running = many,
                "done" => counts.done = many,
                _ => counts.dead += many,
            }
        }
        Ok(counts)
    }

    async fn reason(&self, video: &VideoId, step: Step) -> Result<Option<String>, Error> {
        let sql = "SELECT reason FROM ingest_jobs WHERE video = $1 AND step = $2";
        let values = vec![video.as_str().into(), step.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        match row {
            Some(row) => Ok(row.try_get("", "reason")?),
            None => Ok(None),
        }
    }
}

fn until(now: UnixSeconds, lease: Duration) -> i64 {
    integer(now.0.saturating_add(lease.as_secs().max(1)))
}

fn job(row: &QueryResult) -> Result<Job, Error> {
    let text = |column: &str| row.try_get::<String>("", column);
    let corrupt = |column: &'static str| Error::Corrupt {
        table: "ingest_jobs",
        column,
    };
    let count = |column: &'static str| {
        u32::try_from(row.try_get::<i64>("", column)?).map_err(|_| corrupt(column))
    };
    Ok(Job {
        video: VideoId::parse(&text("video")?).map_err(|_| corrupt("video"))?,
        step: Step::parse(&text("step")?).ok_or_else(|| corrupt("step"))?,
        input: Key::parse(&text("input")?).map_err(|_| corrupt("input"))?,
        attempt: count("attempt")?,
        failures: count("failures")?,
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        jobs::conformance,
        schema::tests::{on_both, open},
    };

    use super::Sql;

    #[tokio::test]
    async fn the_queue_keeps_the_promises_of_a_queue_on_both_engines() {
        on_both(async |address| {
            let catalog = open(address).await;
            conformance::all(&Sql::new(catalog.connection().clone())).await;
        })
        .await;
    }
}
