//! The bytes of one object, and the readers that follow them while they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;
use pingora::cache::key::HashBinary;
use pingora::cache::storage::{HandleHit, Storage};
use pingora::cache::trace::SpanHandle;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, Result};
use tokio::sync::watch;

use super::meta::Meta;
use super::room::Charge;

/// Size of the pieces of a complete body, and the most that a reader takes at once.
const CHUNK: usize = 256 * 1024;

/// The least that is worth a piece of its own.
const LARGE: usize = 32 * 1024;

/// How far a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Filling(usize),
    Complete(usize),
    Failed,
}

/// Where the bytes of an object come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A fetch.
    Parent,
    /// A disk.
    Disk,
}

/// One object, from the first byte of its fill until the last reader has let go.
pub(super) struct Object {
    pub(super) id: u64,
    pub(super) key: HashBinary,
    pub(super) meta: RwLock<Arc<Meta>>,
    /// Read since it last passed through the eviction queue.
    pub(super) visited: AtomicBool,
    /// Purged while it was filling: not to be stored.
    pub(super) purged: AtomicBool,
    /// Found to be fresh again since it was written to disk.
    pub(super) renewed: AtomicBool,
    /// It came from disk.
    promoted: bool,
    /// It came from disk or was offered to it.
    below: AtomicBool,
    /// Pieces with the offset at which each begins.
    pieces: RwLock<Vec<(usize, Bytes)>>,
    progress: watch::Sender<Progress>,
    charge: Arc<Charge>,
}

impl Object {
    pub(super) fn new(
        id: u64,
        key: HashBinary,
        source: Source,
        meta: Meta,
        charge: Charge,
    ) -> Arc<Self> {
        let promoted = source == Source::Disk;
        Arc::new(Self {
            id,
            key,
            meta: RwLock::new(Arc::new(meta)),
            visited: AtomicBool::new(false),
            purged: AtomicBool::new(false),
            renewed: AtomicBool::new(false),
            promoted,
            below: AtomicBool::new(promoted),
            pieces: RwLock::new(Vec::new()),
            progress: watch::Sender::new(Progress::Filling(0)),
            charge: Arc::new(charge),
        })
    }

    pub(super) fn meta(&self) -> Arc<Meta> {
        Arc::clone(&self.meta.read())
    }

    /// Bytes of memory that this object is charged with.
    pub(super) fn cost(&self) -> usize {
        self.charge.bytes()
    }

    /// Charges the object with more room that was [taken](super::room::Room::take) for it.
    pub(super) fn grow(&self, bytes: usize) {
        self.charge.grow(bytes);
    }

    /// Gives back room that the object will not need.
    pub(super) fn shrink(&self, bytes: usize) {
        self.charge.shrink(bytes);
    }

    /// Adds bytes with whose room the object is charged.
    pub(super) fn append(&self, at: usize, data: Bytes) {
        let end = at + data.len();
        self.pieces.write().push((at, data));
        self.progress.send_replace(Progress::Filling(end));
    }

    /// Ends the fill. Small upstream reads are joined, which costs one copy here and saves many
    /// small writes on every hit. Where all but the last are large, the copy costs more than it saves;
    /// what comes from a disk is copied always, for its pieces lie in larger buffers of the disk's.
    pub(super) fn complete(&self, len: usize) {
        {
            let mut pieces = self.pieces.write();
            let is_small = |(_, piece): &(usize, Bytes)| piece.len() < LARGE;
            if self.promoted || pieces.iter().rev().skip(1).any(is_small) {
                *pieces = join(&pieces, len);
            }
        }
        self.progress.send_replace(Progress::Complete(len));
    }

    /// Ends the fill before the object is whole; tells whether its viewers had not done so already.
    pub(super) fn fail(&self) -> bool {
        self.progress.send_if_modified(|progress| {
            let before = std::mem::replace(progress, Progress::Failed);
            before != Progress::Failed
        })
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Complete(_))
    }

    /// Whether it came from disk.
    pub(super) const fn is_promoted(&self) -> bool {
        self.promoted
    }

    /// Whether it came from disk or was offered to it.
    pub(super) fn is_below(&self) -> bool {
        self.below.load(Ordering::Relaxed)
    }

    /// Notes that it is offered to a disk; tells whether it was not before.
    pub(super) fn goes_below(&self) -> bool {
        !self.below.swap(true, Ordering::Relaxed)
    }

    /// The body, which is complete.
    pub(super) fn pieces(&self) -> Vec<Bytes> {
        let pieces = self.pieces.read();
        pieces.iter().map(|(_, piece)| piece.clone()).collect()
    }

    /// What keeps its memory accounted for as long as it is held.
    pub(super) fn share_charge(&self) -> Box<dyn std::any::Any + Send + Sync> {
        Box::new(Arc::clone(&self.charge))
    }

    fn slice(&self, from: usize, to: usize) -> Option<Bytes> {
        let pieces = self.pieces.read();
        let index = pieces
            .partition_point(|(start, _)| *start <= from)
            .checked_sub(1)?;
        let (start, piece) = pieces.get(index)?;
        let low = from - start;
        let high = piece.len().min(to - start).min(low + CHUNK);
        (low < high).then(|| piece.slice(low..high))
    }
}

/// A complete object in memory, as it is at one moment.
pub(crate) struct Whole {
    pub(super) object: Arc<Object>,
    meta: Arc<Meta>,
    len: usize,
}

impl Whole {
    /// The object, if it is complete and as long as its header says.
    pub(super) fn of(object: Arc<Object>) -> Option<Self> {
        let Progress::Complete(len) = *object.progress.borrow() else {
            return None;
        };
        let meta = object.meta();
        let as_said = meta.content_length() == Some(len) && len > 0;
        as_said.then_some(Self { object, meta, len })
    }

