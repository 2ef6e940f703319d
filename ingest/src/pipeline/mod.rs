//! From an original to a playable video, in steps that any worker may do: probe and plan, encode, join,
//! check, store, and `asset.json` last.
//!
//! A film goes one of two ways, which [`plan`] chooses: one job does it all, or the first job cuts the
//! work into stretches of pictures and the sounds, whose pieces ([`pieces`]) go to the store, and a last
//! job joins them. Both end in [`film`]. What it is to have in further codecs is made behind that, in the same
//! way, and put beside it ([`further`]). Every step may be done again: it writes what it wrote before.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use catalog::videos::{Video, Videos};
use contracts::id::Generation;
use store::Store;

use crate::{
    Error,
    jobs::{Job, NewJob, Queue, Step},
    media::{
        Refusal,
        child::Limits,
        codec::Codec,
        ladder::Ladder,
        length::Bound,
        probe::{self, Facts},
        transcode::{self, Order, Part},
    },
    metrics::Metrics,
    texts::Publishing,
};

mod early;
mod film;
mod further;
mod images;
mod pieces;
mod plan;
mod room;

use film::Film;
use plan::Plan;
use room::Room;
pub(crate) use room::sweep as sweep_rooms;

/// The programs and what they may take.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) ffprobe: PathBuf,
    /// The longest film.
    pub(crate) longest: Duration,
    /// The codecs that films are made in beside H.264.
    pub(crate) codecs: Vec<Codec>,
    /// How long the stretches are that workers share.
    pub(crate) stretch: Duration,
    /// Whether films are shown before they are made, where their sources are fit for it.
    pub(crate) early: bool,
    /// For the encoding of a whole film.
    pub(crate) limits: Limits,
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The publisher's file is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This machine is at fault; trying again may help.
    #[error(transparent)]
    Ours(#[from] Error),
    /// Too many workers were cut off at it to give it to another.
    #[error("every worker was cut off")]
    Cut,
    /// Somebody else holds the job by now.
    #[error("the job was taken over")]
    Lost,
}

/// What came of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// What it asked for.
    Done,
    /// It is to be done as these.
    Cut(Vec<NewJob>),
}

/// Makes videos playable.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) publishing: Publishing,
    pub(crate) videos: Arc<dyn Videos>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) tools: Tools,
    pub(crate) work: PathBuf,
    pub(crate) metrics: Metrics,
    /// How many workers the house has, as was last counted.
    pub(crate) workers: Arc<AtomicU64>,
}

