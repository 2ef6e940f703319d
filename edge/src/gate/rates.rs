//! How much one client network, and one session, may ask for: token buckets in a table of fixed size.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::time::Instant;

/// What is allowed; a rate of zero is none at all, and nothing is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second of one client network.
    pub client_requests: u32,
    /// Bytes of answers a second to one client network.
    pub client_bytes: u64,
    /// Requests a second of one session.
    pub session_requests: u32,
    /// Bytes of answers a second to one session.
    pub session_bytes: u64,
    /// For how long a bucket gathers what is not used.
    pub burst: Duration,
    /// How much of an IPv4 address names the network.
    pub ipv4_prefix: u8,
    /// How much of an IPv6 address names the network.
    pub ipv6_prefix: u8,
    /// Buckets of each kind.
    pub entries: usize,
}

/// The buckets of all who ask.
pub struct Rates {
    limits: Limits,
    hasher: RandomState,
    client_requests: Option<Buckets>,
    client_bytes: Option<Buckets>,
    session_requests: Option<Buckets>,
    session_bytes: Option<Buckets>,
}

impl Rates {
    /// Full buckets for everybody.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate that large is none")]
    pub fn new(limits: Limits) -> Self {
        let buckets = |rate: f64| {
            let burst = rate * limits.burst.as_secs_f64();
            (rate > 0.0).then(|| Buckets::new(limits.entries, rate, burst.max(1.0)))
        };
        Self {
            client_requests: buckets(f64::from(limits.client_requests)),
            client_bytes: buckets(limits.client_bytes as f64),
            session_requests: buckets(f64::from(limits.session_requests)),
            session_bytes: buckets(limits.session_bytes as f64),
            hasher: RandomState::new(),
            limits,
        }
    }

    /// Counts a request of a client.
    ///
    /// # Errors
    /// How long to wait, when its network has asked for too much.
    pub fn ask(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        let limits = (&self.client_requests, &self.client_bytes);
        let Some(client) = client.filter(|_| limits.0.is_some() || limits.1.is_some()) else {
            return Ok(());
        };
        count(limits, self.of_client(client))
    }

    /// Counts a request of a session.
    ///
    /// # Errors
    /// How long to wait, when the session has asked for too much.
    pub fn ask_in(&self, session: Option<&str>) -> Result<(), Duration> {
        let limits = (&self.session_requests, &self.session_bytes);
        let Some(session) = session.filter(|_| limits.0.is_some() || limits.1.is_some()) else {
            return Ok(());
        };
        count(limits, self.hasher.hash_one(session))
    }

    /// Counts what was sent. An answer is never cut off; what it was too much is waited for before the next.
    #[expect(clippy::cast_precision_loss, reason = "no answer is that long")]
    pub fn sent(&self, client: Option<IpAddr>, session: Option<&str>, bytes: u64) {
        if let (Some(buckets), Some(client)) = (&self.client_bytes, client) {
            buckets.spend(self.of_client(client), bytes as f64, Instant::now());
        }
        if let (Some(buckets), Some(session)) = (&self.session_bytes, session) {
            buckets.spend(self.hasher.hash_one(session), bytes as f64, Instant::now());
        }
    }

    fn of_client(&self, client: IpAddr) -> u64 {
        let client = client.to_canonical();
        let prefix = match client {
            IpAddr::V4(_) => self.limits.ipv4_prefix,
            IpAddr::V6(_) => self.limits.ipv6_prefix,
        };
        // The prefix was checked; one that is too long would leave the address as it is.
        let network = IpNet::new(client, prefix).map_or(client, |net| net.network());
        self.hasher.hash_one(network)
    }
}

fn count(limits: (&Option<Buckets>, &Option<Buckets>), key: u64) -> Result<(), Duration> {
    let now = Instant::now();
    if let Some(bytes) = limits.1 {
        // Whoever has not used up their bytes may have one more answer.
        bytes.take(key, 0.0, now)?;
    }
    limits
        .0
        .as_ref()
        .map_or(Ok(()), |requests| requests.take(key, 1.0, now))
}

/// Buckets in sets of a few. A bucket that is full says nothing, so it is given away first. When all of a set are in
/// use, a newcomer takes over the fullest with what is left in it: nobody gets a fresh bucket by coming from many
/// places, and nobody is locked out, because the fullest one fills up like every other.
struct Buckets {
    rate: f64,
    burst: f64,
    begun: Instant,
    sets: Box<[Mutex<[Bucket; WAYS]>]>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Whose it is; 0: nobody's yet. The hash is keyed, so nobody can choose whose bucket to share.
    key: u64,
    /// What was in it; below zero is a debt.
    level: f64,
    /// When that was, in seconds since the table's beginning.
    at: f64,
}

impl Buckets {
    fn new(entries: usize, rate: f64, burst: f64) -> Self {
        Self {
            rate,
            burst,
            begun: Instant::now(),
            sets: (0..entries.div_ceil(WAYS).max(1))
                .map(|_| Mutex::default())
                .collect(),
        }
    }

    /// Takes `cost` out, and something must have been in.
    fn take(&self, key: u64, cost: f64, now: Instant) -> Result<(), Duration> {
        self.with(key, now, |level| {
            // A whole request, or of bytes at least one.
            let needed = cost.max(1.0);
            if *level + ROUNDING >= needed {
                *level -= cost;
                return Ok(());
            }
            Err(Duration::from_secs_f64((needed - *level) / self.rate))
        })
    }

