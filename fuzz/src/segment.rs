//! Any bytes as a segment file, its checksums made to fit: what is read from it lies within it, and is what would be
//! written again.

use crate::format::{
    CHUNK, Entry, HEAD, HEADER, Head, Life, MOST_META, Preface, TRAILER, Trailer, footer,
    footer_length,
};

/// Reads `data` as each of the things that stand in a segment file: as it is, and as if it had been written in one life.
pub fn check(data: &[u8]) {
    let _ = Life::parse(data, LENGTH);
    let life = header(data);
    let _ = Preface::parse(data, life);
    let _ = Trailer::parse(data, life, LENGTH);
    record(data, life);
    end(data, life);
}

/// Whatever may stand in a header comes back, and nothing from a file of another length or with another byte.
fn header(data: &[u8]) -> Life {
    let number = |at: usize| {
        let bytes = data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or([7; 8]))
    };
    let life = Life {
        generation: number(0),
        salt: number(8),
    };
    let length = number(16) as u32;
    let written = life.header(length);
    assert_eq!(Life::parse(&written, length), Some(life));
    assert_eq!(Life::parse(&written, length ^ 1), None);
    let mut other = written;
    other[number(24) as usize % HEADER] ^= 1 << (number(32) % 8);
    assert_eq!(Life::parse(&other, length), None);
    life
}

/// The bytes as a record, once its magic, its life and its checksum are right.
fn record(data: &[u8], life: Life) {
    let mut bytes = data.to_vec();
    if bytes.len() < HEAD {
        return;
    }
    let blank = Preface {
        head: Head {
            kind: crate::format::Kind::Purged,
            key: [0; 16],
            id: 0,
            meta_length: 0,
            body_length: 0,
        },
        meta: Vec::new(),
        sums: Vec::new(),
    };
    let ours = blank.to_bytes(life);
    bytes[..4].copy_from_slice(&ours[..4]);
    bytes[8..24].copy_from_slice(&ours[8..24]);
    let Some(head) = Head::peek(&bytes, life) else {
        return;
    };
    assert!(head.meta_length as usize <= MOST_META);
    assert_eq!(
        head.record_length(),
        head.body_at() + head.body_length as usize
    );
    assert_eq!(head.chunks(), (head.body_length as usize).div_ceil(CHUNK));
    let Some(whole) = bytes.get(..head.body_at()) else {
        assert!(
            Preface::parse(&bytes, life).is_none(),
            "it goes beyond the file"
        );
        return;
    };
    let sum = crc32c::crc32c_append(crc32c::crc32c(&whole[..HEAD - 4]), &whole[HEAD..]);
    bytes[HEAD - 4..HEAD].copy_from_slice(&sum.to_le_bytes());
    let preface = Preface::parse(&bytes, life).expect("its checksum fits");
    assert_eq!(preface.head, head);
    assert_eq!(preface.sums.len(), head.chunks());
    assert!(
        bytes.starts_with(&preface.to_bytes(life)),
        "it is written as it was read"
    );
    let other = Life {
        salt: life.salt ^ 1,
        ..life
    };
    assert!(Preface::parse(&bytes, other).is_none(), "of another life");
}

/// The bytes as a footer, once its trailer and its checksums are right: as many entries as there is room for.
fn end(data: &[u8], life: Life) {
    let sealed = footer(life, &[]);
    let Some(room) = data.len().checked_sub(TRAILER) else {
        return;
    };
    let each = footer_length(1) - TRAILER;
    let count = data
        .first()
        .map_or(0, |first| usize::from(*first))
        .min(room / each);
    let entries = &data[data.len() - TRAILER - count * each..data.len() - TRAILER];
    let mut trailer = sealed.clone();
    trailer[24..28].copy_from_slice(&(count as u32).to_le_bytes());
    trailer[28..32].copy_from_slice(&crc32c::crc32c(entries).to_le_bytes());
    let sum = crc32c::crc32c(&trailer[..TRAILER - 4]);
    trailer[TRAILER - 4..].copy_from_slice(&sum.to_le_bytes());
    let read = Trailer::parse(&trailer, life, LENGTH).expect("its checksum fits");
    let Some(found) = read.entries(entries, LENGTH) else {
        return;
    };
    let inside = |entry: &Entry| {
        let end = u64::from(entry.offset) + u64::from(entry.length);
        entry.offset as usize >= HEADER && end <= u64::from(LENGTH)
    };
    assert!(found.iter().all(inside), "an entry points beyond the file");
    assert_eq!(footer(life, &found), [entries, &trailer].concat());
    let short = entries
        .split_last()
        .map(|(_, short)| read.entries(short, LENGTH));
    assert!(
        short.is_none_or(|entries| entries.is_none()),
        "a byte is missing"
    );
}

/// As long as the file is said to be: room for 256 records.
const LENGTH: u32 = 1 << 20;
