//! What waits to be written to a disk.

use std::any::Any;
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::format::Key;
use super::index::{Index, Place};

/// A whole object that is to be written.
pub struct Object {
    /// Its key.
    pub key: Key,
    /// Response header and times.
    pub meta: Vec<u8>,
    /// The body, in pieces of any size.
    pub body: Vec<Bytes>,
    /// Keeps the body's memory accounted for while it waits.
    pub hold: Box<dyn Any + Send + Sync>,
}

/// What the keeper of a disk does next.
pub(super) enum Job {
    Write(u64, Object),
    /// The object was found to be fresh again.
    Renew(Key, Renewal),
    Forget(Vec<Forget>),
}

/// A new meta for an object.
pub(super) struct Renewal {
    pub(super) meta: Vec<u8>,
    /// Whether the meta of the record there is and the new one are of the same fill. The key may
    /// have another object by the time the disk comes to it.
    pub(super) same: SameFill,
}

/// Compares two metas of one key.
pub(crate) type SameFill = fn(&[u8], &[u8]) -> bool;

/// A purge of one key, or of all.
pub(super) struct Forget {
    pub(super) what: Option<Key>,
    /// Hears of it when the purge cannot be undone by a restart any more.
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// Why an object was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// More waits already than may.
    Full,
    /// The disk is not written to now.
    Aside,
}

/// Jobs in the order in which they came.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
    most_bytes: usize,
}

struct Inner {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// The last object offered of each key, until it is written.
    pending: HashMap<Key, u64>,
    tickets: u64,
    accepting: bool,
    closed: bool,
    /// The index says all that the disk has; not so while it is being read.
    settled: bool,
}

