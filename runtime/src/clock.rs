//! Where time comes from. Everything else takes it as an argument.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use contracts::time::UnixSeconds;

/// A source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> UnixSeconds;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl System {
    /// The present instant as libraries want it that judge by the machine's clock themselves.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn wall(self) -> SystemTime {
        SystemTime::now()
    }
}

impl Clock for System {
    fn now(&self) -> UnixSeconds {
        // A clock before 1970 is a broken machine: everything then counts as not valid yet.
        UnixSeconds(
            self.wall()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct Fixed(AtomicU64);

impl Fixed {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: UnixSeconds) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: UnixSeconds) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the clock on.
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Fixed {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(Ordering::SeqCst))
    }
}
