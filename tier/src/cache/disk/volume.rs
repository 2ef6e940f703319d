//! One disk: what is known of it, and reading from it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

use super::file::{File, Files};
use super::format::{Head, Key, Preface};
use super::index::{Index, Place};
use super::pool::{Buffer, Hold, Pool};
use super::queue::{Object, Queue, Refused, Renewal, SameFill};
use super::segment::Segment;
use super::stream::Stream;

/// One disk.
pub struct Volume {
    /// Its directory, for people.
    pub name: String,
    pub(super) files: Box<dyn Files>,
    pub(super) shape: Shape,
    pub(super) index: Index,
    pub(super) segments: RwLock<Vec<Option<Arc<Segment>>>>,
    pub(super) queue: Queue,
    pub(super) figures: Figures,
    /// Wakes the keeper when reading fails again and again.
    pub(super) fault: Notify,
    /// Nobody here writes to the directory, because another process has it.
    pub(super) at_rest: watch::Sender<bool>,
    state: watch::Sender<State>,
    failed_in_a_row: AtomicU32,
    reads: Arc<Semaphore>,
    pool: Arc<Pool>,
    started: Instant,
}

/// How a disk is divided.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of a segment file.
    pub segment: u32,
    /// Segment files at most.
    pub slots: u32,
}

/// How a disk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its index is being read.
    Opening,
    /// Well; or what ails it that does not keep it from work.
    Serving(Option<String>),
    /// Cannot be written, and why; what it has is read.
    ReadOnly(String),
    /// Another process is about to have it; what it has is read.
    Lent,
    /// Not in use, and why.
    Aside(String),
    /// Closed for good.
    Closed,
}

/// What is counted of one disk.
#[derive(Default)]
pub struct Figures {
    /// Objects found.
    pub hits: AtomicU64,
    /// Bytes read for readers.
    pub read_bytes: AtomicU64,
    /// Bytes of records written, copies included.
    pub written_bytes: AtomicU64,
    /// Objects written.
    pub written: AtomicU64,
    /// Objects not written: the queue was full.
    pub skipped_full: AtomicU64,
    /// Objects not written: the disk was set aside.
    pub skipped_aside: AtomicU64,
    /// Objects not written: larger than a segment takes.
    pub skipped_large: AtomicU64,
    /// Objects given up.
    pub evicted: AtomicU64,
    /// Objects copied from the oldest segment because they had been asked for.
    pub readmitted: AtomicU64,
    /// Records with a wrong checksum.
    pub damaged: AtomicU64,
    /// Reads that failed.
    pub read_errors: AtomicU64,
    /// Writes that failed, and openings.
    pub write_errors: AtomicU64,
}

impl Volume {
    pub(super) fn new(
        name: String,
        files: Box<dyn Files>,
        shape: Shape,
        queue: usize,
        pool: Arc<Pool>,
    ) -> Arc<Self> {
        let slots = (0..shape.slots).map(|_| None).collect();
        Arc::new(Self {
            name,
            files,
            shape,
            index: Index::new(),
            segments: RwLock::new(slots),
            queue: Queue::new(queue),
            figures: Figures::default(),
            fault: Notify::new(),
            at_rest: watch::Sender::new(false),
            state: watch::Sender::new(State::Opening),
            failed_in_a_row: AtomicU32::new(0),
            reads: Arc::new(Semaphore::new(READS)),
            pool,
            started: Instant::now(),
        })
    }

