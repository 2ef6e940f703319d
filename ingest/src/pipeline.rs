//! From an original to a playable video: probe, ladder, encode, check, store, and `asset.json` last.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use catalog::videos::{Event, Video, Videos};
use contracts::{
    asset::{Asset, Kind},
    id::Generation,
};
use packager::index::{self, Index};
use store::{Store, layout};

use crate::{
    Error,
    jobs::Job,
    media::{
        Refusal,
        child::Limits,
        ladder::Ladder,
        length::Bound,
        outcome::{self, Made},
        probe::{self, Facts},
        still::{self, Sheets},
        transcode::{self, Mezzanine, Order},
    },
    metrics::Metrics,
    texts::Publishing,
};

/// The programs and what they may take.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) ffprobe: PathBuf,
    /// The longest film.
    pub(crate) longest: Duration,
    /// For the encoding of a whole film.
    pub(crate) limits: Limits,
}

/// Why a video was not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The publisher's file is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This machine is at fault; trying again may help.
    #[error(transparent)]
    Ours(#[from] Error),
    /// Somebody else holds the job by now.
    #[error("the job was taken over")]
    Lost,
}

/// Makes videos playable.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) publishing: Publishing,
    pub(crate) videos: Arc<dyn Videos>,
    pub(crate) tools: Tools,
    pub(crate) work: PathBuf,
    pub(crate) metrics: Metrics,
}

/// A mezzanine and its index, checked and ready for the store.
struct Finished {
    mezzanine: Mezzanine,
    index: Arc<Index>,
}

impl Pipeline {
    /// Publishes `video` from the original that the job names.
    ///
    /// Every attempt writes a generation of its own, so that one who lost the job and does not
    /// know it yet cannot mix its files with the winner's. `confirm` is asked whether the job is
    /// still held just before the film becomes visible.
    ///
    /// # Cancel safety
    /// Dropping the future kills the encoder and removes the work folder; what was stored of the
    /// generation is removed by the attempt that succeeds.
    pub(crate) async fn publish(
        &self,
        job: &Job,
        video: &Video,
        confirm: impl Future<Output = Result<bool, Error>> + Send,
    ) -> Result<(), Failure> {
        let folder = WorkFolder::new(&self.work, job)?;
        let source = folder.path.join("source");
        if !self
            .store
            .fetch(&job.input, &source)
            .await
            .map_err(Error::from)?
        {
            return Err(tool(format!("{} is not in the store", job.input)));
        }
        let facts = self.probe(&source, &folder.path).await?;
        let bound = Bound::of(&facts, self.tools.longest)?;
        let ladder = Ladder::of(
            facts.picture.width,
            facts.picture.height,
            facts.picture.rate,
        );
        let order = Order {
            source: &source,
            facts: &facts,
            ladder: &ladder,
            bound,
            folder: &folder.path,
        };
        self.transcode(&order, job).await?;
        let finished = index_all(order.mezzanines()).await?;
        let length = check(&finished, &ladder, &facts)?;
        bound.check(length)?;
        let poster = self.poster(&finished, length, &folder.path).await?;
        self.progress(job, ENCODED + 1).await;
        let time = bound.time(self.tools.limits.time);
        let sheets = self.sheets(&finished, &facts, &folder.path, time).await?;
        self.progress(job, ENCODED + 2).await;

        let generation = Generation(job.attempt);
        self.keep(&finished, poster, job, generation).await?;
        self.keep_sheets(&sheets, job, generation).await?;
        if !confirm.await? {
            return Err(Failure::Lost);
        }
        let asset = Asset {
            video: video.id.clone(),
            generation,
            title: video.title.clone(),
            privacy: video.privacy,
            duration_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
            renditions: finished
                .iter()
                .map(|finished| finished.mezzanine.rendition.clone())
                .collect(),
            thumbs: Some(sheets.thumbs),
            protected: video.protected,
        };
        self.reveal(asset).await?;
        self.forget_earlier(job).await;
        Ok(())
    }

