//! Finding out what a disk holds: the footers of sealed segments, and record by record what was
//! being written when the process ended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::file::File;
use super::format::{Entry, HEADER, Kind, Life};
use super::log::Log;
use super::segment::{Chunks, Segment, read_footer, read_preface, write_footer};
use super::volume::Volume;

/// Reads a disk's segments into its index, oldest first, and gives the log to write on.
///
/// # Errors
/// When the directory is not there or in use, or its files cannot be opened.
pub(super) fn recover(volume: &Arc<Volume>) -> io::Result<Log> {
    let lock = volume.files.lock()?;
    let mut log = Log::new(Arc::clone(volume), lock);
    volume.index.clear();
    let mut found: Vec<Segment> = Vec::new();
    let mut slots = volume.files.list()?;
    slots.sort_unstable();
    for slot in slots {
        volume.set_segment(slot, None);
        match begin(volume, slot)? {
            Begun::Foreign => volume.files.remove(slot)?,
            Begun::Blank(file) => log.free.push_back((slot, file)),
            Begun::Segment(segment) => found.push(segment),
        }
    }
    found.sort_unstable_by_key(|segment| segment.life.generation);
    for segment in found.into_iter().map(Arc::new) {
        read(volume, &segment);
        log.generation = segment.life.generation.saturating_add(1);
        log.sealed.push_back(segment);
    }
    Ok(log)
}

enum Begun {
    /// Of another size, or one too many.
    Foreign,
    /// It holds nothing.
    Blank(Arc<dyn File>),
    Segment(Segment),
}

fn begin(volume: &Volume, slot: u32) -> io::Result<Begun> {
    let length = volume.shape.segment;
    if slot >= volume.shape.slots {
        return Ok(Begun::Foreign);
    }
    let file = volume.files.open(slot)?;
    if file.length()? != u64::from(length) {
        return Ok(Begun::Foreign);
    }
    let mut header = [0; HEADER];
    file.read(&mut header, 0)?;
    Ok(match Life::parse(&header, length) {
        None => Begun::Blank(file),
        Some(life) => Begun::Segment(Segment {
            slot,
            life,
            file,
            reused: AtomicBool::new(false),
        }),
    })
}

fn read(volume: &Volume, segment: &Arc<Segment>) {
    let length = volume.shape.segment;
    let entries = read_footer(segment, length).unwrap_or_else(|| {
        let entries = scan(segment, length);
        // Nothing is written behind them: there, bytes of a torn record may stand. When the disk
        // does not take the footer, they are looked for again at the next start.
        if let Err(error) = write_footer(segment, &entries, length) {
            tracing::warn!(disk = %volume.name, "cannot seal a segment: {error}");
        }
        entries
    });
    for entry in entries {
        match entry.kind {
            Kind::Object => volume.index.insert(entry.key, entry.place(segment.slot)),
            Kind::Purged => drop(volume.index.remove(&entry.key)),
            Kind::PurgedAll => volume.index.clear(),
        }
    }
    volume.set_segment(segment.slot, Some(Arc::clone(segment)));
}

/// Whole records from the beginning to the first that is not: no other was meant to be kept.
fn scan(segment: &Segment, length: u32) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = HEADER;
    while let Ok(offset) = u32::try_from(at)
        && let Some(preface) = read_preface(segment, offset)
    {
        let head = preface.head;
        let (end, body) = (at + head.record_length(), (at + head.body_at()) as u64);
        let room = super::format::footer_length(entries.len() + 1);
        let bytes = head.body_length as usize;
        let mut chunks = Chunks::new(&*segment.file, body, bytes, &preface.sums);
        if end + room > length as usize || !chunks.all(|(_, chunk)| chunk.is_some()) {
            break;
        }
        let Ok(record) = u32::try_from(head.record_length()) else {
            break;
        };
        entries.push(Entry {
            kind: head.kind,
            key: head.key,
            offset,
            length: record,
        });
        at = end;
    }
    entries
}
