//! What is counted of the access log.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The figures of an access log.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) written: IntCounter,
    pub(super) dropped: IntCounter,
    pub(super) failing: IntGauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "millrace_tier_access_log_lines_total",
            "Lines of the access log: written, or dropped because they did not fit in its queue",
        );
        let lines = IntCounterVec::new(options, &["outcome"])?;
        let failing = IntGauge::new(
            "millrace_tier_access_log_failing",
            "Whether the access log cannot be written at present: 1 if so, else 0",
        )?;
        registry.register(Box::new(lines.clone()))?;
        registry.register(Box::new(failing.clone()))?;
        Ok(Self {
            written: lines.with_label_values(&["written"]),
            dropped: lines.with_label_values(&["dropped"]),
            failing,
        })
    }
}
