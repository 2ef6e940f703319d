//! How long segments last, in the words of playlists: microseconds, their sum exact over a long film.

use contracts::address::Flavour;

use crate::presentation::{Presentation, Rendition, Segment};

/// The lengths of a rendition's segments. Sound that outlasts the picture it is muxed with goes on alone, or lengthens
/// the last segment, which lasts until then in any case: a playlist has no holes.
pub(crate) fn of(film: &Presentation, rendition: &Rendition, flavour: Flavour) -> Vec<u64> {
    let mut lengths = between(rendition, 0, rendition.segments());
    if let (Flavour::Ts, Some(sound)) = (flavour, film.companion(rendition)) {
        let behind = rendition.segment_count().saturating_add(1);
        let alone = behind..=film.ts_segment_count(rendition);
        let alone = alone.filter_map(|number| film.ts_segment(rendition, number)?.sound);
        let mut alone = alone.peekable();
        let first = alone.peek().map(|segment| segment.start);
        let until = micros(sound, first.unwrap_or_else(|| sound.index().end()));
        if let Some(last) = lengths.last_mut() {
            let end = micros(rendition, rendition.index().end());
            *last = last.saturating_add(until.saturating_sub(end));
        }
        lengths.extend(between(sound, first.unwrap_or(0), alone));
    }
    lengths
}

/// The lengths of a rendition's I-frames.
pub(crate) fn of_iframes(rendition: &Rendition) -> Vec<u64> {
    between(
        rendition,
        0,
        rendition.iframes().map(|iframe| iframe.segment()),
    )
}

/// The lengths of segments or I-frames of a rendition, the first counted from the moment `from`: a playlist has no
/// holes, so what begins late has to fill the time before it, lest all that follows stands too early in the playlist.
/// Rounding the moments, not the lengths, keeps their sum exact.
fn between(rendition: &Rendition, from: u64, segments: impl Iterator<Item = Segment>) -> Vec<u64> {
    let mut told = micros(rendition, from);
    segments
        .map(|segment| {
            let end = micros(rendition, segment.start.saturating_add(segment.duration));
            let start = std::mem::replace(&mut told, end);
            end.saturating_sub(start)
        })
        .collect()
}

/// The lengths of the film's intervals, by which subtitles are cut.
pub(crate) fn intervals(film: &Presentation) -> Vec<u64> {
    let micros = |length: &std::time::Duration| {
        u64::try_from((length.as_nanos() + 500) / 1000).unwrap_or(u64::MAX)
    };
    let pairs = film.boundaries().windows(2);
    pairs
        .map(|pair| match pair {
            [start, end] => micros(end).saturating_sub(micros(start)),
            _ => 0,
        })
        .collect()
}

/// The longest of lengths, rounded to a second (RFC 8216 §4.3.3.1); at least 1.
pub(crate) fn target(lengths: impl IntoIterator<Item = u64>) -> u64 {
    let longest = lengths.into_iter().max().unwrap_or(0);
    (longest.saturating_add(SECOND / 2) / SECOND).max(1)
}

/// A moment of a rendition in microseconds, rounded.
fn micros(rendition: &Rendition, ticks: u64) -> u64 {
    let timescale = rendition.index().track().timescale;
    // A film of days stays within 64 bits, which are divided many times faster than 128.
    if let Some(scaled) = ticks.checked_mul(SECOND) {
        return scaled.saturating_add(u64::from(timescale / 2)) / u64::from(timescale);
    }
    let timescale = u128::from(timescale);
    let micros = (u128::from(ticks) * u128::from(SECOND) + timescale / 2) / timescale;
    u64::try_from(micros).unwrap_or(u64::MAX)
}

pub(crate) const SECOND: u64 = 1_000_000;
