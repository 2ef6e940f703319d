//! Between memory and disk: what goes down when a fill is complete, and what comes up when it is
//! asked for again.

mod reader;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pingora::cache::CacheMeta;
use pingora::cache::storage::HitHandler;
use pingora::prelude::Result;

pub(super) use self::reader::DiskReader;
use super::body::{Object, Reader, Source};
use super::disk::{self, Disks, Hold, Key, Pool, Stream, format};
use super::doorkeeper::Doorkeeper;
use super::meta::Meta;
use super::store::Cache;
use super::{OVERHEAD, codec};

/// The disks under a cache, and the rules by which objects go there and back.
pub(super) struct Below {
    pub(super) disks: Disks,
    doorkeeper: Doorkeeper,
    promote_within: Duration,
}

impl Below {
    /// Begins to open the disks, with buffers for at most `buffers` bytes of what is read.
    pub(super) fn open(settings: &disk::Settings, buffers: usize) -> Self {
        Self {
            disks: Disks::open(settings, &Pool::new(buffers)),
            doorkeeper: Doorkeeper::new(settings.admit_after),
            promote_within: settings.promote_within,
        }
    }

    /// Hears of a complete object that was fetched. The caller holds the lock of the object's
    /// shard, so that a purge comes either before, and it is not stored, or after.
    pub(super) fn filled(&self, object: &Arc<Object>) {
        if self.doorkeeper.passes(&object.key) {
            self.offer(object);
        } else if let Some(volume) = self.disks.of(&object.key) {
            // What it has is older. Nobody waits for the note: it only saves a restart from an old
            // answer.
            volume.forget_known(object.key);
        }
    }

    /// Hears that an object in memory was asked for; `again`: not for the first time since it last
    /// passed through the eviction queue.
    pub(super) fn asked(&self, object: &Arc<Object>, again: bool) {
        if object.is_below() {
            if !again && let Some(volume) = self.disks.of(&object.key) {
                volume.touch(&object.key);
            }
        } else if self.doorkeeper.is_strict()
            && self.doorkeeper.passes(&object.key)
            && object.is_complete()
        {
            self.offer(object);
        }
    }

    /// Hears that memory gives an object up: what is known of it beyond the disk goes down.
    pub(super) fn given_up(&self, object: &Object) {
        if object.renewed.load(Ordering::Relaxed)
            && let Some(volume) = self.disks.of(&object.key)
            && let Some(meta) = codec::encode(&object.meta().give())
        {
            volume.renew(&object.key, meta, codec::same_fill);
        }
    }

    fn offer(&self, object: &Arc<Object>) {
        if object.purged.load(Ordering::Acquire) || !object.goes_below() {
            return;
        }
        let meta = codec::encode(&object.meta().give());
        if let (Some(volume), Some(meta)) = (self.disks.of(&object.key), meta) {
            volume.offer(disk::Object {
                key: object.key,
                meta,
                body: object.pieces(),
                hold: object.share_charge(),
            });
        }
    }

    /// Has a new meta written for an object that only the disk has.
    pub(super) fn renew(&self, key: &Key, meta: &CacheMeta) -> bool {
        let volume = self.disks.of(key);
        let meta = codec::encode(meta);
        volume
            .zip(meta)
            .is_some_and(|(volume, meta)| volume.renew(key, meta, codec::same_fill))
    }
}

impl Cache {
    /// Looks for an object on disk.
    pub(super) async fn find_below(&'static self, key: &Key) -> Option<(CacheMeta, HitHandler)> {
        let below = self.below.as_ref()?;
        let volume = below.disks.of(key)?;
        if !volume.has(key) {
            return None;
        }
        let hold = self.lease(SOON).await.ok()?;
        let found = volume.find(key, below.promote_within, Some(hold)).await;
        let (stream, again) = found?;
        let meta = codec::decode(stream.meta())?;
        let stream = if again {
            match self.promote(*key, &meta, stream) {
                Ok(object) => {
                    let (meta, reader) = Reader::open(object)?;
                    return Some((meta, reader));
                }
                Err(stream) => *stream,
            }
        } else {
            stream
        };
        Some((meta, Box::new(DiskReader::new(self, stream))))
    }

    /// Reads the stored response header of an object on disk. That is no use of the object.
    pub(super) async fn meta_below(&'static self, key: &Key) -> Option<CacheMeta> {
        let volume = self.below.as_ref()?.disks.of(key)?;
        if !volume.has(key) {
            return None;
        }
        let hold = self.lease(SOON).await.ok()?;
        let stream = volume.peek(key, Some(hold)).await?;
        codec::decode(stream.meta())
    }

    /// Begins to take an object into memory, once for all who ask for it meanwhile. Gives the
    /// stream back when there is no room, or the object was purged or moved since it was found.
    fn promote(
        &'static self,
        key: Key,
        meta: &CacheMeta,
        stream: Stream,
    ) -> Result<Arc<Object>, Box<Stream>> {
        let taken = OVERHEAD + stream.length();
        if self.make_room(taken).is_err() {
            return Err(Box::new(stream));
        }
        let object = self.object(key, Meta::keep(meta), taken, Source::Disk);
        // A purge forgets what is in memory, then what is on disk, then what is in memory: either
        // the stream is not current any more, or the last step finds the object here.
        self.promoted.fetch_add(1, Ordering::Relaxed);
        match self.begin_unless_there(&object, || stream.is_current()) {
            Err(None) => return Err(Box::new(stream)),
            Err(Some(other)) => return Ok(other),
            Ok(()) => {}
        }
        tokio::spawn(self.fill_from(stream, Arc::clone(&object)));
        Ok(object)
    }

    async fn fill_from(&'static self, mut stream: Stream, object: Arc<Object>) {
        let fill = Promotion {
            cache: self,
            object,
        };
        let mut at = 0;
        while at < stream.length() {
            let Ok(bytes) = stream.read(at, None).await else {
                return;
            };
            at += bytes.len();
            fill.object.append(at - bytes.len(), bytes);
        }
        fill.object.complete(at);
    }

    /// Room for a piece that is read from disk. Readers of other pieces may have to end first, which is waited for.
    pub(super) async fn lease(&'static self, patience: Duration) -> Result<Hold> {
        let mut waited = Duration::ZERO;
        while let Err(error) = self.make_room(format::CHUNK) {
            if waited >= patience {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
        Ok(Box::new(self.charge(format::CHUNK)))
    }
}

/// An object on its way from disk to memory. Dropped before its end, the fill has failed.
struct Promotion {
    cache: &'static Cache,
    object: Arc<Object>,
}

impl Drop for Promotion {
    fn drop(&mut self) {
        let complete = self.object.is_complete();
        if !complete {
            self.object.fail();
        }
        self.cache.settle(&self.object, complete);
    }
}

/// So long one who looks for an object waits for room; then a parent is asked, for a memory that is full of what is being
/// read is not soon empty.
const SOON: Duration = Duration::from_millis(250);

/// So long one who has begun to read waits: what it has sent would be broken off.
pub(super) const LONG: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(50);
