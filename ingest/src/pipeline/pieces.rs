//! The steps that several workers share: a stretch's pictures, the film's sounds, and joining them.
//!
//! What a step makes goes to the store, for workers share no disk; its description, a JSON file, comes
//! last. A step that is done twice writes pieces of the same pictures at the same times: which of two
//! is read does not matter.

use std::path::PathBuf;

use contracts::asset::Rendition;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use store::{Digest, Key, layout};

use super::{
    Failure, Pipeline, Plan, Room, encoding,
    film::{Film, Finished, index_all},
    missing, tool,
};
use crate::{
    Error,
    jobs::{Job, Step},
    media::{
        join::{self, Piece},
        outcome::check_grid,
        transcode::{Mezzanine, Order, Part},
    },
};

/// What a stretch came to.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    /// How many pictures each of its renditions has; `None` where it cannot be made apart.
    frames: Option<u64>,
    /// What the decoders of its renditions must know, in the order of the ladder: all pieces of one
    /// rendition have the same.
    tracks: Vec<String>,
}

/// What the sounds came to.
#[derive(Debug, Serialize, Deserialize)]
struct Sounds {
    renditions: Vec<Rendition>,
}

impl Pipeline {
    pub(super) async fn keep_plan(&self, plan: &Plan, job: &Job) -> Result<(), Failure> {
        self.keep_json(&layout::plan(&job.video, plan.attempt), plan)
            .await
    }

    pub(super) async fn read_plan(&self, job: &Job) -> Result<Plan, Failure> {
        let plan = self.read_json(&job.input).await?;
        plan.ok_or_else(|| missing(&job.input))
    }

    /// Encodes the pictures of one stretch.
    pub(super) async fn chunk(&self, plan: &Plan, job: &Job, room: &Room) -> Result<(), Failure> {
        let at = usize::try_from(job.part).unwrap_or(usize::MAX);
        let stretch = plan.stretches.get(at).copied();
        let stretch = stretch.ok_or_else(|| tool("a stretch that was not planned".to_owned()))?;
        self.fetch(&plan.original()?, room).await?;
        let order = Order {
            source: &room.source(),
            facts: &plan.facts,
            ladder: &plan.ladder,
            bound: self.bound(&plan.facts)?,
            part: Part::Pictures(stretch),
            folder: room.folder(),
        };
        let made = match self.encode(&order, job, ALL).await {
            Ok(()) => read_back(order.mezzanines(), plan, job).await?,
            // Too little of a whole may still be little enough of it.
            Err(Failure::Refused(refusal)) => {
                tracing::info!(video.id = %job.video, part = job.part, %refusal, "a stretch of {} cannot be made apart", job.video);
                None
            }
            Err(failure) => return Err(failure),
        };
        let Some((frames, tracks)) = made else {
            let apart = Made {
                frames: None,
                tracks: Vec::new(),
            };
            return self.describe(plan, job, &apart).await;
        };
        self.metrics.encoded(plan.ladder.rate.time_of(frames));
        if frames > 0 {
            self.keep_pieces(plan, job, order.mezzanines()).await?;
        }
        let frames = Some(frames);
        self.describe(plan, job, &Made { frames, tracks }).await
    }

    /// Encodes the sounds, measures them, and takes out the subtitles.
    pub(super) async fn sounds(&self, plan: &Plan, job: &Job, room: &Room) -> Result<(), Failure> {
        self.fetch(&plan.original()?, room).await?;
        let mut renditions = Vec::new();
        if !plan.facts.sounds.is_empty() {
            let order = Order {
                source: &room.source(),
                facts: &plan.facts,
                ladder: &plan.ladder,
                bound: self.bound(&plan.facts)?,
                part: Part::Sounds,
                folder: room.folder(),
            };
            self.encode(&order, job, ALL).await?;
            let mut finished = index_all(order.mezzanines()).await?;
            self.measure_all(&mut finished, plan).await?;
            let made: Vec<Mezzanine> = finished.into_iter().map(|done| done.mezzanine).collect();
            renditions.extend(made.iter().map(|mezzanine| mezzanine.rendition.clone()));
            self.keep_pieces(plan, job, made).await?;
        }
        self.keep_texts(plan, job, room).await?;
        self.describe(plan, job, &Sounds { renditions }).await
    }

