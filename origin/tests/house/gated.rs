//! A store whose reads hang while its gate is shut, as those of a disk or a service that does not answer.

use std::{ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use store::{Digest, Error, Key, Part, Store, Writer};
use tokio::sync::watch;

/// Another store behind a gate. Only reads of keys that hold `word` wait at it.
pub(crate) struct Gated {
    store: Arc<dyn Store>,
    word: &'static str,
    gate: watch::Sender<Gate>,
}

#[derive(Clone, Copy, Default)]
struct Gate {
    shut: bool,
    /// Reads that wait.
    waiting: usize,
}

impl Gated {
    pub(crate) fn new(store: Arc<dyn Store>, word: &'static str) -> Self {
        Self {
            store,
            word,
            gate: watch::Sender::default(),
        }
    }

    pub(crate) fn shut(&self) {
        self.gate.send_modify(|gate| gate.shut = true);
    }

    pub(crate) fn open(&self) {
        self.gate.send_modify(|gate| gate.shut = false);
    }

    /// Returns when so many reads hang.
    pub(crate) async fn hung(&self, reads: usize) {
        let mut gate = self.gate.subscribe();
        gate.wait_for(|gate| gate.waiting == reads).await.unwrap();
    }

    async fn pass(&self, key: &Key) {
        if !key.as_str().contains(self.word) {
            return;
        }
        let mut gate = self.gate.subscribe();
        self.gate.send_modify(|gate| gate.waiting += 1);
        gate.wait_for(|gate| !gate.shut).await.unwrap();
        self.gate.send_modify(|gate| gate.waiting -= 1);
    }
}

#[async_trait]
impl Store for Gated {
    async fn ping(&self) -> Result<(), Error> {
        self.store.ping().await
    }

    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        self.pass(key).await;
        self.store.read(key).await
    }

    async fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        self.pass(key).await;
        self.store.read_range(key, range).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.store.size(key).await
    }

    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        self.store.put(key, bytes).await
    }

    async fn put_file(&self, key: &Key, local: &Path) -> Result<(), Error> {
        self.store.put_file(key, local).await
    }

    async fn writer(&self, key: &Key) -> Result<Box<dyn Writer>, Error> {
        self.store.writer(key).await
    }

    async fn join(&self, parts: &[Part], into: &Key, promised: &Digest) -> Result<u64, Error> {
        self.store.join(parts, into, promised).await
    }

    async fn fetch(&self, key: &Key, local: &Path) -> Result<bool, Error> {
        self.store.fetch(key, local).await
    }

    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.store.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &Key) -> Result<(), Error> {
        self.store.delete_prefix(prefix).await
    }
}
