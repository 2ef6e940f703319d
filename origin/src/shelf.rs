//! The store as the origin sees it: reads that are counted, that tell the health, and that fail as faults.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::reason::Reason;
use runtime::internal::Health;
use store::{Key, Store};
use tokio::sync::Semaphore;

use crate::{
    fault::Fault,
    memory::{Claim, Memory},
    metrics::Metrics,
};

/// Reads from the store.
pub(crate) struct Shelf {
    store: Arc<dyn Store>,
    memory: Memory,
    metrics: Metrics,
    health: Health,
    /// How long a read may take.
    wait: Duration,
    /// Reads under way. One that hangs keeps its place after nobody waits for it any more: a store that does not
    /// answer then costs so many threads and buffers, and no more.
    places: Arc<Semaphore>,
}

impl Shelf {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        memory: Memory,
        wait: Duration,
        metrics: Metrics,
        health: Health,
    ) -> Self {
        Self {
            store,
            memory,
            wait,
            metrics,
            health,
            places: Arc::new(Semaphore::new(MAX_READS)),
        }
    }

    /// What is read and made takes its claim here.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// A whole object, and the claim on memory for it; none when it is absent.
    pub(crate) async fn read(&self, key: &Key) -> Result<Option<(Bytes, Claim)>, Fault> {
        let Some(size) = self.size(key).await? else {
            return Ok(None);
        };
        let claim = self.memory.take(held(size)).await?;
        let bytes = self.read_claimed(key, &claim).await?;
        Ok(bytes.map(|bytes| (bytes, claim)))
    }

    /// A whole object within a claim; none when it is absent.
    pub(crate) async fn read_claimed(
        &self,
        key: &Key,
        claim: &Claim,
    ) -> Result<Option<Bytes>, Fault> {
        self.read_whole(key, Some(Arc::clone(claim))).await
    }

    /// A whole object that is known to be small; none when it is absent.
    pub(crate) async fn read_small(&self, key: &Key) -> Result<Option<Bytes>, Fault> {
        self.read_whole(key, None).await
    }

    async fn read_whole(&self, key: &Key, claim: Option<Claim>) -> Result<Option<Bytes>, Fault> {
        let read = |store: Arc<dyn Store>, key| async move { store.read(&key).await };
        let outcome = self.in_time(key, claim, read);
        self.counted(outcome.await)
    }

    /// Exactly the bytes of `range` within a claim; none when the object is absent.
    pub(crate) async fn read_range(
        &self,
        key: &Key,
        range: Range<u64>,
        claim: &Claim,
    ) -> Result<Option<Bytes>, Fault> {
        let claim = Some(Arc::clone(claim));
        let outcome = self.in_time(key, claim, |store, key| async move {
            store.read_range(&key, range).await
        });
        self.counted(outcome.await)
    }

    /// An object's length in bytes; none when it is absent.
    pub(crate) async fn size(&self, key: &Key) -> Result<Option<u64>, Fault> {
        let size = |store: Arc<dyn Store>, key| async move { store.size(&key).await };
        let outcome = self.in_time(key, None, size);
        self.told(outcome.await)
    }

    /// Reads for as long as may be waited for it. The read itself goes on after that, and after its asker is gone, and
    /// keeps its place and its claim until it ends.
    async fn in_time<T: Send + 'static, F>(
        &self,
        key: &Key,
        claim: Option<Claim>,
        read: impl FnOnce(Arc<dyn Store>, Key) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, store::Error>> + Send + 'static,
    {
        let read = read(Arc::clone(&self.store), key.clone());
        let places = Arc::clone(&self.places);
        let in_its_place = async {
            let place = places.acquire_owned().await;
            let read = tokio::spawn(async move {
                let outcome = read.await;
                drop((place, claim));
                outcome
            });
            read.await
        };
        match tokio::time::timeout(self.wait, in_its_place).await {
            Ok(outcome) => outcome?.map_err(Fault::from),
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

/// What reading so many bytes takes of memory at most: the store may give a buffer that is longer by a quarter.
pub(crate) const fn held(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 4)
}

/// Enough for a fast disk; far below the threads that the runtime has for such work.
const MAX_READS: usize = 64;
