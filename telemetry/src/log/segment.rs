//! A segment: a file of records, one after the other, named by the place at which it begins.
//!
//! A record is its length, a checksum and its bytes; the checksum (CRC-32C) is over its place, its length and
//! its bytes, so that nothing that was written elsewhere, and is found here, passes for a record. Numbers are
//! little-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{LONGEST, Offset};

/// The bytes of a record before its own.
pub(super) const HEAD: usize = 8;

/// Appends a record's bytes, as they stand at a place.
pub(super) fn write(out: &mut Vec<u8>, place: Offset, record: &[u8]) {
    // The caller has looked that it is not longer than a record may be.
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(place, length, record).to_le_bytes());
    out.extend_from_slice(record);
}

/// The record that `bytes` begin with, where they stand at `place`; `None` when they do not begin with one.
pub(super) fn first(bytes: &[u8], place: Offset) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length);
    let count = usize::try_from(length).ok()?;
    let record = rest
        .get(..count)
        .filter(|_| (1..=LONGEST).contains(&count))?;
    (checksum(place, length, record) == u32::from_le_bytes(*sum)).then_some(record)
}

fn checksum(place: Offset, length: u32, record: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&place.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &length.to_le_bytes());
    crc32c::crc32c_append(sum, record)
}

/// The name of the segment that begins at a place: as names are sorted, so are places.
pub(super) fn path(folder: &Path, begins: Offset) -> PathBuf {
    folder.join(format!("{begins:020}.log"))
}

/// Where the segment of that name begins.
pub(super) fn begins(path: &Path) -> Option<Offset> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".log")?;
    let fits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| fits)
}

/// How many bytes of a segment are whole records, from its beginning.
pub(super) fn whole(file: &File, begins: Offset) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut buffer = vec![0; HEAD + LONGEST];
    let mut at = 0;
    while at < length {
        let window = window(file, &mut buffer, at, length)?;
        let Some(record) = first(window, begins + at) else {
            break;
        };
        at += (HEAD + record.len()) as u64;
    }
    Ok(at)
}

/// What stands in a file from `at` to `end`, as far as it fits into a buffer.
fn window<'a>(file: &File, buffer: &'a mut [u8], at: u64, end: u64) -> io::Result<&'a [u8]> {
    let left = usize::try_from(end - at).unwrap_or(usize::MAX);
    let count = left.min(buffer.len());
    let window = buffer.get_mut(..count).unwrap_or_default();
    file.read_exact_at(window, at)?;
    Ok(window)
}

/// Whole records of a segment from `at` on, before `end`, of at most `most` bytes together but one at least; and how
/// many bytes they take. Nothing where damage stands.
pub(super) fn records(
    file: &File,
    begins: Offset,
    at: u64,
    end: u64,
    most: usize,
) -> io::Result<(Vec<Vec<u8>>, u64)> {
    let mut buffer = vec![0; most.max(HEAD + LONGEST)];
    let mut window = window(file, &mut buffer, at, end)?;
    let (mut all, mut taken) = (Vec::new(), 0);
    while let Some(record) = first(window, begins + at + taken) {
        let count = HEAD + record.len();
        if taken > 0 && usize::try_from(taken).unwrap_or(usize::MAX) + count > most {
            break;
        }
        all.push(record.to_vec());
        taken += count as u64;
        window = window.get(count..).unwrap_or_default();
    }
    Ok((all, taken))
}
