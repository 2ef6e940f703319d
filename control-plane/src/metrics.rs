//! What the control plane counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The control plane's counters.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests, by route and status.
    pub(crate) requests: IntCounterVec,
    /// Refusals, by the problem's kind.
    pub(crate) refusals: IntCounterVec,
    /// Playback sessions begun.
    pub(crate) sessions: IntCounter,
    /// Passwords hashed, to be kept or to be compared.
    pub(crate) hashed: IntCounter,
    /// Licences given, by system.
    pub(crate) licences: IntCounterVec,
    /// Answers to players that ask where to go, by kind of player and whether they may stay.
    pub(crate) steered: IntCounterVec,
    /// Whether edges answer their probes.
    pub(crate) edges_well: IntGaugeVec,
    /// Nodes that are heard of.
    pub(crate) nodes: IntGauge,
    /// Orders that a node has not applied, by its name.
    pub(crate) lag: IntGaugeVec,
    /// Nodes that wait here for orders.
    pub(crate) waiting: IntGauge,
    /// Nodes that have enrolled, by how they stand.
    pub(crate) members: IntGaugeVec,
    /// Events that the webhook was told, by what came of it.
    pub(crate) told: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = Opts::new(
            "millrace_control_requests_total",
            "Requests to the control plane, by route and status.",
        );
        let refusals = Opts::new(
            "millrace_control_refusals_total",
            "Requests that were refused, by the problem's kind.",
        );
        let licences = Opts::new(
            "millrace_control_licenses_total",
            "Licences given, or asked of a vendor, by system.",
        );
        let steered = Opts::new(
            "millrace_control_steered_total",
            "Answers of content steering, by format of the player and whether it may stay where it is.",
        );
        let edges_well = Opts::new(
            "millrace_control_edge_up",
            "Whether an edge answers its probe, 1 or 0, by edge.",
        );
        let lag = Opts::new(
            "millrace_control_node_lag_orders",
            "Orders that a node has not said it has applied, by its name.",
        );
        let members = Opts::new(
            "millrace_control_enrolled_nodes",
            "Nodes that have enrolled, by state: joining, active, draining, quarantined, dismissed.",
        );
        let told = Opts::new(
            "millrace_control_events_told_total",
            "Events of films and the webhook: taken by it, refused and to be tried again, or passed over because they were too old.",
        );
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["route", "status"])?,
            refusals: IntCounterVec::new(refusals, &["kind"])?,
            sessions: IntCounter::new(
                "millrace_control_sessions_total",
                "Playback sessions begun.",
            )?,
            hashed: IntCounter::new(
                "millrace_control_passwords_hashed_total",
                "Passwords hashed, to be kept or to be compared: of strangers too.",
            )?,
            licences: IntCounterVec::new(licences, &["system"])?,
            steered: IntCounterVec::new(steered, &["format", "action"])?,
            edges_well: IntGaugeVec::new(edges_well, &["edge"])?,
            nodes: IntGauge::new(
                "millrace_control_nodes",
                "Edges and shields that have asked for orders and are not forgotten.",
            )?,
            lag: IntGaugeVec::new(lag, &["node"])?,
            waiting: IntGauge::new(
                "millrace_control_nodes_waiting",
                "Edges and shields that wait for orders at this process.",
            )?,
            members: IntGaugeVec::new(members, &["state"])?,
            told: IntCounterVec::new(told, &["outcome"])?,
        };
        registry.register(Box::new(metrics.nodes.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.members.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.refusals.clone()))?;
        registry.register(Box::new(metrics.sessions.clone()))?;
        registry.register(Box::new(metrics.hashed.clone()))?;
        registry.register(Box::new(metrics.licences.clone()))?;
        registry.register(Box::new(metrics.steered.clone()))?;
        registry.register(Box::new(metrics.edges_well.clone()))?;
        registry.register(Box::new(metrics.told.clone()))?;
        Ok(metrics)
    }
}
