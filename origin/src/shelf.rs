//! The store as the origin sees it: reads that are counted, that tell the health, and that fail as faults.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use contracts::reason::Reason;
use runtime::internal::Health;
use store::{Key, Store};

use crate::{library::Fault, metrics::Metrics};

/// Reads from the store.
pub(crate) struct Shelf {
    store: Arc<dyn Store>,
    metrics: Metrics,
    health: Health,
}

impl Shelf {
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Metrics, health: Health) -> Self {
        Self {
            store,
            metrics,
            health,
        }
    }

    /// A whole object; none when it is absent.
    pub(crate) async fn read(&self, key: &Key) -> Result<Option<Bytes>, Fault> {
        let outcome = self.store.read(key).await;
        self.counted(outcome)
    }

    /// Exactly the bytes of `range`; none when the object is absent.
    pub(crate) async fn read_range(
        &self,
        key: &Key,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, Fault> {
        let outcome = self.store.read_range(key, range).await;
        self.counted(outcome)
    }

    /// An object's length in bytes; none when it is absent.
    pub(crate) async fn size(&self, key: &Key) -> Result<Option<u64>, Fault> {
        let outcome = self.store.size(key).await;
        self.told(outcome)
    }

    fn counted(
        &self,
        outcome: Result<Option<Bytes>, store::Error>,
    ) -> Result<Option<Bytes>, Fault> {
        let bytes = self.told(outcome)?;
        let length = bytes.as_ref().map_or(0, Bytes::len);
        self.metrics
            .read_bytes
            .inc_by(u64::try_from(length).unwrap_or(u64::MAX));
        Ok(bytes)
    }

    /// Any answer of the store, also that an object is absent or too short, shows that the store can be read.
    fn told<T>(&self, outcome: Result<T, store::Error>) -> Result<T, Fault> {
        let outcome = outcome.map_err(Fault::from);
        match &outcome {
            Err(fault) if fault.reason == Reason::Unreachable => {
                self.health.ail("the store cannot be read");
            }
            _ => self.health.recover(),
        }
        outcome
    }
}
