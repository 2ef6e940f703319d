//! How long a film may become: what it announces and a margin, within what the operator allows.

use std::time::Duration;

use super::{Refusal, probe::Facts};

/// The bound of one film.
///
/// A file of a few bytes can place its first picture days after its first sound, or leave a gap as
/// long; filling that would keep an encoder busy for hours and write as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    announced: Option<Duration>,
    longest: Duration,
}

impl Bound {
    /// The bound of a film, where films may be as long as `longest`.
    ///
    /// # Errors
    /// [`Refusal::TooLong`] when it announces more.
    pub fn of(facts: &Facts, longest: Duration) -> Result<Self, Refusal> {
        let announced = facts.announced.max(facts.picture.announced);
        match announced {
            Some(announced) if announced > longest => Err(Refusal::TooLong { limit: longest }),
            announced => Ok(Self { announced, longest }),
        }
    }

    /// How much of each rendition is made at most.
    #[must_use]
    pub fn output(&self) -> Duration {
        let with_margin = |announced: Duration| announced + announced / 2 + MARGIN;
        self.announced
            .map_or(self.longest, with_margin)
            .min(self.longest)
    }

    /// How long the making may take, where no film may take more than `most`.
    #[must_use]
    pub fn time(&self, most: Duration) -> Duration {
        self.announced
            .map_or(most, |announced| START + announced * SLOWEST)
            .min(most)
    }

    /// How large a rendition may grow whose rate is never above `peak_bits` a second for long.
    #[must_use]
    pub fn file_bytes(&self, peak_bits: u64) -> u64 {
        let seconds = self.output().as_secs().saturating_add(1);
        let expected = peak_bits.max(SOUND_BITS).saturating_mul(seconds) / 8;
        expected.saturating_mul(2).saturating_add(HEADERS_BYTES)
    }

    /// Sees whether a film of this length was cut off by the bound.
    ///
    /// # Errors
    /// [`Refusal::TooLong`], [`Refusal::Overrun`].
    pub fn check(&self, length: Duration) -> Result<(), Refusal> {
        let output = self.output();
        if length + TOLERANCE < output {
            return Ok(());
        }
        match self.announced {
            // As long as it said, and that is as long as films may be.
            Some(announced) if announced + TOLERANCE >= output => Ok(()),
            Some(announced) if output < self.longest => Err(Refusal::Overrun { announced }),
            _ => Err(Refusal::TooLong {
                limit: self.longest,
            }),
        }
    }
}

/// Some containers tell their length by a guess from the first bytes.
const MARGIN: Duration = Duration::from_secs(60);
const TOLERANCE: Duration = Duration::from_millis(500);
/// What a start may take on a busy machine.
const START: Duration = Duration::from_secs(15 * 60);
/// How many seconds one second of film may take: several rungs of a large picture on few cores.
const SLOWEST: u32 = 30;
const SOUND_BITS: u64 = 256_000;
/// What a file has beside its pictures and sounds, at most.
pub(super) const HEADERS_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rate::Rate;

    const HOUR: Duration = Duration::from_secs(3600);

    fn bound(picture: Option<Duration>, whole: Option<Duration>) -> Result<Bound, Refusal> {
        let mut facts = Facts::plain(64, 48, Rate::new(25, 1).unwrap());
        facts.picture.announced = picture;
        facts.announced = whole;
        Bound::of(&facts, HOUR * 12)
    }

    #[test]
    fn a_film_that_announces_more_than_is_allowed_is_refused_whichever_way_it_says_so() {
        let refused = Err(Refusal::TooLong { limit: HOUR * 12 });
        assert_eq!(bound(None, Some(HOUR * 13)), refused);
        assert_eq!(bound(Some(Duration::MAX), Some(HOUR)), refused);
        assert!(bound(Some(HOUR * 12), None).is_ok());
    }

    #[test]
    fn output_time_and_size_follow_what_is_announced_and_never_pass_what_is_allowed() {
        let second = Duration::from_secs(1);
        let short = bound(Some(second), Some(second * 2)).unwrap();
        assert_eq!(short.output(), second * 63);
        assert_eq!(short.time(HOUR * 12), second * 960);
        assert_eq!(short.time(second), second);
        assert_eq!(short.file_bytes(8_000_000), 2 * 64_000_000 + HEADERS_BYTES);
        let long = bound(None, Some(HOUR * 11)).unwrap();
        assert_eq!((long.output(), long.time(HOUR)), (HOUR * 12, HOUR));
        let silent = bound(None, None).unwrap();
        assert_eq!((silent.output(), silent.time(HOUR)), (HOUR * 12, HOUR));
    }

    #[test]
    fn a_film_that_was_cut_off_by_its_bound_is_not_published_as_whole() {
        let second = Duration::from_secs(1);
        let short = bound(None, Some(second)).unwrap();
        assert_eq!(short.check(second * 2), Ok(()));
        let announced = second;
        assert_eq!(
            short.check(short.output()),
            Err(Refusal::Overrun { announced })
        );
        let limit = HOUR * 12;
        let silent = bound(None, None).unwrap();
        assert_eq!(silent.check(limit), Err(Refusal::TooLong { limit }));
        let exact = bound(None, Some(limit)).unwrap();
        assert_eq!(exact.check(limit), Ok(()));
    }
}
