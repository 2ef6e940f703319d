//! What is counted of the feed and of purges.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::purge::Purges;

/// The figures of the feed.
#[derive(Clone)]
pub struct Metrics {
    /// Questions to the feed without an answer that could be used.
    pub failures: IntCounter,
    /// Pages whose orders could not be written to the state file.
    pub unsaved: IntCounter,
    /// Objects that were found in the cache and purged since their fetch.
    pub purged: IntCounterVec,
    /// Answers of parents that were behind what is known here, and were asked for again.
    pub behind: IntCounter,
    /// Answers of caches that follow no feed, which may be older than a purge.
    pub unnumbered: IntCounter,
}

impl Metrics {
    /// Registers the figures.
    ///
    /// # Errors
    /// When the registry holds them already.
    pub fn register(registry: &Registry, purges: Arc<Purges>) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let purged = IntCounterVec::new(
            Opts::new(
                "millrace_tier_purged_total",
                "Objects found in the cache that were purged since their fetch",
            ),
            &["mode"],
        )?;
        registry.register(Box::new(purged.clone()))?;
        for mode in ["hard", "soft"] {
            purged.with_label_values(&[mode]);
        }
        registry.register(Box::new(Figures::new(purges)?))?;
        Ok(Self {
            failures: counter(
                "millrace_tier_feed_failures_total",
                "Questions to the feed without an answer that could be used",
            )?,
            unsaved: counter(
                "millrace_tier_feed_unsaved_total",
                "Pages of the feed that could not be written to the state file",
            )?,
            purged,
            behind: counter(
                "millrace_tier_parent_behind_total",
                "Answers of parents older than a purge that is known here, asked for again",
            )?,
            unnumbered: counter(
                "millrace_tier_parent_unnumbered_total",
                "Answers of caches that follow no feed, not stored because they may be older than a purge",
            )?,
        })
    }
}

/// What is read when the metrics are.
struct Figures {
    purges: Arc<Purges>,
    seq: IntGauge,
    age: Gauge,
    lost: IntGauge,
    keys: IntGauge,
    folds: IntCounter,
    merges: IntCounter,
}

impl Figures {
    fn new(purges: Arc<Purges>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            purges,
            seq: IntGauge::new(
                "millrace_tier_feed_seq",
                "The newest order that was applied",
            )?,
            age: Gauge::new(
                "millrace_tier_feed_age_seconds",
                "Since the last time that all orders were known, in seconds; -1 before the first",
            )?,
            lost: IntGauge::new(
                "millrace_tier_feed_lost",
                "1 while the feed has been lost for longer than the lease",
            )?,
            keys: IntGauge::new(
                "millrace_tier_purge_keys",
                "Keys whose purges are remembered",
            )?,
            folds: IntCounter::new(
                "millrace_tier_purge_folds_total",
                "Times that remembered purges did not fit and became one of everything",
            )?,
            merges: IntCounter::new(
                "millrace_tier_purge_merges_total",
                "Times that remembered purges did not fit and became those of their folders or tenants",
            )?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 6] {
        let (folds, merges) = (&self.folds, &self.merges);
        [&self.seq, &self.age, &self.lost, &self.keys, folds, merges]
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        let collectors = self.collectors().into_iter();
        collectors.flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.seq.set(gauge(self.purges.through()));
        let age = self.purges.lease.age();
        self.age.set(age.map_or(-1.0, |age| age.as_secs_f64()));
        self.lost.set(i64::from(self.purges.lost().is_some()));
        self.purges.table(|table| {
            self.keys.set(gauge(table.len() as u64));
            for (counter, count) in [(&self.folds, table.folds()), (&self.merges, table.merges())] {
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        });
        let collectors = self.collectors().into_iter();
        collectors.flat_map(Collector::collect).collect()
    }
}
