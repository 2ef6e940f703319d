//! Cutting subtitles where the film is cut (RFC 8216 §3.5).

use std::time::Duration;

use contracts::address::Flavour;

use crate::ts;

use super::{
    Document,
    webvtt::{write_cue, write_head},
};

/// Writes the segment of the film's interval from `start` until just before `end`, as WebVTT.
///
/// It holds every cue that is on screen at some time of the interval, whole and with its own times: RFC 8216 §3.5
/// repeats a cue that spans a boundary in each segment, and players know it again. Styles and regions are in each
/// segment. A segment without cues is WebVTT too.
#[must_use]
pub fn segment(document: &Document, start: Duration, end: Duration, flavour: Flavour) -> String {
    let mut out = String::new();
    write_head(&mut out, timestamp_map(flavour).as_deref(), document.head());
    for cue in document.cues_within(start, end) {
        write_cue(&mut out, cue);
    }
    out
}

/// The lengths in bytes of the segments between each two neighbours of `boundaries`, without writing them.
///
/// A cue is measured once and counted where it comes and where it goes, however many segments repeat it.
pub(super) fn lengths(document: &Document, boundaries: &[Duration], flavour: Flavour) -> Vec<u64> {
    let (Some((_, starts)), Some((_, ends))) = (boundaries.split_last(), boundaries.split_first())
    else {
        return Vec::new();
    };
    // By how much each segment is longer than the one before it.
    let mut changes = vec![0i64; ends.len() + 1];
    for cue in document.cues() {
        let first = ends.partition_point(|&end| end <= cue.start);
        let behind = starts.partition_point(|&start| start < cue.end);
        let length = written(|out| write_cue(out, cue));
        for (at, change) in [(first, length), (behind.max(first), -length)] {
            if let Some(sum) = changes.get_mut(at) {
                *sum = sum.saturating_add(change);
            }
        }
    }
    let head = written(|out| write_head(out, timestamp_map(flavour).as_deref(), document.head()));
    let lengths = changes.iter().scan(head, |length, change| {
        *length = length.saturating_add(*change);
        Some(u64::try_from(*length).unwrap_or(0))
    });
    lengths.take(ends.len()).collect()
}

fn written(write: impl FnOnce(&mut String)) -> i64 {
    let mut out = String::new();
    write(&mut out);
    i64::try_from(out.len()).unwrap_or(i64::MAX)
}

/// Where the cues' clock stands on the film's (RFC 8216 §3.5). CMAF begins at 0, which needs no word.
fn timestamp_map(flavour: Flavour) -> Option<String> {
    match flavour {
        Flavour::Cmaf => None,
        Flavour::Ts => Some(format!(
            "X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{}",
            ts::FILM_BEGINS
        )),
    }
}
