//! The index of the RAM cache, as `pingora-cache` wants it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use pingora::cache::key::{CacheHashKey, HashBinary};
use pingora::cache::storage::streaming_write::U64WriteId;
use pingora::cache::storage::{
    HandleMiss, HitHandler, MissFinishType, MissHandler, PurgeOutcome, PurgeTarget, PurgeType,
    Storage,
};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, OrErr, Result};

use super::OVERHEAD;
use super::body::{Object, Reader};
use super::meta::Meta;
use super::room::Room;

/// Objects in memory, up to a limit in bytes.
pub struct Ram {
    shards: Vec<RwLock<HashMap<HashBinary, Slot>>>,
    /// Fills by their id. A purge does not touch it: the one who fills must always find its own.
    fills: Mutex<HashMap<u64, Arc<Object>>>,
    begun: AtomicU64,
    failed: AtomicU64,
    room: Room,
}

/// How full the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in use, bookkeeping included.
    pub bytes: usize,
    /// Complete objects.
    pub objects: usize,
    /// Fills in progress.
    pub fills: usize,
    /// Fills begun so far.
    pub begun: u64,
    /// Fills so far that ended before the object was whole.
    pub failed: u64,
}

#[derive(Default)]
struct Slot {
    stored: Option<Arc<Object>>,
    /// Usually one; more when a lock timed out.
    filling: Vec<Arc<Object>>,
}

impl Ram {
    /// An empty cache that uses at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            fills: Mutex::default(),
            begun: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            room: Room::new(limit),
        }
    }

    /// How full it is. Walks the index's shards, not its entries.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            bytes: self.room.used(),
            objects: self.shards.iter().map(|shard| shard.read().len()).sum(),
            fills: self.fills.lock().len(),
            begun: self.begun.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Reads the stored response header of an object that is complete or filling.
    pub fn header<T>(&self, key: &CacheKey, read: impl FnOnce(&ResponseHeader) -> T) -> Option<T> {
        let object = self.find(&key.combined_bin())?;
        Some(read(&object.meta().header))
    }

    /// Forgets an object; a fill in progress is finished for its readers but not stored.
    /// Tells whether there was anything.
    pub fn purge(&self, key: &CacheKey) -> bool {
        self.forget(&key.combined_bin())
    }

    /// Forgets everything, as [`Ram::purge`] does.
    pub fn purge_all(&self) {
        for shard in &self.shards {
            for (_, slot) in shard.write().drain() {
                slot.mark_purged();
            }
        }
    }

    fn forget(&self, key: &HashBinary) -> bool {
        let slot = self.shard(key).write().remove(key);
        slot.is_some_and(|slot| {
            slot.mark_purged();
            true
        })
    }

    fn find(&self, key: &HashBinary) -> Option<Arc<Object>> {
        let shard = self.shard(key).read();
        let slot = shard.get(key)?;
        slot.newest().cloned()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the index is taken modulo the length"
    )]
    fn shard(&self, key: &HashBinary) -> &RwLock<HashMap<HashBinary, Slot>> {
        &self.shards[usize::from(key[0]) % SHARDS]
    }

    /// Takes room for `bytes`, giving up stored objects as far as needed, and none when that
    /// would not do.
    fn make_room(&self, bytes: usize) -> Result<()> {
        while !self.room.take(bytes) {
            let Some(victims) = self.room.victims(bytes) else {
                return Error::e_explain(
                    ErrorType::InternalError,
                    "the cache is full of fills and of objects being read",
                );
            };
            for victim in victims {
                self.drop_stored(&victim);
            }
        }
        Ok(())
    }

    fn drop_stored(&self, victim: &Arc<Object>) {
        let mut shard = self.shard(&victim.key).write();
        if let Some(slot) = shard.get_mut(&victim.key) {
            slot.stored.take_if(|stored| stored.id == victim.id);
            if slot.is_empty() {
                shard.remove(&victim.key);
            }
        }
    }

    /// Ends a fill: stores the object when it is complete and was not purged meanwhile.
    fn settle(&self, object: &Arc<Object>, complete: bool) {
        self.fills.lock().remove(&object.id);
        let mut shard = self.shard(&object.key).write();
        let newer = |stored: &Arc<Object>| stored.id > object.id;
        let overtaken = shard
            .get(&object.key)
            .is_some_and(|slot| slot.stored.as_ref().is_some_and(newer));
        let keep = complete && !overtaken && !object.purged.load(Ordering::Acquire);
        if keep {
            shard.entry(object.key).or_default();
        }
        if let Some(slot) = shard.get_mut(&object.key) {
            slot.filling.retain(|other| other.id != object.id);
            if keep {
                slot.stored = Some(Arc::clone(object));
                self.room.admit(object);
            }
            if slot.is_empty() {
                shard.remove(&object.key);
            }
        }
    }
}

impl Slot {
    /// What began last: a fill may be slower than one that began after it, because a purge came between them.
    fn newest(&self) -> Option<&Arc<Object>> {
        let both = self.filling.last().into_iter().chain(&self.stored);
        both.max_by_key(|object| object.id)
    }

    fn is_empty(&self) -> bool {
        self.stored.is_none() && self.filling.is_empty()
    }

    fn mark_purged(&self) {
        for object in &self.filling {
            object.purged.store(true, Ordering::Release);
        }
    }
}

#[async_trait]
impl Storage for Ram {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let found = self.find(&key.combined_bin()).map(Reader::open);
        Ok(found.map(|(meta, reader)| (meta, reader as HitHandler)))
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
        let object = self.fills.lock().get(&id).cloned();
        Ok(object
            .map(Reader::open)
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
        let id = self.begun.fetch_add(1, Ordering::Relaxed);
        let hash = key.combined_bin();
        let object = Object::new(id, hash, meta, self.room.open(taken));
        self.fills.lock().insert(id, Arc::clone(&object));
        let mut shard = self.shard(&hash).write();
        let slot = shard.entry(hash).or_default();
        slot.filling.push(Arc::clone(&object));
        Ok(Box::new(Writer {
            store: self,
            object,
            tag: id.into(),
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
        Ok(if self.forget(&target.key().combined_bin()) {
            PurgeOutcome::Purged(None)
        } else {
            PurgeOutcome::NotFound
        })
    }

    async fn update_meta(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<bool> {
        let hash = key.combined_bin();
        let shard = self.shard(&hash).read();
        let stored = shard.get(&hash).and_then(|slot| slot.stored.as_ref());
        Ok(stored.is_some_and(|object| {
            *object.meta.write() = Arc::new(Meta::keep(meta));
            true
        }))
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
    store: &'static Ram,
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
            self.store.failed.fetch_add(1, Ordering::Relaxed);
            self.object.fail();
            self.object.shrink(self.reserved);
            self.store.settle(&self.object, false);
        }
    }
}

const SHARDS: usize = 64;
