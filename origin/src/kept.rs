//! Answers kept whole: what was written and dressed once is sent again as it is.

use std::sync::{Arc, Weak};

use contracts::keys::ContentKeys;
use moka::sync::Cache;

use crate::{
    answer::Answer,
    content::Content,
    dress::Kind,
    keys::Since,
    library::{Film, Library, Origins, Published},
    media::Job,
    metrics::{Lookups, Metrics},
};

/// Answers by their targets.
pub(crate) struct Kept {
    answers: Cache<String, Arc<Ready>>,
    metrics: Metrics,
}

/// An answer, and all that it was made of.
pub(crate) struct Ready {
    pub(crate) kind: Kind,
    pub(crate) answer: Answer,
    made_of: Origins,
    /// What is kept of a film must not keep the film.
    film: Weak<Film>,
    keys: Option<Arc<ContentKeys>>,
}

impl Ready {
    /// An answer to what the job is about.
    pub(crate) fn new(job: &Job, answer: Answer) -> Self {
        let Published { edition, film } = &job.published;
        Self {
            kind: Kind::of(&job.asked.address.item),
            answer,
            made_of: edition.origins(),
            film: Arc::downgrade(film),
            keys: job.lock().map(|lock| Arc::clone(&lock.keys)),
        }
    }
}

impl Kept {
    /// Keeps so many bytes.
    pub(crate) fn new(memory: u64, metrics: Metrics) -> Self {
        let weight = |target: &String, ready: &Arc<Ready>| {
            let body = ready.answer.body().map_or(0, Content::len);
            u32::try_from(target.len() + body + ENTRY).unwrap_or(u32::MAX)
        };
        Self {
            answers: Cache::builder()
                .max_capacity(memory)
                .weigher(weight)
                .build(),
            metrics,
        }
    }

    /// The answer to a target if it is known, without asking anybody, that it would be made the same now.
    ///
    /// None says nothing: then the request takes the long way, on which [`body`](Self::body) is found again.
    pub(crate) async fn ready(
        &self,
        target: &str,
        library: &Library,
        keys: Option<Since<'_>>,
    ) -> Option<Arc<Ready>> {
        let ready = self.answers.get(target)?;
        if !library.is_current(&ready.made_of, &ready.film).await {
            return None;
        }
        if let Some(used) = &ready.keys {
            let current = keys?.at_hand(&ready.made_of.video).await?;
            if !Arc::ptr_eq(used, &current) {
                return None;
            }
        }
        self.metrics.texts.hit.inc();
        Some(ready)
    }

    /// The body of an answer with this tag, which stands for every byte of it. None: it has to be written.
    pub(crate) fn body(&self, target: &str, etag: &str) -> Option<Content> {
        let ready = self.answers.get(target);
        let ready = ready.filter(|ready| ready.answer.etag() == etag);
        let body = ready.and_then(|ready| ready.answer.body().cloned());
        let Lookups { hit, miss } = &self.metrics.texts;
        if body.is_some() { hit } else { miss }.inc();
        body
    }

    /// Keeps an answer to a target in its one spelling, as long as there is room.
    pub(crate) fn keep(&self, target: String, ready: Ready) {
        self.answers.insert(target, Arc::new(ready));
    }
}

/// What an entry takes beside its target and its body: the fields of its head, and what it was made of.
const ENTRY: usize = 2 << 10;
