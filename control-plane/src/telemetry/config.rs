//! `[telemetry]`: what players tell, and what becomes of it.

use std::path::PathBuf;
use std::time::Duration;

use ::config::{ByteSize, Problems, Span};
use serde::{Deserialize, Serialize};
use telemetry::log::{Limits, check_address};

use crate::config::{file, span};

/// `[telemetry]`: what players tell, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where events are written until they are folded into the catalogue: `file:///absolute/path`, a folder of this
    /// control plane's own. Empty: no events are taken. Default empty.
    pub log: String,
    /// How much of it may wait to be folded, 1MiB to 1TiB. Beyond, events are refused (503) until the catalogue has
    /// taken some. Default `1GiB`.
    pub log_size: ByteSize,
    /// For how long a film must have run in a session to count as a view, 0 s to 10 m; one that was seen to its end
    /// counts as well. It holds for sessions that are first heard of from then on. Default `30s`.
    pub view_after: Span,
    /// How long counts by hour, edge and network are kept, 1 d to 400 d. Views and watch time stay. Default `90d`.
    pub keep: Span,
    /// A MaxMind DB file with the networks' autonomous systems, by which viewers' networks are told apart; it is read
    /// again when it changes. Empty: all are `unknown`. Default empty.
    pub networks: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: String::new(),
            log_size: ByteSize(1 << 30),
            view_after: Span::seconds(30),
            keep: Span::seconds(90 * 86_400),
            networks: String::new(),
        }
    }
}

/// What `[telemetry]` means once checked.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// Where events are written.
    pub log: Option<String>,
    /// How large that may be.
    pub limits: Limits,
    /// For how long a film must have run to count as a view.
    pub view_after: Duration,
    /// How long counts by hour are kept.
    pub keep: Duration,
    /// The file of networks.
    pub networks: Option<PathBuf>,
}

impl TelemetryConfig {
    /// Checks it; faults are added to `problems`.
    pub(crate) fn check(self, problems: &mut Problems) -> TelemetrySettings {
        let bytes = self.log_size.0;
        if !(1 << 20..=1 << 40).contains(&bytes) {
            problems.add("telemetry.log_size", "must be 1MiB to 1TiB");
        }
        span(problems, "telemetry.view_after", self.view_after, 0..=600);
        let days = 86_400..=400 * 86_400;
        span(problems, "telemetry.keep", self.keep, days);
        let log = (!self.log.is_empty()).then_some(self.log);
        if let Some(address) = &log {
            problems.take("telemetry.log", check_address(address));
        }
        TelemetrySettings {
            log,
            limits: Limits {
                bytes,
                segment: (bytes / 16).min(SEGMENT),
            },
            view_after: self.view_after.0,
            keep: self.keep.0,
            networks: file(self.networks),
        }
    }
}

/// The largest segment, in bytes.
const SEGMENT: u64 = 16 << 20;
