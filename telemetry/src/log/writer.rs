//! The thread that writes: what has come while it waited for the disk goes there in one write and one flush.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::embedded::{Limits, Segments};
use super::{Error, Offset, segment};

/// A record that is to be written, and who wants to hear of it.
pub(super) struct Wish {
    pub(super) record: Vec<u8>,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
}

/// How much is written at once, in bytes, when that much waits.
const MOST: usize = 1 << 20;

/// What the thread has.
pub(super) struct Writer {
    pub(super) folder: PathBuf,
    pub(super) limits: Limits,
    pub(super) segments: Arc<Segments>,
    /// The segment that grows.
    pub(super) file: File,
    /// Where it begins.
    pub(super) begins: Offset,
    /// The place behind what is written and flushed.
    pub(super) end: Offset,
    /// Who reads is told of it.
    pub(super) told: watch::Sender<Offset>,
    /// What it knows of its file is not sure any more.
    pub(super) broken: bool,
}

impl Writer {
    /// Writes until nobody can wish any more.
    pub(super) fn run(mut self, mut wishes: mpsc::Receiver<Wish>) {
        while let Some(first) = wishes.blocking_recv() {
            let mut group = vec![first];
            let mut size = 0;
            while size < MOST
                && let Ok(next) = wishes.try_recv()
            {
                size += next.record.len();
                group.push(next);
            }
            let outcome = self.write(&group);
            for wish in group {
                // Who does not wait any more does not need to hear of it.
                let _ = wish.done.send(outcome.clone());
            }
        }
    }

    /// Writes a group and flushes it: all of it is there, or none of it counts.
    fn write(&mut self, group: &[Wish]) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let mut bytes = Vec::new();
        for wish in group {
            let place = self.end + bytes.len() as u64;
            segment::write(&mut bytes, place, &wish.record);
        }
        let size = bytes.len() as u64;
        if self.end + size - self.segments.first() > self.limits.bytes {
            return Err(Error::Full);
        }
        let written = self.file.write_all(&bytes);
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            self.take_back();
            return Err(error.into());
        }
        self.end += size;
        self.told.send_replace(self.end);
        if self.end - self.begins >= self.limits.segment {
            self.begin_another();
        }
        Ok(())
    }

    /// Cuts off what was written and may not be there after a crash. Where that fails too, nothing is known any more.
    fn take_back(&mut self) {
        let whole = self.end - self.begins;
        let cut = self
            .file
            .set_len(whole)
            .and_then(|()| self.file.sync_data());
        self.broken = cut.is_err();
    }

    /// What was appended stays so: where no other segment can begin, the old one grows on.
    fn begin_another(&mut self) {
        match create(&self.folder, self.end) {
            Ok(file) => {
                self.segments.add(self.end);
                (self.file, self.begins) = (file, self.end);
            }
            Err(error) => tracing::warn!("no new segment of the log of events: {error}"),
        }
    }
}

/// Begins a segment, so that it is still there after a crash.
pub(super) fn create(folder: &Path, begins: Offset) -> io::Result<File> {
    let path = segment::path(folder, begins);
    // One that was made before a crash, and got no record, is taken.
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)?;
    file.set_len(0)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}
