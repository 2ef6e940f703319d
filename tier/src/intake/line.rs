//! How fast a node takes from its parents: one line for all fills.

use std::num::NonZeroU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A line of so many bytes a second, on which pieces follow each other. Who has taken a piece waits until the line is
/// free of it before taking the next, so that fills take turns, a piece each.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Option<Instant>>);

impl Line {
    /// Takes a piece that has come; gives how long to wait before the next.
    pub(super) fn take(&self, bytes: u64, rate: NonZeroU64, now: Instant) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let lasts = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free_at = self.0.lock();
        // Time that was not used is gone, but for as much as makes up for a wait that was a little too long.
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let begin = free_at.map_or(now, |at| at.max(earliest));
        let end = begin.checked_add(lasts.min(LONGEST)).unwrap_or(begin);
        *free_at = Some(end);
        end.saturating_duration_since(now)
    }

    /// How long it is until the line is free.
    pub(super) fn busy_for(&self, now: Instant) -> Duration {
        let free_at = *self.0.lock();
        free_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// Timers are late by up to a millisecond, and tasks by what the machine has to do.
const CREDIT: Duration = Duration::from_millis(50);

/// What one piece takes at most.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    const MB: NonZeroU64 = NonZeroU64::new(1_000_000).unwrap();

    /// Fills that take pieces of these sizes for ten seconds; gives what each has taken by then.
    async fn taken(pieces: &[u64]) -> Vec<u64> {
        let (line, begun) = (Arc::new(Line::default()), Instant::now());
        let mut fills = JoinSet::new();
        for (number, piece) in pieces.iter().copied().enumerate() {
            let line = Arc::clone(&line);
            fills.spawn(async move {
                let mut taken = 0;
                while begun.elapsed() < Duration::from_secs(10) {
                    taken += piece;
                    tokio::time::sleep(line.take(piece, MB, Instant::now())).await;
                }
                (number, taken)
            });
        }
        let mut taken = fills.join_all().await;
        taken.sort_unstable();
        taken.into_iter().map(|(_, taken)| taken).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_seconds_at_a_megabyte_a_second_move_ten_megabytes() {
        for piece in [100, 1_371, 16_384, 65_536] {
            let moved = taken(&[piece]).await[0];
            assert!((9_800_000..10_300_000).contains(&moved), "{piece}: {moved}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn several_fills_share_it_evenly_and_take_no_more_together() {
        let all = taken(&[16_384; 7]).await;
        let moved: u64 = all.iter().sum();
        assert!((9_800_000..10_300_000).contains(&moved), "{moved}");
        let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!(most - least <= 16_384, "{all:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_for_long_is_not_saved_up() {
        let line = Line::default();
        line.take(1, MB, Instant::now());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(line.busy_for(Instant::now()), Duration::ZERO);
        let wait = line.take(1_000_000, MB, Instant::now());
        assert_eq!(wait, Duration::from_secs(1) - CREDIT);
        assert_eq!(line.busy_for(Instant::now()), wait);
    }

    #[tokio::test(start_paused = true)]
    async fn no_piece_is_too_large() {
        let line = Line::default();
        let slow = NonZeroU64::new(1).unwrap();
        assert_eq!(line.take(u64::MAX, slow, Instant::now()), LONGEST);
    }
}
