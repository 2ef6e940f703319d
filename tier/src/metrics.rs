//! What a tier counts: each figure once, with its name, unit and help.

use std::sync::{Arc, OnceLock};

use contracts::reason::Reason;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::cache::{Cache, DiskFigures};
use crate::feed;
use crate::protocol::Protocol;
use crate::purge::Purges;

/// The figures of one node.
#[derive(Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    frequent: Arc<Frequent>,
    sent: [IntCounter; Protocol::ALL.len()],
    refusals: IntCounterVec,
    /// Requests to a parent, of any kind.
    pub upstream_requests: IntCounter,
    /// Bytes of bodies that came from parents.
    pub upstream_bytes: IntCounter,
    /// Fills that ended because nobody read them any more.
    pub fills_left: IntCounter,
    /// Time until a parent's response header is there.
    pub upstream_seconds: Histogram,
    /// The feed and its purges.
    pub feed: feed::Metrics,
    /// Connections over TCP.
    pub connections: Connections,
}

/// What becomes of connections over TCP.
#[derive(Clone)]
pub struct Connections {
    /// Those that are open.
    pub open: IntGauge,
    cut: IntCounterVec,
}

/// Why a client is cut off: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It made more noise than it may.
    Flood,
    /// A request header, or another frame, was not complete in time.
    SlowHeader,
    /// A request's body came too slowly.
    SlowBody,
    /// An answer was taken too slowly.
    SlowReader,
}

impl Cut {
    pub(crate) const ALL: [Self; 4] = [
        Self::Flood,
        Self::SlowHeader,
        Self::SlowBody,
        Self::SlowReader,
    ];

    /// A short word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::SlowHeader => "slow_header",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
        }
    }
}

impl Connections {
    /// Figures that belong to no registry yet.
    ///
    /// # Errors
    /// Never: their names are constants.
    pub fn new() -> Result<Self, prometheus::Error> {
        let connections = Self {
            open: IntGauge::new(
                "millrace_tier_connections",
                "Open TCP connections from clients",
            )?,
            cut: IntCounterVec::new(
                Opts::new(
                    "millrace_tier_cut_total",
                    "Clients cut off over TCP, connections or single answers, by cause",
                ),
                &["protocol", "cause"],
            )?,
        };
        for protocol in [Protocol::H1, Protocol::H2] {
            for cause in Cut::ALL {
                connections
                    .cut
                    .with_label_values(&[protocol.as_str(), cause.as_str()]);
            }
        }
        Ok(connections)
    }

    /// Counts a client that is cut off.
    pub(crate) fn cut(&self, protocol: Protocol, cause: Cut) {
        self.cut
            .with_label_values(&[protocol.as_str(), cause.as_str()])
            .inc();
        tracing::debug!(
            %protocol,
            cause = cause.as_str(),
            "cut a client off: {}",
            cause.as_str()
        );
    }

    /// How many were cut off so far.
    #[cfg(test)]
    pub(crate) fn count(&self, protocol: Protocol, cause: Cut) -> u64 {
        let labels = [protocol.as_str(), cause.as_str()];
        self.cut.with_label_values(&labels).get()
    }
}

/// How a request met the cache: a closed set, so that the label stays small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// From the cache.
    Hit,
    /// From a fill that another request had begun.
    Joined,
    /// Fetched, and stored on the way.
    Miss,
    /// Fetched, and not stored.
    Pass,
    /// From the cache although stale.
    Stale,
    /// From the cache after the parent had confirmed it.
    Revalidated,
    /// The cache was not asked.
    None,
}

impl CacheUse {
    /// A short word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Joined => "joined",
            Self::Miss => "miss",
            Self::Pass => "pass",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::None => "none",
        }
    }
}

