//! What of a film can be watched before its ladder is made: its own picture and sounds, as they are.
//!
//! Once shown, they stay in the film with the same bytes under the same names: addresses of segments
//! do not tell of which generation they are, and players have begun.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use catalog::videos::Video;
use contracts::{
    asset::{Asset, Kind, Rendition, Still},
    id::Generation,
};
use packager::index::{Index, Sample};
use serde::{Deserialize, Serialize};
use store::layout;

use super::{
    Failure, PROBE_TIME, Pipeline, Plan, Room, encoding,
    film::{Film, Finished, index_all},
    probing, tool,
};
use crate::{
    Error,
    jobs::Job,
    media::{
        child::Limits,
        early::{self, Unfit},
        probe,
        remux::{Remux, SOURCE},
        transcode::Mezzanine,
    },
};

/// What is shown of a film while more of it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shown {
    /// Where it lies.
    pub(super) generation: Generation,
    /// The picture, then the sounds.
    pub(super) renditions: Vec<Rendition>,
}

impl Shown {
    /// What an asset shows.
    pub(super) fn of(asset: &Asset) -> Self {
        let kept = asset.renditions.iter();
        Self {
            generation: asset.generation,
            renditions: kept.filter(|of| of.kind != Kind::Text).cloned().collect(),
        }
    }

    /// Whether the source is all of its pictures.
    fn is_source(&self) -> bool {
        let kept = self.renditions.iter();
        let mut pictures = kept.filter(|of| of.kind == Kind::Video);
        let is_source = |of: &Rendition| of.id.as_str() == SOURCE;
        pictures.next().is_some_and(is_source) && pictures.next().is_none()
    }
}

impl Pipeline {
    /// Shows a film's source as it is, if it can be; then that is in the plan, and what it stands for needs
    /// not be made. What an earlier attempt showed is left as it is.
    pub(super) async fn show_early(
        &self,
        plan: Plan,
        job: &Job,
        video: &Video,
        room: &Room,
        confirm: Pin<&mut (impl Future<Output = Result<bool, Error>> + Send)>,
    ) -> Result<Plan, Failure> {
        let asset = match self.publishing.published(&job.video).await? {
            Some(asset) => asset,
            None if !self.tools.early => return Ok(plan),
            None => match self.begin_early(&plan, job, video, room).await? {
                Some(asset) if confirm.await? => asset,
                Some(_) => return Err(Failure::Lost),
                None => return Ok(plan),
            },
        };
        let shown = Shown::of(&asset);
        if !shown.is_source() {
            return Ok(plan);
        }
        if !self.publishing.show(asset).await? {
            return Err(Failure::Lost);
        }
        let index = self.index_of(job, &shown, 0).await?;
        match early::stands(&index, &plan.ladder) {
            Ok(stands) => Ok(plan.beside(shown, &stands)),
            Err(Unfit(why)) => Err(tool(format!("what is shown is not fit to be: {why}"))),
        }
    }

    /// Stores what can be shown, and tells what there is; `None` where the film is not fit for it.
    async fn begin_early(
        &self,
        plan: &Plan,
        job: &Job,
        video: &Video,
        room: &Room,
    ) -> Result<Option<Asset>, Failure> {
        let why = match self.source_as_it_is(plan, room).await {
            Ok(Ok((film, poster, stills))) => {
                self.keep(&film, job).await?;
                self.keep_poster(&poster, job).await?;
                self.keep_stills(&stills, room, job).await?;
                return Ok(Some(film.into_asset(job, video, (None, stills))));
            }
            Ok(Err(unfit)) => unfit.to_string(),
            // What is wrong with it, or here, is told when it is made: this need not be.
            Err(failure) => failure.to_string(),
        };
        tracing::info!(video.id = %job.video, "{} is not shown before it is made: {why}", job.video);
        room.clear()?;
        Ok(None)
    }

