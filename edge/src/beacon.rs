//! The access log: one line a request.

use tier::beacon::{Beacon, Served};

/// Writes each answered request to the log, under the target `access`.
#[derive(Clone, Debug)]
pub struct AccessLog {
    node: String,
}

impl AccessLog {
    /// The log of a node.
    #[must_use]
    pub fn new(node: impl Into<String>) -> Self {
        Self { node: node.into() }
    }
}

impl Beacon for AccessLog {
    fn served(&self, served: &Served<'_>) {
        tracing::info!(
            target: "access",
            node = %self.node,
            protocol = served.protocol.as_str(),
            method = served.method,
            address = served.address,
            session.id = served.session,
            status = served.status,
            bytes = served.bytes,
            cache = served.cache_use.as_str(),
            reason = served.reason.map(contracts::reason::Reason::code),
            took_us = u64::try_from(served.took.as_micros()).unwrap_or(u64::MAX),
            complete = served.complete,
            "{} {} {}",
            served.method,
            served.address,
            served.status,
        );
    }
}
