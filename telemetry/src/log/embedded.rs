//! The log of one machine: append-only segments in a folder, written by a thread of its own.
//!
//! The folder has a file `name`, a file `lock`, and segments. A segment that is not the last is whole; of the last,
//! what is behind its last whole record was never acknowledged, and is cut off when the log is opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use super::writer::{Wish, Writer, create};
use super::{Error, EventLog, Extent, LONGEST, Offset, Page, segment};

/// How large a log may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All of it, in bytes: beyond, nothing is taken until some of it is folded.
    pub bytes: u64,
    /// A segment, in bytes, which is what goes at once.
    pub segment: u64,
}

/// How many records wait for the disk.
const WAITING: usize = 4096;

/// The log of one machine.
pub struct Embedded {
    folder: PathBuf,
    name: String,
    segments: Arc<Segments>,
    /// Both there until it is dropped.
    wishes: Option<mpsc::Sender<Wish>>,
    thread: Option<JoinHandle<()>>,
    end: watch::Receiver<Offset>,
    /// Held as long as the log is open.
    _lock: File,
}

/// Where segments begin, in their order; never none.
pub(super) struct Segments(Mutex<Vec<Offset>>);

impl Segments {
    pub(super) fn first(&self) -> Offset {
        self.with(|all| all.first().copied().unwrap_or_default())
    }

    pub(super) fn add(&self, begins: Offset) {
        self.with(|all| all.push(begins));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Offset>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the segment of a place begins, and the next one, if there is one.
    fn around(&self, place: Offset) -> (Offset, Option<Offset>) {
        self.with(|all| {
            let next = all.iter().position(|begins| *begins > place);
            let this = next.unwrap_or(all.len()).saturating_sub(1);
            let begins = all.get(this).copied().unwrap_or_default();
            (begins, all.get(this + 1).copied())
        })
    }
}

impl Embedded {
    /// Opens the log in a folder, and cuts off what a crash left unfinished.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it, [`Error::Disk`].
    pub async fn open(folder: PathBuf, limits: Limits) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking(move || Self::open_now(folder, limits));
        opened.await.map_err(io::Error::other)?
    }

    fn open_now(folder: PathBuf, limits: Limits) -> Result<Self, Error> {
        fs::create_dir_all(&folder)?;
        if let Some(above) = folder.parent() {
            File::open(above)?.sync_all()?;
        }
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|_| Error::InUse {
            folder: folder.display().to_string(),
        })?;
        let name = name(&folder)?;
        let mut begin = segments(&folder)?;
        let begins = begin.last().copied().unwrap_or_default();
        let (file, end) = if begin.is_empty() {
            begin.push(0);
            (create(&folder, 0)?, 0)
        } else {
            recovered(&folder, begins)?
        };
        let segments = Arc::new(Segments(Mutex::new(begin)));
        let (told, heard) = watch::channel(end);
        let writer = Writer {
            folder: folder.clone(),
            limits,
            segments: Arc::clone(&segments),
            file,
            begins,
            end,
            told,
            broken: false,
        };
        let (wishes, wished) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name("event-log".into());
        let thread = thread.spawn(move || writer.run(wished))?;
        Ok(Self {
            folder,
            name,
            segments,
            wishes: Some(wishes),
            thread: Some(thread),
            end: heard,
            _lock: lock,
        })
    }
}

impl Drop for Embedded {
    /// Waits for what is being written, so that the lock does not go before.
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl EventLog for Embedded {
    fn name(&self) -> &str {
        &self.name
    }

    async fn append(&self, record: Vec<u8>) -> Result<(), Error> {
        if !(1..=LONGEST).contains(&record.len()) {
            return Err(Error::Length(record.len()));
        }
        let (done, outcome) = oneshot::channel();
        let wishes = self.wishes.as_ref().ok_or(Error::Broken)?;
        let wish = wishes.try_send(Wish { record, done });
        wish.map_err(|failed| match failed {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::Broken,
        })?;
        outcome.await.unwrap_or(Err(Error::Broken))
    }

    async fn read(&self, from: Offset, most: usize) -> Result<Page, Error> {
        let end = *self.end.borrow();
        let from = from.max(self.segments.first());
        if from >= end {
            return Ok(Page {
                next: from,
                ..Page::default()
            });
        }
        let (begins, next) = self.segments.around(from);
        let path = segment::path(&self.folder, begins);
        let until = next.unwrap_or(end);
        let read = tokio::task::spawn_blocking(move || {
            let file = File::open(path)?;
            segment::records(&file, begins, from - begins, until - begins, most)
        });
        let read = read.await.map_err(io::Error::other)?;
        match read {
            Ok((records, taken)) if taken > 0 => Ok(Page {
                records,
                next: from + taken,
                damaged: 0,
            }),
            // Nothing can be read here: what follows in the same segment cannot be found.
            Ok(_) => Ok(passed(from, until)),
            Err(error) if gone(&error) => Ok(passed(from, until)),
            Err(error) => Err(error.into()),
        }
    }

    fn extent(&self) -> Extent {
        Extent {
            first: self.segments.first(),
            end: *self.end.borrow(),
        }
    }

    async fn release(&self, before: Offset) -> Result<(), Error> {
        let segments = Arc::clone(&self.segments);
        let folder = self.folder.clone();
        let released = tokio::task::spawn_blocking(move || {
            while let (begins, Some(next)) = segments.around(segments.first())
                && next <= before
            {
                match fs::remove_file(segment::path(&folder, begins)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => segments.with(|all| all.remove(0)),
                };
            }
            Ok(())
        });
        let released = released.await.map_err(io::Error::other)?;
        released.map_err(Error::from)
    }

    async fn grown(&self, beyond: Offset) {
        let mut end = self.end.clone();
        if end.wait_for(|end| *end > beyond).await.is_err() {
            // The thread is gone, and nothing will ever follow.
            std::future::pending::<()>().await;
        }
    }
}

const fn passed(from: Offset, until: Offset) -> Page {
    Page {
        records: Vec::new(),
        next: until,
        damaged: until - from,
    }
}

/// The file is not there, or shorter than it was.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

/// The last segment, without what is behind its last whole record, and the place behind that.
fn recovered(folder: &Path, begins: Offset) -> io::Result<(File, Offset)> {
    let path = segment::path(folder, begins);
    let file = OpenOptions::new().append(true).read(true).open(path)?;
    let (length, whole) = (file.metadata()?.len(), segment::whole(&file, begins)?);
    if whole < length {
        let bytes = length - whole;
        tracing::warn!(
            bytes,
            "{bytes} bytes at the end of the log of events were not written to their end; they are cut off"
        );
        file.set_len(whole)?;
    }
    // What a process wrote that was killed before it flushed is there, and must be there after a crash as well.
    file.sync_all()?;
    Ok((file, begins + whole))
}

/// Where segments begin, in their order.
fn segments(folder: &Path) -> io::Result<Vec<Offset>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        all.extend(segment::begins(&entry?.path()));
    }
    all.sort_unstable();
    Ok(all)
}

/// The log's name, drawn when it is made.
fn name(folder: &Path) -> io::Result<String> {
    let path = folder.join("name");
    match fs::read_to_string(&path) {
        Ok(name) if (1..=64).contains(&name.trim().len()) => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    let name = hex::encode(bits);
    let draft = folder.join("name.new");
    let mut file = File::create(&draft)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path)?;
    File::open(folder)?.sync_all()?;
    Ok(name)
}
