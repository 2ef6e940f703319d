//! The access log: one JSON object a line for each answered request.
//!
//! 1. `line` writes what is known of a request as one line, in a buffer of the thread;
//! 2. `queue` takes it, or has no room and counts it as dropped: nothing waits here;
//! 3. `writer`, a thread of its own, writes what has gathered;
//! 4. `sink` is the file, opened anew when it was moved away, or standard output.
//!
//! Invariants: no request waits for the log; a line is written whole or not at all; no token, signature, query or
//! cookie stands in one, whatever was asked.

mod config;
mod line;
mod metrics;
mod queue;
mod sink;
mod writer;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use runtime::internal::Health;
use tokio::sync::oneshot;

pub use config::{Access, ClientAddress, Settings, To};
pub use line::Served;

use line::Scratch;
use metrics::Metrics;
use queue::Queue;
use sink::Sink;

/// The access log of a node. Dropped, it writes what has gathered and ends.
pub struct Log {
    node: String,
    client: ClientAddress,
    to: To,
    queue: Arc<Queue>,
    metrics: Metrics,
    /// Says when the writer has ended.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Log {
    /// The log of the node called `node`; nothing is written before [`Log::begin`].
    ///
    /// # Errors
    /// When the registry holds its figures already.
    pub fn new(
        settings: &Settings,
        node: &str,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let queue = Arc::new(Queue::new(settings.queue_bytes));
        Ok(Self {
            node: node.to_owned(),
            client: settings.client_address,
            to: settings.to.clone(),
            metrics: Metrics::register(registry)?,
            queue,
            ended: Mutex::default(),
        })
    }

    /// Begins to write; `health` hears when that fails, and when it is mended.
    pub fn begin(&self, health: &Health) {
        let (done, ended) = oneshot::channel();
        let sink = Sink::new(self.to.clone());
        let parts = (
            Arc::clone(&self.queue),
            self.metrics.clone(),
            health.clone(),
        );
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        let began = thread.spawn(move || {
            let (queue, metrics, health) = parts;
            writer::run(&queue, sink, &metrics, &health);
            // Nobody may be waiting.
            let _ = done.send(());
        });
        match began {
            Ok(_) => *self.ended.lock() = Some(ended),
            Err(error) => health.degrade(PART, Some(format!("no thread to write with: {error}"))),
        }
    }

    /// Notes an answered request. Never waits.
    pub fn served(&self, served: &Served<'_>) {
        SCRATCH.with_borrow_mut(|scratch| {
            let line = scratch.line(&self.node, self.client, served);
            if !self.queue.push(line) {
                self.metrics.dropped.inc();
            }
        });
    }

    /// Takes no more lines, and waits until those that were taken are written, for a while.
    pub async fn close(&self) {
        self.queue.close();
        let ended = self.ended.lock().take();
        if let Some(ended) = ended
            && tokio::time::timeout(PATIENCE, ended).await.is_err()
        {
            tracing::warn!("stopped before the access log was written to its end");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.close();
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// By which name health speaks of it.
const PART: &str = "access log";

/// How long a stop waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
