//! A film whose mezzanines are there: the last look at them, its images and subtitles, and publishing.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use catalog::videos::{State, Video};
use contracts::{
    asset::{Asset, Kind, Rendition, Still, Thumbs},
    id::Generation,
};
use packager::index::{self, Index};
use store::{Digest, Part, layout};

use super::{ENCODED, Failure, Pipeline, Plan, Room, encoding, generation, tool};
use crate::{
    Error,
    jobs::{Job, Step},
    media::{
        Refusal,
        codec::Codec,
        loudness,
        outcome::{self, Made},
        remux::SOURCE,
        still,
        stills::Moments,
        subtitles,
        transcode::Mezzanine,
    },
    texts::{Language, Text},
};

/// A mezzanine and its index, ready for the store.
pub(super) struct Finished {
    pub(super) mezzanine: Mezzanine,
    pub(super) index: Arc<Index>,
    /// The generation in which the store has it already; its file is then the store's own.
    pub(super) lies: Option<Generation>,
}

/// Every mezzanine of a film, as they were found to be right.
pub(super) struct Film {
    finished: Vec<Finished>,
    pub(super) length: Duration,
    /// How long its picture is.
    pub(super) seen: Duration,
    /// Its picture at its largest, in H.264, and which stills are to be made of it.
    pub(super) largest: (PathBuf, Moments),
    /// The picture that is cheapest to decode, and what is to be made of it.
    pub(super) smallest: (PathBuf, still::Layout),
}

impl Film {
    /// Reads the mezzanines of a film back and checks them against its plan, with what is shown already.
    pub(super) async fn read(
        made: Vec<Mezzanine>,
        shown: Vec<Finished>,
        plan: &Plan,
    ) -> Result<Self, Failure> {
        let mut finished = index_all(made).await?;
        let h264 = plan.ladder.rungs.iter();
        let behind = h264.filter(|rung| rung.codec == Codec::H264).count();
        for (place, one) in (behind..).zip(shown) {
            let sound = one.mezzanine.rendition.kind == Kind::Audio;
            let at = if sound { finished.len() } else { place };
            finished.insert(at.min(finished.len()), one);
        }
        Self::of(finished, plan)
    }

    /// A film of mezzanines that were read back.
    pub(super) fn of(finished: Vec<Finished>, plan: &Plan) -> Result<Self, Failure> {
        let length = check(&finished, plan)?;
        let picture = |is_wanted: &dyn Fn(&Finished) -> bool| {
            let found = finished.iter().find(|finished| is_wanted(finished));
            found.ok_or_else(|| tool("there is no picture to take images of".to_owned()))
        };
        let largest = plan.ladder.largest().map(|rung| &rung.id);
        let is_source = |of: &Finished| of.mezzanine.rendition.id.as_str() == SOURCE;
        let largest = picture(&is_source)
            .or_else(|_| picture(&|of| Some(&of.mezzanine.rendition.id) == largest))?;
        let smallest = picture(&|of| of.mezzanine.rendition.kind == Kind::Video)?;
        let layout = still::Layout::of(&plan.facts.picture, outcome::length(&smallest.index));
        let pictures = u64::try_from(largest.index.samples().len()).unwrap_or(u64::MAX);
        let moments = Moments::of(&plan.facts.picture, pictures, plan.ladder.rate);
        Ok(Self {
            length,
            seen: outcome::length(&largest.index),
            largest: (largest.mezzanine.file.clone(), moments),
            smallest: (smallest.mezzanine.file.clone(), layout),
            finished,
        })
    }

    /// What is published of it.
    pub(super) fn into_asset(
        self,
        job: &Job,
        video: &Video,
        (thumbs, stills): (Option<Thumbs>, Vec<Still>),
    ) -> Asset {
        Asset {
            video: video.id.clone(),
            generation: generation(job),
            title: video.title.clone(),
            privacy: video.privacy,
            duration_ms: u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX),
            renditions: self.into_renditions(),
            thumbs,
            stills,
            protected: video.protected,
        }
    }

    pub(super) fn into_renditions(self) -> Vec<Rendition> {
        let renditions = self.finished.into_iter();
        renditions.map(|one| one.mezzanine.rendition).collect()
    }
}

