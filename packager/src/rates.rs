//! Bit rates, measured from the index instead of guessed.

use std::time::Duration;

use contracts::address::Flavour;

use crate::{
    fmp4,
    presentation::{Rendition, ticks_to_duration},
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

impl Rates {
    pub(crate) fn of(rendition: &Rendition, flavour: Flavour) -> Self {
        let index = rendition.index();
        let length = |ticks| ticks_to_duration(ticks, index.track().timescale);
        let (mut peak, mut bytes, mut ticks) = (0, 0u64, 0u64);
        for segment in rendition.segments() {
            let size = match flavour {
                Flavour::Cmaf => fmp4::segment_length(index, &segment, None),
                Flavour::Ts => ts::share_at_most(index, &segment),
            };
            peak = peak.max(rate(size, length(segment.duration)));
            bytes = bytes.saturating_add(size);
            ticks = ticks.saturating_add(segment.duration);
        }
        Self {
            peak,
            average: rate(bytes, length(ticks)),
        }
    }

    /// The rates of two renditions that play together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            peak: self.peak.saturating_add(other.peak),
            average: self.average.saturating_add(other.average),
        }
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
