//! The origin's counters, each declared once.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

/// All counters of an origin; clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    faults: IntCounterVec,
    indexes: IntCounterVec,
    keys: IntCounterVec,
    renders: IntCounterVec,
    pack_seconds: HistogramVec,
    /// Films read whose indexes do not fit in memory together.
    pub(crate) oversized_films: IntCounter,
    /// Bytes read from the store.
    pub(crate) read_bytes: IntCounter,
    /// Bytes of bodies handed to the connection.
    pub(crate) sent_bytes: IntCounter,
}

impl Metrics {
    /// Declares the counters in `registry`.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let pack_seconds = HistogramVec::new(
            HistogramOpts::new(
                "millrace_origin_pack_seconds",
                "Time that packing a segment took, in seconds, by flavour",
            )
            .buckets(PACK_BUCKETS.to_vec()),
            &["flavour"],
        )?;
        registry.register(Box::new(pack_seconds.clone()))?;
        Ok(Self {
            requests: counters(
                "millrace_origin_requests_total",
                "Requests answered, by kind of address and status",
                &["kind", "status"],
            )?,
            faults: counters(
                "millrace_origin_faults_total",
                "Requests not answered with what they asked for, by reason",
                &["reason"],
            )?,
            indexes: counters(
                "millrace_origin_index_lookups_total",
                "Films whose indexes were needed, by whether they were in memory (hit) or read (miss)",
                &["result"],
            )?,
            keys: counters(
                "millrace_origin_key_lookups_total",
                "Times that the key service was asked for a film's keys, by result (found, none, failed)",
                &["result"],
            )?,
            renders: counters(
                "millrace_origin_text_lookups_total",
                "Playlists, manifests and texts needed, by whether they were in memory (hit) or written (miss)",
                &["result"],
            )?,
            pack_seconds,
            oversized_films: counter(
                "millrace_origin_oversized_films_total",
                "Films read that take more than index_memory, so that every request reads them again",
            )?,
            read_bytes: counter(
                "millrace_origin_read_bytes_total",
                "Bytes read from the store",
            )?,
            sent_bytes: counter(
                "millrace_origin_sent_bytes_total",
                "Bytes of response bodies",
            )?,
        })
    }

    pub(crate) fn request(&self, kind: &str, status: u16) {
        self.requests
            .with_label_values(&[kind, &status.to_string()])
            .inc();
    }

    pub(crate) fn fault(&self, reason: contracts::reason::Reason) {
        self.faults.with_label_values(&[reason.code()]).inc();
    }

    pub(crate) fn index_lookup(&self, hit: bool) {
        self.indexes
            .with_label_values(&[if hit { "hit" } else { "miss" }])
            .inc();
    }

    pub(crate) fn key_lookup(&self, result: &str) {
        self.keys.with_label_values(&[result]).inc();
    }

    pub(crate) fn text_lookup(&self, hit: bool) {
        self.renders
            .with_label_values(&[if hit { "hit" } else { "miss" }])
            .inc();
    }

    pub(crate) fn pack_seconds(&self, flavour: contracts::address::Flavour) -> Histogram {
        let flavour = match flavour {
            contracts::address::Flavour::Cmaf => "cmaf",
            contracts::address::Flavour::Ts => "ts",
        };
        self.pack_seconds.with_label_values(&[flavour])
    }
}

const PACK_BUCKETS: [f64; 9] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
