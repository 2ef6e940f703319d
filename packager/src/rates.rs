//! Bit rates, measured from the index instead of guessed, once when a film is put together.

use std::{collections::VecDeque, ops::RangeInclusive, time::Duration};

use contracts::address::Flavour;

use crate::{
    index::{Index, Media},
    presentation::Segment,
    ts,
};

/// What a rendition takes of a line, in bits a second, container included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of the heaviest segments one after another that last 0.5 to 1.5 target durations together (RFC 8216 §4.1).
    pub peak: u64,
    /// Over the whole film.
    pub average: u64,
}

/// How samples become segments, as far as their size goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// CMAF as it is.
    Clear,
    /// CMAF, encrypted.
    Encrypted,
    /// A transport stream, encrypted or not: its bound has room for either.
    Ts,
}

/// The rates of one list of segments in every packing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    clear: Rates,
    encrypted: Rates,
    ts: Rates,
}

impl Packing {
    pub(crate) fn of(flavour: Flavour, encrypted: bool) -> Self {
        match flavour {
            Flavour::Ts => Self::Ts,
            Flavour::Cmaf if encrypted => Self::Encrypted,
            Flavour::Cmaf => Self::Clear,
        }
    }
}

impl Measured {
    /// Walks the samples of all segments, each with its length in clear CMAF. The first is told from the film's start,
    /// as in playlists. `targets` are the target durations of playlists of CMAF and of transport streams, in seconds;
    /// without `in_ts` nothing is told of the latter.
    pub(crate) fn of(
        index: &Index,
        in_ts: bool,
        segments: impl Iterator<Item = (Segment, u64)>,
        targets: [u64; 2],
    ) -> Self {
        let a_sample = match index.track().media {
            Media::Video(_) => ENCRYPTION_A_PICTURE,
            Media::Audio(_) => ENCRYPTION_A_SOUND,
        };
        let mut lists = [const { Vec::new() }; 3];
        let mut told = 0;
        for (segment, clear) in segments {
            let count = u64::try_from(segment.samples.len()).unwrap_or(u64::MAX);
            let encryption = count.saturating_mul(a_sample) + ENCRYPTION_A_SEGMENT;
            let encrypted = clear.saturating_add(encryption);
            let end = segment.start.saturating_add(segment.duration);
            let length = end.saturating_sub(told);
            told = end;
            let [of_clear, of_encrypted, of_ts] = &mut lists;
            of_clear.push((clear, length));
            of_encrypted.push((encrypted, length));
            if in_ts {
                of_ts.push((ts::share_at_most(index, &segment), length));
            }
        }
        let [clear, encrypted, ts] = lists;
        let (timescale, [cmaf, streams]) = (u64::from(index.track().timescale), targets);
        Self {
            clear: Rates::of(&clear, cmaf, timescale),
            encrypted: Rates::of(&encrypted, cmaf, timescale),
            ts: Rates::of(&ts, streams, timescale),
        }
    }

    /// The rates in one packing.
    pub(crate) fn rates(&self, packing: Packing) -> Rates {
        match packing {
            Packing::Clear => self.clear,
            Packing::Encrypted => self.encrypted,
            Packing::Ts => self.ts,
        }
    }
}

impl Rates {
    /// Of segments of so many bytes and ticks, in a playlist of this target duration in seconds.
    pub(crate) fn of(segments: &[(u64, u64)], target: u64, timescale: u64) -> Self {
        let ticks = target.saturating_mul(timescale);
        let most = ticks.saturating_add(ticks / 2);
        let all = sums(segments).last().unwrap_or_default();
        let peak = heaviest(segments, ticks.div_ceil(2)..=most).unwrap_or(all);
        let rate = |run: Run| bits_a_second(run.bytes, run.ticks, timescale);
        Self {
            peak: rate(peak),
            average: rate(all),
        }
    }

    /// The rates of two renditions that play together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            peak: self.peak.saturating_add(other.peak),
            average: self.average.saturating_add(other.average),
        }
    }

    /// The heaviest of several of which one plays; nothing where there are none.
    pub(crate) fn heaviest(all: impl Iterator<Item = Self>) -> Self {
        all.max_by_key(|rates| rates.peak).unwrap_or_default()
    }
}

