//! Frame rates as exact fractions, and the clock that counts frames without rounding.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Frames a second, as a fraction in lowest terms, above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    num: u32,
    den: u32,
}

impl Rate {
    /// Makes a rate; `None` unless both are above 0.
    #[must_use]
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 {
            return None;
        }
        let divisor = gcd(num, den);
        Some(Self {
            num: num / divisor,
            den: den / divisor,
        })
    }

    /// The rate at which a picture that never changes is served.
    pub const STILL: Self = Self { num: 5, den: 1 };

    /// Parses ffprobe's `30000/1001`; `0/0` says that there is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (num, den) = text.split_once('/')?;
        Self::new(num.parse().ok()?, den.parse().ok()?)
    }

    /// The rate at which a film is served: the source's own where it is steady, for any other the
    /// usual rate nearest to its average, and halved until it is at most 60.
    ///
    /// `base` is the finest rate that fits every frame, `average` is frames by duration.
    #[must_use]
    pub fn served(base: Option<Self>, average: Option<Self>) -> Self {
        let steady = match (base, average) {
            (Some(base), Some(average)) => base.near(average, 0.01).then_some(base),
            (one, other) => one.or(other),
        };
        let mut rate = steady
            .filter(|rate| rate.num <= MAX_NUMERATOR && rate.per_second() <= FASTEST)
            .unwrap_or_else(|| Self::usual(average));
        while rate.per_second() > 60.5 {
            rate = rate.halved();
        }
        rate
    }

    /// Frames a second, rounded to what a float can hold.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Frames in a group of pictures of two seconds, at least 1.
    #[must_use]
    pub fn gop_frames(self) -> u32 {
        let (num, den) = (u64::from(self.num), u64::from(self.den));
        let frames = (4 * num + den) / (2 * den);
        u32::try_from(frames).unwrap_or(u32::MAX).max(1)
    }

    /// Ticks a second of a clock in which every frame lasts the same whole number of ticks.
    #[must_use]
    pub const fn timescale(self) -> u32 {
        // Coarse clocks confuse players; a finer one counts the same frames.
        if self.num < 1000 {
            self.num * 1000
        } else {
            self.num
        }
    }

    /// How many ticks of [`timescale`](Self::timescale) a frame lasts.
    #[must_use]
    pub const fn frame_ticks(self) -> u32 {
        if self.num < 1000 {
            self.den * 1000
        } else {
            self.den
        }
    }

    /// When the picture of that number is shown.
    #[must_use]
    pub fn time_of(self, frame: u64) -> Duration {
        let nanos = u128::from(frame) * u128::from(self.den) * 1_000_000_000 / u128::from(self.num);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The last whole second at which a picture is shown that is not later than the picture of that
    /// number, and how many pictures lie between them.
    #[must_use]
    pub const fn whole_seconds_before(self, frame: u64) -> (u64, u64) {
        let (num, den) = (self.num as u64, self.den as u64);
        (frame / num * den, frame % num)
    }

    /// The number of whole groups that come nearest to a length, at least one.
    #[must_use]
    pub fn groups_in(self, length: Duration) -> u64 {
        let frames = length.as_secs_f64() * self.per_second() / f64::from(self.gop_frames());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "hours of pictures, and at least one"
        )]
        let groups = frames.round().max(1.0) as u64;
        groups
    }

    fn near(self, other: Self, share: f64) -> bool {
        (self.per_second() - other.per_second()).abs() <= share * other.per_second()
    }

    /// The usual rate nearest to `rate`; 25 where nothing is known.
    fn usual(rate: Option<Self>) -> Self {
        let wanted = rate.map_or(25.0, Self::per_second);
        let distance = |usual: &Self| (usual.per_second() - wanted).abs();
        USUAL
            .into_iter()
            .min_by(|one, other| distance(one).total_cmp(&distance(other)))
            .unwrap_or(Self { num: 25, den: 1 })
    }

    const fn halved(self) -> Self {
        if self.num.is_multiple_of(2) {
            Self {
                num: self.num / 2,
                den: self.den,
            }
        } else {
            Self {
                num: self.num,
                den: self.den.saturating_mul(2),
            }
        }
    }
}

