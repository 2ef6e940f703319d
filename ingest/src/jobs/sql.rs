//! The queue in the catalogue's database, shared by every instance.

use std::time::Duration;

use async_trait::async_trait;
use catalog::{
    videos::{self, Event},
    words,
};
use contracts::{id::VideoId, time::UnixSeconds};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, TransactionTrait, Value};
use store::Key;

use super::{Counts, Job, NewJob, Queue, Setback, Step};
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
        Self::change_in(&self.db, job, set, values).await
    }

    async fn change_in(
        db: &impl ConnectionTrait,
        job: &Job,
        set: &str,
        values: Vec<Value>,
    ) -> Result<bool, Error> {
        let sql = format!(
            "UPDATE ingest_jobs SET {set} \
             WHERE video = $1 AND step = $2 AND part = $3 AND attempt = $4 AND state = 'running'"
        );
        let mut all: Vec<Value> = vec![
            job.video.as_str().into(),
            job.step.as_str().into(),
            job.part.into(),
            job.attempt.into(),
        ];
        all.extend(values);
        let changed = db.execute_raw(statement(sql, all)).await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Notes that an owner had a turn. Two that are noted at once may share a place.
    async fn served(&self, owner: &str) -> Result<(), Error> {
        let sql = "INSERT INTO ingest_turns (owner, served) \
                   SELECT $1, COALESCE(MAX(served), 0) + 1 FROM ingest_turns WHERE TRUE \
                   ON CONFLICT (owner) DO UPDATE SET served = excluded.served";
        let values = vec![owner.into()];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
    }
}

/// Gives up a job that is held, and every other of its video; `false` when it is held no more.
async fn give_up(
    db: &impl ConnectionTrait,
    job: &Job,
    reason: &str,
    now: UnixSeconds,
) -> Result<bool, Error> {
    let values = vec![words(reason).into(), integer(now.0).into()];
    let set = "state = 'dead', reason = $5, due_unix_s = $6";
    if !Sql::change_in(db, job, set, values).await? {
        return Ok(false);
    }
    cancel(db, &job.video, reason, now).await?;
    Ok(true)
}

/// Gives up every job of a video that is not done.
async fn cancel(
    db: &impl ConnectionTrait,
    video: &VideoId,
    reason: &str,
    now: UnixSeconds,
) -> Result<u64, Error> {
    let sql = "UPDATE ingest_jobs SET state = 'dead', reason = $2, due_unix_s = $3 \
               WHERE video = $1 AND state IN ('queued', 'running')";
    let values = vec![
        video.as_str().into(),
        words(reason).into(),
        integer(now.0).into(),
    ];
    let changed = db.execute_raw(statement(sql, values)).await?;
    Ok(changed.rows_affected())
}

/// Adds a job in a transaction of the caller's.
pub(crate) async fn add(
    db: &impl ConnectionTrait,
    job: &NewJob,
    now: UnixSeconds,
) -> Result<(), Error> {
    add_after(db, job, 0, now).await
}

