//! What the HTTP/3 front counts.

use std::ops::Deref;
use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::metrics::Cut;

/// The counters of one listener. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Counters>);

/// What is counted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Connections whose handshake was completed.
    pub connections: IntCounter,
    /// Connections that are open now.
    pub connections_open: IntGauge,
    /// Connections refused at the limit, or whose handshake failed or came too late.
    pub connections_refused: IntCounter,
    /// Clients that had to prove their address first.
    pub connections_retried: IntCounter,
    /// Connections that we closed with an error, for what the peer sent.
    pub connections_failed: IntCounter,
    /// Well-formed requests.
    pub requests: IntCounter,
    /// Request streams refused: malformed, incomplete, too large or too slow.
    pub malformed: IntCounter,
    /// Responses that did not reach their end: given up by us or by the client.
    pub resets: IntCounter,
    cut: IntCounterVec,
}

impl Metrics {
    /// Makes counters that stand at zero and belong to no registry yet.
    pub fn new() -> Self {
        let cut = valid(IntCounterVec::new(
            Opts::new(
                "h3_cut_total",
                "HTTP/3 clients cut off, connections or single requests, by cause",
            ),
            &["cause"],
        ));
        for cause in Cut::ALL {
            cut.with_label_values(&[cause.as_str()]);
        }
        Self(Arc::new(Counters {
            cut,
            connections: counter(
                "h3_connections_total",
                "HTTP/3 connections whose handshake was completed",
            ),
            connections_open: valid(IntGauge::new(
                "h3_connections_open",
                "HTTP/3 connections open now",
            )),
            connections_refused: counter(
                "h3_connections_refused_total",
                "HTTP/3 connections refused at the limit or failed in the handshake",
            ),
            connections_retried: counter(
                "h3_connections_retried_total",
                "HTTP/3 clients that had to prove their address first",
            ),
            connections_failed: counter(
                "h3_connections_failed_total",
                "HTTP/3 connections closed for a protocol error of the peer",
            ),
            requests: counter("h3_requests_total", "Well-formed HTTP/3 requests"),
            malformed: counter(
                "h3_malformed_total",
                "HTTP/3 request streams refused before processing",
            ),
            resets: counter(
                "h3_resets_total",
                "HTTP/3 responses that did not reach their end",
            ),
        }))
    }

    /// Counts a client that is cut off.
    pub(crate) fn cut(&self, cause: Cut) {
        self.cut.with_label_values(&[cause.as_str()]).inc();
        tracing::debug!(
            cause = cause.as_str(),
            "cut a client off: {}",
            cause.as_str()
        );
    }

    /// How many were cut off so far.
    #[cfg(test)]
    pub(crate) fn count(&self, cause: Cut) -> u64 {
        self.cut.with_label_values(&[cause.as_str()]).get()
    }

    /// Makes the counters visible in `registry`.
    ///
    /// # Errors
    ///
    /// When the registry already has one of their names.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.connections_open.clone()))?;
        registry.register(Box::new(self.cut.clone()))?;
        [
            &self.connections,
            &self.connections_refused,
            &self.connections_retried,
            &self.connections_failed,
            &self.requests,
            &self.malformed,
            &self.resets,
        ]
        .into_iter()
        .try_for_each(|counter| registry.register(Box::new(counter.clone())))
    }
}

impl Deref for Metrics {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn counter(name: &str, help: &str) -> IntCounter {
    valid(IntCounter::new(name, help))
}

#[expect(clippy::expect_used, reason = "names are constants of this file")]
fn valid<T>(metric: Result<T, prometheus::Error>) -> T {
    metric.expect("the name is a valid one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_counters_register_once() {
        let (metrics, registry) = (Metrics::new(), Registry::new());
        metrics.register(&registry).unwrap();
        let shown = registry.gather();
        assert_eq!(shown.len(), 9);
        assert!(
            shown
                .iter()
                .any(|family| family.name() == "h3_requests_total")
        );
        assert!(metrics.register(&registry).is_err());
    }
}
