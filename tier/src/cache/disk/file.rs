//! The few things that the disk tier asks of a file system; tests let them fail.

use std::fs::{File as StdFile, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{ReadWriteFlags, preadv2};

use super::direct::Direct;

/// A directory of segment files.
pub trait Files: Send + Sync {
    /// Takes the directory for this process alone, until what is returned is dropped.
    ///
    /// # Errors
    /// When it is not there, or another process has it.
    fn lock(&self) -> io::Result<Box<dyn Send>>;

    /// The numbers of the segment files that are there.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> io::Result<Vec<u32>>;

    /// Opens a segment file that is there.
    ///
    /// # Errors
    /// When it cannot be opened for reading and writing.
    fn open(&self, slot: u32) -> io::Result<Arc<dyn File>>;

    /// Makes a segment file with room for `length` bytes.
    ///
    /// # Errors
    /// When there is no room; nothing is left behind then.
    fn create(&self, slot: u32, length: u32) -> io::Result<Arc<dyn File>>;

    /// Removes a segment file.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, slot: u32) -> io::Result<()>;
}

/// A segment file.
pub trait File: Send + Sync {
    /// Fills `bytes` from the file, waiting for the disk.
    ///
    /// # Errors
    /// When the disk fails, or the file ends before.
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Reads what needs no waiting and says how much that was.
    fn read_now(&self, bytes: &mut [u8], at: u64) -> usize;

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// When the disk fails.
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Writes the pieces one after another.
    ///
    /// # Errors
    /// When the disk fails.
    fn write_pieces(&self, pieces: &[Bytes], mut at: u64) -> io::Result<()> {
        for piece in pieces {
            self.write(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Returns when what was written is on the disk.
    ///
    /// # Errors
    /// When the disk fails; what was written since the last call may be lost.
    fn sync(&self) -> io::Result<()>;

    /// The file's length.
    ///
    /// # Errors
    /// When the file system does not say.
    fn length(&self) -> io::Result<u64>;

    /// Has other processes know that this one reads from the file, until it is dropped.
    ///
    /// # Errors
    /// When the file system knows no locks.
    fn hold(&self) -> io::Result<()>;

    /// Whether another holds the file so.
    fn is_held(&self) -> bool;
}

/// A real directory.
pub struct Directory {
    path: PathBuf,
    direct: Arc<Direct>,
}

/// A file of a real directory.
struct Slot {
    number: u32,
    path: PathBuf,
    file: StdFile,
    direct: Arc<Direct>,
}

impl Directory {
    /// The directory at `path`, which is never created: where a disk is not mounted, its objects
    /// would fill another.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            direct: Arc::default(),
        }
    }

    fn file(&self, slot: u32) -> PathBuf {
        self.path.join(format!("{slot:05}.segment"))
    }

    fn slot(&self, number: u32, file: StdFile) -> Arc<dyn File> {
        self.direct.reset();
        Arc::new(Slot {
            number,
            path: self.file(number),
            file,
            direct: Arc::clone(&self.direct),
        })
    }
}

impl Files for Directory {
    fn lock(&self) -> io::Result<Box<dyn Send>> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let lock = options.open(self.path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Box::new(lock)),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                ErrorKind::WouldBlock,
                "another process uses this directory",
            )),
        }
    }

    fn list(&self) -> io::Result<Vec<u32>> {
        let mut slots = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".segment"));
            slots.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        Ok(slots)
    }

    fn open(&self, slot: u32) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.file(slot))?;
        Ok(self.slot(slot, file))
    }

    fn create(&self, slot: u32, length: u32) -> io::Result<Arc<dyn File>> {
        let path = self.file(slot);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true);
        let file = options.open(&path)?;
        if let Err(error) = reserve(&file, u64::from(length)) {
            // What remains is found and removed at the next start.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(self.slot(slot, file))
    }

    fn remove(&self, slot: u32) -> io::Result<()> {
        std::fs::remove_file(self.file(slot))
    }
}

/// Reserves room, so that a full disk is met here and not in the middle of a record. File systems
/// that cannot reserve give the room when it is written.
fn reserve(file: &StdFile, length: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(length),
        Err(error) => Err(error.into()),
    }
}

impl File for Slot {
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn read_now(&self, bytes: &mut [u8], at: u64) -> usize {
        // Where the kernel or the file system does not know how, everything is read with waiting.
        preadv2(
            &self.file,
            &mut [IoSliceMut::new(bytes)],
            at,
            ReadWriteFlags::NOWAIT,
        )
        .unwrap_or(0)
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn write_pieces(&self, pieces: &[Bytes], at: u64) -> io::Result<()> {
        let place = (self.number, self.path.as_path());
        self.direct.write(place, &self.file, pieces, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn hold(&self) -> io::Result<()> {
        self.file.try_lock_shared().map_err(io::Error::from)
    }

    fn is_held(&self) -> bool {
        match self.file.try_lock() {
            Ok(()) => {
                // What cannot be given back is given back when the file is closed.
                let _ = self.file.unlock();
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        }
    }
}
