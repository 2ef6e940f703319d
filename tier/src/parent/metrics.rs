//! How the parents are doing, as metrics.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts, Registry};

use super::Current;

/// Registers what is told of a node's parents.
///
/// # Errors
/// When the registry holds it already.
pub fn register(registry: &Registry, parents: &Current) -> Result<(), prometheus::Error> {
    let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["parent"]);
    registry.register(Box::new(Figures {
        parents: Arc::clone(parents),
        up: gauge(
            "millrace_tier_parent_up",
            "1 while the parent is not avoided because it failed",
        )?,
        load: gauge(
            "millrace_tier_parent_requests",
            "Requests in progress at the parent",
        )?,
    }))
}

struct Figures {
    parents: Current,
    up: IntGaugeVec,
    load: IntGaugeVec,
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        [self.up.desc(), self.load.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // One that is no parent any more is not told of.
        self.up.reset();
        self.load.reset();
        for state in self.parents.load().states() {
            let labels = &[state.authority];
            self.up.with_label_values(labels).set(state.well.into());
            let load = i64::try_from(state.load).unwrap_or(i64::MAX);
            self.load.with_label_values(labels).set(load);
        }
        [self.up.collect(), self.load.collect()].concat()
    }
}
