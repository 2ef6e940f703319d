//! A store to which something happens, or which does not do what it should.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use store::{Arrived, Digest, Direct, Error, Key, Part, Store, Writer, Written};

pub(super) type Hook = Box<dyn Fn() -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

pub(super) fn hook<F: Future<Output = Result<(), Error>> + Send + 'static>(
    run: impl Fn() -> F + Send + Sync + 'static,
) -> Hook {
    Box::new(move || Box::pin(run()))
}

/// Fails the first time, and never again.
pub(super) fn failing_once(fault: impl Fn() -> Error + Send + Sync + 'static) -> Hook {
    let tries = AtomicU32::new(0);
    hook(move || {
        let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
        let outcome = if first { Err(fault()) } else { Ok(()) };
        async move { outcome }
    })
}

/// Does nothing but count how often it came to that.
pub(super) fn counting() -> (Hook, Arc<AtomicU32>) {
    let times = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&times);
    let count = hook(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    (count, times)
}

/// A store to which something happens before it is asked whether it is there, joins, commits, deletes or reads a text.
pub(super) struct Odd {
    pub(super) inner: Arc<dyn Store>,
    pub(super) ping: Hook,
    pub(super) join: Hook,
    pub(super) commit: Arc<Hook>,
    pub(super) delete: Hook,
    pub(super) read: Hook,
    /// How many of the next ranges are read wrongly.
    pub(super) misreads: AtomicU32,
    /// What was put straight into it, if it is one that takes that.
    pub(super) sent: Option<&'static [u8]>,
}

impl Odd {
    /// Nothing happens to this one yet.
    pub(super) fn of(inner: Arc<dyn Store>) -> Self {
        let nothing = || hook(async || Ok(()));
        Self {
            inner,
            ping: nothing(),
            join: nothing(),
            commit: Arc::new(nothing()),
            delete: nothing(),
            read: nothing(),
            misreads: AtomicU32::new(0),
            sent: None,
        }
    }
}

struct OddWriter(Box<dyn Writer>, Arc<Hook>);

#[async_trait]
impl Store for Odd {
    async fn ping(&self) -> Result<(), Error> {
        (self.ping)().await?;
        self.inner.ping().await
    }
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        if key.as_str().starts_with("subtitles/") {
            (self.read)().await?;
        }
        self.inner.read(key).await
    }
    async fn read_range(&self, key: &Key, at: Range<u64>) -> Result<Option<Bytes>, Error> {
        let read = self.inner.read_range(key, at).await?;
        let order = Ordering::Relaxed;
        let left = self
            .misreads
            .fetch_update(order, order, |left| left.checked_sub(1));
        Ok(match left {
            Ok(_) => read.map(|bytes| vec![0; bytes.len()].into()),
            Err(_) => read,
        })
    }
    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.inner.size(key).await
    }
    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        self.inner.put(key, bytes).await
    }
    async fn put_file(&self, key: &Key, local: &Path) -> Result<(), Error> {
        self.inner.put_file(key, local).await
    }
    async fn writer(&self, key: &Key) -> Result<Box<dyn Writer>, Error> {
        let writer = self.inner.writer(key).await?;
        Ok(Box::new(OddWriter(writer, Arc::clone(&self.commit))))
    }
    async fn join(&self, parts: &[Part], into: &Key, whole: &Digest) -> Result<u64, Error> {
        (self.join)().await?;
        self.inner.join(parts, into, whole).await
    }
    async fn fetch(&self, key: &Key, local: &Path) -> Result<bool, Error> {
        self.inner.fetch(key, local).await
    }
    async fn delete(&self, key: &Key) -> Result<(), Error> {
        self.inner.delete(key).await
    }
    async fn delete_prefix(&self, prefix: &Key) -> Result<(), Error> {
        (self.delete)().await?;
        self.inner.delete_prefix(prefix).await
    }
    fn direct(&self) -> Option<&dyn Direct> {
        self.sent.is_some().then_some(self)
    }
}

#[async_trait]
impl Direct for Odd {
    async fn begin(&self, _: &Key) -> Result<String, Error> {
        Ok("name".to_owned())
    }
    async fn invite(&self, key: &Key, _: &str, _: u32, _: Duration) -> Result<String, Error> {
        Ok(key.to_string())
    }
    async fn arrived(&self, _: &Key, _: &str) -> Result<Vec<Arrived>, Error> {
        let sent = self.sent.iter().map(|sent| Arrived {
            number: 1,
            size_bytes: sent.len() as u64,
            tag: String::new(),
        });
        Ok(sent.collect())
    }
    async fn complete(&self, key: &Key, _: &str, _: &[Arrived]) -> Result<(), Error> {
        let sent = self.sent.unwrap_or_default();
        self.inner.put(key, Bytes::from_static(sent)).await
    }
    async fn abort(&self, _: &Key, _: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl Writer for OddWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.0.write(bytes).await
    }
    fn written(&self) -> Written {
        self.0.written()
    }
    async fn commit(self: Box<Self>) -> Result<(), Error> {
        (self.1)().await?;
        self.0.commit().await
    }
}