    /// Takes `cost` out, whatever is in; nobody waits longer than a minute for it.
    fn spend(&self, key: u64, cost: f64, now: Instant) {
        let least = -self.rate * MAX_DEBT_S;
        self.with(key, now, |level| *level = (*level - cost).max(least));
    }

    fn with<T>(&self, key: u64, now: Instant, change: impl FnOnce(&mut f64) -> T) -> T {
        let now = now.saturating_duration_since(self.begun).as_secs_f64();
        let key = key.max(1);
        let place = usize::try_from(key >> 32).unwrap_or_default() % self.sets.len();
        #[expect(
            clippy::indexing_slicing,
            reason = "there is a set at least, and the remainder is one of them"
        )]
        let mut set = self.sets[place].lock();
        let own = set.iter().position(|bucket| bucket.key == key);
        let place = own.unwrap_or_else(|| self.fullest(&set, now));
        #[expect(clippy::indexing_slicing, reason = "a place in the set, found above")]
        let bucket = &mut set[place];
        let mut level = self.level(bucket, now);
        let outcome = change(&mut level);
        *bucket = Bucket {
            key,
            level,
            at: now,
        };
        outcome
    }

    fn fullest(&self, set: &[Bucket; WAYS], now: f64) -> usize {
        let levels = set.iter().map(|bucket| self.level(bucket, now)).enumerate();
        let fullest = levels.max_by(|(_, one), (_, other)| one.total_cmp(other));
        fullest.map_or(0, |(place, _)| place)
    }

    fn level(&self, bucket: &Bucket, now: f64) -> f64 {
        if bucket.key == 0 {
            return self.burst;
        }
        ((now - bucket.at).max(0.0).mul_add(self.rate, bucket.level)).min(self.burst)
    }
}

const WAYS: usize = 8;

/// So that who waited as long as was said is let in.
const ROUNDING: f64 = 0.001;

/// The longest that a debt of bytes is waited for.
const MAX_DEBT_S: f64 = 60.0;

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits = Limits {
        client_requests: 0,
        client_bytes: 0,
        session_requests: 0,
        session_bytes: 0,
        burst: Duration::from_secs(2),
        ipv4_prefix: 32,
        ipv6_prefix: 64,
        entries: 64,
    };

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_ask_for_a_burst_and_then_for_its_rate() {
        let rates = Rates::new(Limits {
            client_requests: 10,
            ..NONE
        });
        for _ in 0..20 {
            rates.ask(ip("192.0.2.1")).unwrap();
        }
        let wait = rates.ask(ip("192.0.2.1")).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        rates.ask(ip("192.0.2.2")).expect("another client");
        rates.ask(None).expect("nobody knows who");
        tokio::time::advance(wait).await;
        rates.ask(ip("::ffff:192.0.2.1")).unwrap();
        rates.ask(ip("192.0.2.1")).unwrap_err();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(
            (0..50)
                .take_while(|_| rates.ask(ip("192.0.2.1")).is_ok())
                .count(),
            20
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_shares_one_bucket() {
        let rates = Rates::new(Limits {
            client_requests: 1,
            ..NONE
        });
        rates.ask(ip("2001:db8::1")).unwrap();
        rates.ask(ip("2001:db8::2")).unwrap();
        rates.ask(ip("2001:db8::3")).unwrap_err();
        rates.ask(ip("2001:db8:0:1::3")).unwrap();
        let wide = Rates::new(Limits {
            client_requests: 1,
            ipv4_prefix: 24,
            ..NONE
        });
        wide.ask(ip("192.0.2.1")).unwrap();
        wide.ask(ip("192.0.2.2")).unwrap();
        wide.ask(ip("192.0.2.3")).unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_paid_for_before_the_next_answer() {
        let rates = Rates::new(Limits {
            session_bytes: 1000,
            ..NONE
        });
        rates.ask_in(Some("s")).unwrap();
        rates.sent(ip("192.0.2.1"), Some("s"), 5000);
        let wait = rates.ask_in(Some("s")).unwrap_err();
        assert_eq!(wait, Duration::from_millis(3001));
        rates.ask_in(Some("t")).unwrap();
        rates.ask_in(None).unwrap();
        tokio::time::advance(wait).await;
        rates.ask_in(Some("s")).unwrap();
        rates.sent(None, Some("s"), u64::MAX);
        let longest = rates.ask_in(Some("s")).unwrap_err();
        assert_eq!(longest.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn many_newcomers_neither_get_around_the_limit_nor_lock_each_other_out() {
        let rates = Rates::new(Limits {
            client_requests: 1,
            ..NONE
        });
        let flood = || {
            let hosts = (0..100_000_u32).map(|host| IpAddr::from(host.to_be_bytes()));
            hosts.filter(|host| rates.ask(Some(*host)).is_ok()).count()
        };
        // 64 buckets of two, some of them shared from the beginning.
        let first = flood();
        assert!((64..=128).contains(&first), "{first}");
        assert_eq!(flood(), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = flood();
        assert!((32..=64).contains(&later), "{later}");
        tokio::time::advance(Duration::from_secs(1)).await;
        rates
            .ask(ip("203.0.113.9"))
            .expect("a newcomer after a flood");
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let rates = Rates::new(NONE);
        assert!(rates.client_requests.is_none() && rates.session_bytes.is_none());
        for _ in 0..1000 {
            rates.ask(ip("192.0.2.1")).unwrap();
            rates.ask_in(Some("s")).unwrap();
        }
    }
}
