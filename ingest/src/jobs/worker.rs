//! A worker: takes jobs, keeps their lease while it works, and says how they ended.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use catalog::{
    feed::Feed,
    videos::{Event, State, Video, Videos},
};
use contracts::id::VideoId;
use futures_util::FutureExt;
use runtime::{clock::Clock, shutdown::Shutdown};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior},
};

use super::{Job, Queue, Setback};
use crate::{
    Error, erasing,
    media::Refusal,
    metrics::Metrics,
    pipeline::{Failure, Outcome, Pipeline},
};

/// How long a worker waits for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long a job is held without a beat.
    pub(crate) lease: Duration,
    /// How long between two looks into an empty queue.
    pub(crate) poll: Duration,
    /// How often a job may fail.
    pub(crate) attempts: u32,
    /// How long after the first setback it is tried again; twice as long after each further one.
    pub(crate) retry_delay: Duration,
}

impl Patience {
    /// How long after so many setbacks of its kind a job is tried again; `None` when that was the last.
    fn delay(&self, why: Setback, before: u32) -> Option<Duration> {
        let most = match why {
            Setback::Failure => self.attempts,
            Setback::Outage => OUTAGES,
        };
        let doubled = 1_u32.checked_shl(before.min(16)).unwrap_or(u32::MAX);
        let delay = self.retry_delay.saturating_mul(doubled);
        (before + 1 < most).then(|| delay.min(LONGEST_DELAY))
    }
}

/// One worker; as many as are wanted may run beside each other, in any number of processes.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) videos: Arc<dyn Videos>,
    pub(crate) pipeline: Pipeline,
    pub(crate) feed: Arc<dyn Feed>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) patience: Patience,
    pub(crate) metrics: Metrics,
    /// Told when this process queued a job.
    pub(crate) wake: Arc<Notify>,
}