    /// How the disk is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Follows how the disk is.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// What is counted.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Objects on the disk.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.index.objects()
    }

    /// Bytes of their records.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// Bytes of bodies that wait to be written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.bytes()
    }

    /// Bytes that the disk may take.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.shape.segment as u64 * self.shape.slots as u64
    }

    fn is_readable(&self) -> bool {
        let state = self.state.borrow();
        matches!(*state, State::Serving(_) | State::ReadOnly(_) | State::Lent)
    }

    /// Says how the disk is from now on, and logs it where it changes.
    pub(super) fn become_state(&self, state: State) {
        let before = self.state.send_replace(state.clone());
        if before == state {
            return;
        }
        let disk = &self.name;
        match state {
            State::Serving(None) => {
                let objects = self.index.objects();
                tracing::info!(disk, objects, "serving from the disk at {disk}");
            }
            State::Serving(Some(why)) => tracing::warn!(disk, "the disk at {disk}: {why}"),
            State::ReadOnly(why) => {
                tracing::error!(disk, "not writing to the disk at {disk}: {why}")
            }
            State::Aside(why) => tracing::error!(disk, "doing without the disk at {disk}: {why}"),
            State::Lent => tracing::info!(disk, "the disk at {disk} goes to another process"),
            State::Opening | State::Closed => {}
        }
    }

    /// Lets the files go that nobody reads from.
    pub(super) fn let_go(&self) {
        self.segments.write().iter_mut().for_each(|segment| {
            segment.take();
        });
    }

    /// Finds an object, reads and checks the beginning of its record; `None` is a miss, whatever
    /// the cause. Says also whether it was asked for before within `window`; within none, it never was.
    pub(crate) async fn find(
        self: &Arc<Self>,
        key: &Key,
        window: Duration,
        hold: Option<Hold>,
    ) -> Option<(Stream, bool)> {
        if !self.is_readable() {
            return None;
        }
        let now_s = self.now_s();
        let (place, before) = self.index.ask(key, now_s)?;
        let stream = self.open(key, place, hold).await?;
        self.figures.hits.fetch_add(1, Ordering::Relaxed);
        let again = before
            .filter(|_| !window.is_zero())
            .is_some_and(|before| u64::from(now_s.saturating_sub(before)) <= window.as_secs());
        Some((stream, again))
    }

    /// Finds an object as [`Volume::find`] does, for one who asks about it and not for it: nothing
    /// is noted.
    pub(crate) async fn peek(self: &Arc<Self>, key: &Key, hold: Option<Hold>) -> Option<Stream> {
        if !self.is_readable() {
            return None;
        }
        self.open(key, self.index.place(key)?, hold).await
    }

    /// Notes that an object is in use although nobody reads it here, so that it is kept.
    pub(crate) fn touch(&self, key: &Key) {
        self.index.ask(key, self.now_s());
    }

    /// Whether the disk has the object.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.index.place(key).is_some()
    }

    /// Has an object written in its time. What the disk had of the key is older and forgotten.
    pub(crate) fn offer(&self, object: Object) {
        let head = head_of(&object);
        if head.is_none_or(|head| !self.shape.takes(head.record_length())) {
            self.figures.skipped_large.fetch_add(1, Ordering::Relaxed);
            self.forget_known(object.key);
            return;
        }
        let skipped = match self.queue.offer(object, &self.index) {
            Ok(()) => return,
            Err(Refused::Full) => &self.figures.skipped_full,
            Err(Refused::Aside) => &self.figures.skipped_aside,
        };
        skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Has a new meta written for an object that the disk has, if it is of the same fill as the
    /// one that stands there.
    pub(crate) fn renew(&self, key: &Key, meta: Vec<u8>, same: SameFill) -> bool {
        self.has(key) && self.queue.renew(*key, Renewal { meta, same })
    }

    /// Forgets an object, or all, at once. Says whether there was anything, and gives what hears
    /// when no restart can bring it back; nothing while the disk is not written to.
    pub(crate) fn forget(&self, what: Option<Key>) -> (bool, Option<oneshot::Receiver<()>>) {
        self.queue.forget(what, &self.index)
    }

    /// Forgets an object at once. Nobody waits until no restart can bring it back; what the disk
    /// never had is not written down, for anybody can ask for that.
    pub(crate) fn forget_known(&self, key: Key) {
        self.queue.forget_known(key, &self.index);
    }

    pub(super) fn segment(&self, slot: u32) -> Option<Arc<Segment>> {
        self.segments.read().get(slot as usize)?.clone()
    }

    pub(super) fn set_segment(&self, slot: u32, segment: Option<Arc<Segment>>) {
        if let Some(place) = self.segments.write().get_mut(slot as usize) {
            *place = segment;
        }
    }

    pub(super) fn now_s(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    /// Opens the record at a place, or where it has moved to meanwhile.
    pub(super) async fn open(
        self: &Arc<Self>,
        key: &Key,
        mut place: Place,
        mut hold: Option<Hold>,
    ) -> Option<Stream> {
        for _ in 0..TRIES {
            let segment = self.segment(place.slot)?;
            if let Ok(Some((preface, first))) =
                self.preface(&segment, key, place, hold.take()).await
            {
                return Some(Stream::new(
                    Arc::clone(self),
                    segment,
                    place,
                    preface,
                    first,
                ));
            }
            place = self.moved(key, place)?;
        }
        None
    }

    /// Where an object is, when what was read at `place` was wrong: it has moved, or is damaged
    /// and then forgotten.
    pub(super) fn moved(&self, key: &Key, place: Place) -> Option<Place> {
        if self.index.lose_at(key, place) {
            self.figures.damaged.fetch_add(1, Ordering::Relaxed);
            let disk = &self.name;
            tracing::warn!(disk, ?place, "a record on the disk at {disk} is damaged");
            return None;
        }
        self.index.place(key)
    }

    /// Reads the beginning of a record; with it, where the record is short, its body.
    async fn preface(
        &self,
        segment: &Arc<Segment>,
        key: &Key,
        place: Place,
        hold: Option<Hold>,
    ) -> io::Result<Option<(Preface, Option<Buffer>)>> {
        let whole = place.length as usize;
        let first = if whole <= SMALL { whole } else { LOOK };
        let at = u64::from(place.offset);
        let mut bytes = self.read(&segment.file, at, first, hold).await?;
        let Some(head) = Head::peek(bytes.as_ref(), segment.life) else {
            return Ok(None);
        };
        if head.key != *key || head.record_length() != whole {
            return Ok(None);
        }
        if head.body_at() > first {
            bytes = self.read(&segment.file, at, head.body_at(), None).await?;
        }
        let preface = Preface::parse(bytes.as_ref(), segment.life);
        let all = bytes.as_ref().len() == whole;
        let body = bytes.as_ref().get(head.body_at()..).unwrap_or_default();
        let right = |preface: &Preface| {
            let sum = preface.sums.first();
            !all || sum.is_none_or(|sum| *sum == crc32c::crc32c(body))
        };
        let preface = preface.filter(right);
        let valid = !segment.reused.load(Ordering::Acquire);
        Ok(preface
            .filter(|_| valid)
            .map(|preface| (preface, all.then_some(bytes))))
    }

    /// Reads from a file: at once what the system has in memory, on another thread what it has
    /// not.
    pub(super) async fn read(
        &self,
        file: &Arc<dyn File>,
        at: u64,
        length: usize,
        hold: Option<Hold>,
    ) -> io::Result<Buffer> {
        let mut buffer = self.pool.take(length, hold);
        let done = file.read_now(buffer.as_mut(), at);
        if done < length {
            let permit = Arc::clone(&self.reads).acquire_owned().await;
            let file = Arc::clone(file);
            let read = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let rest = buffer.as_mut().get_mut(done..).unwrap_or_default();
                file.read(rest, at + done as u64).map(|()| buffer)
            });
            let result = read.await.map_err(io::Error::other)?;
            buffer = self.judge(result)?;
        }
        self.figures
            .read_bytes
            .fetch_add(length as u64, Ordering::Relaxed);
        Ok(buffer)
    }

    /// A disk from which nothing can be read any more is set aside.
    fn judge<T>(&self, result: io::Result<T>) -> io::Result<T> {
        match &result {
            Ok(_) => self.failed_in_a_row.store(0, Ordering::Relaxed),
            Err(error) => {
                self.figures.read_errors.fetch_add(1, Ordering::Relaxed);
                let before = self.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
                if before + 1 == MOST_FAILED {
                    self.failed_in_a_row.store(0, Ordering::Relaxed);
                    let disk = &self.name;
                    tracing::error!(disk, "cannot read the disk at {disk}: {error}");
                    self.fault.notify_one();
                }
            }
        }
        result
    }
}

impl Shape {
    /// Whether a record of so many bytes fits.
    #[must_use]
    pub const fn takes(self, record: usize) -> bool {
        record + super::format::HEADER + super::format::footer_length(1) <= self.segment as usize
    }
}

/// What the head of an object's record will say; `None` when it is beyond the format.
pub(super) fn head_of(object: &Object) -> Option<Head> {
    let meta_length = u32::try_from(object.meta.len()).ok()?;
    (object.meta.len() <= super::format::MOST_META).then_some(())?;
    Some(Head {
        kind: super::format::Kind::Object,
        key: object.key,
        id: 0,
        meta_length,
        body_length: u32::try_from(object.length()).ok()?,
    })
}

/// Records up to this size are read in one go.
const SMALL: usize = super::format::CHUNK;
/// Of longer ones, this much is read first; mostly it holds all that stands before the body.
const LOOK: usize = 4096;
/// Reads that wait for one disk at a time.
const READS: usize = 32;
/// How often a record is followed to where it has moved.
const TRIES: usize = 4;
/// Reads that fail one after another until the disk is set aside.
const MOST_FAILED: u32 = 8;