    pub(crate) fn header(&self) -> &ResponseHeader {
        &self.meta.header
    }

    /// What `write` makes of the header: for as long as the header stays, it is asked once.
    pub(crate) fn written(
        &self,
        write: impl FnOnce(&ResponseHeader) -> Result<Bytes>,
    ) -> Result<Bytes> {
        self.meta.written(write)
    }

    /// For how long it is fresh yet; `None` when it is not.
    pub(crate) fn fresh_for(&self, now: SystemTime) -> Option<Duration> {
        self.meta.fresh_for(now)
    }

    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        self.meta.age(now)
    }

    /// The body.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Bytes> {
        let next = move |at: &mut usize| {
            let piece = self.object.slice(*at, self.len)?;
            *at += piece.len();
            Some(piece)
        };
        let mut at = 0;
        std::iter::from_fn(move || next(&mut at))
    }
}

fn join(pieces: &[(usize, Bytes)], len: usize) -> Vec<(usize, Bytes)> {
    let mut joined = Vec::with_capacity(len.div_ceil(CHUNK));
    let mut current = BytesMut::with_capacity(CHUNK.min(len));
    let mut start = 0;
    for (_, piece) in pieces {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(CHUNK - current.len()));
            current.extend_from_slice(&part);
            if current.len() == CHUNK {
                let left = len.saturating_sub(start + CHUNK);
                let full =
                    std::mem::replace(&mut current, BytesMut::with_capacity(CHUNK.min(left)));
                joined.push((start, full.freeze()));
                start += CHUNK;
            }
        }
    }
    if !current.is_empty() {
        joined.push((start, current.freeze()));
    }
    joined
}

/// A reader of an object, complete or still filling.
///
/// # Cancel safety
/// A dropped `read_body` loses no byte: the position moves only when bytes are handed out.
pub(crate) struct Reader {
    object: Arc<Object>,
    progress: watch::Receiver<Progress>,
    position: usize,
    /// Exclusive; `usize::MAX` is "to the end".
    end: usize,
    /// It was still being fetched when this reader came.
    pub(crate) joined_fill: bool,
}

impl Reader {
    /// `None` when the object's fill has failed.
    pub(super) fn open(object: Arc<Object>) -> Option<(CacheMeta, Box<Self>)> {
        let progress = object.progress.subscribe();
        let joined_fill = match *progress.borrow() {
            Progress::Filling(_) => !object.is_promoted(),
            Progress::Complete(_) => false,
            Progress::Failed => return None,
        };
        object.visited.store(true, Ordering::Relaxed);
        let meta = object.meta().give();
        let reader = Self {
            object,
            progress,
            position: 0,
            end: usize::MAX,
            joined_fill,
        };
        Some((meta, Box::new(reader)))
    }

    /// What it reads.
    pub(crate) fn key(&self) -> HashBinary {
        self.object.key
    }

    /// Ends the fill for its viewer who left, unless somebody else reads it too, what is missing is worth fetching, or
    /// the viewer had the part that it wanted. Tells what of it is thrown away, if it has ended.
    pub(crate) fn leave(&self, worth: Worth) -> Option<usize> {
        if self.position >= self.end {
            return None;
        }
        let announced = self.object.meta().content_length();
        let mut thrown_away = None;
        // Who opens it after this looks at the progress and finds that it has failed.
        self.object.progress.send_if_modified(|progress| {
            let Progress::Filling(arrived) = *progress else {
                return false;
            };
            if !worth.covers(announced, arrived) && self.object.progress.receiver_count() == 1 {
                *progress = Progress::Failed;
                thrown_away = Some(arrived);
            }
            thrown_away.is_some()
        });
        thrown_away
    }
}

/// What the rest of a fill that nobody reads may cost, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worth {
    /// What is little for any.
    pub(crate) little: usize,
    /// What fills of the same object that ended so have cost for nothing.
    pub(crate) wasted: usize,
}

impl Worth {
    /// No more is fetched for nobody than was fetched for somebody who left, then and now. Of unknown length it is
    /// finished while little has come.
    fn covers(self, announced: Option<usize>, arrived: usize) -> bool {
        let (cost, enough) = match announced {
            Some(length) => (length.saturating_sub(arrived), self.little.max(arrived)),
            None => (arrived, self.little),
        };
        cost <= enough.saturating_add(self.wasted)
    }
}

#[async_trait]
impl HandleHit for Reader {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        loop {
            let progress = *self.progress.borrow_and_update();
            let (arrived, complete) = match progress {
                Progress::Filling(n) => (n, false),
                Progress::Complete(n) => (n, true),
                Progress::Failed => {
                    return Error::e_explain(ErrorType::ReadError, "the fill failed").map_err(up);
                }
            };
            if self.position < self.end.min(arrived) {
                let Some(bytes) = self.object.slice(self.position, self.end.min(arrived)) else {
                    return Error::e_explain(ErrorType::InternalError, "a piece is missing");
                };
                self.position += bytes.len();
                return Ok(Some(bytes));
            }
            if self.position >= self.end || complete {
                return Ok(None);
            }
            if self.progress.changed().await.is_err() {
                return Error::e_explain(ErrorType::ReadError, "the fill is gone").map_err(up);
            }
        }
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        if let Progress::Complete(len) = *self.progress.borrow()
            && start >= len
        {
            return Error::e_explain(ErrorType::InternalError, "seek beyond the end");
        }
        self.position = start;
        self.end = end.unwrap_or(usize::MAX);
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn std::any::Any + Send + Sync) {
        self
    }
}

fn up(error: Box<Error>) -> Box<Error> {
    error.into_up()
}