impl fmt::Display for Rate {
    /// Writes `30000/1001`, as ffmpeg reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

const fn whole(num: u32) -> Rate {
    Rate { num, den: 1 }
}

const fn ntsc(num: u32) -> Rate {
    Rate { num, den: 1001 }
}

/// Beyond this the fraction is an artefact of a container's clock, not somebody's choice.
const MAX_NUMERATOR: u32 = 240_000;
/// No camera's files are faster; the milliseconds of a container's clock are.
const FASTEST: f64 = 480.0;
const USUAL: [Rate; 14] = [
    whole(1),
    whole(2),
    whole(5),
    whole(8),
    whole(10),
    whole(12),
    whole(15),
    ntsc(24_000),
    whole(24),
    whole(25),
    ntsc(30_000),
    whole(30),
    whole(50),
    whole(60),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Option<Rate> {
        Rate::parse(text)
    }

    #[test]
    fn steady_rates_are_kept_exactly() {
        for text in [
            "15/1",
            "24/1",
            "25/1",
            "30000/1001",
            "24000/1001",
            "50/1",
            "60000/1001",
        ] {
            assert_eq!(Rate::served(rate(text), rate(text)).to_string(), text);
        }
    }

    #[test]
    fn more_than_sixty_is_halved() {
        for (from, to) in [
            ("120/1", "60/1"),
            ("120000/1001", "60000/1001"),
            ("100/1", "50/1"),
            ("240/1", "60/1"),
            ("75/1", "75/2"),
        ] {
            assert_eq!(Rate::served(rate(from), rate(from)).to_string(), to);
        }
    }

    #[test]
    fn unsteady_rates_become_the_nearest_usual_one() {
        assert_eq!(
            Rate::served(rate("90000/1"), rate("2997/100")).to_string(),
            "30000/1001"
        );
        assert_eq!(Rate::served(rate("50/1"), rate("25/1")).to_string(), "25/1");
        assert_eq!(
            Rate::served(rate("1000/1"), rate("0/0")).to_string(),
            "25/1"
        );
        assert_eq!(Rate::served(None, None).to_string(), "25/1");
        assert_eq!(
            Rate::served(rate("1000000/33333"), rate("1000000/33333")).to_string(),
            "30/1"
        );
    }

    #[test]
    fn a_picture_is_found_from_a_whole_second_that_one_falls_on() {
        for (text, frame, found) in [
            ("25/1", 130, (5, 5)),
            ("25/1", 125, (5, 0)),
            ("30000/1001", 29_999, (0, 29_999)),
            ("30000/1001", 60_060, (2002, 60)),
            ("5/1", 4, (0, 4)),
        ] {
            let rate = rate(text).unwrap();
            assert_eq!(rate.whole_seconds_before(frame), found, "{text}");
            let second = rate.time_of(frame - found.1);
            assert_eq!(second, Duration::from_secs(found.0), "{text}");
        }
        let rate = rate("30000/1001").unwrap();
        assert_eq!(rate.time_of(30), Duration::from_millis(1001));
        assert_eq!(rate.groups_in(Duration::from_secs(60)), 30);
        assert_eq!(rate.groups_in(Duration::ZERO), 1);
    }

    #[test]
    fn a_gop_is_two_seconds_of_whole_frames_on_an_exact_clock() {
        for (text, gop, timescale, ticks) in [
            ("15/1", 30, 15_000, 1000),
            ("24/1", 48, 24_000, 1000),
            ("25/1", 50, 25_000, 1000),
            ("30000/1001", 60, 30_000, 1001),
            ("50/1", 100, 50_000, 1000),
            ("1/5", 1, 1000, 5000),
        ] {
            let rate = rate(text).unwrap();
            assert_eq!(
                (rate.gop_frames(), rate.timescale(), rate.frame_ticks()),
                (gop, timescale, ticks),
                "{text}"
            );
        }
    }
}
