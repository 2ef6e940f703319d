//! The port: a durable queue of work to do on videos.

use std::time::Duration;

use async_trait::async_trait;
use contracts::{id::VideoId, time::UnixSeconds};
use store::Key;

use crate::Error;

pub mod conformance;
pub(crate) mod sql;
pub(crate) mod worker;

/// What is to be done for a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Probe, encode, check and publish the original.
    Publish,
}

impl Step {
    /// The word in the database and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
        }
    }

    /// The step of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        (word == Self::Publish.as_str()).then_some(Self::Publish)
    }
}

/// Work that somebody wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// For which video.
    pub video: VideoId,
    /// What to do.
    pub step: Step,
    /// The object to do it to.
    pub input: Key,
}

/// Work that was taken, and the proof of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// For which video.
    pub video: VideoId,
    /// What to do.
    pub step: Step,
    /// The object to do it to.
    pub input: Key,
    /// How often it was taken, this time included. Never the same twice for one video and step:
    /// who works under another number has lost the job.
    pub attempt: u32,
    /// How often it failed before, a lease that ran out included.
    pub failures: u32,
}

/// How many jobs are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for a worker, now or after a pause.
    pub queued: u64,
    /// Taken, the lease not yet over.
    pub running: u64,
    /// Finished.
    pub done: u64,
    /// Given up, with a reason.
    pub dead: u64,
}

/// A queue that outlives its processes. Any number of workers, anywhere, may take from it.
///
/// A job is named by video and step, and there is one of each at most. Whoever takes a job holds
/// it until its lease is over, and longer by [`beat`](Queue::beat). When a lease runs out, the job
/// may be taken again, and the earlier holder's words count no more.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a job, unless there is one for this video and step already, in whatever state.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn add(&self, job: &NewJob, now: UnixSeconds) -> Result<(), Error>;

    /// Takes the job that has waited longest, if one is due. No two callers get the same.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn take(&self, now: UnixSeconds, lease: Duration) -> Result<Option<Job>, Error>;

    /// Prolongs a lease. `false` when the job is held no more: drop the work.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn beat(&self, job: &Job, now: UnixSeconds, lease: Duration) -> Result<bool, Error>;

    /// Says that the work is done. `false` when the job was held no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn finish(&self, job: &Job) -> Result<bool, Error>;

    /// Gives the job back after a failure, not to be taken before `due`. `false` when it was held
    /// no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn give_back(&self, job: &Job, due: UnixSeconds, reason: &str) -> Result<bool, Error>;

    /// Gives the job back because its worker stops; it may be taken at once, and has not failed.
    /// `false` when it was held no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn release(&self, job: &Job, now: UnixSeconds) -> Result<bool, Error>;

    /// Gives the job up for good. `false` when it was held no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn bury(&self, job: &Job, reason: &str) -> Result<bool, Error>;

    /// Counts the jobs by state.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn counts(&self, now: UnixSeconds) -> Result<Counts, Error>;

    /// Tells why a job was last given back or given up.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn reason(&self, video: &VideoId, step: Step) -> Result<Option<String>, Error>;
}