impl Pipeline {
    /// Measures a film's sounds, makes its images, stores everything, and publishes it last.
    pub(super) async fn publish(
        &self,
        (mut film, plan): (Film, &Plan),
        job: &Job,
        video: &Video,
        room: &Room,
        confirm: impl Future<Output = Result<bool, Error>> + Send,
    ) -> Result<(), Failure> {
        self.measure_all(&mut film.finished, plan).await?;
        let poster = self.poster(&film, room).await?;
        self.progress(job, ENCODED + 10).await;
        let sheets = self.sheets(&film, room).await?;
        self.progress(job, ENCODED + 20).await;
        // The store takes the files themselves.
        let stills = self.take_stills(&film, room, job).await?;
        self.keep(&film, job).await?;
        self.keep_sheets(&sheets, job).await?;
        self.keep_poster(&poster, job).await?;
        if !confirm.await? {
            return Err(Failure::Lost);
        }
        let asset = film.into_asset(job, video, (Some(sheets.thumbs), stills));
        if !self.publishing.reveal(asset, State::Processing).await? {
            return Err(Failure::Lost);
        }
        self.forget_others(job, generation(job)).await;
        Ok(())
    }

    /// Finishes what an earlier attempt all but did: it wrote `asset.json`, and died before that counted.
    /// `false` when there is more to do.
    pub(crate) async fn conclude(&self, job: &Job) -> Result<bool, Error> {
        if !matches!(job.step, Step::Publish | Step::Finish) {
            return Ok(false);
        }
        let processing = State::Processing;
        let Some(generation) = self.publishing.conclude(&job.video, processing).await? else {
            return Ok(false);
        };
        self.forget_others(job, generation).await;
        Ok(true)
    }

    /// Removes what was left beside a film that is ready.
    pub(crate) async fn clear(&self, job: &Job) -> Result<(), Error> {
        if let Some(asset) = self.publishing.published(&job.video).await? {
            self.forget_others(job, asset.generation).await;
        }
        Ok(())
    }

    /// Removes what an attempt stored that came to nothing. Failing to costs room, until another publishes
    /// the film or gives it up.
    pub(crate) async fn discard(&self, job: &Job) {
        if let Err(error) = self.try_discard(job).await {
            tracing::warn!(video.id = %job.video, %error, "cannot remove what was made of {}", job.video);
        }
    }

    async fn try_discard(&self, job: &Job) -> Result<(), Error> {
        let film = self.videos.find(&job.video).await?;
        if film.is_some_and(|film| film.state == State::Deleted) {
            // Its eraser may have been there before this attempt's last file.
            return self.publishing.erase(&job.video).await;
        }
        let own = generation(job);
        let publishes = matches!(job.step, Step::Publish | Step::Finish | Step::FurtherFinish);
        let mut shown = self.publishing.replacements.of(&job.video).await?;
        shown.extend(self.publishing.current(&job.video).await?);
        if publishes && !shown.contains(&own) {
            let own = layout::generation(&job.video, own);
            self.store.delete_prefix(&own).await?;
        }
        Ok(())
    }

    /// Measures how loud each sound of a film came out; of those that were made apart, it is known.
    pub(super) async fn measure_all(
        &self,
        finished: &mut [Finished],
        plan: &Plan,
    ) -> Result<(), Failure> {
        let (limits, since) = (self.limits(&plan.facts)?, Instant::now());
        for Finished { mezzanine, .. } in finished {
            let rendition = &mezzanine.rendition;
            if rendition.kind == Kind::Audio && rendition.loudness.is_none() {
                let limits = limits.left(since);
                let told = loudness::measure(&self.tools.ffmpeg, &mezzanine.file, limits);
                mezzanine.rendition.loudness = told.await.map_err(encoding)?;
            }
        }
        Ok(())
    }

    /// Takes out the subtitles inside the film, and keeps those in whose language it has none.
    pub(super) async fn keep_texts(
        &self,
        plan: &Plan,
        job: &Job,
        room: &Room,
    ) -> Result<(), Failure> {
        let (texts, limits) = (&plan.facts.texts, self.limits(&plan.facts)?);
        let (ffmpeg, source) = (&self.tools.ffmpeg, room.source());
        let made = subtitles::extract(ffmpeg, &source, texts, room.folder(), limits);
        for (inside, file) in made.await.map_err(|fault| tool(fault.to_string()))? {
            let Some((text, file)) = text(&inside, &file) else {
                tracing::info!(video.id = %job.video, language = inside.language, "subtitles inside {} hold nothing to show", job.video);
                continue;
            };
            self.publishing.offer(&job.video, &text, file).await?;
        }
        Ok(())
    }

