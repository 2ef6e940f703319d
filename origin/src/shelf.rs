//! The store as the origin sees it: reads that are counted, that tell the health, and that fail as faults.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::reason::Reason;
use runtime::internal::Health;
use store::{Key, Store};

use crate::{fault::Fault, metrics::Metrics};

/// Reads from the store.
pub(crate) struct Shelf {
    store: Arc<dyn Store>,
    metrics: Metrics,
    health: Health,
    /// How long a read may take.
    wait: Duration,
}

impl Shelf {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        wait: Duration,
        metrics: Metrics,
        health: Health,
    ) -> Self {
        Self {
            store,
            wait,
            metrics,
            health,
        }
    }

    /// A whole object; none when it is absent.
    pub(crate) async fn read(&self, key: &Key) -> Result<Option<Bytes>, Fault> {
        let outcome = self.in_time(key, self.store.read(key)).await;
        self.counted(outcome)
    }

    /// Exactly the bytes of `range`; none when the object is absent.
    pub(crate) async fn read_range(
        &self,
        key: &Key,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, Fault> {
        let outcome = self.in_time(key, self.store.read_range(key, range)).await;
        self.counted(outcome)
    }

    /// An object's length in bytes; none when it is absent.
    pub(crate) async fn size(&self, key: &Key) -> Result<Option<u64>, Fault> {
        let outcome = self.in_time(key, self.store.size(key)).await;
        self.told(outcome)
    }

    async fn in_time<T>(
        &self,
        key: &Key,
        read: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(self.wait, read).await {
            Ok(outcome) => outcome.map_err(Fault::from),
            Err(_) => Err(Fault::new(
                Reason::TooSlow,
                format!("{key}: the store did not answer in time"),
            )),
        }
    }

    fn counted(&self, outcome: Result<Option<Bytes>, Fault>) -> Result<Option<Bytes>, Fault> {
        let bytes = self.told(outcome)?;
        let length = bytes.as_ref().map_or(0, Bytes::len);
        self.metrics
            .read_bytes
            .inc_by(u64::try_from(length).unwrap_or(u64::MAX));
        Ok(bytes)
    }

    /// Any answer of the store, also that an object is absent or too short, shows that the store can be read.
    fn told<T>(&self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        match &outcome {
            Err(fault) if matches!(fault.reason, Reason::Unreachable | Reason::TooSlow) => {
                self.health.ail("the store cannot be read");
            }
            _ => self.health.recover(),
        }
        outcome
    }
}
