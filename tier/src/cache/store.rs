//! The index of what is in memory, and the cache as `pingora-cache` wants it.

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
use super::below::Below;
use super::body::{Object, Reader, Source, Whole};
use super::disk::{self, Volume};
use super::meta::Meta;
use super::room::{Charge, Room};

/// Objects in memory, up to a limit in bytes, and on disks below.
pub struct Cache {
    shards: Vec<RwLock<HashMap<HashBinary, Slot>>>,
    /// Fills by their id. A purge does not touch it: the one who fills must always find its own.
    fills: Mutex<HashMap<u64, Arc<Object>>>,
    begun: AtomicU64,
    failed: AtomicU64,
    pub(super) promoted: AtomicU64,
    room: Room,
    pub(super) below: Option<Below>,
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
    /// Objects so far that were taken into memory from disk.
    pub promoted: u64,
}

#[derive(Default)]
struct Slot {
    stored: Option<Arc<Object>>,
    /// Usually one; more when a lock timed out.
    filling: Vec<Arc<Object>>,
}

impl Cache {
    /// An empty cache that uses at most `limit` bytes, in memory only.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            fills: Mutex::default(),
            begun: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            promoted: AtomicU64::new(0),
            room: Room::new(limit),
            below: None,
        }
    }

    /// A cache that uses at most `limit` bytes of memory and keeps objects on disks. It begins to
    /// open them; [`Cache::ready`] waits until it has.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn with_disks(limit: usize, settings: &disk::Settings) -> Self {
        let mut cache = Self::new(limit);
        let buffers = limit / BUFFERS_SHARE;
        // They are reused and thus always taken; there is room, for nothing else is.
        cache.room.take(buffers);
        cache.below = Some(Below::open(settings, buffers));
        cache
    }

    /// Returns when what was on the disks is found.
    pub async fn ready(&self) {
        if let Some(below) = &self.below {
            below.disks.ready().await;
        }
    }

    /// The disks, in the order of the configuration.
    #[must_use]
    pub fn volumes(&self) -> &[Arc<Volume>] {
        self.below
            .as_ref()
            .map_or(&[], |below| below.disks.volumes())
    }

    /// Lets the memory go and the disks write what waits. Nothing is found from then on.
    pub async fn close(&self) {
        self.forget_memory();
        if let Some(below) = &self.below {
            below.disks.close().await;
        }
    }

    /// How full it is. Walks the index's shards, not its entries.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            bytes: self.room.used(),
            objects: self.shards.iter().map(|shard| shard.read().len()).sum(),
            fills: self.fills.lock().len(),
            begun: self.begun.load(Ordering::Relaxed) - self.promoted.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            promoted: self.promoted.load(Ordering::Relaxed),
        }
    }

    /// Whether there is an object, complete or filling.
    #[must_use]
    pub fn has(&self, key: &CacheKey) -> bool {
        let hash = key.combined_bin();
        let volume = || self.below.as_ref()?.disks.of(&hash);
        self.find(&hash).is_some() || volume().is_some_and(|volume| volume.has(&hash))
    }

    /// Reads the stored response header of an object that is complete or filling.
    pub async fn header<T>(
        &'static self,
        key: &CacheKey,
        read: impl FnOnce(&ResponseHeader) -> T,
    ) -> Option<T> {
        let hash = key.combined_bin();
        if let Some(object) = self.find(&hash) {
            return Some(read(&object.meta().header));
        }
        let meta = self.meta_below(&hash).await?;
        Some(read(meta.response_header()))
    }

    /// Forgets an object; a fill in progress is finished for its readers but not stored.
    /// Tells whether there was anything.
    ///
    /// # Errors
    /// The name of a disk that could not take note: the object is not found any more, but would be
    /// again if this process ended before the disk is back.
    pub async fn purge(&self, key: &CacheKey) -> std::result::Result<bool, String> {
        self.purge_hash(&key.combined_bin()).await
    }

    /// Forgets an object as [`Cache::purge`] does, for those who cannot wait for a disk: only when
    /// the process is killed before the disk has taken note can the object be found again.
    pub fn forget_at_once(&self, key: &CacheKey) {
        let hash = key.combined_bin();
        self.forget(&hash);
        let volume = self.below.as_ref().and_then(|below| below.disks.of(&hash));
        if let Some(volume) = volume {
            volume.forget_known(hash);
            // Once more: what came from disk in between.
            self.forget(&hash);
        }
    }

    async fn purge_hash(&self, hash: &HashBinary) -> std::result::Result<bool, String> {
        let mut known = self.forget(hash);
        if let Some(below) = &self.below {
            let told = below.disks.forget(Some(*hash)).await;
            // Once more: what came from disk in between.
            known |= self.forget(hash);
            known |= told?;
        }
        Ok(known)
    }

    /// Forgets everything, as [`Cache::purge`] does.
    ///
    /// # Errors
    /// As for [`Cache::purge`].
    pub async fn purge_all(&self) -> std::result::Result<(), String> {
        self.forget_memory();
        if let Some(below) = &self.below {
            let told = below.disks.forget(None).await;
            self.forget_memory();
            told?;
        }
        Ok(())
    }

    fn forget_memory(&self) {
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

    pub(super) fn find(&self, key: &HashBinary) -> Option<Arc<Object>> {
        let shard = self.shard(key).read();
        let slot = shard.get(key)?;
        slot.current().cloned()
    }

    /// What a parent's confirmation is about: a stored object, or one on its way up from disk.
    fn renewable(&self, key: &HashBinary) -> Option<Arc<Object>> {
        let shard = self.shard(key).read();
        let slot = shard.get(key)?;
        let rising = || slot.filling.iter().rfind(|object| object.is_promoted());
        slot.stored.as_ref().or_else(rising).cloned()
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
    pub(super) fn make_room(&self, bytes: usize) -> Result<()> {
        while !self.room.take(bytes) {
            let Some(victims) = self.room.victims(bytes) else {
                return Error::e_explain(
                    ErrorType::InternalError,
                    "the cache is full of fills and of objects being read",
                );
            };
            for victim in victims {
                self.drop_stored(&victim);
                if let Some(below) = &self.below {
                    below.given_up(&victim);
                }
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

    /// An account for bytes for which room was made.
    pub(super) fn charge(&self, bytes: usize) -> Charge {
        self.room.open(bytes)
    }

    /// A new object for which room was made.
    pub(super) fn object(
        &self,
        key: HashBinary,
        meta: Meta,
        taken: usize,
        source: Source,
    ) -> Arc<Object> {
        let id = self.begun.fetch_add(1, Ordering::Relaxed);
        Object::new(id, key, source, meta, self.charge(taken))
    }

    /// Takes an object in as one that is filling, if memory has nothing of its key and the
    /// condition holds at that moment. Otherwise gives what there is.
    pub(super) fn begin_unless_there(
        &self,
        object: &Arc<Object>,
        condition: impl FnOnce() -> bool,
    ) -> std::result::Result<(), Option<Arc<Object>>> {
        let mut shard = self.shard(&object.key).write();
        if let Some(slot) = shard.get(&object.key)
            && let Some(other) = slot.current()
        {
            return Err(Some(Arc::clone(other)));
        }
        if !condition() {
            return Err(None);
        }
        let slot = shard.entry(object.key).or_default();
        slot.filling.push(Arc::clone(object));
        Ok(())
    }

    /// An object that is complete in memory, and of which nothing newer is on its way.
    pub(crate) fn whole(&self, key: &CacheKey) -> Option<Whole> {
        Whole::of(self.find(&key.combined_bin())?)
    }

    /// Takes note that an object is given to somebody.
    pub(crate) fn note_use(&self, whole: &Whole) {
        self.asked(&whole.object);
        whole.object.visited.store(true, Ordering::Relaxed);
    }

    fn asked(&self, object: &Arc<Object>) {
        if let Some(below) = &self.below {
            below.asked(object, object.visited.load(Ordering::Relaxed));
        }
    }

    /// Gives an object to a reader.
    fn open(&self, object: Arc<Object>) -> (CacheMeta, HitHandler) {
        self.asked(&object);
        let (meta, reader) = Reader::open(object);
        (meta, reader)
    }

    /// Ends a fill: stores the object when it is complete and was not purged meanwhile.
    pub(super) fn settle(&self, object: &Arc<Object>, complete: bool) {
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
                if let Some(below) = &self.below
                    && !object.is_promoted()
                {
                    below.filled(object);
                }
            }
            if slot.is_empty() {
                shard.remove(&object.key);
            }
        }
    }
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.stored.is_none() && self.filling.is_empty()
    }

    /// The newest that may be read: what began last. A fill may be slower than one that began after it, because a
    /// purge came between them.
    fn current(&self) -> Option<&Arc<Object>> {
        let both = self.filling.last().into_iter().chain(&self.stored);
        both.max_by_key(|object| object.id)
    }

    fn mark_purged(&self) {
        for object in self.filling.iter().chain(&self.stored) {
            object.purged.store(true, Ordering::Release);
        }
    }
}

#[async_trait]
impl Storage for Cache {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let hash = key.combined_bin();
        if let Some(object) = self.find(&hash) {
            return Ok(Some(self.open(object)));
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
        let hash = key.combined_bin();
        let object = self.object(hash, meta, taken, Source::Parent);
        self.fills.lock().insert(object.id, Arc::clone(&object));
        let mut shard = self.shard(&hash).write();
        let slot = shard.entry(hash).or_default();
        slot.filling.push(Arc::clone(&object));
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
            self.store.failed.fetch_add(1, Ordering::Relaxed);
            self.object.fail();
            self.object.shrink(self.reserved);
            self.store.settle(&self.object, false);
        }
    }
}

const SHARDS: usize = 64;

/// One part in so many of the memory is for buffers of what is read from disks.
const BUFFERS_SHARE: usize = 64;
