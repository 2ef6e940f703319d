//! One rendition along its segments: lengths, borders, bandwidth.

use super::fmp4::Init;
use super::{Facts, Stream};
use crate::play::manifest::{Bandwidth, Kind, Rendition, Segment};

/// A fetched segment: its size, and what it holds, where that could be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    pub(crate) facts: Option<Facts>,
}

/// Faults along the segments: the segment's index, and a predicate about it.
pub(crate) fn check(promised: &[Segment], fetched: &[Fetched]) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let mut before: Option<&Facts> = None;
    for (index, (segment, got)) in promised.iter().zip(fetched).enumerate() {
        let Some(facts) = &got.facts else {
            before = None;
            continue;
        };
        let mut found = Vec::new();
        let following = promised.get(index + 1);
        check_times(segment, facts, following, &mut found);
        if let Some(before) = before.filter(|_| !segment.discontinuity) {
            check_border(before, facts, &mut found);
        }
        faults.extend(found.into_iter().map(|fault| (index, fault)));
        before = Some(facts);
    }
    faults
}

fn check_times(
    segment: &Segment,
    facts: &Facts,
    following: Option<&Segment>,
    faults: &mut Vec<String>,
) {
    let Some(stream) = facts.leading() else {
        return;
    };
    let tolerance = tolerance(segment, stream, following);
    // What nothing follows lasts until the last of its streams ends.
    let latest = match following {
        Some(_) => stream.end,
        None => latest(facts, stream),
    };
    // A manifest's times may be the media's own, or what an edit list makes of them.
    let edited = (stream.start - stream.skipped).max(0);
    let readings = [
        (stream.start, stream.end),
        (edited, stream.end - stream.skipped),
        (stream.start, latest),
    ];
    let mut wrongs = readings.map(|(start, end)| {
        let length = stream.seconds(end - start);
        let start = stream.seconds(start);
        let promised = segment.start.filter(|_| !stream.wraps);
        if (length - segment.seconds).abs() > tolerance {
            let promised = segment.seconds;
            Some(format!(
                "plays {length:.6} s where the manifest says {promised:.6} s"
            ))
        } else if promised.is_some_and(|promised| (start - promised).abs() > tolerance) {
            let promised = promised.unwrap_or_default();
            Some(format!(
                "begins at {start:.6} s where the manifest says {promised:.6} s"
            ))
        } else {
            None
        }
    });
    if wrongs.iter().all(Option::is_some) {
        faults.extend(wrongs.first_mut().and_then(Option::take));
    }
}

/// When the last of the streams that share this one's clock ends.
fn latest(facts: &Facts, stream: &Stream) -> i64 {
    let others = facts.streams.iter().filter(|one| one.scale == stream.scale);
    let after = others.map(|one| stream.between(stream.end, one.end)).max();
    stream.end + after.unwrap_or(0).max(0)
}

/// A transport stream does not say how long its last picture is shown; of a single one at the film's end, only the
/// manifest does.
fn tolerance(segment: &Segment, stream: &Stream, following: Option<&Segment>) -> f64 {
    let single = stream.wraps && stream.frame <= 1 && following.is_none();
    let own = if stream.wraps { stream.frame } else { 1 };
    let shown = if single { segment.seconds } else { 0.0 };
    segment.tolerance + stream.seconds(own).max(shown)
}

fn check_border(before: &Facts, facts: &Facts, faults: &mut Vec<String>) {
    for stream in &facts.streams {
        let Some(last) = before.streams.iter().find(|one| one.id == stream.id) else {
            faults.push(format!(
                "has a stream {} that the segment before it has not",
                stream.id
            ));
            continue;
        };
        let gap = stream.between(last.end, stream.start);
        if gap.abs() > last.slack {
            faults.push(format!(
                "begins {:+.6} s away from the end of the segment before it (stream {}: {} where {} follows)",
                stream.seconds(gap),
                stream.id,
                stream.start,
                last.end
            ));
        }
    }
    for missing in &before.streams {
        if !facts.streams.iter().any(|one| one.id == missing.id) {
            faults.push(format!(
                "lacks the stream {} of the segment before it",
                missing.id
            ));
        }
    }
    for (pid, counter) in &facts.counters {
        let Some(last) = before.counters.get(pid) else {
            continue;
        };
        let expected = (last.last + 1) & 0xf;
        if counter.first != expected && !counter.breaks {
            faults.push(format!(
                "has a continuity counter of {} at the first packet of PID {pid} where {expected} follows from the segment before it",
                counter.first
            ));
        }
    }
}

/// What an init says against what the manifest says; predicates about the init.
pub(crate) fn check_init(rendition: &Rendition, init: &Init) -> Vec<String> {
    let mut faults = Vec::new();
    let listed = rendition.codecs.as_deref().unwrap_or_default();
    for track in &init.tracks {
        let Some(codec) = &track.entry.codec else {
            continue;
        };
        let named = listed
            .split(',')
            .any(|one| one.trim().eq_ignore_ascii_case(codec));
        if !listed.is_empty() && !named {
            faults.push(format!(
                "holds {codec} where the manifest says \"{listed}\""
            ));
        }
    }
    let picture = init.tracks.iter().find(|track| track.picture);
    if let (Some((width, height)), Some(track)) = (rendition.size, picture) {
        let fits = |size: (u32, u32)| (u64::from(size.0), u64::from(size.1)) == (width, height);
        let coded = track.entry.size.unwrap_or_default();
        if !fits(coded) && !fits(track.shown_size) {
            faults.push(format!(
                "holds pictures of {}x{} where the manifest says {width}x{height}",
                coded.0, coded.1
            ));
        }
    }
    if rendition.kind == Kind::Video && picture.is_none() {
        faults.push("holds no picture, where the manifest says video".to_owned());
    }
    if rendition.kind == Kind::Audio && init.tracks.iter().all(|track| track.picture) {
        faults.push("holds no sound, where the manifest says audio".to_owned());
    }
    faults
}