/// Bits a second, rounded up; at least 1, for players refuse 0.
pub(crate) fn rate(bytes: u64, length: Duration) -> u64 {
    let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    bits_a_second(bytes, nanos, NANOS)
}

fn bits_a_second(bytes: u64, ticks: u64, timescale: u64) -> u64 {
    let bits = u128::from(bytes.min(MAX_BYTES)) * 8 * u128::from(timescale);
    u64::try_from(bits.div_ceil(u128::from(ticks.max(1))))
        .unwrap_or(u64::MAX)
        .max(1)
}

/// Segments one after another: what they take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Run {
    bytes: u64,
    ticks: u64,
}

impl Run {
    /// The run's bytes above what `rate`, the rate of another run, would take in its ticks, in parts of its ticks.
    fn above(self, rate: Self) -> i128 {
        i128::from(self.bytes) * i128::from(rate.ticks)
            - i128::from(rate.bytes) * i128::from(self.ticks)
    }
}

/// What stands before each segment and, last, all; 60 bits each, which keeps products within 128.
fn sums(segments: &[(u64, u64)]) -> impl Iterator<Item = Run> {
    let behind = segments.iter().scan(Run::default(), |sum, (bytes, ticks)| {
        sum.bytes = sum.bytes.saturating_add(*bytes).min(MAX_BYTES);
        sum.ticks = sum.ticks.saturating_add(*ticks).min(MAX_BYTES);
        Some(*sum)
    });
    std::iter::once(Run::default()).chain(behind)
}

/// The run of the highest rate among those that last so many ticks; none where no run does.
///
/// Dinkelbach's method: from a rate, one walk finds the run that lies furthest above it, whose rate is the next, until
/// no run lies above. A few walks reach the highest exactly, however many segments a run may have.
fn heaviest(segments: &[(u64, u64)], allowed: RangeInclusive<u64>) -> Option<Run> {
    let sums: Vec<Run> = sums(segments).collect();
    let mut best = Run { bytes: 0, ticks: 1 };
    let mut found = None;
    while let Some(run) = furthest_above(&sums, best, &allowed) {
        if found.is_some() && run.above(best) <= 0 {
            break;
        }
        (best, found) = (run, Some(run));
    }
    found
}

/// The run of allowed length that lies furthest above a rate: a window slides over the places where a run may begin,
/// and keeps those that no later place is better than.
fn furthest_above(sums: &[Run], rate: Run, allowed: &RangeInclusive<u64>) -> Option<Run> {
    let mut starts: VecDeque<Run> = VecDeque::new();
    let mut waiting = sums.iter().copied().peekable();
    let mut best: Option<(i128, Run)> = None;
    for end in sums {
        let length = |start: &Run| end.ticks.saturating_sub(start.ticks);
        while let Some(start) = waiting.next_if(|start| length(start) >= *allowed.start()) {
            while starts
                .pop_back_if(|before| before.above(rate) >= start.above(rate))
                .is_some()
            {}
            starts.push_back(start);
        }
        while starts
            .pop_front_if(|start| length(start) > *allowed.end())
            .is_some()
        {}
        let Some(start) = starts.front() else {
            continue;
        };
        let run = Run {
            bytes: end.bytes.saturating_sub(start.bytes),
            ticks: length(start),
        };
        let above = run.above(rate);
        if best.is_none_or(|(highest, _)| above > highest) {
            best = Some((above, run));
        }
    }
    best.map(|(_, run)| run)
}

pub(crate) const NANOS: u64 = 1_000_000_000;
/// As many ticks as an index may last; nothing takes so many bytes.
const MAX_BYTES: u64 = 1 << 60;

/// An initialization vector, the count of subsamples and four of them, and the size of it all: `senc` and `saiz`
/// (ISO/IEC 23001-7 §7.2, ISO/IEC 14496-12 §8.7.8). The number of slices is not in the index; more than four are rare.
const ENCRYPTION_A_PICTURE: u64 = 8 + 2 + 4 * 6 + 1;
/// An initialization vector: frames of sound are encrypted whole.
const ENCRYPTION_A_SOUND: u64 = 8;
/// The boxes' heads, or the padding of a segment that is encrypted as a whole.
const ENCRYPTION_A_SEGMENT: u64 = 16 + 17 + 20;