    /// Stores the mezzanines of a film and their indexes.
    pub(super) async fn keep(&self, film: &Film, job: &Job) -> Result<(), Error> {
        let generation = generation(job);
        for Finished {
            mezzanine,
            index,
            lies,
        } in &film.finished
        {
            let id = &mezzanine.rendition.id;
            let key = layout::mezzanine(&job.video, generation, id);
            match lies {
                None => self.store.put_file(&key, &mezzanine.file).await?,
                Some(earlier) => {
                    let part = Part {
                        key: layout::mezzanine(&job.video, *earlier, id),
                        size_bytes: index.file().length,
                    };
                    let digest = Digest::from_bytes(index.file().sha256);
                    self.store.join(&[part], &key, &digest).await?;
                }
            }
            let key = layout::index(&job.video, generation, id);
            self.store.put(&key, index.encode().into()).await?;
            tracing::info!(video.id = %job.video, rendition = %id, "stored rendition {id} of {}", job.video);
        }
        Ok(())
    }

    /// Removes what other attempts left, and the pieces.
    async fn forget_others(&self, job: &Job, kept: Generation) {
        self.forget_generations(job, kept).await;
        if let Err(error) = self.publishing.sweep(&job.video).await {
            tracing::warn!(video.id = %job.video, %error, "cannot remove the pieces of {}", job.video);
        }
    }

    /// Removes what other attempts left; but not what was published, which has a time of its own. Failing to costs
    /// room, not correctness.
    pub(super) async fn forget_generations(&self, job: &Job, kept: Generation) {
        let published = self.publishing.replacements.of(&job.video).await;
        let published = match published {
            Ok(published) => published,
            Err(error) => {
                tracing::warn!(video.id = %job.video, %error, "cannot tell what was published of {}", job.video);
                return;
            }
        };
        let others = (1..=job.attempt)
            .map(Generation)
            .filter(|generation| *generation != kept && !published.contains(generation))
            .map(|generation| layout::generation(&job.video, generation));
        for prefix in others {
            if let Err(error) = self.store.delete_prefix(&prefix).await {
                tracing::warn!(video.id = %job.video, %error, "cannot remove {prefix}");
            }
        }
    }
}

/// Reads every mezzanine back and indexes it, off the async threads.
pub(super) async fn index_all(mezzanines: Vec<Mezzanine>) -> Result<Vec<Finished>, Failure> {
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
            lies: None,
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

/// Reads subtitles that were taken out of a film; `None` when there is nothing in them.
fn text(inside: &subtitles::Inside, file: &Path) -> Option<(Text, Bytes)> {
    let mut bytes = Vec::new();
    let file = File::open(file).ok()?;
    file.take(MOST_TEXT_BYTES).read_to_end(&mut bytes).ok()?;
    let document = packager::text::parse(&bytes).ok()?;
    if document.cues().is_empty() {
        return None;
    }
    let bytes = Bytes::from(packager::text::webvtt::write(&document));
    let text = Text {
        language: Language::parse(&inside.language)?,
        label: inside.label.clone(),
        sha256: Some(Digest::of(&bytes)),
    };
    Some((text, bytes))
}

/// Whether a mezzanine holds no media: less than any coded picture with its headers.
fn is_hollow(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.len() < 1024)
}

fn check(finished: &[Finished], plan: &Plan) -> Result<Duration, Failure> {
    let made: Vec<Made<'_>> = finished
        .iter()
        .map(|finished| Made {
            rendition: &finished.mezzanine.rendition,
            index: &finished.index,
        })
        .collect();
    outcome::check(&made, &plan.ladder, &plan.facts).map_err(|fault| match fault {
        outcome::Fault::Refused(refusal) => refusal.into(),
        fault @ outcome::Fault::Encoder(_) => tool(fault.to_string()),
    })
}

/// As much as subtitles may have that are put by hand.
const MOST_TEXT_BYTES: u64 = 2 << 20;
