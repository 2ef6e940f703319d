//! The index of what is in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use pingora::cache::key::{CacheHashKey, HashBinary};
use pingora::cache::storage::HitHandler;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, Result};

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
    /// Fills so far that ended before the object was whole, and not because nobody read them any more.
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

    /// Lets another process have the disks, as [`disk::Disks::lend`] does.
    pub async fn lend(&self) {
        if let Some(below) = &self.below {
            below.disks.lend().await;
        }
    }

    /// Takes the disks back from a process that has ended.
    pub fn reclaim(&self) {
        if let Some(below) = &self.below {
            below.disks.reclaim();
        }
    }

    /// Leaves the disks to the process that has them.
    pub fn give(&self) {
        if let Some(below) = &self.below {
            below.disks.give();
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

    pub(super) async fn purge_hash(&self, hash: &HashBinary) -> std::result::Result<bool, String> {
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
    pub(super) fn renewable(&self, key: &HashBinary) -> Option<Arc<Object>> {
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
    pub(super) fn open(&self, object: Arc<Object>) -> Option<(CacheMeta, HitHandler)> {
        self.asked(&object);
        let (meta, reader) = Reader::open(object)?;
        Some((meta, reader))
    }

    /// Begins a fill, for which room was made.
    pub(super) fn begin(&self, object: &Arc<Object>) {
        self.fills.lock().insert(object.id, Arc::clone(object));
        let mut shard = self.shard(&object.key).write();
        let slot = shard.entry(object.key).or_default();
        slot.filling.push(Arc::clone(object));
    }

    /// A fill by its id.
    pub(super) fn fill(&self, id: u64) -> Option<Arc<Object>> {
        self.fills.lock().get(&id).cloned()
    }

    /// Ends a fill that was broken off.
    pub(super) fn fail(&self, object: &Arc<Object>) {
        if object.fail() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.settle(object, false);
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

const SHARDS: usize = 64;

/// One part in so many of the memory is for buffers of what is read from disks.
const BUFFERS_SHARE: usize = 64;
