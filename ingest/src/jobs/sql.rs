//! The queue in the catalogue's database, shared by every instance.

use std::time::Duration;

use async_trait::async_trait;
use catalog::{
    videos::{self, Event, State},
    words,
};
use contracts::{id::VideoId, time::UnixSeconds};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, QueryResult, TransactionTrait, Value,
};
use store::Key;

use super::{Counts, HeldUp, Job, NewJob, Queue, Setback, Step};
use crate::{
    Error,
    schema::{integer, natural, now, on_server, statement},
};

/// The queue in the table `ingest_jobs`.
#[derive(Clone)]
pub(crate) struct Sql {
    db: DatabaseConnection,
    /// The present second, as the database says it.
    now: &'static str,
}

impl Sql {
    pub(crate) fn new(db: DatabaseConnection) -> Self {
        let now = now(&db);
        Self { db, now }
    }

    /// The same by another clock.
    #[cfg(test)]
    pub(crate) const fn by(db: DatabaseConnection, now: &'static str) -> Self {
        Self { db, now }
    }

    async fn now(&self, db: &impl ConnectionTrait) -> Result<UnixSeconds, Error> {
        let sql = format!("SELECT {} AS now", self.now);
        let row = db.query_one_raw(statement(sql, vec![])).await?;
        let now = row.map(|row| row.try_get("", "now")).transpose()?;
        Ok(UnixSeconds(natural(now.unwrap_or(0))))
    }

    /// Gives up a job that is held, and every other of its video; `false` when it is held no more.
    async fn give_up(
        &self,
        db: &impl ConnectionTrait,
        job: &Job,
        reason: &str,
    ) -> Result<bool, Error> {
        let set = format!("state = 'dead', reason = $5, due_unix_s = {}", self.now);
        if !Self::change_in(db, job, &set, vec![words(reason).into()]).await? {
            return Ok(false);
        }
        self.cancel_in(db, &job.video, reason).await?;
        Ok(true)
    }

    /// Gives up every job of a video that is not done.
    async fn cancel_in(
        &self,
        db: &impl ConnectionTrait,
        video: &VideoId,
        reason: &str,
    ) -> Result<u64, Error> {
        let sql = format!(
            "UPDATE ingest_jobs SET state = 'dead', reason = $2, due_unix_s = {} \
             WHERE video = $1 AND state IN ('queued', 'running')",
            self.now
        );
        let values = vec![video.as_str().into(), words(reason).into()];
        let changed = db.execute_raw(statement(sql, values)).await?;
        Ok(changed.rows_affected())
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

/// Adds a job in a transaction of the caller's.
pub(crate) async fn add(db: &impl ConnectionTrait, job: &NewJob) -> Result<(), Error> {
    add_after(db, job, 0, now(db)).await
}

async fn add_after(
    db: &impl ConnectionTrait,
    job: &NewJob,
    attempt: u32,
    now: &str,
) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO ingest_jobs (video, step, part, stage, owner, priority, weight, progress, \
         input, state, attempt, failures, queued_unix_s, due_unix_s) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, 'queued', $9, 0, {now}, {now}) \
         ON CONFLICT DO NOTHING"
    );
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
    ];
    db.execute_raw(statement(sql, values)).await?;
    Ok(())
}

#[async_trait]
impl Queue for Sql {
    async fn add(&self, job: &NewJob) -> Result<(), Error> {
        add_after(&self.db, job, 0, self.now).await
    }

