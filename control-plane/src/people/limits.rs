//! How often somebody may ask: token buckets, a bounded number of them, by key and by network.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::time::UnixSeconds;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    /// Wishes for an account from a network.
    SignUp,
    /// Attempts to log in from a network.
    LoginFrom,
    /// Purges that somebody orders for films of their own.
    PurgesOf,
    /// Renewals and logouts from a network.
    Refresh,
    /// Credentials from a network that were refused.
    Refused,
    /// Requests with an API key.
    ApiKey,
    /// Sessions that an account begins.
    StartsOf,
    /// Sessions that nobody in particular begins, from a network.
    StartsFrom,
    /// Questions without credentials from a network, for films and what plays them.
    ReadsFrom,
    /// Heartbeats and ends of sessions from a network, whether there are such sessions or not.
    SessionsFrom,
    /// Heartbeats of a session.
    BeatsOf,
    /// Requests with events from a network.
    EventsFrom,
    /// Requests with events of a session.
    EventsOf,
    /// Wishes of nodes to enrol from a network.
    Enrol,
    /// Whatever a node that has enrolled asks, for orders too.
    NodeAsks,
    /// Its heartbeats.
    NodeBeats,
    /// Other things that it announces.
    NodeNews,
}

/// So many at once, and so many seconds until all may come again.
struct Rule {
    burst: f64,
    seconds: f64,
}

/// The most buckets; each takes some 50 bytes.
const BUCKETS: usize = 16_384;

/// How often somebody may ask a second, where the operator says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// With one API key.
    pub(crate) key: u32,
    /// From one address, without credentials.
    pub(crate) address: u32,
}

/// The buckets. They are this process's own.
pub(crate) struct Limits {
    rates: Rates,
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    buckets: HashMap<(Limit, u64), Bucket>,
    /// How often buckets that were in use had to go.
    robbed: u32,
}

struct Bucket {
    left: f64,
    at: u64,
}

impl Limits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            rates,
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }

    /// Takes one, or tells how long to wait for it.
    pub(crate) fn take(
        &self,
        limit: Limit,
        of: impl Hash,
        now: UnixSeconds,
    ) -> Result<(), Duration> {
        let rule = self.rule(limit);
        let name = (limit, self.hasher.hash_one(of));
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.buckets.len() >= BUCKETS && !table.buckets.contains_key(&name) {
            self.make_room(&mut table, now);
        }
        let bucket = table.buckets.entry(name).or_insert(Bucket {
            left: rule.burst,
            at: now.0,
        });
        bucket.left = rule.left(bucket, now);
        bucket.at = now.0;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - bucket.left) * rule.seconds / rule.burst;
        Err(Duration::from_secs_f64(wait.ceil().clamp(1.0, 86_400.0)))
    }

    /// Forgets buckets that are full again, then those that are fuller than half, then every
    /// other one: whoever comes from many addresses does not lock others out.
    fn make_room(&self, table: &mut Table, now: UnixSeconds) {
        for share in [1.0, 0.5] {
            table.buckets.retain(|(limit, _), bucket| {
                let rule = self.rule(*limit);
                rule.left(bucket, now) < rule.burst * share
            });
            if table.buckets.len() < BUCKETS {
                return;
            }
        }
        // Another half each time.
        table.robbed = table.robbed.wrapping_add(1);
        let bit = table.robbed % u64::BITS;
        table.buckets.retain(|(_, hash), _| (hash >> bit) & 1 == 0);
    }

    fn rule(&self, limit: Limit) -> Rule {
        let (burst, seconds) = match limit {
            Limit::SignUp => (10.0, 3600.0),
            Limit::LoginFrom => (30.0, 300.0),
            Limit::PurgesOf => (60.0, 60.0),
            Limit::Refresh => (120.0, 60.0),
            Limit::Refused => (60.0, 60.0),
            Limit::ApiKey => (f64::from(self.rates.key) * 2.0, 2.0),
            Limit::StartsOf => (120.0, 60.0),
            Limit::StartsFrom => (6000.0, 60.0),
            Limit::ReadsFrom | Limit::SessionsFrom => (f64::from(self.rates.address) * 10.0, 10.0),
            Limit::BeatsOf => (60.0, 60.0),
            Limit::EventsFrom => (6000.0, 60.0),
            Limit::EventsOf => (60.0, 60.0),
            Limit::Enrol => (30.0, 300.0),
            Limit::NodeAsks => (1800.0, 60.0),
            Limit::NodeBeats => (120.0, 60.0),
            Limit::NodeNews => (20.0, 120.0),
        };
        Rule { burst, seconds }
    }
}

impl Rule {
    fn left(&self, bucket: &Bucket, now: UnixSeconds) -> f64 {
        let passed = u32::try_from(now.0.saturating_sub(bucket.at)).unwrap_or(u32::MAX);
        let grown = f64::from(passed) * self.burst / self.seconds;
        (bucket.left + grown).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(key: u32) -> Limits {
        Limits::new(Rates { key, address: 1 })
    }

    fn taken(limits: &Limits, of: u32, now: u64) -> bool {
        limits.take(Limit::LoginFrom, of, UnixSeconds(now)).is_ok()
    }

    #[test]
    fn so_many_come_at_once_and_then_as_many_as_time_gives() {
        let limits = limits(1);
        assert!((0..30).all(|_| taken(&limits, 1, 1000)));
        let wait = limits.take(Limit::LoginFrom, 1, UnixSeconds(1000));
        assert_eq!(wait, Err(Duration::from_secs(10)));
        assert!(!taken(&limits, 1, 1009), "10 s give one");
        assert!(taken(&limits, 1, 1010));
        assert!(!taken(&limits, 1, 1010));
        assert!(taken(&limits, 2, 1010), "another is not concerned");
        assert!((0..30).all(|_| taken(&limits, 1, 9999)));
        assert!(!taken(&limits, 1, 9999));
        assert!(!taken(&limits, 1, 0), "a clock that went back gives none");
    }

    #[test]
    fn many_who_come_once_neither_fill_the_table_nor_free_who_came_often() {
        let limits = limits(1);
        while taken(&limits, 0, 1000) {}
        for of in 1..100_000 {
            assert!(taken(&limits, of, 1000), "{of}");
        }
        assert!(limits.table.lock().unwrap().buckets.len() <= BUCKETS);
        assert!(!taken(&limits, 0, 1000));
    }

    #[test]
    fn a_table_of_those_who_came_too_often_takes_more() {
        let limits = limits(1);
        for of in 0..40_000 {
            while taken(&limits, of, 1000) {}
        }
        assert!(limits.table.lock().unwrap().buckets.len() <= BUCKETS);
    }

    #[test]
    fn an_api_key_has_its_rate() {
        let limits = limits(5);
        let take = |now| limits.take(Limit::ApiKey, "key", UnixSeconds(now)).is_ok();
        assert_eq!((0..100).filter(|_| take(1000)).count(), 10);
        assert_eq!((0..100).filter(|_| take(1001)).count(), 5);
    }
}