    /// Fetches and joins what the other steps made; `None` where it does not make a film.
    pub(super) async fn joined(
        &self,
        plan: &Plan,
        job: &Job,
        room: &Room,
    ) -> Result<Option<Film>, Failure> {
        // None, too, where it was to be made in one piece.
        let Some(frames) = self.frames(plan, job).await? else {
            return Ok(None);
        };
        let order = Order {
            source: &room.source(),
            facts: &plan.facts,
            ladder: &plan.ladder,
            bound: self.bound(&plan.facts)?,
            part: Part::Whole,
            folder: room.folder(),
        };
        let mut mezzanines = Vec::new();
        let rungs = plan.ladder.rungs.len();
        for (at, mezzanine) in order.mezzanines().into_iter().enumerate() {
            if at < rungs {
                let pieces = self
                    .fetch_pieces(plan, job, room, &mezzanine, &frames)
                    .await?;
                if !join_all(pieces, plan, mezzanine.file.clone()).await? {
                    return Ok(None);
                }
                mezzanines.push(mezzanine);
            }
        }
        mezzanines.extend(self.fetch_sounds(plan, job, room).await?);
        let shown = self.shown(plan, job, room).await?;
        let film = match Film::read(mezzanines, shown, plan).await {
            // It would come to the same however often it was tried.
            Err(Failure::Ours(Error::Tool(fault))) => {
                unfit(job, &fault);
                return Ok(None);
            }
            film => film?,
        };
        order.bound.check(film.length)?;
        Ok(Some(film))
    }

    /// How many pictures each stretch came to; `None` where they do not make a whole.
    async fn frames(&self, plan: &Plan, job: &Job) -> Result<Option<Vec<u64>>, Failure> {
        let mut frames = Vec::new();
        let mut tracks: Option<Vec<String>> = None;
        let mut is_over = false;
        for (part, stretch) in (0..).zip(&plan.stretches) {
            let (chunk, _) = job.step.shared();
            let key = layout::piece(&job.video, plan.attempt, chunk.as_str(), part);
            let made: Option<Made> = self.read_json(&key).await?;
            let made = made.ok_or_else(|| missing(&key))?;
            let Some(count) = made.frames else {
                return Ok(None);
            };
            // A film may end before it says, but nothing comes behind its end.
            let is_whole = stretch.frames.is_none_or(|wanted| wanted == count);
            let alike = count == 0 || tracks.as_ref().is_none_or(|tracks| *tracks == made.tracks);
            if (is_over && count > 0) || !alike {
                tracing::warn!(video.id = %job.video, part, "the pieces of {} do not fit together", job.video);
                return Ok(None);
            }
            is_over |= !is_whole;
            if count > 0 {
                tracks = Some(made.tracks);
                frames.push(count);
            }
        }
        Ok((!frames.is_empty()).then_some(frames))
    }

    async fn fetch_pieces(
        &self,
        plan: &Plan,
        job: &Job,
        room: &Room,
        mezzanine: &Mezzanine,
        frames: &[u64],
    ) -> Result<Vec<Piece>, Failure> {
        let mut pieces = Vec::new();
        for (part, &frames) in (0..).zip(frames) {
            let id = &mezzanine.rendition.id;
            let (chunk, _) = job.step.shared();
            let step = (chunk.as_str(), part);
            let key = layout::piece_of(&job.video, plan.attempt, step, id);
            let file = room.folder().join(format!("{id}.{part}.piece"));
            self.fetch_piece(&key, &file).await?;
            pieces.push(Piece { file, frames });
        }
        Ok(pieces)
    }

    async fn fetch_sounds(
        &self,
        plan: &Plan,
        job: &Job,
        room: &Room,
    ) -> Result<Vec<Mezzanine>, Failure> {
        if plan.facts.sounds.is_empty() {
            return Ok(Vec::new());
        }
        let step = (Step::Sound.as_str(), 0);
        let key = layout::piece(&job.video, plan.attempt, step.0, step.1);
        let sounds: Option<Sounds> = self.read_json(&key).await?;
        let sounds = sounds.ok_or_else(|| missing(&key))?;
        let mut mezzanines = Vec::new();
        for rendition in sounds.renditions {
            let file = room.folder().join(format!("{}.mp4", rendition.id));
            let key = layout::piece_of(&job.video, plan.attempt, step, &rendition.id);
            self.fetch_piece(&key, &file).await?;
            mezzanines.push(Mezzanine { rendition, file });
        }
        Ok(mezzanines)
    }

