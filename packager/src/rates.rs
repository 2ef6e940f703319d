//! Bit rates, measured from the index instead of guessed, once when a film is put together.

use std::time::Duration;

use contracts::address::Flavour;

use crate::{
    index::{Index, Media},
    presentation::{Segment, ticks_to_duration},
    ts,
};

/// What a rendition takes of a line, in bits a second, container included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of the heaviest segment.
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
    /// Walks the samples of all segments, each with its length in clear CMAF.
    pub(crate) fn of(index: &Index, segments: impl Iterator<Item = (Segment, u64)>) -> Self {
        let a_sample = match index.track().media {
            Media::Video(_) => ENCRYPTION_A_PICTURE,
            Media::Audio(_) => ENCRYPTION_A_SOUND,
        };
        let carried = ts::carries(index);
        let length = |ticks| ticks_to_duration(ticks, index.track().timescale);
        let (mut measured, mut sums, mut ticks) = (Self::default(), [0u64; 3], 0u64);
        for (segment, clear) in segments {
            let count = u64::try_from(segment.samples.len()).unwrap_or(u64::MAX);
            let told = count.saturating_mul(a_sample);
            let encrypted = clear.saturating_add(told + ENCRYPTION_A_SEGMENT);
            let ts = if carried {
                ts::share_at_most(index, &segment)
            } else {
                0
            };
            let duration = length(segment.duration);
            for ((rates, sum), bytes) in measured.each().zip(&mut sums).zip([clear, encrypted, ts])
            {
                rates.peak = rates.peak.max(rate(bytes, duration));
                *sum = sum.saturating_add(bytes);
            }
            ticks = ticks.saturating_add(segment.duration);
        }
        for (rates, sum) in measured.each().zip(sums) {
            rates.average = rate(sum, length(ticks));
        }
        measured
    }

    /// The rates in one packing.
    pub(crate) fn rates(&self, packing: Packing) -> Rates {
        match packing {
            Packing::Clear => self.clear,
            Packing::Encrypted => self.encrypted,
            Packing::Ts => self.ts,
        }
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Rates> {
        [&mut self.clear, &mut self.encrypted, &mut self.ts].into_iter()
    }
}

impl Rates {
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
    let nanos = length.as_nanos().max(1);
    let bits = u128::from(bytes) * 8 * 1_000_000_000;
    u64::try_from(bits.div_ceil(nanos))
        .unwrap_or(u64::MAX)
        .max(1)
}

/// An initialization vector, the count of subsamples and four of them, and the size of it all: `senc` and `saiz`
/// (ISO/IEC 23001-7 §7.2, ISO/IEC 14496-12 §8.7.8). The number of slices is not in the index; more than four are rare.
const ENCRYPTION_A_PICTURE: u64 = 8 + 2 + 4 * 6 + 1;
/// An initialization vector: frames of sound are encrypted whole.
const ENCRYPTION_A_SOUND: u64 = 8;
/// The boxes' heads, or the padding of a segment that is encrypted as a whole.
const ENCRYPTION_A_SEGMENT: u64 = 16 + 17 + 20;