/// What a transport stream announces against what the manifest says; predicates about a segment.
pub(crate) fn check_codecs(rendition: &Rendition, facts: &Facts) -> Vec<String> {
    let listed = rendition.codecs.as_deref().unwrap_or_default();
    let strange = facts.codecs.iter().filter(|found| {
        !listed.is_empty() && !listed.split(',').any(|one| one.trim().starts_with(**found))
    });
    strange
        .map(|found| format!("holds {found}… where the manifest says \"{listed}\""))
        .collect()
}

/// The peak segment bit rate in bits a second, RFC 8216 §4.1: over runs of segments whose length is
/// between half and one and a half of the target duration.
pub(crate) fn peak(rendition: &Rendition, fetched: &[Fetched]) -> f64 {
    let longest = rendition
        .segments
        .iter()
        .map(|segment| segment.seconds)
        .fold(0.0, f64::max);
    let target = rendition.target.unwrap_or(longest);
    let spans: Vec<(f64, f64)> = spans(rendition, fetched).collect();
    let mut peak = 0.0_f64;
    for first in 0..spans.len() {
        let (mut seconds, mut bits) = (0.0, 0.0);
        for (length, size) in spans.iter().skip(first) {
            seconds += length;
            bits += size;
            if seconds > 1.5 * target {
                break;
            }
            if seconds >= 0.5 * target && seconds > 0.0 {
                peak = peak.max(bits / seconds);
            }
        }
    }
    if peak == 0.0 {
        let (seconds, bits) = spans
            .iter()
            .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if seconds > 0.0 {
            peak = bits / seconds;
        }
    }
    peak
}

/// The bandwidth of a DASH representation; `None` when it suffices, else what would have.
pub(crate) fn short_of_buffer(rendition: &Rendition, fetched: &[Fetched]) -> Option<f64> {
    let Some(Bandwidth::Buffered {
        bits_per_s,
        buffer_s,
    }) = rendition.bandwidth
    else {
        return None;
    };
    // The buffer holds, as long as no run of segments brings more than `limit` over its own time
    // and the buffer's.
    let limit = as_f64(bits_per_s) * MARGIN;
    let mut needed: Option<f64> = None;
    let (mut bits, mut seconds) = (0.0, 0.0);
    for (length, size) in spans(rendition, fetched) {
        if bits < limit * seconds {
            (bits, seconds) = (0.0, 0.0);
        }
        bits += size;
        seconds += length;
        let rate = bits / (buffer_s + seconds);
        if rate > limit {
            needed = Some(needed.unwrap_or(0.0).max(rate));
        }
    }
    needed
}

/// Length in seconds and size in bits of every segment.
fn spans<'a>(
    rendition: &'a Rendition,
    fetched: &'a [Fetched],
) -> impl Iterator<Item = (f64, f64)> + 'a {
    let both = rendition.segments.iter().zip(fetched);
    both.map(|(segment, got)| (segment.seconds, 8.0 * as_f64(got.bytes)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes and rates are far below 2^52"
)]
pub(crate) fn as_f64(whole: u64) -> f64 {
    whole as f64
}

/// How far a measured rate may be above the promised one.
pub(crate) const MARGIN: f64 = 1.1;

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of a transport stream that is promised to last so long, with a picture and a sound that end then.
    fn told(seconds: f64, picture: (i64, i64), sound: i64) -> (Segment, Fetched) {
        let stream = |id, frame, end| Stream {
            id,
            picture: id == 256,
            scale: 90_000,
            start: 0,
            end,
            shown: 0,
            skipped: 0,
            frame,
            slack: 90,
            wraps: true,
        };
        let (frame, end) = picture;
        let facts = Facts {
            streams: vec![stream(256, frame, end), stream(257, 1920, sound)],
            ..Facts::default()
        };
        let segment = Segment {
            url: "http://localhost/1.ts".parse().unwrap(),
            seconds,
            tolerance: 0.001,
            start: None,
            discontinuity: true,
            seal: None,
        };
        let fetched = Fetched {
            bytes: 188,
            facts: Some(facts),
        };
        (segment, fetched)
    }

    fn faults(segments: Vec<(Segment, Fetched)>) -> usize {
        let (promised, fetched): (Vec<_>, Vec<_>) = segments.into_iter().unzip();
        check(&promised, &fetched).len()
    }

    #[test]
    fn the_last_segment_lasts_until_its_sound_ends_and_no_other_does() {
        let longer = || told(2.07, (3600, 180_000), 186_300);
        let whole = || told(2.0, (3600, 180_000), 180_000);
        assert_eq!(faults(vec![whole(), longer()]), 0);
        assert_eq!(faults(vec![longer(), whole()]), 1);
        assert_eq!(faults(vec![told(2.5, (3600, 180_000), 186_300)]), 1);
    }

    #[test]
    fn how_long_a_single_picture_is_shown_only_the_manifest_says() {
        assert_eq!(faults(vec![told(0.04, (1, 0), 0)]), 0);
        let next = told(2.0, (3600, 180_000), 180_000);
        assert_eq!(faults(vec![told(0.04, (1, 0), 0), next]), 1);
    }
}
