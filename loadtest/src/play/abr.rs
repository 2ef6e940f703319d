//! Which rendition a player takes next: by throughput, and by how full its buffer is.

use std::time::Duration;

/// The rule of one player.
///
/// It knows the mean rate of its last downloads (harmonic, so that one slow download counts), takes the highest rung
/// that needs at most [`SHARE`] of it, climbs one rung at a time, and falls at once. While its buffer is comfortably
/// full it does not fall for a rung that the rate itself still carries.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// Bits a second of the last downloads, the oldest first.
    rates: Vec<f64>,
}

impl Rule {
    /// Takes note of a download.
    pub(super) fn learn(&mut self, bytes: usize, took: Duration) {
        if bytes < LEAST_BYTES {
            return;
        }
        if self.rates.len() == KEPT {
            self.rates.remove(0);
        }
        let took = took.as_secs_f64().max(1e-6);
        self.rates.push(crate::maths::count(bytes) * 8.0 / took);
    }

    /// Bits a second that the next download may count on; none before the first.
    pub(super) fn estimate(&self) -> Option<f64> {
        let inverse: f64 = self.rates.iter().map(|rate| 1.0 / rate).sum();
        let mean = crate::maths::ratio(crate::maths::count(self.rates.len()), inverse);
        (!self.rates.is_empty()).then_some(mean)
    }

    /// The rung for the next segment, of a ladder of bits a second from lowest to highest.
    pub(super) fn choose(&self, ladder: &[f64], now: usize, buffer: Duration) -> usize {
        let Some(rate) = self.estimate() else {
            return now;
        };
        let carried = |share: f64| ladder.iter().rposition(|need| *need <= rate * share);
        let best = carried(SHARE).unwrap_or(0);
        if best > now {
            return now + 1;
        }
        let holds = buffer >= COMFORT && carried(1.0).is_some_and(|most| most >= now);
        if holds { now } else { best }
    }
}

/// How much of the measured rate a rendition may need.
const SHARE: f64 = 0.8;
/// A buffer over which a player need not hurry.
const COMFORT: Duration = Duration::from_secs(12);
/// Downloads that are remembered.
const KEPT: usize = 5;
/// A download of less tells of latency and not of rate.
const LEAST_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LADDER: [f64; 3] = [1e6, 3e6, 6e6];
    const EMPTY: Duration = Duration::ZERO;

    /// A rule that has seen so many megabits a second.
    fn seen(rates: &[f64]) -> Rule {
        let mut rule = Rule::default();
        for rate in rates {
            rule.learn(1_000_000, Duration::from_secs_f64(8.0 / rate));
        }
        rule
    }

    #[test]
    fn nothing_is_chosen_anew_before_anything_was_measured() {
        assert_eq!(Rule::default().choose(&LADDER, 1, EMPTY), 1);
    }

    #[test]
    fn a_player_climbs_one_rung_at_a_time_and_keeps_a_share_in_reserve() {
        let rule = seen(&[20.0]);
        assert_eq!(rule.choose(&LADDER, 0, EMPTY), 1);
        assert_eq!(rule.choose(&LADDER, 1, EMPTY), 2);
        assert_eq!(seen(&[7.0]).choose(&LADDER, 1, EMPTY), 1);
    }

    #[test]
    fn a_player_falls_at_once_unless_its_buffer_is_full_and_the_rate_still_carries() {
        let full = Duration::from_secs(20);
        assert_eq!(seen(&[0.5]).choose(&LADDER, 2, EMPTY), 0);
        assert_eq!(seen(&[0.5]).choose(&LADDER, 2, full), 0);
        assert_eq!(seen(&[6.5]).choose(&LADDER, 2, EMPTY), 1);
        assert_eq!(seen(&[6.5]).choose(&LADDER, 2, full), 2);
    }

    #[test]
    fn one_slow_download_counts_and_is_forgotten_after_a_while() {
        let mut rule = seen(&[10.0, 10.0, 10.0, 10.0, 1.0]);
        assert!(rule.estimate().unwrap() < 4e6);
        for _ in 0..KEPT {
            rule.learn(1_000_000, Duration::from_secs_f64(0.8));
        }
        assert!((rule.estimate().unwrap() - 10e6).abs() < 1.0);
    }

    #[test]
    fn what_is_tiny_tells_nothing_of_the_rate() {
        let mut rule = Rule::default();
        rule.learn(700, Duration::from_millis(50));
        assert_eq!(rule.estimate(), None);
    }
}
