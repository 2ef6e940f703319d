//! When orders were applied, by the clock that nobody can set: how old an answer may be that came after a purge.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Up to which order everything had been applied at some instants, the oldest first.
#[derive(Debug)]
pub(super) struct History(VecDeque<(u64, Instant)>);

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self(VecDeque::from([(0, now)]))
    }

    /// Notes that all orders up to one have been applied by now.
    pub(super) fn note(&mut self, through: u64, now: Instant) {
        let is_first = self.0.len() == 1;
        if let Some((last, at)) = self.0.back_mut() {
            if *last == through {
                return;
            }
            if !is_first && now - *at < STEP {
                // The later instant for both: none is taken for older than it is.
                (*last, *at) = (through, now);
                return;
            }
        }
        if self.0.len() >= STEPS {
            self.0.pop_front();
        }
        self.0.push_back((through, now));
    }

    /// For how long at least an order has been applied; `None`: it is not.
    pub(super) fn since(&self, seq: u64, now: Instant) -> Option<Duration> {
        let at = self.0.partition_point(|(through, _)| *through < seq);
        self.0.get(at).map(|(_, at)| now - *at)
    }
}

/// Orders that come closer together are taken for one.
const STEP: Duration = Duration::from_secs(10);

/// As many are remembered, some hours of orders that never stop, in 24 KiB. What came before is taken for no older.
const STEPS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_order_is_taken_for_older_than_it_is() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::new(start);
        let since = |history: &History, seq, now| {
            let since = history.since(seq, after(now));
            since.map(|since| since.as_secs())
        };
        assert_eq!(since(&history, 1, 5), None);
        history.note(3, after(100));
        history.note(5, after(200));
        history.note(5, after(300));
        assert_eq!(since(&history, 0, 300), Some(300));
        assert_eq!(since(&history, 3, 300), Some(200));
        assert_eq!(since(&history, 4, 300), Some(100));
        assert_eq!(since(&history, 6, 300), None);
        history.note(6, after(205));
        assert_eq!(since(&history, 5, 305), Some(100), "both in one step");
        for n in 0..10_000 {
            history.note(10 + n, after(1000 + 20 * n));
        }
        assert!(history.0.len() <= STEPS);
        let long_ago = since(&history, 3, 300_000).unwrap();
        assert!(long_ago < 300_000 - 200, "{long_ago}");
    }
}