impl Queue {
    /// A queue in which bodies of at most `most_bytes` wait.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                jobs: VecDeque::new(),
                bytes: 0,
                pending: HashMap::new(),
                tickets: 0,
                accepting: true,
                closed: false,
                settled: false,
            }),
            wake: Notify::new(),
            most_bytes,
        }
    }

    /// Takes an object to be written. Whatever the disk has of its key is older and not found any
    /// more, also when the object is refused: then a restart must not bring it back either.
    pub(super) fn offer(&self, object: Object, index: &Index) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        let superseded = inner.pending.remove(&object.key).is_some() | index.remove(&object.key);
        let cost = object.cost();
        let refused = if !inner.accepting || inner.closed {
            Some(Refused::Aside)
        } else if inner.bytes + cost > self.most_bytes {
            Some(Refused::Full)
        } else {
            None
        };
        if let Some(refused) = refused {
            if superseded {
                inner.forget(Some(object.key), None);
                self.wake.notify_one();
            }
            return Err(refused);
        }
        inner.tickets += 1;
        let ticket = inner.tickets;
        inner.pending.insert(object.key, ticket);
        inner.bytes += cost;
        inner.jobs.push_back(Job::Write(ticket, object));
        self.wake.notify_one();
        Ok(())
    }

    /// Takes a new meta for an object that the disk has, if it has room for jobs.
    pub(super) fn renew(&self, key: Key, renewal: Renewal) -> bool {
        let mut inner = self.inner.lock();
        let room = inner.accepting && !inner.closed && inner.jobs.len() < MOST_JOBS;
        if room {
            inner.jobs.push_back(Job::Renew(key, renewal));
            self.wake.notify_one();
        }
        room
    }

    /// Forgets a key, or all, at once, and has it written. Says whether there was anything, and
    /// gives what waits until it is written; nothing, when the disk is not written to now.
    pub(super) fn forget(
        &self,
        what: Option<Key>,
        index: &Index,
    ) -> (bool, Option<oneshot::Receiver<()>>) {
        let mut inner = self.inner.lock();
        let known = if let Some(key) = what {
            inner.pending.remove(&key).is_some() | index.remove(&key)
        } else {
            let known = !inner.pending.is_empty() || index.objects() > 0;
            inner.pending.clear();
            index.clear();
            known
        };
        let (done, written) = oneshot::channel();
        let waits = inner.accepting && !inner.closed;
        inner.forget(what, waits.then_some(done));
        self.wake.notify_one();
        (known, waits.then_some(written))
    }

    /// Forgets a key at once, and has it written if the disk may have it: what it never had costs
    /// it nothing.
    pub(super) fn forget_known(&self, key: Key, index: &Index) {
        let mut inner = self.inner.lock();
        let known = inner.pending.remove(&key).is_some() | index.remove(&key);
        if known || !inner.settled {
            inner.forget(Some(key), None);
            self.wake.notify_one();
        }
    }

    /// The next job; `None` when the queue is closed and empty. One call at a time.
    ///
    /// # Cancel safety
    /// No job is lost.
    pub(super) async fn next(&self) -> Option<Job> {
        loop {
            {
                let mut inner = self.inner.lock();
                if let Some(job) = inner.next() {
                    return Some(job);
                }
                if inner.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Takes no more objects, and gives what waits, one after another.
    pub(super) fn finish(&self) -> Option<Job> {
        let mut inner = self.inner.lock();
        inner.accepting = false;
        inner.next()
    }

    /// Returns when the queue is closed.
    pub(super) async fn closed(&self) {
        while !self.inner.lock().closed {
            self.wake.notified().await;
        }
        self.wake.notify_one();
    }

    /// Whether an object is still the last of its key, and not purged.
    pub(super) fn is_current(&self, ticket: u64, key: &Key) -> bool {
        self.inner.lock().pending.get(key) == Some(&ticket)
    }

    /// Notes where an object was written, if it is still wanted, and gives back its share.
    pub(super) fn written(&self, ticket: u64, object: &Object, place: Option<Place>, to: &Index) {
        let mut inner = self.inner.lock();
        inner.bytes -= object.cost();
        if inner.pending.get(&object.key) == Some(&ticket) {
            inner.pending.remove(&object.key);
            if let Some(place) = place {
                to.insert(object.key, place);
            }
        }
    }

    /// Takes the purges that wait; when there are none, objects are taken from now on.
    pub(super) fn owed_or_accept(&self) -> Option<Vec<Forget>> {
        let mut inner = self.inner.lock();
        let mut owed = Vec::new();
        let jobs = std::mem::take(&mut inner.jobs);
        for job in jobs {
            match job {
                Job::Forget(more) => owed.extend(more),
                job => inner.jobs.push_back(job),
            }
        }
        if owed.is_empty() {
            inner.accepting = true;
            return None;
        }
        Some(owed)
    }

    /// Gives back purges that could not be written.
    pub(super) fn owe(&self, mut purges: Vec<Forget>) {
        purges.iter_mut().for_each(|purge| purge.done = None);
        let mut inner = self.inner.lock();
        inner.jobs.push_front(Job::Forget(purges));
    }

    /// From now on the index is read anew: it does not say yet what the disk has.
    pub(super) fn unsettle(&self) {
        self.inner.lock().settled = false;
    }

    /// What was said while the index was read holds for what was found, too.
    pub(super) fn settle(&self, index: &Index) {
        let mut inner = self.inner.lock();
        inner.settled = true;
        for job in &inner.jobs {
            match job {
                Job::Write(_, object) => drop(index.remove(&object.key)),
                Job::Renew(..) => {}
                Job::Forget(purges) => purges.iter().for_each(|purge| match &purge.what {
                    Some(key) => drop(index.remove(key)),
                    None => index.clear(),
                }),
            }
        }
    }

    /// Takes no more objects and drops those that wait; purges are kept.
    pub(super) fn pause(&self) {
        let mut inner = self.inner.lock();
        inner.accepting = false;
        let jobs = std::mem::take(&mut inner.jobs);
        for job in jobs {
            match job {
                // What it was to replace stays gone.
                Job::Write(_, object) => inner.forget(Some(object.key), None),
                Job::Renew(..) => {}
                job @ Job::Forget(_) => inner.jobs.push_back(job),
            }
        }
        inner.pending.clear();
        inner.bytes = 0;
        // Those who wait for a purge hear that it is not written.
        for job in &mut inner.jobs {
            if let Job::Forget(purges) = job {
                purges.iter_mut().for_each(|purge| purge.done = None);
            }
        }
    }

    /// Lets what waits be written and takes nothing more.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.wake.notify_one();
    }

    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

impl Forget {
    /// A purge of one key for which nobody waits.
    pub(super) const fn key(key: Key) -> Self {
        Self {
            what: Some(key),
            done: None,
        }
    }
}

impl Inner {
    fn forget(&mut self, what: Option<Key>, done: Option<oneshot::Sender<()>>) {
        let purge = Forget { what, done };
        match self.jobs.back_mut() {
            Some(Job::Forget(purges)) if purges.len() < MOST_JOBS => purges.push(purge),
            _ => self.jobs.push_back(Job::Forget(vec![purge])),
        }
        if !self.accepting && self.jobs.len() > MOST_OWED {
            // Forgetting more than was asked for is allowed, forgetting less is not.
            let everything = Forget {
                what: None,
                done: None,
            };
            self.jobs.clear();
            self.jobs.push_back(Job::Forget(vec![everything]));
        }
    }

    fn next(&mut self) -> Option<Job> {
        while let Some(job) = self.jobs.pop_front() {
            match job {
                Job::Write(ticket, object) if self.pending.get(&object.key) != Some(&ticket) => {
                    self.bytes -= object.cost();
                }
                job => return Some(job),
            }
        }
        None
    }
}

impl Object {
    /// Length of the body.
    #[must_use]
    pub fn length(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }

    fn cost(&self) -> usize {
        self.length() + self.meta.len()
    }
}

/// Renewals, and purges in one job.
const MOST_JOBS: usize = 4096;
/// Jobs of purges that are remembered for a disk that is not written to.
const MOST_OWED: usize = 16;
