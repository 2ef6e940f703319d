//! The cache as `pingora-cache` wants it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::key::CacheHashKey;
use pingora::cache::storage::streaming_write::U64WriteId;
use pingora::cache::storage::{
    HandleMiss, HitHandler, MissFinishType, MissHandler, PurgeOutcome, PurgeTarget, PurgeType,
    Storage,
};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::prelude::{Error, ErrorType, OrErr, Result};

use super::OVERHEAD;
use super::body::{Object, Reader, Source};
use super::meta::Meta;
use super::store::Cache;

#[async_trait]
impl Storage for Cache {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let hash = key.combined_bin();
        if let Some(object) = self.find(&hash) {
            return Ok(self.open(object));
        }
        Ok(self.find_below(&hash).await)
    }

    async fn lookup_streaming_write(
        &'static self,
        _key: &CacheKey,
        tag: Option<&[u8]>,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let id: u64 = U64WriteId::try_from(tag.unwrap_or_default())
            .or_err(ErrorType::InternalError, "unknown write tag")?
            .into();
        let object = self.fill(id);
        Ok(object
            .and_then(Reader::open)
            .map(|(meta, reader)| (meta, reader as HitHandler)))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<MissHandler> {
        let meta = Meta::keep(meta);
        // All of it now: without room Pingora passes the answer through whole. Later it could
        // only break it off.
        let reserved = meta.content_length().unwrap_or(0);
        let taken = OVERHEAD.saturating_add(reserved);
        self.make_room(taken)?;
        let hash = key.combined_bin();
        let object = self.object(hash, meta, taken, Source::Parent);
        self.begin(&object);
        Ok(Box::new(Writer {
            store: self,
            tag: object.id.into(),
            object,
            len: 0,
            reserved,
            settled: false,
        }))
    }

    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _purge_type: PurgeType,
        _trace: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        let hash = target.key().combined_bin();
        let known = self.purge_hash(&hash).await;
        Ok(match known {
            Ok(true) => PurgeOutcome::Purged(None),
            Ok(false) => PurgeOutcome::NotFound,
            Err(disk) => {
                let why = format!("the disk at {disk} has not taken note of the purge");
                return Error::e_explain(ErrorType::InternalError, why);
            }
        })
    }

    async fn update_meta(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<bool> {
        let hash = key.combined_bin();
        if let Some(object) = self.renewable(&hash) {
            // Another fill may have ended while the parent was asked about an older one.
            let same = object.meta().is_of_the_fill_of(meta);
            if same {
                *object.meta.write() = Arc::new(Meta::keep(meta));
                object.renewed.store(true, Ordering::Relaxed);
            }
            return Ok(same);
        }
        let below = self.below.as_ref();
        Ok(below.is_some_and(|below| below.renew(&hash, meta)))
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync + 'static) {
        self
    }
}

/// The one who fills an object. Dropped without `finish`, the fill has failed.
struct Writer {
    store: &'static Cache,
    object: Arc<Object>,
    tag: U64WriteId,
    len: usize,
    /// Room that was taken ahead of the bytes.
    reserved: usize,
    settled: bool,
}

#[async_trait]
impl HandleMiss for Writer {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let expected = self.reserved.min(data.len());
        let surplus = data.len() - expected;
        if surplus > 0 {
            self.store.make_room(surplus)?;
            self.object.grow(surplus);
        }
        self.reserved -= expected;
        let at = self.len;
        self.len += data.len();
        self.object.append(at, data);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        let announced = self.object.meta().content_length();
        if announced.is_some_and(|length| length != self.len) {
            return Error::e_explain(ErrorType::InternalError, "short body")
                .map_err(|e| e.into_up());
        }
        self.object.complete(self.len);
        self.settled = true;
        self.store.settle(&self.object, true);
        Ok(MissFinishType::Created(self.object.cost()))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(self.tag.as_bytes())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.settled {
            self.object.shrink(self.reserved);
            self.store.fail(&self.object);
        }
    }
}
