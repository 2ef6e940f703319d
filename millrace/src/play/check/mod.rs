//! What is checked: each segment for itself, a rendition along its segments, renditions together.

pub(super) mod answer;
mod atoms;
mod bytes;
pub(super) mod fmp4;
mod pes;
mod sample_entry;
pub(super) mod sequence;
pub(super) mod together;
pub(super) mod ts;

use std::collections::BTreeMap;

/// What a segment turned out to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) streams: Vec<Stream>,
    /// The continuity counters of a transport stream, by PID.
    pub(super) counters: BTreeMap<u16, Counter>,
    /// How the names of a transport stream's codecs begin.
    pub(super) codecs: Vec<&'static str>,
}

impl Facts {
    /// The stream that the manifest's times are about: the picture if there is one.
    pub(super) fn leading(&self) -> Option<&Stream> {
        let picture = self.streams.iter().find(|stream| stream.picture);
        picture.or_else(|| self.streams.first())
    }
}

/// One stream of a segment; times are ticks of `scale` a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    /// The track id, or the PID.
    pub(super) id: u32,
    pub(super) picture: bool,
    pub(super) scale: u32,
    /// The decode time of its first sample; in a transport stream its first time stamp.
    pub(super) start: i64,
    /// Where the next segment has to begin.
    pub(super) end: i64,
    /// When its first sample is shown.
    pub(super) shown: i64,
    /// What an edit list takes off its times.
    pub(super) skipped: i64,
    /// How long a sample is.
    pub(super) frame: i64,
    /// How far the next segment may begin from `end`.
    pub(super) slack: i64,
    /// Whether times have 33 bits and begin again.
    pub(super) wraps: bool,
}

impl Stream {
    /// `ticks` in seconds.
    pub(super) fn seconds(&self, ticks: i64) -> f64 {
        seconds(ticks, self.scale)
    }

    /// From `earlier` to `later`, the shorter way round where times begin again.
    pub(super) fn between(&self, earlier: i64, later: i64) -> i64 {
        if self.wraps {
            (later - earlier + ts::WRAP / 2).rem_euclid(ts::WRAP) - ts::WRAP / 2
        } else {
            later.saturating_sub(earlier)
        }
    }

    /// When the sample at `ticks` is shown: what an edit list cuts away is not shown before 0.
    pub(super) fn shown_seconds(&self) -> f64 {
        self.seconds(if self.wraps {
            self.shown
        } else {
            self.shown.max(0)
        })
    }
}

/// The continuity counter of one PID in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter {
    first: u8,
    /// Whether the first packet announces a discontinuity.
    breaks: bool,
    last: u8,
    /// Whether the last packet repeats the one before it.
    repeated: bool,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ticks beyond 2^52 are nonsense in any case"
)]
fn seconds(ticks: i64, scale: u32) -> f64 {
    ticks as f64 / f64::from(scale.max(1))
}
