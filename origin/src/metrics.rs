//! The origin's counters, each declared once.

use std::sync::{Arc, OnceLock};

use contracts::{address::Flavour, reason::Reason};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use crate::dress::Kind;

/// All counters of an origin; clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Arc<Requests>,
    faults: IntCounterVec,
    keys: IntCounterVec,
    cmaf_seconds: Histogram,
    ts_seconds: Histogram,
    /// Films whose indexes were needed.
    pub(crate) indexes: Lookups,
    /// Texts that were needed.
    pub(crate) texts: Lookups,
    /// Films read whose indexes do not fit in memory together.
    pub(crate) oversized_films: IntCounter,
    /// Bytes read from the store.
    pub(crate) read_bytes: IntCounter,
    /// Bytes of bodies handed to the connection.
    pub(crate) sent_bytes: IntCounter,
}

/// How often something was in memory, and how often not.
#[derive(Clone)]
pub(crate) struct Lookups {
    pub(crate) hit: IntCounter,
    pub(crate) miss: IntCounter,
}

/// Requests by kind and status. A counter is looked up by its labels once: that takes longer than to count.
struct Requests {
    all: IntCounterVec,
    usual: [[OnceLock<IntCounter>; USUAL.len()]; Kind::COUNT],
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
        let lookups = |name: &str, help: &str| {
            let lookups = counters(name, help, &["result"])?;
            Ok::<_, prometheus::Error>(Lookups {
                hit: lookups.with_label_values(&["hit"]),
                miss: lookups.with_label_values(&["miss"]),
            })
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
            requests: Arc::new(Requests::new(counters(
                "millrace_origin_requests_total",
                "Requests answered, by kind of address and status",
                &["kind", "status"],
            )?)),
            faults: counters(
                "millrace_origin_faults_total",
                "Requests not answered with what they asked for, by reason",
                &["reason"],
            )?,
            indexes: lookups(
                "millrace_origin_index_lookups_total",
                "Films whose indexes were needed, by whether they were in memory (hit) or read (miss)",
            )?,
            keys: counters(
                "millrace_origin_key_lookups_total",
                "Times that the key service was asked for a film's keys, by result (found, none, failed)",
                &["result"],
            )?,
            texts: lookups(
                "millrace_origin_text_lookups_total",
                "Playlists, manifests, texts and initialization segments needed, by whether they were in memory (hit) or written (miss)",
            )?,
            cmaf_seconds: pack_seconds.with_label_values(&["cmaf"]),
            ts_seconds: pack_seconds.with_label_values(&["ts"]),
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

    pub(crate) fn request(&self, kind: Kind, status: u16) {
        self.requests.count(kind, status);
    }

    pub(crate) fn fault(&self, reason: Reason) {
        self.faults.with_label_values(&[reason.code()]).inc();
    }

    pub(crate) fn key_lookup(&self, result: &str) {
        self.keys.with_label_values(&[result]).inc();
    }

    pub(crate) const fn pack_seconds(&self, flavour: Flavour) -> &Histogram {
        match flavour {
            Flavour::Cmaf => &self.cmaf_seconds,
            Flavour::Ts => &self.ts_seconds,
        }
    }
}

impl Requests {
    fn new(all: IntCounterVec) -> Self {
        Self {
            all,
            usual: Default::default(),
        }
    }

    fn count(&self, kind: Kind, status: u16) {
        let found = || {
            let labels = [kind.as_str(), &status.to_string()];
            self.all.with_label_values(&labels)
        };
        let place = USUAL.iter().position(|usual| *usual == status);
        let of_kind = self.usual.get(kind as usize);
        match of_kind.zip(place).and_then(|(row, at)| row.get(at)) {
            Some(counter) => counter.get_or_init(found).inc(),
            None => found().inc(),
        }
    }
}

/// What almost all requests are answered with.
const USUAL: [u16; 3] = [200, 206, 304];
const PACK_BUCKETS: [f64; 9] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
