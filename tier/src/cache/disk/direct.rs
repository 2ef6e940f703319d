//! Large writes past the system's page cache: what was just fetched is in our own memory already,
//! and fresh pages for another copy cost more processor time than the disk does.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::OFlags;

/// The way past the page cache to one file of a directory, the one that is being written.
#[derive(Default)]
pub(super) struct Direct(Mutex<State>);

#[derive(Default)]
struct State {
    /// Which file it is; `None` for one that can only be written through the page cache.
    file: Option<(u32, Option<File>)>,
    bounce: Vec<u8>,
}

impl Direct {
    /// Forgets which file was written: another may have its name from now on.
    pub(super) fn reset(&self) {
        self.0.lock().file = None;
    }

    /// Writes the pieces at `at` to `file`, which is the file number `slot` and stands at `path`.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn write(
        &self,
        (slot, path): (u32, &Path),
        file: &File,
        pieces: &[Bytes],
        at: u64,
    ) -> io::Result<()> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        if length < LEAST {
            return through(file, pieces, at);
        }
        let mut state = self.0.lock();
        let State {
            file: other,
            bounce,
        } = &mut *state;
        if other.as_ref().is_none_or(|(open, _)| *open != slot) {
            *other = Some((slot, reopen(path)));
        }
        let direct = other.as_ref().and_then(|(_, direct)| direct.as_ref());
        let skew = at % BLOCK as u64;
        let mut run = Run {
            file,
            direct: direct.unwrap_or(file),
            buffer: aligned(bounce),
            base: at - skew,
            filled: usize::try_from(skew).map_err(io::Error::other)?,
            begin: usize::try_from(skew).map_err(io::Error::other)?,
        };
        for piece in pieces {
            run.add(piece)?;
        }
        run.flush()
    }
}

fn through(file: &File, pieces: &[Bytes], mut at: u64) -> io::Result<()> {
    for piece in pieces {
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// A write on its way through the buffer, which begins at a block of the file.
struct Run<'a> {
    file: &'a File,
    direct: &'a File,
    buffer: &'a mut [u8],
    /// Where in the file the buffer begins.
    base: u64,
    begin: usize,
    filled: usize,
}

impl Run<'_> {
    fn add(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let (here, behind) = rest.split_at(rest.len().min(room.len()));
            if let Some(room) = room.get_mut(..here.len()) {
                room.copy_from_slice(here);
            }
            self.filled += here.len();
            rest = behind;
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is in the buffer: whole blocks past the page cache, the ends through it.
    fn flush(&mut self) -> io::Result<()> {
        let head = self.begin.next_multiple_of(BLOCK).min(self.filled);
        let tail = (self.filled / BLOCK * BLOCK).max(head);
        let part = |from, to| self.buffer.get(from..to).unwrap_or_default();
        let place = |at: usize| self.base + at as u64;
        self.file
            .write_all_at(part(self.begin, head), place(self.begin))?;
        match self.direct.write_all_at(part(head, tail), place(head)) {
            // A file system with larger blocks.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                self.file.write_all_at(part(head, tail), place(head))?;
            }
            result => result?,
        }
        self.file
            .write_all_at(part(tail, self.filled), place(tail))?;
        self.base += self.buffer.len() as u64;
        (self.begin, self.filled) = (0, 0);
        Ok(())
    }
}

/// Opens a file for writes past the page cache, where the file system knows how.
fn reopen(path: &Path) -> Option<File> {
    let flags = OFlags::DIRECT.bits().cast_signed();
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path);
    file.ok()
}

/// A buffer that begins where the kernel wants it to, made at the first call.
fn aligned(memory: &mut Vec<u8>) -> &mut [u8] {
    memory.resize(BUFFER + BLOCK, 0);
    let skip = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
    memory.get_mut(skip..skip + BUFFER).unwrap_or_default()
}

/// Shorter writes gain nothing.
const LEAST: usize = 64 * 1024;
/// What file systems and disks count in.
const BLOCK: usize = 4096;
/// One write's worth: a disk that answers within a millisecond takes a GB/s.
const BUFFER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::file::{Directory, Files};
    use super::*;

    fn pieces(seed: usize, length: usize) -> Vec<Bytes> {
        let byte = |at: usize| (at.wrapping_mul(seed + 7) >> 3).to_le_bytes()[0];
        let whole: Vec<u8> = (0..length).map(byte).collect();
        whole.chunks(50_001).map(Bytes::copy_from_slice).collect()
    }

    #[test]
    fn what_is_written_past_the_page_cache_is_read_through_it() {
        const FILE: u32 = 8 << 20;
        let blank = || vec![0; FILE as usize];
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        let lengths = [
            70_000,
            1,
            LEAST,
            BUFFER + 5,
            BLOCK * 20,
            BUFFER,
            3_000_000,
            200_000,
        ];
        // The second time over what is there, elsewhere; then in a new file of the same name.
        for (round, first) in [(0, 64), (1, BLOCK - 1), (2, BLOCK)] {
            let files = match round {
                1 => [0, 1].map(|slot| directory.open(slot).unwrap()),
                _ => [0, 1].map(|slot| directory.create(slot, FILE).unwrap()),
            };
            let mut models = [blank(), blank()];
            for (model, file) in models.iter_mut().zip(&files) {
                file.read(model, 0).unwrap();
            }
            let mut at = first;
            for (n, length) in lengths.into_iter().enumerate() {
                let (file, model) = (&files[n % 2], &mut models[n % 2]);
                let pieces = pieces(n + round, length);
                file.write_pieces(&pieces, at as u64).unwrap();
                model[at..at + length].copy_from_slice(&pieces.concat());
                let mut found = blank();
                file.read(&mut found, 0).unwrap();
                assert!(found == *model, "{length} bytes at {at}, round {round}");
                at += length;
            }
            if round == 1 {
                directory.remove(0).unwrap();
                directory.remove(1).unwrap();
            }
        }
    }
}
