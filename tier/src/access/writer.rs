//! The thread that writes what has gathered.

use std::time::{Duration, Instant};

use runtime::internal::Health;

use super::PART;
use super::metrics::Metrics;
use super::queue::{Batch, Queue};
use super::sink::{Outcome, Sink};

/// Writes until the queue is closed and empty, or what is left cannot be written.
pub(super) fn run(queue: &Queue, mut sink: Sink, metrics: &Metrics, health: &Health) {
    let mut batch = Batch::default();
    loop {
        let is_open = queue.take(&mut batch, PAUSE);
        let lines = batch.lines;
        match sink.write(&mut batch, Instant::now(), !is_open) {
            Outcome::Written(lost) => {
                metrics.written.inc_by(lines - lost.min(lines));
                metrics.dropped.inc_by(lost);
                tell(None, metrics, health);
                if !is_open && queue.lines() == 0 {
                    return;
                }
            }
            Outcome::Failed(error) => tell(Some(&error), metrics, health),
            Outcome::Waiting => {}
        }
        if !is_open && !batch.bytes.is_empty() {
            metrics.dropped.inc_by(batch.lines + queue.lines());
            return;
        }
    }
}

/// Says how it goes, in the log when that has changed.
fn tell(error: Option<&std::io::Error>, metrics: &Metrics, health: &Health) {
    let was_failing = metrics.failing.get() == 1;
    match error {
        Some(error) if !was_failing => tracing::error!("the access log cannot be written: {error}"),
        None if was_failing => tracing::info!("the access log is written again"),
        _ => {}
    }
    if was_failing || error.is_some() {
        let why = error.map(|error| format!("not written to: {error}"));
        health.degrade(PART, why);
    }
    metrics.failing.set(i64::from(error.is_some()));
}

/// How long lines gather at most.
const PAUSE: Duration = Duration::from_millis(250);