impl Metrics {
    /// Registers the figures of a node.
    ///
    /// # Errors
    /// When the registry holds them already.
    pub fn register(
        registry: &Registry,
        cache: &'static Cache,
        purges: Arc<Purges>,
    ) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let family = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let sent = family(
            "millrace_tier_sent_bytes_total",
            "Bytes of bodies sent to clients",
            &["protocol"],
        )?;
        let upstream_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "millrace_tier_upstream_header_seconds",
                "Time until a parent's response header is there, in seconds",
            )
            .buckets(vec![
                0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
            ]),
        )?;
        registry.register(Box::new(upstream_seconds.clone()))?;
        let connections = Connections::new()?;
        registry.register(Box::new(connections.open.clone()))?;
        registry.register(Box::new(connections.cut.clone()))?;
        registry.register(Box::new(CacheFigures::new(cache)?))?;
        registry.register(Box::new(DiskFigures::new(cache)?))?;
        let metrics = Self {
            requests: family(
                "millrace_tier_requests_total",
                "Requests answered",
                &["status", "protocol", "cache"],
            )?,
            frequent: Arc::default(),
            sent: Protocol::ALL.map(|protocol| sent.with_label_values(&[protocol.as_str()])),
            refusals: family(
                "millrace_tier_refusals_total",
                "Requests refused or failed, by reason",
                &["reason"],
            )?,
            upstream_requests: counter(
                "millrace_tier_upstream_requests_total",
                "Requests sent to parents",
            )?,
            upstream_bytes: counter(
                "millrace_tier_upstream_bytes_total",
                "Bytes of bodies that came from parents",
            )?,
            fills_left: counter(
                "millrace_tier_fills_left_total",
                "Fills ended because nobody read them any more",
            )?,
            upstream_seconds,
            feed: feed::Metrics::register(registry, purges)?,
            connections,
        };
        for reason in Reason::ALL {
            metrics.refusals.with_label_values(&[reason.code()]);
        }
        Ok(metrics)
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, status: u16, protocol: Protocol, cache: CacheUse, bytes: usize) {
        let counter = || {
            let mut digits = [0; 3];
            let labels = [
                label(status, &mut digits),
                protocol.as_str(),
                cache.as_str(),
            ];
            self.requests.with_label_values(&labels)
        };
        match self.frequent.cell(status, protocol, cache) {
            Some(cell) => cell.get_or_init(counter).inc(),
            None => counter().inc(),
        }
        if let Some(sent) = self.sent.get(protocol as usize) {
            sent.inc_by(bytes as u64);
        }
    }

    /// Counts a refusal or a failure.
    pub(crate) fn refused(&self, reason: Reason) {
        self.refusals.with_label_values(&[reason.code()]).inc();
    }
}

/// Counters of the most frequent answers, once each has been looked up by its labels.
#[derive(Default)]
struct Frequent([[[OnceLock<IntCounter>; USES]; Protocol::ALL.len()]; STATUSES.len()]);

impl Frequent {
    fn cell(
        &self,
        status: u16,
        protocol: Protocol,
        cache: CacheUse,
    ) -> Option<&OnceLock<IntCounter>> {
        let status = STATUSES.iter().position(|frequent| *frequent == status)?;
        let of_status = self.0.get(status)?.get(protocol as usize)?;
        of_status.get(cache as usize)
    }
}

const STATUSES: [u16; 3] = [200, 206, 304];

/// The kinds of [`CacheUse`].
const USES: usize = CacheUse::None as usize + 1;

/// A status as a label, without allocating on every request.
fn label(status: u16, digits: &mut [u8; 3]) -> &str {
    if !(100..=999).contains(&status) {
        return "none";
    }
    for (digit, power) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / power % 10).unwrap_or(0);
    }
    std::str::from_utf8(digits).unwrap_or("none")
}

/// The cache's own figures, read when the metrics are.
struct CacheFigures {
    cache: &'static Cache,
    bytes: IntGauge,
    objects: IntGauge,
    filling: IntGauge,
    fills: IntCounter,
    failures: IntCounter,
    promotions: IntCounter,
}

impl CacheFigures {
    fn new(cache: &'static Cache) -> Result<Self, prometheus::Error> {
        Ok(Self {
            cache,
            bytes: IntGauge::new(
                "millrace_tier_cache_bytes",
                "Bytes of memory in use by the cache",
            )?,
            objects: IntGauge::new("millrace_tier_cache_objects", "Objects in the cache")?,
            filling: IntGauge::new("millrace_tier_cache_fills", "Fills in progress")?,
            fills: IntCounter::new("millrace_tier_fills_total", "Fills begun")?,
            failures: IntCounter::new(
                "millrace_tier_fill_failures_total",
                "Fills that ended before the object was whole while somebody read them",
            )?,
            promotions: IntCounter::new(
                "millrace_tier_promotions_total",
                "Objects taken into memory from disk",
            )?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 6] {
        [
            &self.bytes,
            &self.objects,
            &self.filling,
            &self.fills,
            &self.failures,
            &self.promotions,
        ]
    }
}

impl Collector for CacheFigures {
    fn desc(&self) -> Vec<&Desc> {
        let collectors = self.collectors().into_iter();
        collectors.flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let usage = self.cache.usage();
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.bytes.set(gauge(usage.bytes));
        self.objects.set(gauge(usage.objects));
        self.filling.set(gauge(usage.fills));
        // Concurrent scrapes see the same figures or later ones, never a sum.
        for (counter, value) in [
            (&self.fills, usage.begun),
            (&self.failures, usage.failed),
            (&self.promotions, usage.promoted),
        ] {
            counter.inc_by(value.saturating_sub(counter.get()));
        }
        let collectors = self.collectors().into_iter();
        collectors.flat_map(Collector::collect).collect()
    }
}
