//! Subtitles as one rendition of a film.

use std::{sync::Arc, time::Duration};

use contracts::{address::Flavour, id::RenditionId};

use super::{Document, segment};
use crate::rates::{Rates, rate};

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
    /// What its segments take of a line, cut at `boundaries`: rising moments, the film's end among them.
    #[must_use]
    pub fn rates(&self, boundaries: &[Duration], flavour: Flavour) -> Rates {
        let lengths = segment::lengths(&self.document, boundaries, flavour);
        let durations = boundaries.windows(2).map(|pair| match pair {
            [start, end] => end.saturating_sub(*start),
            _ => Duration::ZERO,
        });
        let (mut bytes, mut whole) = (0u64, Duration::ZERO);
        let mut peak = 0;
        for (length, duration) in lengths.into_iter().zip(durations) {
            peak = peak.max(rate(length, duration));
            bytes = bytes.saturating_add(length);
            whole = whole.saturating_add(duration);
        }
        Rates {
            peak,
            average: rate(bytes, whole),
        }
    }
}
