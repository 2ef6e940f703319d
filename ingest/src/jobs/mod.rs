//! The port: a durable queue of work to do on videos.

use std::time::Duration;

use async_trait::async_trait;
use contracts::id::VideoId;
use store::Key;

use crate::Error;

pub mod conformance;
pub(crate) mod sql;
pub(crate) mod worker;

/// What is to be done for a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Probe the original, and either make and publish the film or cut the work into further jobs.
    Publish,
    /// Encode the pictures of one stretch of the film.
    Chunk,
    /// Encode the sounds of the film.
    Sound,
    /// Join what chunks made, check it, and publish the film.
    Finish,
    /// Plan what a film that is ready is to have in further codecs, and cut that work into further jobs.
    Further,
    /// Encode the pictures of one stretch of the film in further codecs.
    FurtherChunk,
    /// Join what those made, check it, and publish the film with it.
    FurtherFinish,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Publish,
        Self::Chunk,
        Self::Sound,
        Self::Finish,
        Self::Further,
        Self::FurtherChunk,
        Self::FurtherFinish,
    ];

    /// The word in the database and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Chunk => "chunk",
            Self::Sound => "sound",
            Self::Finish => "finish",
            Self::Further => "further",
            Self::FurtherChunk => "further-chunk",
            Self::FurtherFinish => "further-finish",
        }
    }

    /// The step of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }

    /// A step is begun when every step of its video with a lower stage is done.
    #[must_use]
    pub const fn stage(self) -> u32 {
        match self {
            Self::Publish => 0,
            Self::Chunk | Self::Sound => 1,
            Self::Finish => 2,
            Self::Further => 3,
            Self::FurtherChunk => 4,
            Self::FurtherFinish => 5,
        }
    }

    /// Whether it is about what a film that is ready is to have besides.
    #[must_use]
    pub const fn is_further(self) -> bool {
        self.stage() >= Self::Further.stage()
    }

    /// The steps that encode a stretch and that join them, of the work that this one belongs to.
    #[must_use]
    pub const fn shared(self) -> (Self, Self) {
        match self.is_further() {
            true => (Self::FurtherChunk, Self::FurtherFinish),
            false => (Self::Chunk, Self::Finish),
        }
    }
}

/// Work that somebody wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// For which video.
    pub video: VideoId,
    /// What to do.
    pub step: Step,
    /// Which part of the step, from 0.
    pub part: u32,
    /// The object to do it to.
    pub input: Key,
    /// Whose film it is; owners have turns. Empty: the operator's.
    pub owner: String,
    /// Work of a higher priority is taken first, whoever owns it.
    pub priority: i32,
    /// How much of its video's work it is.
    pub weight: u32,
}

impl NewJob {
    /// The first job of a video: all that is to be done.
    #[must_use]
    pub const fn first(video: VideoId, input: Key, owner: String) -> Self {
        Self {
            video,
            step: Step::Publish,
            part: 0,
            input,
            owner,
            priority: 0,
            weight: 1,
        }
    }
}

/// Jobs that wait for what others look after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldUp {
    /// How many.
    pub jobs: u64,
    /// What failed one of them.
    pub reason: String,
}

/// Work that was taken, and the proof of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// For which video.
    pub video: VideoId,
    /// What to do.
    pub step: Step,
    /// Which part of the step.
    pub part: u32,
    /// The object to do it to.
    pub input: Key,
    /// Whose film it is.
    pub owner: String,
    /// How urgent it is.
    pub priority: i32,
    /// How often it was taken, this time included, and the jobs that it came of. Never the same twice
    /// for one video, step and part: who works under another number has lost the job.
    pub attempt: u32,
    /// How often it failed before.
    pub failures: u32,
    /// How often before what it needs was not there.
    pub outages: u32,
    /// How often before its lease ran out: a worker that was killed, or that nobody heard of any more.
    pub cuts: u32,
}

/// Why a job is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setback {
    /// Its work failed.
    Failure,
    /// What it needs was not there: the store, the catalogue, room on a disk.
    Outage,
}

/// How many jobs that are not done are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for a worker, now, after a pause or behind others of their video.
    pub queued: u64,
    /// Taken, the lease not yet over.
    pub running: u64,
    /// Given up, with a reason.
    pub dead: u64,
    /// How long the job has waited that waits longest and might be taken.
    pub oldest: Option<Duration>,
}

