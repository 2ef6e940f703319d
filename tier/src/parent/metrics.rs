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
        addresses: gauge(
            "millrace_tier_parent_addresses",
            "Addresses that the parent's name leads to",
        )?,
        nameless: gauge(
            "millrace_tier_parent_nameless",
            "1 while lookups of the parent's name fail; what was found before is gone by",
        )?,
    }))
}

struct Figures {
    parents: Current,
    up: IntGaugeVec,
    load: IntGaugeVec,
    addresses: IntGaugeVec,
    nameless: IntGaugeVec,
}

impl Figures {
    const fn all(&self) -> [&IntGaugeVec; 4] {
        [&self.up, &self.load, &self.addresses, &self.nameless]
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        self.all().map(Collector::desc).concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // One that is no parent any more is not told of.
        self.up.reset();
        self.load.reset();
        for state in self.parents.load().states() {
            let labels = &[state.authority];
            let set = |gauge: &IntGaugeVec, value: usize| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                gauge.with_label_values(labels).set(value);
            };
            set(&self.up, state.well.into());
            set(&self.load, state.load);
            set(&self.addresses, state.addresses);
            set(&self.nameless, state.nameless.into());
        }
        self.all().map(Collector::collect).concat()
    }
}
