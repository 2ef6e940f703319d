//! What a film is to have besides in further codecs, which is made once it is ready in H.264.
//!
//! It is put beside what is published, of which every byte, name and cut stays: addresses of segments do not
//! tell of which generation they are, and players have begun. Whatever becomes of it, the film stays ready.

use catalog::videos::State;
use contracts::{asset::Asset, id::RenditionId};
use store::layout;

use super::{Failure, Pipeline, Plan, Room, early::Shown, generation, ladder, missing};
use crate::{
    Error,
    jobs::{Job, NewJob, Step},
    media::codec::Codec,
};

impl Pipeline {
    /// The job that a film wants once this one is done: it is ready, and more is to be made of it than H.264.
    /// That is less urgent than any film that nobody can watch yet.
    pub(crate) async fn behind(&self, job: &Job) -> Result<Option<NewJob>, Error> {
        let is_last = matches!(job.step, Step::Publish | Step::Finish);
        if !is_last || self.tools.codecs.iter().all(|of| *of == Codec::H264) {
            return Ok(None);
        }
        let film = self.videos.find(&job.video).await?;
        if film.is_none_or(|film| film.state != State::Ready) {
            return Ok(None);
        }
        let original = self.queue.original(&job.video).await?;
        Ok(original.map(|original| NewJob {
            step: Step::Further,
            priority: job.priority.saturating_sub(1),
            ..NewJob::first(job.video.clone(), original, job.owner.clone())
        }))
    }

    /// Plans the further rungs of a film; `None` where it has all.
    pub(super) async fn plan_further(
        &self,
        job: &Job,
        room: &Room,
    ) -> Result<Option<Plan>, Failure> {
        let asset = self.whole_asset(job).await?;
        self.fetch(&job.input, room).await?;
        let facts = self.probe(room).await?;
        let mut further = ladder(&facts).further(&self.tools.codecs);
        let has = |id: &RenditionId| asset.renditions.iter().any(|of| of.id == *id);
        further.rungs.retain(|rung| !has(&rung.id));
        if further.rungs.is_empty() {
            self.count(job).await?;
            return Ok(None);
        }
        let stretch = self.tools.stretch;
        let shown = Shown::of(&asset);
        Ok(Some(Plan::further(job, facts, further, stretch, shown)))
    }

    /// Publishes a film with its further rungs.
    pub(super) async fn put_beside(
        &self,
        plan: &Plan,
        job: &Job,
        room: &Room,
        confirm: impl Future<Output = Result<bool, Error>> + Send,
    ) -> Result<(), Failure> {
        let asset = self.whole_asset(job).await?;
        let shown = plan.shown.as_ref().map(|shown| shown.generation);
        if shown != Some(asset.generation) {
            return Ok(self.count(job).await?);
        }
        let film = self.put_together(plan, job, room).await?;
        self.keep(&film, job).await?;
        self.copy_images(&asset, job).await?;
        if !confirm.await? {
            return Err(Failure::Lost);
        }
        let asset = Asset {
            generation: generation(job),
            renditions: film.into_renditions(),
            ..asset
        };
        if !self.publishing.reveal(asset, State::Ready).await? {
            return Err(Failure::Lost);
        }
        // The plan stays until the job is done: without it nobody could tell that it is.
        self.forget_generations(job, generation(job)).await;
        Ok(())
    }

    /// Has what is published count: an earlier attempt may have died, or lost the catalogue, before that.
    async fn count(&self, job: &Job) -> Result<(), Error> {
        let counts = self.publishing.conclude(&job.video, State::Ready).await?;
        if let Some(generation) = counts {
            self.forget_generations(job, generation).await;
        }
        Ok(())
    }

    /// What is published of a film that is ready.
    async fn whole_asset(&self, job: &Job) -> Result<Asset, Failure> {
        let asset = self.publishing.published(&job.video).await?;
        asset.ok_or_else(|| missing(&layout::asset(&job.video)))
    }
}