/// A queue that outlives its processes. Any number of workers, anywhere, may take from it.
///
/// A job is named by video, step and part, and there is one of each at most. Whoever takes a job holds
/// it until its lease is over, and longer by [`beat`](Queue::beat). When a lease runs out, the job
/// may be taken again, and the earlier holder's words count no more.
///
/// What the time is, the queue knows: that of one clock for all, however wrong those of its callers are.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a job, unless there is one of this name already, in whatever state.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn add(&self, job: &NewJob) -> Result<(), Error>;

    /// Finishes a job by adding those that its work was cut into, all or none. They count their
    /// attempts on from it. `false` when the job was held no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn split(&self, job: &Job, into: &[NewJob]) -> Result<bool, Error>;

    /// Takes a job that is due, whose earlier steps are done, and whose own is one of [`Step`]: what later versions
    /// know besides is left to them. No two callers get the same.
    ///
    /// The highest priority comes first; then the owner of whom least is being worked on, and of those
    /// the one who has waited longest for a turn; then the film that was begun first.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn take(&self, lease: Duration) -> Result<Option<Job>, Error>;

    /// Prolongs a lease. `false` when the job is held no more: drop the work.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn beat(&self, job: &Job, lease: Duration) -> Result<bool, Error>;

    /// Notes how much of the job is done, in thousandths, and tells how much of its video's work is, in
    /// hundredths. None of a job that is held no more is noted.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn progress(&self, job: &Job, thousandths: u16) -> Result<u8, Error>;

    /// Says that the work is done; with the last job of its video, all but the first are forgotten. `false`
    /// when the job was held no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn finish(&self, job: &Job) -> Result<bool, Error>;

    /// Gives the job back after a setback, not to be taken before `delay` is over. `false` when it was
    /// held no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn give_back(
        &self,
        job: &Job,
        why: Setback,
        delay: Duration,
        reason: &str,
    ) -> Result<bool, Error>;

    /// Gives the job back because its worker stops; it may be taken at once, and has not failed.
    /// `false` when it was held no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn release(&self, job: &Job) -> Result<bool, Error>;

    /// Gives the job up for good, and with it every other of its video that is not done; the film fails
    /// with them, all or none. `false` when the job was held no more, and then nothing is given up.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Catalog`].
    async fn bury(&self, job: &Job, reason: &str) -> Result<bool, Error>;

    /// The same for a film that can be watched, which stays as it is and is no more to be made, or not with what it
    /// was to have besides. `false` for one that cannot, too.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Catalog`].
    async fn leave(&self, job: &Job, reason: &str) -> Result<bool, Error>;

    /// Begins the work on a film anew that has failed or was left: its first job is queued as if it had never been
    /// tried, under numbers that none of its jobs had, and the film is processed, all or none. Where only what it was
    /// to have besides was given up, that is begun anew, and the film stays ready. `false` when it is neither, never
    /// had a job, or is at it: of two who begin it anew at once, one does.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Catalog`].
    async fn retry(&self, video: &VideoId) -> Result<bool, Error>;

    /// Whether a film could be watched already when the work on it last began anew.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn was_watched(&self, video: &VideoId) -> Result<bool, Error>;

    /// The original that a film's first job has; `None` when it never had one.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn original(&self, video: &VideoId) -> Result<Option<Key>, Error>;

    /// Gives up every job of a video that is not done, whoever holds it; tells how many.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn cancel(&self, video: &VideoId, reason: &str) -> Result<u64, Error>;

    /// How long ago a job of a video was last given up; whoever held it may have learnt so later.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn given_up(&self, video: &VideoId) -> Result<Option<Duration>, Error>;

    /// Forgets every job of a video that is no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn forget(&self, video: &VideoId) -> Result<(), Error>;

    /// Whether any job of a video is neither done nor given up.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn is_open(&self, video: &VideoId) -> Result<bool, Error>;

    /// Which jobs wait because what ingest stands on failed them; `None` when none does.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn held_up(&self) -> Result<Option<HeldUp>, Error>;

    /// Counts the jobs that are not done by state.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn counts(&self) -> Result<Counts, Error>;

    /// Tells why a job was last given back or given up.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn reason(&self, video: &VideoId, step: Step) -> Result<Option<String>, Error>;

    /// Notes that a process is there with so many workers, and tells how many there are in all that
    /// were noted within the last `memory`.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn attend(&self, process: &str, workers: u32, memory: Duration) -> Result<u64, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_reads_back_from_its_word() {
        for step in Step::ALL {
            assert_eq!(Step::parse(step.as_str()), Some(step));
            assert_eq!(step.is_further(), step.as_str().starts_with("further"));
        }
        assert_eq!(Step::parse("rest"), None);
    }
}
