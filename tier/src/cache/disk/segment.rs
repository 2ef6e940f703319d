//! A segment file as it is read again: records, their bodies, and the footer that seals it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::file::File;
use super::format::{self, CHUNK, Entry, Head, Life, Preface, Trailer};
use super::queue::Object;

/// One life of a segment file.
pub(super) struct Segment {
    pub(super) slot: u32,
    pub(super) life: Life,
    pub(super) file: Arc<dyn File>,
    /// The file has begun another life: what is read from it now proves nothing.
    pub(super) reused: AtomicBool,
}

/// The chunks of a body with their offsets; `None` for one that cannot be read or is damaged,
/// which is the last then.
pub(super) struct Chunks<'a> {
    file: &'a dyn File,
    start: u64,
    at: usize,
    length: usize,
    sums: std::slice::Iter<'a, u32>,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(file: &'a dyn File, start: u64, length: usize, sums: &'a [u32]) -> Self {
        Self {
            file,
            start,
            at: 0,
            length,
            sums: sums.iter(),
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = (u64, Option<Vec<u8>>);

    fn next(&mut self) -> Option<Self::Item> {
        let sum = self.sums.next()?;
        let offset = self.at as u64;
        let mut bytes = vec![0; (self.length - self.at).min(CHUNK)];
        let read = self.file.read(&mut bytes, self.start + offset);
        self.at += bytes.len();
        let right = read.is_ok() && crc32c::crc32c(&bytes) == *sum;
        if !right {
            self.sums = [].iter();
        }
        Some((offset, right.then_some(bytes)))
    }
}

/// Reads and checks the beginning of a record.
pub(super) fn read_preface(segment: &Segment, offset: u32) -> Option<Preface> {
    let (file, at) = (&segment.file, u64::from(offset));
    let mut fixed = [0; format::HEAD];
    file.read(&mut fixed, at).ok()?;
    let head = Head::peek(&fixed, segment.life)?;
    let mut bytes = vec![0; head.body_at()];
    file.read(&mut bytes, at).ok()?;
    Preface::parse(&bytes, segment.life)
}

/// Reads the footer of a segment of `length` bytes, if it was sealed.
pub(super) fn read_footer(segment: &Segment, length: u32) -> Option<Vec<Entry>> {
    let (file, end) = (&segment.file, u64::from(length));
    let mut trailer = [0; format::TRAILER];
    let at = end.checked_sub(trailer.len() as u64)?;
    file.read(&mut trailer, at).ok()?;
    let trailer = Trailer::parse(&trailer, segment.life, length)?;
    let footer = format::footer_length(trailer.count as usize);
    let mut bytes = vec![0; footer - format::TRAILER];
    file.read(&mut bytes, end.checked_sub(footer as u64)?)
        .ok()?;
    trailer.entries(&bytes, length)
}

/// Seals a segment. The records are on the disk before the footer that vouches for them.
///
/// # Errors
/// When the disk does not take it.
pub(super) fn write_footer(segment: &Segment, entries: &[Entry], length: u32) -> io::Result<()> {
    segment.file.sync()?;
    let footer = format::footer(segment.life, entries);
    let at = u64::from(length).saturating_sub(footer.len() as u64);
    segment.file.write(&footer, at)?;
    segment.file.sync()
}

/// The checksums of a body's chunks, wherever its pieces end.
pub(super) fn sums(object: &Object) -> Vec<u32> {
    let mut sums = Vec::with_capacity(object.length().div_ceil(CHUNK));
    let (mut sum, mut filled) = (0, 0);
    for piece in &object.body {
        let mut rest: &[u8] = piece;
        while !rest.is_empty() {
            let (here, behind) = rest.split_at(rest.len().min(CHUNK - filled));
            sum = crc32c::crc32c_append(sum, here);
            filled += here.len();
            rest = behind;
            if filled == CHUNK {
                sums.push(sum);
                (sum, filled) = (0, 0);
            }
        }
    }
    if filled > 0 {
        sums.push(sum);
    }
    sums
}
