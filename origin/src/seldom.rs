//! A bound on how often something is said.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets something be said once a while, and counts what was left unsaid.
pub(crate) struct Seldom {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    untold: u64,
}

impl Seldom {
    pub(crate) fn new(pause: Duration) -> Self {
        Self {
            pause,
            state: Mutex::default(),
        }
    }

    /// Whether it may be said now; then how often it was not since the last time.
    pub(crate) fn may_tell(&self) -> Option<u64> {
        self.may_tell_at(Instant::now())
    }

    fn may_tell_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |last: Instant| now.saturating_duration_since(last) < self.pause;
        if state.last.is_some_and(quiet) {
            state.untold = state.untold.saturating_add(1);
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_a_minute_with_its_size() {
        let minute = Duration::from_secs(60);
        let (seldom, start) = (Seldom::new(minute), Instant::now());
        assert_eq!(seldom.may_tell_at(start), Some(0));
        for _ in 0..1000 {
            assert_eq!(seldom.may_tell_at(start + minute / 2), None);
        }
        assert_eq!(seldom.may_tell_at(start + minute), Some(1000));
        assert_eq!(seldom.may_tell_at(start + minute), None);
    }
}