    pub(super) async fn fetch_piece(
        &self,
        key: &Key,
        file: &std::path::Path,
    ) -> Result<(), Failure> {
        if self.store.fetch(key, file).await.map_err(Error::from)? {
            Ok(())
        } else {
            Err(missing(key))
        }
    }

    async fn keep_pieces(
        &self,
        plan: &Plan,
        job: &Job,
        made: Vec<Mezzanine>,
    ) -> Result<(), Failure> {
        for Mezzanine { rendition, file } in made {
            let step = (job.step.as_str(), job.part);
            let key = layout::piece_of(&job.video, plan.attempt, step, &rendition.id);
            self.store
                .put_file(&key, &file)
                .await
                .map_err(Error::from)?;
        }
        Ok(())
    }

    async fn describe(&self, plan: &Plan, job: &Job, made: &impl Serialize) -> Result<(), Failure> {
        let key = layout::piece(&job.video, plan.attempt, job.step.as_str(), job.part);
        self.keep_json(&key, made).await
    }

    async fn keep_json(&self, key: &Key, value: &impl Serialize) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(value).map_err(|error| tool(error.to_string()))?;
        let stored = self.store.put(key, bytes.into()).await;
        stored.map_err(|error| Error::from(error).into())
    }

    async fn read_json<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Failure> {
        let Some(bytes) = self.store.read(key).await.map_err(Error::from)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes);
        value
            .map(Some)
            .map_err(|error| tool(format!("{key}: {error}")))
    }
}

/// Looks at what was made of a stretch: how many pictures, all on the grid, and what decoders must know.
/// A stretch behind the film's end has none. `None` where it is of no use.
async fn read_back(
    made: Vec<Mezzanine>,
    plan: &Plan,
    job: &Job,
) -> Result<Option<(u64, Vec<String>)>, Failure> {
    let finished = match index_all(made).await {
        Ok(finished) => finished,
        // Nothing was decoded: whether that is the film's end or damage is seen from the whole.
        Err(Failure::Refused(_)) => return Ok(Some((0, Vec::new()))),
        Err(failure) => return Err(failure),
    };
    let mut counts = Vec::new();
    let mut tracks = Vec::new();
    for Finished { index, .. } in &finished {
        if let Err(fault) = check_grid(index, &plan.ladder) {
            unfit(job, &fault.to_string());
            return Ok(None);
        }
        counts.push(u64::try_from(index.samples().len()).unwrap_or(u64::MAX));
        let track = format!("{:?}", index.track());
        tracks.push(Digest::of(track.as_bytes()).to_string());
    }
    counts.dedup();
    match counts[..] {
        [count] => Ok(Some((count, tracks))),
        _ => {
            unfit(job, "the rungs of a stretch differ in length");
            Ok(None)
        }
    }
}

/// Tells why a film is made in one piece after all: what an encoder makes of the same stretch is the same each time.
fn unfit(job: &Job, why: &str) {
    tracing::error!(video.id = %job.video, part = job.part, why, "{} is made in one piece instead: {why}", job.video);
}

/// Joins a rendition off the async threads; `false` when its pieces do not fit.
async fn join_all(pieces: Vec<Piece>, plan: &Plan, into: PathBuf) -> Result<bool, Failure> {
    let rate = plan.ladder.rate;
    let work = move || {
        let joined = join::join(&pieces, rate, &into);
        for piece in &pieces {
            // Room is short, and the whole is there.
            let _ = std::fs::remove_file(&piece.file);
        }
        joined
    };
    let joined = tokio::task::spawn_blocking(work).await;
    match joined.map_err(|stopped| tool(stopped.to_string()))? {
        Ok(()) => Ok(true),
        Err(fault @ join::Fault::Misfit(_)) => {
            tracing::error!(%fault, "a film is made in one piece instead");
            Ok(false)
        }
        Err(join::Fault::Io(fault)) => Err(encoding(fault.into())),
    }
}

/// All of a job.
const ALL: u16 = 1000;
