//! Subtitles as one rendition of a film.

use std::{sync::Arc, time::Duration};

use contracts::{address::Flavour, id::RenditionId};

use super::{Document, segment};
use crate::rates::{NANOS, Rates};

/// The subtitles of a film in one language, and what viewers choose them by.
#[derive(Clone, Debug)]
pub struct Track {
    /// Its name in URLs: `text-{lang}`.
    pub id: RenditionId,
    /// BCP 47 tag of its language.
    pub language: Option<String>,
    /// What viewers choose it by, where the language does not say enough.
    pub label: Option<String>,
    /// Its cues.
    pub document: Arc<Document>,
}

impl Track {
    /// What its segments take of a line, cut at `boundaries`: rising moments, the film's end among them. `target` is
    /// the playlist's target duration in seconds.
    #[must_use]
    pub fn rates(&self, boundaries: &[Duration], target: u64, flavour: Flavour) -> Rates {
        let lengths = segment::lengths(&self.document, boundaries, flavour);
        let durations = boundaries.windows(2).map(|pair| match pair {
            [start, end] => end.saturating_sub(*start),
            _ => Duration::ZERO,
        });
        let nanos = durations.map(|length| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        let segments: Vec<(u64, u64)> = lengths.into_iter().zip(nanos).collect();
        Rates::of(&segments, target, NANOS)
    }
}
