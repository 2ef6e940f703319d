//! Bodies: text written from the indexes, segments packed out of ranged reads, pictures and texts as they lie.

mod packing;
mod things;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use contracts::{address::Flavour, asset::Asset};
use packager::{Presentation, Rendition};
use store::{Key, layout};

use crate::{
    asked::Asked,
    content::Content,
    fault::Fault,
    library::Published,
    lock::Lock,
    memory::Claim,
    metrics::Metrics,
    shelf::{Shelf, held},
};
use packing::Parts;

pub(crate) use things::Thing;

/// Makes bodies.
pub(crate) struct Media {
    shelf: Arc<Shelf>,
    metrics: Metrics,
}

/// All that a body is made from.
pub(crate) struct Job {
    pub(crate) asked: Asked,
    pub(crate) published: Published,
    pub(crate) cut: Arc<Presentation>,
    lock: OnceLock<Lock>,
}

impl Job {
    /// What is asked of a film in one of its cuts; in the clear, for now.
    pub(crate) const fn new(asked: Asked, published: Published, cut: Arc<Presentation>) -> Self {
        Self {
            asked,
            published,
            cut,
            lock: OnceLock::new(),
        }
    }

    /// Says how it is encrypted, before anything is made.
    pub(crate) fn encrypt_with(&self, lock: Lock) {
        let _ = self.lock.set(lock);
    }

    /// How it is encrypted, if it is.
    pub(crate) fn lock(&self) -> Option<&Lock> {
        self.lock.get()
    }

    /// What is asked for; none when the film has no such thing.
    pub(crate) fn thing(&self) -> Option<Thing<'_>> {
        Thing::find(&self.published, &self.cut, &self.asked.address.item)
    }
}

impl Media {
    pub(crate) const fn new(shelf: Arc<Shelf>, metrics: Metrics) -> Self {
        Self { shelf, metrics }
    }

    /// The poster of a film, if it has one.
    pub(crate) async fn poster(&self, asset: &Asset) -> Result<Option<(Bytes, Claim)>, Fault> {
        self.shelf.read(&layout::poster(&asset.video)).await
    }

    /// The body of a thing that is not written.
    pub(crate) async fn body(&self, job: &Job, thing: Thing<'_>) -> Result<Content, Fault> {
        match thing {
            Thing::Key(rendition) => key(job, rendition),
            Thing::Segment(parts, number, flavour) => {
                self.segment(job, parts, number, flavour).await
            }
            Thing::Sheet(number, bytes) => {
                let asset = &job.published.edition.asset;
                let key = layout::sheet(&asset.video, asset.generation, number);
                self.image(&key, bytes).await
            }
            Thing::Still(which, bytes) => {
                let asset = &job.published.edition.asset;
                let key = layout::still(&asset.video, asset.generation, which);
                self.image(&key, bytes).await
            }
            _ => Err(Fault::not_found()),
        }
    }

    /// What is written, and the claim under which it was.
    pub(crate) async fn write(
        &self,
        job: &Arc<Job>,
        thing: Thing<'_>,
    ) -> Result<(Content, Claim), Fault> {
        let weight = thing.weight(job);
        let claim = self.shelf.memory().take(weight).await?;
        let text = if weight < LONG {
            thing.write(job)?
        } else {
            let (job, claim) = (Arc::clone(job), Arc::clone(&claim));
            let work = move || {
                let text = job.thing().map_or(Ok(None), |thing| thing.write(&job));
                drop(claim);
                text
            };
            tokio::task::spawn_blocking(work).await??
        };
        let text = text.ok_or_else(Fault::not_found)?;
        debug_assert!(
            u64::try_from(text.len()).is_ok_and(|length| length <= weight),
            "a text is longer than was claimed for it"
        );
        Ok((text.into(), claim))
    }

    async fn segment(
        &self,
        job: &Job,
        parts: Box<Parts>,
        number: u32,
        flavour: Flavour,
    ) -> Result<Content, Fault> {
        if !parts.can_be_locked(job.lock())? {
            return Err(Fault::not_found());
        }
        let claim = self
            .shelf
            .memory()
            .take(parts.weight(flavour, job.lock()))
            .await?;
        let asset = &job.published.edition.asset;
        let mut sources = [Bytes::new(), Bytes::new()];
        for (track, source) in parts.tracks().zip(&mut sources) {
            if let Some(segment) = &track.segment {
                let key = layout::mezzanine(&asset.video, asset.generation, track.rendition.id());
                let range = segment.bytes.clone();
                let read = self.shelf.read_range(&key, range, &claim).await?;
                *source = read.ok_or_else(|| missing(&key))?;
            }
        }
        let timer = self.metrics.pack_seconds(flavour).start_timer();
        let packed = if Parts::is_work(flavour, job.lock()) {
            let (lock, claim) = (job.lock().cloned(), Arc::clone(&claim));
            let work = move || {
                let packed = parts.pack(number, flavour, &sources, lock.as_ref());
                // Who waits for it holds the claim too; the packing goes on without.
                packed.map(|packed| packed.holding(&claim))
            };
            tokio::task::spawn_blocking(work).await?
        } else {
            let packed = parts.pack(number, flavour, &sources, None);
            packed.map(|packed| packed.holding(&claim))
        };
        timer.observe_duration();
        packed
    }

    /// A picture of a generation, which must be as long as the description says.
    async fn image(&self, key: &Key, bytes: u32) -> Result<Content, Fault> {
        let claim = self.shelf.memory().take(held(u64::from(bytes))).await?;
        let image = self.shelf.read_claimed(key, &claim).await?;
        let image = image.ok_or_else(|| missing(key))?;
        if u32::try_from(image.len()).ok() != Some(bytes) {
            return Err(Fault::corrupt(format!(
                "{key} is not as long as asset.json says"
            )));
        }
        Ok(Content::from(image).holding(&claim))
    }
}

/// The key as it is. Whoever may fetch the segments may fetch it: its film says so (`identity`), or it is no address.
fn key(job: &Job, rendition: &Rendition) -> Result<Content, Fault> {
    let lock = job.lock().ok_or_else(Fault::not_found)?;
    let track = lock.protection.track(rendition)?;
    Ok(Bytes::copy_from_slice(&track.key().value().0).into())
}

fn missing(key: &Key) -> Fault {
    Fault::corrupt(format!("{key} is missing"))
}

/// What takes so many bytes to write, at most, is written where other answers do not wait for it.
const LONG: u64 = 128 << 10;
