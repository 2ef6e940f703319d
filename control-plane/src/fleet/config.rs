//! `[fleet]`: the nodes that follow the feed.

use std::path::PathBuf;
use std::time::Duration;

use ::config::{Problems, Span};
use serde::{Deserialize, Serialize};

use crate::config::span;

/// `[fleet]`: edges and shields that are given orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// Files with the credentials that nodes show when they ask for orders, which are those of their
    /// `upstream.hop_secret_file`. None: nobody is given orders. Default none.
    pub hop_secrets: Vec<String>,
    /// Nodes that wait for orders at one time, 1 to 3000. Default 1000. Those beyond are answered at once and ask
    /// again.
    pub waiting: usize,
    /// How long orders are kept one by one, 1 h to 90 d. Default `7d`. A node that was away for longer takes everything
    /// for purged.
    pub keep_orders: Span,
    /// After how long without a word a node is forgotten, 1 h to 400 d. Default `30d`.
    pub forget_nodes: Span,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            hop_secrets: Vec::new(),
            waiting: 1000,
            keep_orders: Span::seconds(7 * 86_400),
            forget_nodes: Span::seconds(30 * 86_400),
        }
    }
}

/// What `[fleet]` means once checked.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Files with credentials.
    pub hop_secrets: Vec<PathBuf>,
    /// Nodes that wait at one time.
    pub waiting: usize,
    /// How long orders are kept one by one.
    pub keep_orders: Duration,
    /// After how long a node is forgotten.
    pub forget_nodes: Duration,
}

impl FleetConfig {
    /// Checks it; faults are added to `problems`.
    pub(crate) fn check(self, problems: &mut Problems) -> FleetSettings {
        if !(1..=3000).contains(&self.waiting) {
            problems.add("fleet.waiting", "must be 1 to 3000");
        }
        let bounds = 3600..=90 * 86_400;
        span(problems, "fleet.keep_orders", self.keep_orders, bounds);
        let bounds = 3600..=400 * 86_400;
        span(problems, "fleet.forget_nodes", self.forget_nodes, bounds);
        FleetSettings {
            hop_secrets: self.hop_secrets.into_iter().map(PathBuf::from).collect(),
            waiting: self.waiting,
            keep_orders: self.keep_orders.0,
            forget_nodes: self.forget_nodes.0,
        }
    }
}