impl Pipeline {
    /// Does one job for `video`.
    ///
    /// Every attempt to publish writes a generation of its own, so that one who lost the job and does
    /// not know it yet cannot mix its files with the winner's. `confirm` is asked whether the job is
    /// still held just before the film becomes visible.
    ///
    /// # Cancel safety
    /// Dropping the future kills the encoder and removes the work folder; what was stored of the
    /// generation is removed by the attempt that succeeds.
    pub(crate) async fn run(
        &self,
        job: &Job,
        video: &Video,
        confirm: impl Future<Output = Result<bool, Error>> + Send,
    ) -> Result<Outcome, Failure> {
        let room = Room::new(&self.work, job)?;
        match job.step {
            Step::Publish => {
                self.fetch(&job.input, &room).await?;
                let facts = self.probe(&room).await?;
                let plan = self.plan(job, facts)?;
                let mut confirm = std::pin::pin!(confirm);
                let held = confirm.as_mut();
                let plan = self.show_early(plan, job, video, &room, held).await?;
                if let Some(jobs) = plan.jobs(job) {
                    self.keep_plan(&plan, job).await?;
                    return Ok(Outcome::Cut(jobs));
                }
                let film = self.whole(&plan, job, &room).await?;
                self.publish((film, &plan), job, video, &room, confirm)
                    .await?;
            }
            Step::Chunk | Step::FurtherChunk => {
                let plan = self.read_plan(job).await?;
                self.chunk(&plan, job, &room).await?;
            }
            Step::Sound => {
                let plan = self.read_plan(job).await?;
                self.sounds(&plan, job, &room).await?;
            }
            Step::Finish => {
                let plan = self.read_plan(job).await?;
                let film = self.put_together(&plan, job, &room).await?;
                self.publish((film, &plan), job, video, &room, confirm)
                    .await?;
            }
            Step::Further => {
                if let Some(plan) = self.plan_further(job, &room).await? {
                    self.keep_plan(&plan, job).await?;
                    return Ok(Outcome::Cut(plan.jobs(job).unwrap_or_default()));
                }
            }
            Step::FurtherFinish => {
                let plan = self.read_plan(job).await?;
                self.put_beside(&plan, job, &room, confirm).await?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Makes a film of what other steps made, or in one piece.
    async fn put_together(&self, plan: &Plan, job: &Job, room: &Room) -> Result<Film, Failure> {
        if let Some(film) = self.joined(plan, job, room).await? {
            return Ok(film);
        }
        // Rather twice the work than a film with a seam.
        self.fetch(&plan.original()?, room).await?;
        self.whole(plan, job, room).await
    }

    /// Makes a film in one piece.
    async fn whole(&self, plan: &Plan, job: &Job, room: &Room) -> Result<Film, Failure> {
        let bound = self.bound(&plan.facts)?;
        let order = Order {
            source: &room.source(),
            facts: &plan.facts,
            ladder: &plan.ladder,
            bound,
            part: Part::Whole,
            folder: room.folder(),
        };
        self.encode(&order, job, ENCODED).await?;
        self.keep_texts(plan, job, room).await?;
        let shown = self.shown(plan, job, room).await?;
        let film = Film::read(order.mezzanines(), shown, plan).await?;
        bound.check(film.length)?;
        if plan.stretches.is_empty() {
            self.metrics.encoded(film.length);
        }
        Ok(film)
    }

    fn bound(&self, facts: &Facts) -> Result<Bound, Refusal> {
        Bound::of(facts, self.tools.longest)
    }

    /// Decides what is to be made of a film, and how its work is shared.
    fn plan(&self, job: &Job, facts: Facts) -> Result<Plan, Failure> {
        self.bound(&facts)?;
        let ladder = ladder(&facts);
        let workers = self.workers.load(Ordering::Relaxed);
        Ok(Plan::of(job, facts, ladder, self.tools.stretch, workers))
    }

    async fn fetch(&self, original: &store::Key, room: &Room) -> Result<(), Failure> {
        let there = self.store.fetch(original, &room.source()).await;
        if there.map_err(Error::from)? {
            Ok(())
        } else {
            Err(missing(original))
        }
    }

    async fn probe(&self, room: &Room) -> Result<Facts, Failure> {
        let limits = Limits {
            time: PROBE_TIME,
            ..self.tools.limits
        };
        probe::probe(&self.tools.ffprobe, &room.source(), room.folder(), limits)
            .await
            .map_err(probing)
    }

    /// Runs an encoder, which is so many thousandths of its job.
    async fn encode(&self, order: &Order<'_>, job: &Job, share: u16) -> Result<(), Failure> {
        let timer = self.metrics.transcode_seconds.start_timer();
        let (sender, mut progress) = tokio::sync::watch::channel(0_u16);
        let told = async {
            while progress.changed().await.is_ok() {
                let thousandths = u32::from(*progress.borrow_and_update());
                let of_job = thousandths * u32::from(share) / 1000;
                self.progress(job, u16::try_from(of_job).unwrap_or(share))
                    .await;
            }
        };
        let work = async {
            // The receiver lives as long as the work does.
            let report = move |thousandths| _ = sender.send_replace(thousandths);
            order
                .run(&self.tools.ffmpeg, self.tools.limits, report)
                .await
        };
        let (outcome, ()) = tokio::join!(work, told);
        timer.observe_duration();
        outcome.map_err(encoding)
    }

    /// Progress is told for people; that it cannot be noted is no reason to stop.
    async fn progress(&self, job: &Job, thousandths: u16) {
        let noted = async {
            let percent = self.queue.progress(job, thousandths).await?;
            Ok::<_, Error>(self.videos.progress(&job.video, percent).await?)
        };
        if let Err(error) = noted.await {
            tracing::debug!(video.id = %job.video, %error, "cannot note progress");
        }
    }

    /// What a child may take that works on a film whose facts these are.
    fn limits(&self, facts: &Facts) -> Result<Limits, Failure> {
        Ok(Limits {
            time: self.bound(facts)?.time(self.tools.limits.time),
            ..self.tools.limits
        })
    }
}

/// What is made of a film in H.264.
fn ladder(facts: &Facts) -> Ladder {
    let picture = &facts.picture;
    Ladder::of(picture.width, picture.height, picture.rate)
}

/// The generation that an attempt writes.
const fn generation(job: &Job) -> Generation {
    Generation(job.attempt)
}

fn probing(fault: probe::Fault) -> Failure {
    match fault {
        probe::Fault::Refused(refusal) => refusal.into(),
        probe::Fault::Strained(what, told) => Error::Strained { what, told }.into(),
        fault => tool(fault.to_string()),
    }
}

fn encoding(fault: transcode::Fault) -> Failure {
    match fault {
        transcode::Fault::Refused(refusal) => refusal.into(),
        transcode::Fault::Lacks(what) => Error::Lacks(what).into(),
        transcode::Fault::Strained(what, told) => Error::Strained { what, told }.into(),
        fault => tool(fault.to_string()),
    }
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::File {
        path: path.to_owned(),
        source,
    }
}

const fn tool(what: String) -> Failure {
    Failure::Ours(Error::Tool(what))
}

/// A store that is not mounted is empty, too.
fn missing(key: &store::Key) -> Failure {
    Failure::Ours(Error::Lacks(format!("{key} is not in the store")))
}

/// How many thousandths of a whole film's work encoding is.
const ENCODED: u16 = 960;
const PROBE_TIME: Duration = Duration::from_secs(120);