async fn add_after(
    db: &impl ConnectionTrait,
    job: &NewJob,
    attempt: u32,
    now: UnixSeconds,
) -> Result<(), Error> {
    let sql = "INSERT INTO ingest_jobs (video, step, part, stage, owner, priority, weight, progress, \
               input, state, attempt, failures, queued_unix_s, due_unix_s) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, 'queued', $9, 0, $10, $10) \
               ON CONFLICT DO NOTHING";
    let values = vec![
        job.video.as_str().into(),
        job.step.as_str().into(),
        job.part.into(),
        job.step.stage().into(),
        words(&job.owner).into(),
        job.priority.into(),
        job.weight.into(),
        job.input.as_str().into(),
        attempt.into(),
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

    async fn split(&self, job: &Job, into: &[NewJob], now: UnixSeconds) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        let set = "state = 'done', progress = 1000, reason = NULL";
        if !Self::change_in(&transaction, job, set, vec![]).await? {
            return Ok(false);
        }
        for new in into {
            add_after(&transaction, new, job.attempt, now).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn take(&self, now: UnixSeconds, lease: Duration) -> Result<Option<Job>, Error> {
        // One statement, hence atomic; `due` is when the job may be taken: after a pause, or when
        // the present holder's lease is over.
        let alone = on_server(&self.db, " FOR UPDATE SKIP LOCKED");
        let sql = format!(
            "UPDATE ingest_jobs SET state = 'running', attempt = attempt + 1, \
             cuts = cuts + CASE state WHEN 'running' THEN 1 ELSE 0 END, \
             progress = 0, due_unix_s = $2 WHERE (video, step, part) = ( \
             SELECT video, step, part FROM ingest_jobs AS job \
             WHERE state IN ('queued', 'running') AND due_unix_s <= $1 \
             AND NOT EXISTS (SELECT 1 FROM ingest_jobs AS before WHERE before.video = job.video \
             AND before.stage < job.stage AND before.state <> 'done') \
             ORDER BY priority DESC, \
             (SELECT COUNT(*) FROM ingest_jobs AS other WHERE other.owner = job.owner \
             AND other.state = 'running' AND other.due_unix_s > $1), \
             COALESCE((SELECT served FROM ingest_turns AS turn WHERE turn.owner = job.owner), 0), \
             queued_unix_s, video, stage, part, step LIMIT 1{alone}) \
             RETURNING video, step, part, input, owner, priority, attempt, failures, outages, cuts"
        );
        let values = vec![integer(now.0).into(), until(now, lease).into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        let Some(job) = row.map(|row| job(&row)).transpose()? else {
            return Ok(None);
        };
        self.served(&job.owner).await?;
        Ok(Some(job))
    }

    async fn progress(&self, job: &Job, thousandths: u16) -> Result<u8, Error> {
        let values = vec![i32::from(thousandths).into()];
        self.change(job, "progress = $5", values).await?;
        let sql = "SELECT CAST(SUM(weight * progress) AS BIGINT) * 100 \
                   / CAST(SUM(weight * 1000) AS BIGINT) AS percent \
                   FROM ingest_jobs WHERE video = $1";
        let values = vec![job.video.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        let percent: Option<i64> = row
            .map(|row| row.try_get("", "percent"))
            .transpose()?
            .flatten();
        Ok(u8::try_from(natural(percent.unwrap_or(0)).min(100)).unwrap_or(100))
    }

    async fn beat(&self, job: &Job, now: UnixSeconds, lease: Duration) -> Result<bool, Error> {
        self.change(job, "due_unix_s = $5", vec![until(now, lease).into()])
            .await
    }

    async fn finish(&self, job: &Job) -> Result<bool, Error> {
        self.change(
            job,
            "state = 'done', progress = 1000, reason = NULL",
            vec![],
        )
        .await
    }

    async fn give_back(
        &self,
        job: &Job,
        why: Setback,
        due: UnixSeconds,
        reason: &str,
    ) -> Result<bool, Error> {
        let values = vec![integer(due.0).into(), words(reason).into()];
        let counted = match why {
            Setback::Failure => "failures = failures + 1",
            Setback::Outage => "outages = outages + 1",
        };
        let set = format!("state = 'queued', {counted}, due_unix_s = $5, reason = $6");
        self.change(job, &set, values).await
    }

    async fn release(&self, job: &Job, now: UnixSeconds) -> Result<bool, Error> {
        let values = vec![integer(now.0).into()];
        self.change(job, "state = 'queued', due_unix_s = $5", values)
            .await
    }

    async fn bury(&self, job: &Job, reason: &str, now: UnixSeconds) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        if !give_up(&transaction, job, reason, now).await? {
            return Ok(false);
        }
        let reason = reason.to_owned();
        let failed = Event::Failed { reason };
        match videos::sql::advance(&transaction, &job.video, failed, now).await {
            // One that was deleted, or is whole, stays so.
            Ok(_) | Err(catalog::Error::NoVideo(_) | catalog::Error::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn leave(&self, job: &Job, reason: &str, now: UnixSeconds) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        if !give_up(&transaction, job, reason, now).await? {
            return Ok(false);
        }
        let reason = reason.to_owned();
        let left = Event::Left { reason };
        match videos::sql::advance(&transaction, &job.video, left, now).await {
            Ok(_) => {}
            Err(catalog::Error::NoVideo(_) | catalog::Error::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn retry(&self, video: &VideoId, now: UnixSeconds) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        let of = || vec![video.as_str().into()];
        // Who still works at one of its jobs has a number that is not given again.
        let sql = "UPDATE ingest_jobs SET state = 'queued', progress = 0, failures = 0, outages = 0, \
                   cuts = 0, queued_unix_s = $2, due_unix_s = $2, \
                   attempt = (SELECT MAX(attempt) FROM ingest_jobs WHERE video = $1) \
                   WHERE video = $1 AND stage = 0";
        let mut values = of();
        values.push(integer(now.0).into());
        let changed = transaction.execute_raw(statement(sql, values)).await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        let sql = "DELETE FROM ingest_jobs WHERE video = $1 AND stage > 0";
        transaction.execute_raw(statement(sql, of())).await?;
        match videos::sql::advance(&transaction, video, Event::Retried, now).await {
            Ok(_) => transaction.commit().await?,
            Err(catalog::Error::NoVideo(_) | catalog::Error::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    async fn original(&self, video: &VideoId) -> Result<Option<Key>, Error> {
        let sql = "SELECT input FROM ingest_jobs WHERE video = $1 AND stage = 0";
        let row = statement(sql, vec![video.as_str().into()]);
        let Some(row) = self.db.query_one_raw(row).await? else {
            return Ok(None);
        };
        let key = Key::parse(&row.try_get::<String>("", "input")?);
        key.map(Some).map_err(|_| Error::Corrupt {
            table: "ingest_jobs",
            column: "input",
        })
    }

    async fn cancel(&self, video: &VideoId, reason: &str, now: UnixSeconds) -> Result<u64, Error> {
        cancel(&self.db, video, reason, now).await
    }

    async fn given_up(&self, video: &VideoId) -> Result<Option<UnixSeconds>, Error> {
        let sql =
            "SELECT MAX(due_unix_s) AS last FROM ingest_jobs WHERE video = $1 AND state = 'dead'";
        let row = statement(sql, vec![video.as_str().into()]);
        let row = self.db.query_one_raw(row).await?;
        let last: Option<i64> = row
            .map(|row| row.try_get("", "last"))
            .transpose()?
            .flatten();
        Ok(last.map(|second| UnixSeconds(natural(second))))
    }

    async fn is_open(&self, video: &VideoId) -> Result<bool, Error> {
        let sql = "SELECT 1 AS one FROM ingest_jobs \
                   WHERE video = $1 AND state IN ('queued', 'running') LIMIT 1";
        let values = vec![video.as_str().into()];
        Ok(self
            .db
            .query_one_raw(statement(sql, values))
            .await?
            .is_some())
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
        let sql = "SELECT MIN(due_unix_s) AS oldest FROM ingest_jobs AS job \
                   WHERE state IN ('queued', 'running') AND due_unix_s <= $1 \
                   AND NOT EXISTS (SELECT 1 FROM ingest_jobs AS before WHERE before.video = job.video \
                   AND before.stage < job.stage AND before.state <> 'done')";
        let values = vec![integer(now.0).into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        let oldest: Option<i64> = row
            .map(|row| row.try_get("", "oldest"))
            .transpose()?
            .flatten();
        counts.oldest = oldest.map(|second| UnixSeconds(natural(second)));
        Ok(counts)
    }

    async fn attend(
        &self,
        process: &str,
        workers: u32,
        now: UnixSeconds,
        memory: Duration,
    ) -> Result<u64, Error> {
        let sql = "INSERT INTO ingest_workers (process, workers, seen_unix_s) VALUES ($1, $2, $3) \
                   ON CONFLICT (process) DO UPDATE SET workers = excluded.workers, \
                   seen_unix_s = excluded.seen_unix_s";
        let values = vec![process.into(), workers.into(), integer(now.0).into()];
        self.db.execute_raw(statement(sql, values)).await?;
        let since = integer(now.0.saturating_sub(memory.as_secs()));
        let sql = "DELETE FROM ingest_workers WHERE seen_unix_s < $1";
        self.db
            .execute_raw(statement(sql, vec![since.into()]))
            .await?;
        let sql = "SELECT CAST(SUM(workers) AS BIGINT) AS many FROM ingest_workers";
        let row = self.db.query_one_raw(statement(sql, vec![])).await?;
        let many: Option<i64> = row
            .map(|row| row.try_get("", "many"))
            .transpose()?
            .flatten();
        Ok(natural(many.unwrap_or(0)))
    }

    async fn reason(&self, video: &VideoId, step: Step) -> Result<Option<String>, Error> {
        let sql = "SELECT reason FROM ingest_jobs WHERE video = $1 AND step = $2 \
                   ORDER BY reason IS NULL, part LIMIT 1";
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
    let priority: i64 = row.try_get("", "priority")?;
    Ok(Job {
        video: VideoId::parse(&text("video")?).map_err(|_| corrupt("video"))?,
        step: Step::parse(&text("step")?).ok_or_else(|| corrupt("step"))?,
        part: count("part")?,
        owner: text("owner")?,
        priority: i32::try_from(priority).map_err(|_| corrupt("priority"))?,
        input: Key::parse(&text("input")?).map_err(|_| corrupt("input"))?,
        attempt: count("attempt")?,
        failures: count("failures")?,
        outages: count("outages")?,
        cuts: count("cuts")?,
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
