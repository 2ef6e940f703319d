//! Memory accounting and the choice of what to give up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::body::Object;

/// The memory that all objects of a cache share.
///
/// Newcomers wait in a queue of their own (a tenth of the room) and move to the regulars when they
/// were read again before their turn comes, so that a crawl through the catalogue pushes out other
/// newcomers and not the objects that viewers return to. Both queues give a second chance, and
/// pass over objects that are being read: their memory stays taken until the readers are done.
pub(super) struct Room {
    limit: usize,
    used: Arc<AtomicUsize>,
    queues: Mutex<Queues>,
}

/// What one object has taken of the room; given back when the last reader drops the object.
pub(super) struct Charge {
    bytes: AtomicUsize,
    used: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Queues {
    newcomers: Queue,
    regulars: Queue,
}

#[derive(Default)]
struct Queue {
    slots: VecDeque<(Weak<Object>, usize)>,
    cost: usize,
    /// Length at which slots of objects that are gone are swept out.
    sweep_at: usize,
}

impl Room {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: Arc::default(),
            queues: Mutex::default(),
        }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` if they are free. What is taken must be given to a [`Charge`].
    pub(super) fn take(&self, bytes: usize) -> bool {
        let grown = |used: usize| used.checked_add(bytes).filter(|total| *total <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .is_ok()
    }

    /// The account of a new object for which `bytes` were taken.
    pub(super) fn open(&self, bytes: usize) -> Charge {
        Charge {
            bytes: AtomicUsize::new(bytes),
            used: Arc::clone(&self.used),
        }
    }

    /// Notes a stored object as one that may be given up later.
    pub(super) fn admit(&self, object: &Arc<Object>) {
        object.visited.store(false, Ordering::Relaxed);
        let slot = (Arc::downgrade(object), object.cost());
        self.queues.lock().newcomers.push(slot);
    }

    /// Chooses the objects to give up so that `bytes` can be taken; `None`, with nothing chosen,
    /// when giving up stored objects would not free as much.
    pub(super) fn victims(&self, bytes: usize) -> Option<Vec<Arc<Object>>> {
        let mut queues = self.queues.lock();
        let wanted = self.used().saturating_add(bytes);
        queues.victims(wanted.saturating_sub(self.limit), self.limit / 10)
    }
}

impl Queues {
    fn victims(&mut self, wanted: usize, newcomers_share: usize) -> Option<Vec<Arc<Object>>> {
        if wanted > self.newcomers.cost + self.regulars.cost {
            return None;
        }
        let (mut chosen, mut held) = (Vec::new(), Vec::new());
        let mut freed = 0;
        while freed < wanted && held.len() < HELD_TRIES {
            let newcomer = self.newcomers.cost > newcomers_share || self.regulars.slots.is_empty();
            let Some((slot, cost)) = self.queue(newcomer).pop() else {
                break;
            };
            let Some(object) = slot.upgrade() else {
                continue;
            };
            if Arc::strong_count(&object) > UNREAD {
                held.push((slot, cost));
            } else if object.visited.swap(false, Ordering::Relaxed) {
                self.regulars.push((slot, cost));
            } else {
                freed += cost;
                chosen.push((object, newcomer, (slot, cost)));
            }
        }
        // At the far end: their readers will be gone by their next turn.
        for slot in held {
            self.regulars.push(slot);
        }
        if freed >= wanted {
            return Some(chosen.into_iter().map(|(object, ..)| object).collect());
        }
        for (_, newcomer, slot) in chosen.into_iter().rev() {
            self.queue(newcomer).put_back(slot);
        }
        None
    }

    const fn queue(&mut self, newcomers: bool) -> &mut Queue {
        if newcomers {
            &mut self.newcomers
        } else {
            &mut self.regulars
        }
    }
}

impl Queue {
    fn push(&mut self, slot: (Weak<Object>, usize)) {
        if self.slots.len() >= self.sweep_at {
            self.slots.retain(|(object, _)| object.strong_count() > 0);
            self.cost = self.slots.iter().map(|(_, cost)| cost).sum();
            self.sweep_at = self.slots.len() * 2 + 1024;
        }
        self.cost += slot.1;
        self.slots.push_back(slot);
    }

    fn put_back(&mut self, slot: (Weak<Object>, usize)) {
        self.cost += slot.1;
        self.slots.push_front(slot);
    }

    fn pop(&mut self) -> Option<(Weak<Object>, usize)> {
        let slot = self.slots.pop_front()?;
        self.cost -= slot.1;
        Some(slot)
    }
}

impl Charge {
    /// Adds what was [taken](Room::take).
    pub(super) fn grow(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was taken and is not needed.
    pub(super) fn shrink(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

/// Holders of a stored object that nobody reads: the index, and the one who looks.
const UNREAD: usize = 2;

/// How many objects that are being read are passed over in the search for room, which happens
/// under a lock.
const HELD_TRIES: usize = 256;