    async fn split(&self, job: &Job, into: &[NewJob]) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        let set = "state = 'done', progress = 1000, reason = NULL";
        if !Self::change_in(&transaction, job, set, vec![]).await? {
            return Ok(false);
        }
        for new in into {
            add_after(&transaction, new, job.attempt, self.now).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn take(&self, lease: Duration) -> Result<Option<Job>, Error> {
        // One statement, hence atomic; `due` is when the job may be taken: after a pause, or when
        // the present holder's lease is over.
        let (now, alone) = (self.now, on_server(&self.db, " FOR UPDATE SKIP LOCKED"));
        let known = Step::ALL.map(|step| format!("'{}'", step.as_str()));
        let known = known.join(", ");
        let sql = format!(
            "UPDATE ingest_jobs SET state = 'running', attempt = attempt + 1, \
             cuts = cuts + CASE state WHEN 'running' THEN 1 ELSE 0 END, \
             progress = 0, due_unix_s = {now} + $1 WHERE (video, step, part) = ( \
             SELECT video, step, part FROM ingest_jobs AS job \
             WHERE state IN ('queued', 'running') AND due_unix_s <= {now} AND step IN ({known}) \
             AND NOT EXISTS (SELECT 1 FROM ingest_jobs AS before WHERE before.video = job.video \
             AND before.stage < job.stage AND before.state <> 'done') \
             ORDER BY priority DESC, \
             (SELECT COUNT(*) FROM ingest_jobs AS other WHERE other.owner = job.owner \
             AND other.state = 'running' AND other.due_unix_s > {now}), \
             COALESCE((SELECT served FROM ingest_turns AS turn WHERE turn.owner = job.owner), 0), \
             queued_unix_s, video, stage, part, step LIMIT 1{alone}) \
             RETURNING video, step, part, input, owner, priority, attempt, failures, outages, cuts"
        );
        let values = vec![seconds(lease).into()];
        let row = self.db.query_one_raw(statement(sql, values)).await?;
        let Some(job) = row.map(|row| job(&row)).transpose()? else {
            return Ok(None);
        };
        // It is taken: were this an error to the caller, nobody would be at it until its lease is over.
        if let Err(error) = self.served(&job.owner).await {
            tracing::warn!(video.id = %job.video, %error, "cannot note that the owner of {} had a turn", job.video);
        }
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

    async fn beat(&self, job: &Job, lease: Duration) -> Result<bool, Error> {
        let set = format!("due_unix_s = {} + $5", self.now);
        self.change(job, &set, vec![seconds(lease).into()]).await
    }

    async fn finish(&self, job: &Job) -> Result<bool, Error> {
        let set = "state = 'done', progress = 1000, reason = NULL";
        if !self.change(job, set, vec![]).await? {
            return Ok(false);
        }
        // The first stays: there is one of each name, and none is added again.
        let sql = "DELETE FROM ingest_jobs WHERE video = $1 AND stage > 0 AND NOT EXISTS \
                   (SELECT 1 FROM ingest_jobs AS other WHERE other.video = $1 AND other.state <> 'done')";
        let values = vec![job.video.as_str().into()];
        if let Err(error) = self.db.execute_raw(statement(sql, values)).await {
            tracing::warn!(video.id = %job.video, %error, "cannot forget the jobs of {} that are done", job.video);
        }
        Ok(true)
    }

    async fn give_back(
        &self,
        job: &Job,
        why: Setback,
        delay: Duration,
        reason: &str,
    ) -> Result<bool, Error> {
        let values = vec![integer(delay.as_secs()).into(), words(reason).into()];
        let counted = match why {
            Setback::Failure => "failures = failures + 1",
            Setback::Outage => "outages = outages + 1",
        };
        let now = self.now;
        let set = format!("state = 'queued', {counted}, due_unix_s = {now} + $5, reason = $6");
        self.change(job, &set, values).await
    }

    async fn release(&self, job: &Job) -> Result<bool, Error> {
        let set = format!("state = 'queued', due_unix_s = {}", self.now);
        self.change(job, &set, vec![]).await
    }

    async fn bury(&self, job: &Job, reason: &str) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        if !self.give_up(&transaction, job, reason).await? {
            return Ok(false);
        }
        let now = self.now(&transaction).await?;
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

    async fn leave(&self, job: &Job, reason: &str) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        if !self.give_up(&transaction, job, reason).await? {
            return Ok(false);
        }
        let now = self.now(&transaction).await?;
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

    async fn retry(&self, video: &VideoId) -> Result<bool, Error> {
        let transaction = self.db.begin().await?;
        // A change comes first: `SQLite` has whoever reads first wait for nobody, and fail.
        let sql = "UPDATE ingest_jobs SET reason = reason WHERE video = $1 AND state = 'dead'";
        let given_up = statement(sql, vec![video.as_str().into()]);
        if transaction.execute_raw(given_up).await?.rows_affected() == 0 {
            return untouched(transaction).await;
        }
        let Some(first) = first_given_up(&transaction, video).await? else {
            return untouched(transaction).await;
        };
        let film = if first.is_further() {
            let film = videos::sql::find(&transaction, video).await?;
            film.filter(|film| film.state == State::Ready)
        } else {
            let now = self.now(&transaction).await?;
            match videos::sql::advance(&transaction, video, Event::Retried, now).await {
                Ok(film) => Some(film),
                Err(catalog::Error::NoVideo(_) | catalog::Error::Refused { .. }) => None,
                Err(error) => return Err(error.into()),
            }
        };
        let Some(film) = film else {
            return untouched(transaction).await;
        };
        let of = || vec![video.as_str().into(), first.stage().into()];
        // Who still works at one of its jobs has a number that is not given again.
        let sql = format!(
            "UPDATE ingest_jobs SET state = 'queued', progress = 0, failures = 0, outages = 0, \
             cuts = 0, queued_unix_s = {now}, due_unix_s = {now}, watched = $3, \
             attempt = (SELECT MAX(attempt) FROM ingest_jobs WHERE video = $1) \
             WHERE video = $1 AND stage = $2",
            now = self.now
        );
        let mut values = of();
        values.push(film.is_playable().into());
        transaction.execute_raw(statement(sql, values)).await?;
        let sql = "DELETE FROM ingest_jobs WHERE video = $1 AND stage > $2";
        transaction.execute_raw(statement(sql, of())).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn was_watched(&self, video: &VideoId) -> Result<bool, Error> {
        let sql = "SELECT watched FROM ingest_jobs WHERE video = $1 AND stage = 0";
        let row = statement(sql, vec![video.as_str().into()]);
        let row = self.db.query_one_raw(row).await?;
        let watched = row.map(|row| row.try_get("", "watched")).transpose()?;
        Ok(watched.unwrap_or(false))
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

    async fn cancel(&self, video: &VideoId, reason: &str) -> Result<u64, Error> {
        self.cancel_in(&self.db, video, reason).await
    }

    async fn given_up(&self, video: &VideoId) -> Result<Option<Duration>, Error> {
        let sql = format!(
            "SELECT {} - MAX(due_unix_s) AS last FROM ingest_jobs \
             WHERE video = $1 AND state = 'dead'",
            self.now
        );
        let row = statement(sql, vec![video.as_str().into()]);
        let row = self.db.query_one_raw(row).await?;
        let last: Option<i64> = row
            .map(|row| row.try_get("", "last"))
            .transpose()?
            .flatten();
        Ok(last.map(|seconds| Duration::from_secs(natural(seconds))))
    }

    async fn forget(&self, video: &VideoId) -> Result<(), Error> {
        let sql = "DELETE FROM ingest_jobs WHERE video = $1";
        let values = vec![video.as_str().into()];
        self.db.execute_raw(statement(sql, values)).await?;
        Ok(())
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

    async fn held_up(&self) -> Result<Option<HeldUp>, Error> {
        let sql = "SELECT reason, COUNT(*) OVER () AS many FROM ingest_jobs \
                   WHERE state = 'queued' AND outages > 0 ORDER BY due_unix_s DESC LIMIT 1";
        let row = self.db.query_one_raw(statement(sql, vec![])).await?;
        let held = row.map(|row| -> Result<_, Error> {
            let reason: Option<String> = row.try_get("", "reason")?;
            Ok(HeldUp {
                jobs: natural(row.try_get("", "many")?),
                reason: reason.unwrap_or_default(),
            })
        });
        held.transpose()
    }

    async fn counts(&self) -> Result<Counts, Error> {
        let now = self.now;
        // What is done is not looked at, however many films there are.
        let sql = format!(
            "SELECT CASE WHEN state = 'running' AND due_unix_s <= {now} THEN 'queued' \
             ELSE state END AS shown, COUNT(*) AS many FROM ingest_jobs \
             WHERE state IN ('queued', 'running', 'dead') GROUP BY shown"
        );
        let mut counts = Counts::default();
        for row in self.db.query_all_raw(statement(sql, vec![])).await? {
            let state: String = row.try_get("", "shown")?;
            let many = natural(row.try_get("", "many")?);
            match state.as_str() {
                "queued" => counts.queued = many,
                "running" => counts.running = many,
                _ => counts.dead += many,
            }
        }
        let sql = format!(
            "SELECT {now} - MIN(due_unix_s) AS oldest FROM ingest_jobs AS job \
             WHERE state IN ('queued', 'running') AND due_unix_s <= {now} \
             AND NOT EXISTS (SELECT 1 FROM ingest_jobs AS before WHERE before.video = job.video \
             AND before.stage < job.stage AND before.state <> 'done')"
        );
        let row = self.db.query_one_raw(statement(sql, vec![])).await?;
        let oldest: Option<i64> = row
            .map(|row| row.try_get("", "oldest"))
            .transpose()?
            .flatten();
        counts.oldest = oldest.map(|seconds| Duration::from_secs(natural(seconds)));
        Ok(counts)
    }

    async fn attend(&self, process: &str, workers: u32, memory: Duration) -> Result<u64, Error> {
        let sql = format!(
            "INSERT INTO ingest_workers (process, workers, seen_unix_s) VALUES ($1, $2, {}) \
             ON CONFLICT (process) DO UPDATE SET workers = excluded.workers, \
             seen_unix_s = excluded.seen_unix_s",
            self.now
        );
        let values = vec![process.into(), workers.into()];
        self.db.execute_raw(statement(sql, values)).await?;
        let sql = format!(
            "DELETE FROM ingest_workers WHERE seen_unix_s < {} - $1",
            self.now
        );
        let values = vec![integer(memory.as_secs()).into()];
        self.db.execute_raw(statement(sql, values)).await?;
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

/// With which step the work on a film begins that was given up: with the first, unless its ladder is there.
async fn first_given_up(db: &impl ConnectionTrait, video: &VideoId) -> Result<Option<Step>, Error> {
    let sql = "SELECT MIN(stage) AS stage FROM ingest_jobs WHERE video = $1 AND state = 'dead'";
    let row = statement(sql, vec![video.as_str().into()]);
    let row = db.query_one_raw(row).await?;
    let stage: Option<i64> = row
        .map(|row| row.try_get("", "stage"))
        .transpose()?
        .flatten();
    let further = i64::from(Step::Further.stage());
    Ok(stage.map(|stage| match stage >= further {
        true => Step::Further,
        false => Step::Publish,
    }))
}

fn seconds(lease: Duration) -> i64 {
    integer(lease.as_secs().max(1))
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

/// Ends a transaction that is not to change anything. Dropped, it would hold what it has locked for a while longer, and
/// `PostgreSQL` locks also what it only looked at: whoever passes over what is locked would find no job.
async fn untouched(transaction: DatabaseTransaction) -> Result<bool, Error> {
    transaction.rollback().await?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use catalog::videos::NewVideo;
    use contracts::asset::Privacy;
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::{
        jobs::conformance,
        schema::tests::{ByHand, on_both, open},
    };

    #[tokio::test]
    async fn the_queue_keeps_the_promises_of_a_queue_on_both_engines() {
        on_both(async |address| {
            let db = open(address).await.connection().clone();
            let clock = ByHand::of(&db).await;
            conformance::all(&Sql::by(db, ByHand::NOW), &clock).await;
        })
        .await;
    }

    #[tokio::test]
    async fn the_time_is_the_databases_own() {
        on_both(async |address| {
            let queue = Sql::new(open(address).await.connection().clone());
            let now = queue.now(&queue.db).await.unwrap().0;
            let ours = runtime::clock::Clock::now(&runtime::clock::System).0;
            assert!(now.abs_diff(ours) < 60, "{now} is not {ours}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_job_that_was_taken_is_handed_out_though_the_turn_cannot_be_noted() {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("sqlite://{}", folder.path().join("catalog.db").display());
        let db = open(&file).await.connection().clone();
        let full = "CREATE TRIGGER full BEFORE INSERT ON ingest_turns \
                    BEGIN SELECT RAISE(ABORT, 'no room'); END";
        db.execute_unprepared(full).await.unwrap();
        let queue = Sql::new(db);
        queue.add(&first("v")).await.unwrap();
        let taken = queue.take(Duration::from_secs(60)).await.unwrap();
        assert_eq!(taken.map(|job| job.attempt), Some(1));
    }

    #[tokio::test]
    async fn what_only_later_versions_know_is_left_to_them() {
        on_both(async |address| {
            let db = open(address).await.connection().clone();
            let queue = Sql::new(db.clone());
            queue.add(&first("v")).await.unwrap();
            let later = "UPDATE ingest_jobs SET step = 'later'";
            db.execute_unprepared(later).await.unwrap();
            let lease = Duration::from_secs(60);
            assert_eq!(queue.take(lease).await.unwrap(), None);
            assert_eq!(queue.counts().await.unwrap().queued, 1, "as it was");
            let back = "UPDATE ingest_jobs SET step = 'publish'";
            db.execute_unprepared(back).await.unwrap();
            let job = queue.take(lease).await.unwrap().unwrap();
            assert_eq!((job.attempt, job.cuts), (1, 0));
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_who_begin_a_film_anew_at_once_one_does() {
        on_both(async |address| {
            let catalog = open(address).await;
            let queue = Sql::new(catalog.connection().clone());
            let videos = &catalog.videos;
            let lease = Duration::from_secs(60);
            for (name, step) in [("whole", Step::Publish), ("more", Step::Further)] {
                let video = VideoId::parse(name).unwrap();
                let new = NewVideo {
                    id: video.clone(),
                    title: "x".to_owned(),
                    privacy: Privacy::Public,
                    protected: false,
                };
                videos.create(new).await.unwrap();
                let duration_ms = 5000;
                for event in [Event::Uploaded, Event::Playable { duration_ms }] {
                    videos.advance(&video, event).await.unwrap();
                }
                let job = NewJob {
                    step,
                    ..first(name)
                };
                queue.add(&job).await.unwrap();
                let job = queue.take(lease).await.unwrap().unwrap();
                assert!(queue.leave(&job, "no room").await.unwrap());
                assert!(!queue.was_watched(&video).await.unwrap());
                let (one, other) = tokio::join!(queue.retry(&video), queue.retry(&video));
                assert_ne!(one.unwrap(), other.unwrap(), "{name}");
                let again = queue.take(lease).await.unwrap().unwrap();
                assert_eq!((&again.video, again.attempt), (&video, 2));
                let is_whole = step == Step::Publish;
                assert_eq!(queue.was_watched(&video).await.unwrap(), is_whole);
                assert!(queue.finish(&again).await.unwrap());
            }
        })
        .await;
    }

    fn first(video: &str) -> NewJob {
        let input = Key::parse(&format!("originals/{video}/original.mp4")).unwrap();
        NewJob::first(VideoId::parse(video).unwrap(), input, String::new())
    }
}
