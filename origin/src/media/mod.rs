//! Bodies: text written from the indexes, segments packed out of ranged reads, pictures and texts as they lie.

mod packing;
mod things;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::{address::Flavour, asset::Asset, reason::Reason};
use moka::future::Cache;
use packager::{Presentation, Rendition, fmp4};
use store::{Key, layout};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    asked::Asked, config::Settings, content::Content, fault::Fault, library::Published, lock::Lock,
    metrics::Metrics, shelf::Shelf,
};
use packing::Parts;

pub(crate) use things::Thing;

/// Makes bodies.
pub(crate) struct Media {
    shelf: Arc<Shelf>,
    /// Permits are KiB of memory.
    memory: Arc<Semaphore>,
    memory_kib: u32,
    wait: Duration,
    /// What was written, by its entity tag, which stands for every byte of it.
    texts: Cache<String, Bytes>,
    metrics: Metrics,
}

/// All that a body is made from.
pub(crate) struct Job<'a> {
    pub(crate) asked: &'a Asked,
    pub(crate) published: &'a Published,
    pub(crate) cut: &'a Presentation,
    pub(crate) lock: Option<&'a Lock>,
}

impl Media {
    pub(crate) fn new(shelf: Arc<Shelf>, settings: &Settings, metrics: Metrics) -> Self {
        let most = u64::try_from(Semaphore::MAX_PERMITS)
            .unwrap_or(u64::MAX)
            .min(1 << 30);
        let memory_kib = u32::try_from((settings.pack_memory >> 10).min(most)).unwrap_or(1 << 30);
        let texts = Cache::builder()
            .max_capacity(settings.text_memory)
            .weigher(|tag: &String, text: &Bytes| {
                u32::try_from(tag.len() + text.len() + ENTRY).unwrap_or(u32::MAX)
            })
            .build();
        Self {
            shelf,
            memory: Arc::new(Semaphore::new(
                usize::try_from(memory_kib).unwrap_or(1 << 20),
            )),
            memory_kib,
            wait: settings.pack_wait,
            texts,
            metrics,
        }
    }

    /// The poster of a film, if it has one.
    pub(crate) async fn poster(&self, asset: &Asset) -> Result<Option<Bytes>, Fault> {
        self.shelf.read(&layout::poster(&asset.video)).await
    }

    /// The body of a thing, whose entity tag is `tag`.
    pub(crate) async fn body(
        &self,
        job: &Job<'_>,
        thing: Thing<'_>,
        tag: &str,
    ) -> Result<Content, Fault> {
        match thing {
            Thing::Init(rendition) => init(job, rendition),
            Thing::Key(rendition) => key(job, rendition),
            Thing::Segment(parts, number, flavour) => {
                self.segment(job, parts, number, flavour).await
            }
            Thing::Sheet(number, bytes) => {
                self.sheet(&job.published.edition.asset, number, bytes)
                    .await
            }
            thing => self.text(job, &thing, tag).await,
        }
    }

    /// Text is written once, and found again as long as it fits.
    async fn text(&self, job: &Job<'_>, thing: &Thing<'_>, tag: &str) -> Result<Content, Fault> {
        if let Some(text) = self.texts.get(tag).await {
            self.metrics.text_lookup(true);
            return Ok(text.into());
        }
        self.metrics.text_lookup(false);
        let text = thing.write(job)?.ok_or_else(Fault::not_found)?;
        self.texts.insert(tag.to_owned(), text.clone()).await;
        Ok(text.into())
    }

    async fn segment(
        &self,
        job: &Job<'_>,
        parts: Box<Parts>,
        number: u32,
        flavour: Flavour,
    ) -> Result<Content, Fault> {
        let claim = self.reserve(parts.weight(flavour, job.lock)).await?;
        let asset = &job.published.edition.asset;
        let mut sources = [Bytes::new(), Bytes::new()];
        for (track, source) in parts.tracks().zip(&mut sources) {
            if let Some(segment) = &track.segment {
                let key = layout::mezzanine(&asset.video, asset.generation, track.rendition.id());
                let read = self.shelf.read_range(&key, segment.bytes.clone()).await?;
                *source = read.ok_or_else(|| missing(&key))?;
            }
        }
        let timer = self.metrics.pack_seconds(flavour).start_timer();
        let packed = if Parts::is_work(flavour, job.lock) {
            let lock = job.lock.cloned();
            let work = move || parts.pack(number, flavour, &sources, lock.as_ref());
            tokio::task::spawn_blocking(work).await?
        } else {
            parts.pack(number, flavour, &sources, None)
        };
        timer.observe_duration();
        Ok(packed?.holding(claim))
    }

    /// A sheet of thumbnails, which must be as long as the description says.
    async fn sheet(&self, asset: &Asset, number: u32, bytes: u32) -> Result<Content, Fault> {
        let claim = self.reserve(u64::from(bytes)).await?;
        let key = layout::sheet(&asset.video, asset.generation, number);
        let sheet = self.shelf.read(&key).await?.ok_or_else(|| missing(&key))?;
        if u32::try_from(sheet.len()).ok() != Some(bytes) {
            return Err(Fault::corrupt(format!(
                "{key} is not as long as asset.json says"
            )));
        }
        Ok(Content::from(sheet).holding(claim))
    }

    /// Takes memory for a body's source and its packed form, kept until the body is sent.
    async fn reserve(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Fault> {
        let wanted = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let wanted = wanted.clamp(1, self.memory_kib);
        let permit = Arc::clone(&self.memory).acquire_many_owned(wanted);
        match tokio::time::timeout(self.wait, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Fault::new(
                Reason::Internal,
                "the memory for packing is closed",
            )),
            Err(_) => Err(Fault::new(Reason::Busy, "the memory for packing is taken")),
        }
    }
}

fn init(job: &Job<'_>, rendition: &Rendition) -> Result<Content, Fault> {
    let Some(lock) = job.lock else {
        return Ok(Bytes::from(fmp4::init(rendition.index(), None)).into());
    };
    if !lock.can_encrypt(job.cut, rendition)? {
        return Err(Fault::not_found());
    }
    let track = lock.protection.track(rendition)?;
    Ok(Bytes::from(fmp4::init(rendition.index(), Some(&track))).into())
}

/// The key as it is. Whoever may fetch the segments may fetch it: its film says so (`identity`), or it is no address.
fn key(job: &Job<'_>, rendition: &Rendition) -> Result<Content, Fault> {
    let lock = job.lock.ok_or_else(Fault::not_found)?;
    let track = lock.protection.track(rendition)?;
    Ok(Bytes::copy_from_slice(&track.key().value().0).into())
}

fn missing(key: &Key) -> Fault {
    Fault::corrupt(format!("{key} is missing"))
}

/// What a cache's entry takes beside its key and value.
const ENTRY: usize = 256;
