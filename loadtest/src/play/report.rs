//! How all players fared, by histograms of a high dynamic range.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::viewer::Seen;
use crate::maths::{count, ratio};
use crate::table::{Table, fine};

/// The sum of all players.
pub(super) struct Report {
    players: usize,
    requests: usize,
    bytes: usize,
    failures: usize,
    stalls: usize,
    played: Duration,
    stalled: Duration,
    /// Why players gave up, and how many for each reason.
    gave_up: BTreeMap<String, usize>,
    /// From asking until pictures moved, in ms, of those who came so far.
    start_ms: Histogram<u64>,
    /// Of each player that started, in thousandths of the time since.
    stall_thousandths: Histogram<u64>,
    switches: Histogram<u64>,
    /// Of each segment, in kbit/s.
    rate_kbit_s: Histogram<u64>,
}

impl Report {
    /// An empty one.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            players: 0,
            requests: 0,
            bytes: 0,
            failures: 0,
            stalls: 0,
            played: Duration::ZERO,
            stalled: Duration::ZERO,
            gave_up: BTreeMap::new(),
            start_ms: Histogram::new(3)?,
            stall_thousandths: Histogram::new(3)?,
            switches: Histogram::new(3)?,
            rate_kbit_s: Histogram::new(3)?,
        })
    }

    /// Adds a player.
    pub(super) fn add(&mut self, seen: &Seen) -> Result<()> {
        self.players += 1;
        self.requests += seen.requests;
        self.bytes += seen.bytes;
        self.failures += seen.failures;
        self.stalls += seen.buffer.stalls;
        self.played += seen.buffer.played;
        self.stalled += seen.buffer.stalled;
        if let Some(why) = &seen.gave_up {
            *self.gave_up.entry(why.clone()).or_default() += 1;
        }
        if let Some(started) = seen.buffer.started {
            self.start_ms.record(u64::try_from(started.as_millis())?)?;
        }
        if let Some(stalled) = seen.buffer.stall_ratio() {
            self.stall_thousandths.record(natural(stalled * 1e3))?;
        }
        self.switches.record(seen.switches)?;
        for rate in &seen.rates {
            self.rate_kbit_s.record(natural(rate / 1e3))?;
        }
        Ok(())
    }

    /// Prints it, as tables or as JSON.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        let out = if json {
            format!("{:#}\n", self.json())
        } else {
            self.tables()?
        };
        Ok(std::io::stdout().write_all(out.as_bytes())?)
    }

    fn rows(&self) -> [(&'static str, &Histogram<u64>); 4] {
        [
            ("start-up, ms", &self.start_ms),
            (
                "stalled, ‰ of the time since the start",
                &self.stall_thousandths,
            ),
            ("switches", &self.switches),
            ("rate of a segment's picture, kbit/s", &self.rate_kbit_s),
        ]
    }

    fn tables(&self) -> Result<String> {
        let mut out = format!(
            "{} players, {} started; {} requests, {} MB, {} failed and were tried again; {} stalls\n",
            self.players,
            self.start_ms.len(),
            self.requests,
            fine(count(self.bytes) / 1e6),
            self.failures,
            self.stalls,
        );
        writeln!(
            out,
            "played {} s, stalled {} s: {:.4} of the time",
            fine(self.played.as_secs_f64()),
            fine(self.stalled.as_secs_f64()),
            self.stalled_part(),
        )?;
        for (why, players) in &self.gave_up {
            writeln!(out, "{players} gave up: {why}")?;
        }
        let mut table = Table::new("Players", "what,p1,p10,p50,p90,p99,most");
        for (what, of) in self.rows() {
            let [p1, p10, p50, p90, p99] = QUANTILES.map(|at| of.value_at_quantile(at).to_string());
            table.row([
                what.to_owned(),
                p1,
                p10,
                p50,
                p90,
                p99,
                of.max().to_string(),
            ]);
        }
        table.print(&mut out)?;
        Ok(out)
    }

    fn json(&self) -> Value {
        let spread = |of: &Histogram<u64>| {
            let [p1, p10, p50, p90, p99] = QUANTILES.map(|at| of.value_at_quantile(at));
            json!({"count": of.len(), "p1": p1, "p10": p10, "p50": p50, "p90": p90, "p99": p99, "most": of.max()})
        };
        json!({
            "players": self.players,
            "requests": self.requests,
            "bytes": self.bytes,
            "failures": self.failures,
            "stalls": self.stalls,
            "played_s": self.played.as_secs_f64(),
            "stalled_s": self.stalled.as_secs_f64(),
            "stall_ratio": self.stalled_part(),
            "gave_up": self.gave_up,
            "start_ms": spread(&self.start_ms),
            "stall_thousandths": spread(&self.stall_thousandths),
            "switches": spread(&self.switches),
            "rate_kbit_s": spread(&self.rate_kbit_s),
        })
    }

    fn stalled_part(&self) -> f64 {
        let all = self.played + self.stalled;
        ratio(self.stalled.as_secs_f64(), all.as_secs_f64())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
fn natural(number: f64) -> u64 {
    number.round() as u64
}

const QUANTILES: [f64; 5] = [0.01, 0.1, 0.5, 0.9, 0.99];