impl Worker {
    /// Works until shutdown, then gives back what is under way.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        while !shutdown.is_requested() {
            match self.queue.take(self.patience.lease).await {
                Ok(Some(job)) => {
                    tokio::select! {
                        () = self.work(&job) => {}
                        () = shutdown.requested() => self.release(&job).await,
                    }
                }
                Ok(None) => self.pause(&mut shutdown).await,
                Err(error) => {
                    tracing::error!(%error, "cannot take a job; trying again");
                    self.pause(&mut shutdown).await;
                }
            }
        }
    }

    async fn pause(&self, shutdown: &mut Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(self.patience.poll) => {}
        }
    }

    async fn release(&self, job: &Job) {
        match self.queue.release(job).await {
            Ok(_) => tracing::info!(video.id = %job.video, "gave back {} to stop", job.video),
            Err(error) => tracing::warn!(video.id = %job.video, %error, "cannot give a job back"),
        }
    }

    /// Does one job. Whatever happens to it, the worker goes on.
    async fn work(&self, job: &Job) {
        tracing::info!(video.id = %job.video, attempt = job.attempt, "working on {}", job.video);
        let outcome = AssertUnwindSafe(self.attempt(job))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Error::Tool("the worker panicked".to_owned()).into()));
        if outcome.is_err() {
            self.pipeline.discard(job).await;
        }
        if let Err(error) = self.settle(job, outcome).await {
            tracing::error!(video.id = %job.video, %error, "cannot note how a job ended; its lease will run out");
        }
    }

    async fn attempt(&self, job: &Job) -> Result<Outcome, Failure> {
        let Some(video) = self.begin(job).await? else {
            return Ok(Outcome::Done);
        };
        if self.pipeline.conclude(job).await? {
            return Ok(Outcome::Done);
        }
        if job.cuts >= CUTS {
            return Err(Failure::Cut);
        }
        let confirm = self.queue.beat(job, self.patience.lease);
        tokio::select! {
            outcome = self.pipeline.run(job, &video, confirm) => outcome,
            () = self.hold(job) => Err(Failure::Lost),
        }
    }

    /// Moves the video to processing; `None` when it is past that already, and then what whoever brought
    /// it there had no more time to remove is removed.
    async fn begin(&self, job: &Job) -> Result<Option<Video>, Error> {
        if job.step.is_further() {
            return self.begin_further(job).await;
        }
        match self.videos.advance(&job.video, Event::Uploaded).await {
            Ok(video) => {
                if video.failure.is_some() {
                    self.videos.waits(&job.video, None).await?;
                }
                Ok(Some(video))
            }
            Err(catalog::Error::Refused { state, .. }) => {
                match state {
                    State::Ready => self.pipeline.clear(job).await?,
                    State::Failed => {
                        self.pipeline.publishing.unmake(&job.video).await?;
                        self.purge_shown(&job.video).await?;
                    }
                    // What an earlier attempt wrote after the film was erased.
                    State::Deleted => self.pipeline.publishing.erase(&job.video).await?,
                    State::Uploading | State::Processing => {}
                }
                tracing::info!(video.id = %job.video, %state, "{} needs no work", job.video);
                Ok(None)
            }
            Err(catalog::Error::NoVideo(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The film, if it is ready; `None` when it is no more.
    async fn begin_further(&self, job: &Job) -> Result<Option<Video>, Error> {
        let film = self.videos.find(&job.video).await?;
        let state = film.as_ref().map(|film| film.state);
        if state == Some(State::Deleted) {
            self.pipeline.publishing.erase(&job.video).await?;
        }
        Ok(film.filter(|film| film.state == State::Ready))
    }

    /// Beats until the job is lost.
    async fn hold(&self, job: &Job) {
        let mut beats = tokio::time::interval(self.patience.lease / 3);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held = Instant::now();
        loop {
            beats.tick().await;
            match self.queue.beat(job, self.patience.lease).await {
                Ok(true) => held = Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(video.id = %job.video, %error, "cannot prolong a lease");
                    if held.elapsed() >= self.patience.lease {
                        return;
                    }
                }
            }
        }
    }

    async fn settle(&self, job: &Job, outcome: Result<Outcome, Failure>) -> Result<(), Error> {
        match outcome {
            Ok(Outcome::Done) => {
                self.metrics.ended("done");
                self.finish(job).await?;
                tracing::info!(video.id = %job.video, step = job.step.as_str(), part = job.part, "{} of {} is done", job.step.as_str(), job.video);
            }
            Ok(Outcome::Cut(jobs)) => {
                self.metrics.ended("cut");
                self.queue.split(job, &jobs).await?;
                tracing::info!(video.id = %job.video, jobs = jobs.len(), "{} is shared", job.video);
                self.wake.notify_waiters();
            }
            Err(Failure::Lost) => self.lost(job),
            // The film was good enough for what can be watched of it.
            Err(Failure::Refused(refusal)) if job.step.is_further() => {
                self.retry(job, &Error::Tool(refusal.to_string())).await?;
            }
            Err(Failure::Refused(refusal)) => self.refuse(job, &refusal).await?,
            Err(Failure::Ours(error)) => self.retry(job, &error).await?,
            Err(Failure::Cut) => {
                tracing::error!(video.id = %job.video, "giving {} up: every worker that took it was cut off", job.video);
                self.fail(job, INTERNAL).await?;
            }
        }
        Ok(())
    }

    /// Says that a job is done, and queues what is to be done behind the last one of a film.
    async fn finish(&self, job: &Job) -> Result<(), Error> {
        let held = if let Some(behind) = self.pipeline.behind(job).await? {
            let held = self.queue.split(job, &[behind]).await?;
            self.wake.notify_waiters();
            held
        } else {
            self.queue.finish(job).await?
        };
        // Whoever published or gave up the film did not know of what was still being made; nor are pieces
        // removed before, that are put beside what is published.
        if (!held || job.step.is_further()) && !self.queue.is_open(&job.video).await? {
            self.pipeline.publishing.sweep(&job.video).await?;
        }
        Ok(())
    }

    async fn retry(&self, job: &Job, error: &Error) -> Result<(), Error> {
        let (why, before) = match error.is_outage() {
            true => (Setback::Outage, job.outages),
            false => (Setback::Failure, job.failures),
        };
        let Some(delay) = self.patience.delay(why, before) else {
            tracing::error!(video.id = %job.video, error = error as &dyn std::error::Error, "giving {} up", job.video);
            let told = match error {
                Error::Strained { told, .. } => told,
                _ => INTERNAL,
            };
            return self.fail(job, told).await;
        };
        if why == Setback::Outage {
            // As long as it is held: whoever takes it next says that it waits no longer.
            let reason = Some(error.awaited());
            if let Err(error) = self.videos.waits(&job.video, reason).await {
                tracing::warn!(video.id = %job.video, %error, "cannot say what {} waits for", job.video);
            }
        }
        self.metrics.ended("retried");
        let delay_s = delay.as_secs();
        tracing::warn!(video.id = %job.video, error = error as &dyn std::error::Error, delay_s, "{} will be tried again", job.video);
        self.queue
            .give_back(job, why, delay, &store::with_causes(error))
            .await?;
        Ok(())
    }

    /// Gives a film up that cannot be made. What could be watched of it before it was tried once more stays so.
    async fn refuse(&self, job: &Job, refusal: &Refusal) -> Result<(), Error> {
        let reason = refusal.to_string();
        if self.queue.was_watched(&job.video).await? && self.leave(job, &reason).await? {
            self.metrics.failed(refusal.code());
        } else if self.bury(job, &reason).await? {
            self.metrics.failed(refusal.code());
            self.pipeline.publishing.forget(&job.video).await?;
            self.purge_shown(&job.video).await?;
        }
        Ok(())
    }

    /// Gives a film up for no fault of its publisher's: what they put stays, for when it is tried once more,
    /// and so does what can be watched.
    async fn fail(&self, job: &Job, reason: &str) -> Result<(), Error> {
        let left = match job.step.is_further() {
            true => LEFT_FURTHER,
            false => LEFT,
        };
        if self.leave(job, left).await? {
            self.metrics.failed("internal");
        } else if self.bury(job, reason).await? {
            self.metrics.failed("internal");
            self.pipeline.publishing.unmake(&job.video).await?;
        }
        Ok(())
    }

    /// Gives a film up; `false` when the job is held no more.
    async fn bury(&self, job: &Job, reason: &str) -> Result<bool, Error> {
        let held = self.queue.bury(job, reason).await?;
        if held {
            tracing::info!(video.id = %job.video, reason, "{} failed: {reason}", job.video);
        } else {
            self.lost(job);
        }
        Ok(held)
    }

    /// Gives up what is not done of a film that can be watched, which stays as it is; `false` for a film
    /// that cannot, or when the job is held no more.
    async fn leave(&self, job: &Job, reason: &str) -> Result<bool, Error> {
        let left = self.queue.leave(job, reason).await?;
        if left {
            tracing::info!(video.id = %job.video, reason, "{} stays as it is: {reason}", job.video);
            self.pipeline.clear(job).await?;
        }
        Ok(left)
    }

    /// Has caches forget a film that failed after it was shown.
    async fn purge_shown(&self, video: &VideoId) -> Result<(), Error> {
        let film = self.videos.find(video).await?;
        let was_shown = film.is_some_and(|film| film.duration_ms.is_some());
        if was_shown && self.feed.extent().await?.is_some() {
            let purge = erasing::purge(video)?;
            self.feed.append(&[purge], self.clock.now()).await?;
        }
        Ok(())
    }

    fn lost(&self, job: &Job) {
        self.metrics.ended("lost");
        tracing::warn!(video.id = %job.video, "{} was taken over by another worker", job.video);
    }
}

/// What a publisher is told when the fault is not theirs, and their film can be watched all the same.
const LEFT: &str = "only the film as it was sent can be watched: processing failed on our side several times; the rest can be tried again; ask the operator to look into the log";
/// The same where the film has its ladder.
const LEFT_FURTHER: &str = "the film can be watched in H.264 only: making it in the other codecs failed on our side several times; that can be tried again; ask the operator to look into the log";
/// How often a job finds that what it needs is not there: with the default delay for more than two days.
const OUTAGES: u32 = 64;
/// How often the worker at a job may be cut off. More often than a job may fail: reboots and films beside
/// it do that to it, too.
const CUTS: u32 = 10;
const LONGEST_DELAY: Duration = Duration::from_secs(3600);
/// What a publisher is told when the fault is not theirs.
const INTERNAL: &str = "processing failed on our side several times; the file is kept and can be tried again; ask the operator to look into the log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_given_up_soon_and_what_lacks_something_after_days() {
        let patience = Patience {
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            attempts: 3,
            retry_delay: Duration::from_secs(10),
        };
        let delays = |why| {
            let delays = (0..).map_while(move |before| patience.delay(why, before));
            delays.map(|delay| delay.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(delays(Setback::Failure), [10, 20]);
        let outages = delays(Setback::Outage);
        assert_eq!(outages[..3], [10, 20, 40]);
        assert!(outages.iter().all(|delay| *delay <= 3600));
        let in_all: u64 = outages.iter().sum();
        assert!(in_all > 2 * 24 * 3600, "{in_all}");
    }
}
