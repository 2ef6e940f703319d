//! Where each object is, in memory.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::format::Key;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// The objects of a disk.
pub(super) struct Index {
    shards: Vec<RwLock<HashMap<Key, Known>>>,
    bytes: AtomicU64,
    /// Objects whose records could not be read, and thus might be after a restart.
    lost: Mutex<HashSet<Key>>,
}

struct Known {
    place: Place,
    /// The second at which it was last asked for; 0: not since it was written here.
    asked_s: AtomicU32,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            bytes: AtomicU64::new(0),
            lost: Mutex::default(),
        }
    }

    /// Finds an object, and says when it was asked for before. From now on it counts as asked for
    /// at `now_s`.
    pub(super) fn ask(&self, key: &Key, now_s: u32) -> Option<(Place, Option<u32>)> {
        let shard = self.shard(key).read();
        let known = shard.get(key)?;
        let before = known.asked_s.swap(now_s.max(1), Ordering::Relaxed);
        Some((known.place, (before != 0).then_some(before)))
    }

    pub(super) fn place(&self, key: &Key) -> Option<Place> {
        self.shard(key).read().get(key).map(|known| known.place)
    }

    /// Whether the object stands at `place`, and whether it was asked for since it does.
    pub(super) fn asked(&self, key: &Key, place: Place) -> Option<bool> {
        let shard = self.shard(key).read();
        let known = shard.get(key).filter(|known| known.place == place)?;
        Some(known.asked_s.load(Ordering::Relaxed) != 0)
    }

    pub(super) fn insert(&self, key: Key, place: Place) {
        let known = Known {
            place,
            asked_s: AtomicU32::new(0),
        };
        let before = self.shard(&key).write().insert(key, known);
        self.count(Some(place), before.map(|known| known.place));
    }

    /// Removes the object; tells whether the disk may have it.
    pub(super) fn remove(&self, key: &Key) -> bool {
        let known = self.shard(key).write().remove(key);
        self.count(None, known.as_ref().map(|known| known.place));
        known.is_some() | self.lost.lock().remove(key)
    }

    /// Removes the object if it stands at `place` still, where it cannot be read. Its record is
    /// there all the same.
    pub(super) fn lose_at(&self, key: &Key, place: Place) -> bool {
        let there = self.remove_at(key, place);
        if there {
            self.lost.lock().insert(*key);
        }
        there
    }

    /// Removes the object if it stands at `place` still.
    pub(super) fn remove_at(&self, key: &Key, place: Place) -> bool {
        let mut shard = self.shard(key).write();
        let there = shard.get(key).is_some_and(|known| known.place == place);
        if there {
            shard.remove(key);
            self.count(None, Some(place));
        }
        there
    }

    /// Says where the object stands now, if it stood at `from` until now.
    pub(super) fn replace(&self, key: &Key, from: Place, to: Place) -> bool {
        let mut shard = self.shard(key).write();
        let Some(known) = shard.get_mut(key).filter(|known| known.place == from) else {
            return false;
        };
        *known = Known {
            place: to,
            asked_s: AtomicU32::new(0),
        };
        self.count(Some(to), Some(from));
        true
    }

    /// Forgets what stands in a segment: what is left to do when its footer cannot be read.
    pub(super) fn remove_slot(&self, slot: u32) {
        for shard in &self.shards {
            shard.write().retain(|_, known| {
                let stays = known.place.slot != slot;
                if !stays {
                    self.count(None, Some(known.place));
                }
                stays
            });
        }
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            for (_, known) in shard.write().drain() {
                self.count(None, Some(known.place));
            }
        }
        self.lost.lock().clear();
    }

    pub(super) fn objects(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Bytes of the records that it knows.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, more: Option<Place>, less: Option<Place>) {
        let length = |place: Option<Place>| place.map_or(0, |place| u64::from(place.length));
        self.bytes.fetch_add(length(more), Ordering::Relaxed);
        self.bytes.fetch_sub(length(less), Ordering::Relaxed);
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the index is taken modulo the length"
    )]
    fn shard(&self, key: &Key) -> &RwLock<HashMap<Key, Known>> {
        &self.shards[usize::from(key[1]) % SHARDS]
    }
}

const SHARDS: usize = 64;
