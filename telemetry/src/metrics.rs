//! What is counted of events.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters and gauges of events.
#[derive(Clone)]
pub struct Metrics {
    /// Events that were taken.
    pub(crate) accepted: IntCounter,
    /// Events that had been taken before.
    pub(crate) duplicates: IntCounter,
    /// Events that were not taken, by reason.
    pub(crate) rejected: IntCounterVec,
    /// Steps of folding that failed.
    pub(crate) failures: IntCounter,
    /// Bytes of the log that were not folded: damaged, of no use, or too old.
    pub(crate) lost: IntCounter,
    lag: IntGauge,
    size: IntGauge,
}

impl Metrics {
    /// Declares them.
    ///
    /// # Errors
    /// When one is declared already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let rejected = Opts::new(
            "millrace_events_rejected_total",
            "Playback events that were not taken, by reason.",
        );
        let metrics = Self {
            accepted: IntCounter::new(
                "millrace_events_accepted_total",
                "Playback events that were taken.",
            )?,
            duplicates: IntCounter::new(
                "millrace_events_duplicates_total",
                "Playback events that had been taken before.",
            )?,
            rejected: IntCounterVec::new(rejected, &["reason"])?,
            failures: IntCounter::new(
                "millrace_events_fold_failures_total",
                "Steps of folding events that failed and were tried again.",
            )?,
            lost: IntCounter::new(
                "millrace_events_lost_bytes_total",
                "Bytes of the log of events that were passed over: damaged, or older than a week.",
            )?,
            lag: IntGauge::new(
                "millrace_events_lag_bytes",
                "Bytes of the log of events that are not folded yet.",
            )?,
            size: IntGauge::new("millrace_events_log_bytes", "Bytes of the log of events.")?,
        };
        for counter in [
            &metrics.accepted,
            &metrics.duplicates,
            &metrics.failures,
            &metrics.lost,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.rejected.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.size.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn lag(&self, bytes: u64) {
        self.lag.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn size(&self, bytes: u64) {
        self.size.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