    async fn probe(&self, source: &Path, folder: &Path) -> Result<Facts, Failure> {
        let limits = Limits {
            time: PROBE_TIME,
            ..self.tools.limits
        };
        probe::probe(&self.tools.ffprobe, source, folder, limits)
            .await
            .map_err(|fault| match fault {
                probe::Fault::Refused(refusal) => refusal.into(),
                fault => tool(fault.to_string()),
            })
    }

    async fn transcode(&self, order: &Order<'_>, job: &Job) -> Result<(), Failure> {
        let timer = self.metrics.transcode_seconds.start_timer();
        let (sender, mut progress) = tokio::sync::watch::channel(0_u16);
        let told = async {
            while progress.changed().await.is_ok() {
                let thousandths = u32::from(*progress.borrow_and_update());
                let percent = thousandths * u32::from(ENCODED) / 1000;
                self.progress(job, u8::try_from(percent).unwrap_or(ENCODED))
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

    /// Makes the poster from the largest rung.
    async fn poster(
        &self,
        finished: &[Finished],
        length: Duration,
        folder: &Path,
    ) -> Result<PathBuf, Failure> {
        let picture = finished
            .iter()
            .rfind(|finished| finished.mezzanine.rendition.kind == Kind::Video)
            .ok_or_else(|| tool("there is no picture to take a poster of".to_owned()))?;
        let file = folder.join("poster.jpg");
        let limits = Limits {
            time: PROBE_TIME,
            ..self.tools.limits
        };
        let mezzanine = &picture.mezzanine.file;
        still::poster(&self.tools.ffmpeg, mezzanine, length / 4, &file, limits)
            .await
            .map_err(encoding)?;
        Ok(file)
    }

    /// Makes the sheets of small pictures from the smallest rung, the cheapest to decode.
    async fn sheets(
        &self,
        finished: &[Finished],
        facts: &Facts,
        folder: &Path,
        time: Duration,
    ) -> Result<Sheets, Failure> {
        let picture = finished
            .iter()
            .find(|finished| finished.mezzanine.rendition.kind == Kind::Video)
            .ok_or_else(|| tool("there is no picture to take sheets of".to_owned()))?;
        let layout = still::Layout::of(&facts.picture, outcome::length(&picture.index));
        let limits = Limits {
            time,
            ..self.tools.limits
        };
        let mezzanine = &picture.mezzanine.file;
        layout
            .make(&self.tools.ffmpeg, mezzanine, folder, limits)
            .await
            .map_err(encoding)
    }

    async fn keep_sheets(
        &self,
        sheets: &Sheets,
        job: &Job,
        generation: Generation,
    ) -> Result<(), Error> {
        for (number, file) in (1..).zip(&sheets.files) {
            let key = layout::sheet(&job.video, generation, number);
            self.store.put_file(&key, file).await?;
        }
        Ok(())
    }

    /// Stores everything that the film will consist of.
    async fn keep(
        &self,
        finished: &[Finished],
        poster: PathBuf,
        job: &Job,
        generation: Generation,
    ) -> Result<(), Error> {
        for Finished { mezzanine, index } in finished {
            let id = &mezzanine.rendition.id;
            let key = layout::mezzanine(&job.video, generation, id);
            self.store.put_file(&key, &mezzanine.file).await?;
            let key = layout::index(&job.video, generation, id);
            self.store.put(&key, index.encode().into()).await?;
            tracing::info!(video.id = %job.video, rendition = %id, "stored rendition {id} of {}", job.video);
        }
        self.store
            .put_file(&layout::poster(&job.video), &poster)
            .await?;
        Ok(())
    }

    /// Writes the one file that makes the film exist, then tells the catalogue.
    async fn reveal(&self, asset: Asset) -> Result<(), Failure> {
        let (video, duration_ms) = (asset.video.clone(), asset.duration_ms);
        if !self.publishing.reveal(asset).await? {
            return Err(Failure::Lost);
        }
        let event = Event::Published { duration_ms };
        let told = self.videos.advance(&video, event).await;
        told.map(drop).map_err(|error| Error::from(error).into())
    }

    /// Removes what earlier attempts left. Failing to costs room, not correctness.
    async fn forget_earlier(&self, job: &Job) {
        for attempt in 1..job.attempt {
            let prefix = layout::generation(&job.video, Generation(attempt));
            if let Err(error) = self.store.delete_prefix(&prefix).await {
                tracing::warn!(video.id = %job.video, %error, "cannot remove {prefix}");
            }
        }
    }

    /// Progress is told for people; that it cannot be noted is no reason to stop.
    async fn progress(&self, job: &Job, percent: u8) {
        if let Err(error) = self.videos.progress(&job.video, percent).await {
            tracing::debug!(video.id = %job.video, %error, "cannot note progress");
        }
    }
}

/// Reads every mezzanine back and indexes it, off the async threads.
async fn index_all(mezzanines: Vec<Mezzanine>) -> Result<Vec<Finished>, Failure> {
    let work = move || mezzanines.into_iter().map(index_one).collect();
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|stopped| Err(tool(stopped.to_string())))
}

fn index_one(mezzanine: Mezzanine) -> Result<Finished, Failure> {
    let file = File::open(&mezzanine.file).map_err(packager::Error::Io);
    match file.and_then(|file| index::build(BufReader::new(file))) {
        Ok(index) => Ok(Finished {
            mezzanine,
            index: Arc::new(index),
        }),
        Err(packager::Error::Io(fault)) => Err(tool(fault.to_string())),
        // The encoder was content and yet made nothing: no picture could be decoded.
        Err(_) if is_hollow(&mezzanine.file) => Err(Refusal::Damaged.into()),
        Err(fault) => Err(tool(format!(
            "rendition {}: {fault}",
            mezzanine.rendition.id
        ))),
    }
}

/// Whether a mezzanine holds no media: less than any coded picture with its headers.
fn is_hollow(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.len() < 1024)
}

fn check(finished: &[Finished], ladder: &Ladder, facts: &Facts) -> Result<Duration, Failure> {
    let made: Vec<Made<'_>> = finished
        .iter()
        .map(|finished| Made {
            rendition: &finished.mezzanine.rendition,
            index: &finished.index,
        })
        .collect();
    outcome::check(&made, ladder, facts).map_err(|fault| match fault {
        outcome::Fault::Refused(refusal) => refusal.into(),
        fault @ outcome::Fault::Encoder(_) => tool(fault.to_string()),
    })
}

fn encoding(fault: transcode::Fault) -> Failure {
    match fault {
        transcode::Fault::Refused(refusal) => refusal.into(),
        fault => tool(fault.to_string()),
    }
}

const fn tool(what: String) -> Failure {
    Failure::Ours(Error::Tool(what))
}

/// A folder for one attempt, removed when dropped. A video's id has no dot, so no name is the
/// start of another video's.
struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    /// Makes the folder, after removing what killed attempts at the same video left.
    fn new(work: &Path, job: &Job) -> Result<Self, Error> {
        let file = |source: io::Error| Error::File {
            path: work.to_owned(),
            source,
        };
        let prefix = format!("{}.", job.video);
        for entry in std::fs::read_dir(work).map_err(file)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_dir_all(entry.path()).map_err(file)?;
            }
        }
        let path = work.join(format!("{prefix}{}", job.attempt));
        std::fs::create_dir(&path).map_err(file)?;
        Ok(Self { path })
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a work folder");
        }
    }
}

/// How many percent of the work encoding is.
const ENCODED: u8 = 96;
const PROBE_TIME: Duration = Duration::from_secs(120);
