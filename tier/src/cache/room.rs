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
/// newcomers and not the objects that viewers return to. Both queues give a second chance.
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

    /// Chooses the object to give up next; `None` when nothing is stored.
    pub(super) fn victim(&self) -> Option<Arc<Object>> {
        self.queues.lock().victim(self.limit / 10)
    }
}

impl Queues {
    fn victim(&mut self, newcomers_share: usize) -> Option<Arc<Object>> {
        loop {
            let newcomers_turn =
                self.newcomers.cost > newcomers_share || self.regulars.slots.is_empty();
            let queue = if newcomers_turn {
                &mut self.newcomers
            } else {
                &mut self.regulars
            };
            let (slot, cost) = queue.pop()?;
            let Some(object) = slot.upgrade() else {
                continue;
            };
            if !object.visited.swap(false, Ordering::Relaxed) {
                return Some(object);
            }
            self.regulars.push((slot, cost));
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

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}