    /// Puts the source's own picture and sounds into mezzanines, looks at each, and makes the poster and
    /// the stills. All of it in the room: nothing here fails that a film cannot be made without.
    async fn source_as_it_is(
        &self,
        plan: &Plan,
        room: &Room,
    ) -> Result<Result<(Film, PathBuf, Vec<Still>), Unfit>, Failure> {
        let (facts, ladder) = (&plan.facts, &plan.ladder);
        if let Err(unfit) = early::is_worth_a_look(facts, ladder) {
            return Ok(Err(unfit));
        }
        let limits = Limits {
            time: PROBE_TIME,
            ..self.tools.limits
        };
        let wanted = (facts.picture.stream, early::looked_at(ladder.rate));
        let (source, folder) = (room.source(), room.folder());
        let keys = probe::key_pictures(&self.tools.ffprobe, &source, folder, wanted, limits).await;
        let keys = keys.map_err(probing)?;
        if let Err(unfit) = early::begins_on_grid(&keys, ladder.rate) {
            return Ok(Err(unfit));
        }
        let bound = self.bound(facts)?;
        let remux = Remux {
            source: &source,
            facts,
            rate: ladder.rate,
            bound,
            folder,
        };
        let limits = self.limits(facts)?;
        remux
            .run(&self.tools.ffmpeg, limits)
            .await
            .map_err(encoding)?;
        let mut finished = index_all(remux.mezzanines()).await?;
        for one in &mut finished {
            if let Err(unfit) = fit(one, plan).await? {
                return Ok(Err(unfit));
            }
        }
        let film = Film::of(finished, plan)?;
        bound.check(film.length)?;
        let poster = self.poster(&film, room).await?;
        let stills = self.stills(&film, room).await?;
        Ok(Ok((film, poster, stills)))
    }

    /// Tells what is shown of a film already, and fetches it where there are still images to be made of it.
    pub(super) async fn shown(
        &self,
        plan: &Plan,
        job: &Job,
        room: &Room,
    ) -> Result<Vec<Finished>, Failure> {
        let mut finished = Vec::new();
        let Some(mut shown) = plan.shown.clone() else {
            return Ok(finished);
        };
        // Who published the whole film and died before telling so has removed what was shown.
        if let Some(asset) = self.publishing.published(&job.video).await? {
            shown.generation = asset.generation;
        }
        for (at, rendition) in shown.renditions.iter().enumerate() {
            let index = self.index_of(job, &shown, at).await?;
            let file = room.folder().join(format!("{}.shown", rendition.id));
            if !job.step.is_further() {
                let key = layout::mezzanine(&job.video, shown.generation, &rendition.id);
                self.fetch_piece(&key, &file).await?;
            }
            finished.push(Finished {
                mezzanine: Mezzanine {
                    rendition: rendition.clone(),
                    file,
                },
                index: Arc::new(index),
                lies: Some(shown.generation),
            });
        }
        Ok(finished)
    }

    async fn index_of(&self, job: &Job, shown: &Shown, at: usize) -> Result<Index, Failure> {
        let rendition = shown.renditions.get(at);
        let rendition = rendition.ok_or_else(|| tool("nothing is shown".to_owned()))?;
        let key = layout::index(&job.video, shown.generation, &rendition.id);
        let bytes = self.store.read(&key).await.map_err(Error::from)?;
        let bytes = bytes.ok_or_else(|| tool(format!("{key} is not in the store")))?;
        Index::decode(&bytes).map_err(|fault| tool(format!("{key}: {fault}")))
    }
}

/// Looks at one file of the source; a picture's key pictures are from then on those of the ladder.
async fn fit(finished: &mut Finished, plan: &Plan) -> Result<Result<(), Unfit>, Failure> {
    if finished.mezzanine.rendition.kind == Kind::Audio {
        return Ok(early::is_steady(&finished.index));
    }
    let trimmed = early::on_grid(&finished.index, plan.ladder.rate);
    let trimmed = trimmed.and_then(|index| early::stands(&index, &plan.ladder).map(|_| index));
    let index = match trimmed {
        Ok(index) => Arc::new(index),
        Err(unfit) => return Ok(Err(unfit)),
    };
    finished.index = Arc::clone(&index);
    let file = finished.mezzanine.file.clone();
    let looked = tokio::task::spawn_blocking(move || look(&file, &index)).await;
    looked
        .map_err(|stopped| tool(stopped.to_string()))?
        .map_err(|fault| tool(fault.to_string()))
}

/// Looks at the picture that begins each group.
fn look(file: &Path, index: &Index) -> io::Result<Result<(), Unfit>> {
    let mut file = File::open(file)?;
    let mut picture = Vec::new();
    let heads = index.heads().iter();
    for Sample { offset, size, .. } in heads.filter_map(|head| index.samples().get(*head)) {
        if *size > MOST_PICTURE_BYTES {
            return Ok(Err(Unfit("it has too many bits")));
        }
        file.seek(SeekFrom::Start(*offset))?;
        picture.clear();
        file.by_ref()
            .take((*size).into())
            .read_to_end(&mut picture)?;
        if let Err(unfit) = early::is_fresh_start(index, &picture) {
            return Ok(Err(unfit));
        }
    }
    Ok(Ok(()))
}

/// More than a picture has of any source that is served as it is.
const MOST_PICTURE_BYTES: u32 = 32 << 20;
