//! What stands in a segment file: its header, its records, and the footer of a sealed one.
//!
//! Everything is little-endian. A record is a head, the meta, the table of the body's checksums
//! and the body:
//!
//! ```text
//! magic u32 | kind u8, 3 zeros | generation u64 | salt u64 | key 16 | id u64 | meta length u32 |
//! body length u32 | CRC32C u32 of all before, the meta and the table
//! ```
//!
//! A segment file is used again and again. Generation and salt tell its lives apart: what an
//! earlier life left behind, and what a body merely imitates, is no record, because the salt is
//! drawn when a life begins.

/// A cache key: 128 bits of a cryptographic hash.
pub type Key = [u8; 16];

/// One life of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Counts up over all segments of a disk: the order of the log.
    pub generation: u64,
    /// Drawn at random.
    pub salt: u64,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Here is an object.
    Object,
    /// What was written of this key before is purged.
    Purged,
    /// Whatever was written before is purged.
    PurgedAll,
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the record says.
    pub kind: Kind,
    /// Of which object.
    pub key: Key,
    /// The same for all copies of one fill, another for every other fill.
    pub id: u64,
    /// Bytes of meta.
    pub meta_length: u32,
    /// Bytes of body.
    pub body_length: u32,
}

/// The checked beginning of a record: all of it but the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preface {
    /// The fixed part.
    pub head: Head,
    /// The response header and its times.
    pub meta: Vec<u8>,
    /// CRC32C of each chunk of the body.
    pub sums: Vec<u32>,
}

/// What a footer says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the record says.
    pub kind: Kind,
    /// Of which object.
    pub key: Key,
    /// Where the record begins in the file.
    pub offset: u32,
    /// How long the whole record is.
    pub length: u32,
}

/// What the end of a sealed segment's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Records in the segment.
    pub count: u32,
    /// CRC32C of their entries.
    pub sum: u32,
}

impl Life {
    /// The header of a file of `length` bytes that begins this life.
    #[must_use]
    pub fn header(self, length: u32) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let mut writer = Writer(&mut out);
        writer.put(&SEGMENT_MAGIC);
        writer.put(&length.to_le_bytes());
        writer.put(&self.generation.to_le_bytes());
        writer.put(&self.salt.to_le_bytes());
        close(&mut out);
        out
    }

    /// Reads the header of a file of `length` bytes; `None` for anything else.
    #[must_use]
    pub fn parse(bytes: &[u8], length: u32) -> Option<Self> {
        let mut reader = Reader(opened(bytes.get(..HEADER)?)?);
        let known = reader.array()? == SEGMENT_MAGIC && reader.u32()? == length;
        let (generation, salt) = (reader.u64()?, reader.u64()?);
        known.then_some(Self { generation, salt })
    }
}

impl Head {
    /// Chunks of the body.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        (self.body_length as usize).div_ceil(CHUNK)
    }

    /// Where the body begins in the record.
    #[must_use]
    pub const fn body_at(&self) -> usize {
        HEAD + self.meta_length as usize + 4 * self.chunks()
    }

    /// How long the whole record is.
    #[must_use]
    pub const fn record_length(&self) -> usize {
        self.body_at() + self.body_length as usize
    }

    /// Reads the fixed part, whose checksum is not yet compared; its lengths are within bounds.
    #[must_use]
    pub fn peek(bytes: &[u8], life: Life) -> Option<Self> {
        let mut reader = Reader(bytes.get(..HEAD)?);
        let ours = reader.array()? == RECORD_MAGIC;
        let kind = Kind::parse(reader.array()?)?;
        let ours = ours && reader.u64()? == life.generation && reader.u64()? == life.salt;
        let head = Self {
            kind,
            key: reader.array()?,
            id: reader.u64()?,
            meta_length: reader.u32()?,
            body_length: reader.u32()?,
        };
        let bounded = head.meta_length as usize <= MOST_META && head.body_length <= MOST_BODY;
        let plain = head.kind == Kind::Object || head.record_length() == HEAD;
        (ours && bounded && plain).then_some(head)
    }
}

impl Preface {
    /// Writes the beginning of a record.
    #[must_use]
    pub fn to_bytes(&self, life: Life) -> Vec<u8> {
        let head = &self.head;
        let mut out = Vec::with_capacity(head.body_at());
        out.extend_from_slice(&RECORD_MAGIC);
        out.extend_from_slice(&[head.kind.code(), 0, 0, 0]);
        out.extend_from_slice(&life.generation.to_le_bytes());
        out.extend_from_slice(&life.salt.to_le_bytes());
        out.extend_from_slice(&head.key);
        out.extend_from_slice(&head.id.to_le_bytes());
        out.extend_from_slice(&head.meta_length.to_le_bytes());
        out.extend_from_slice(&head.body_length.to_le_bytes());
        let mut sum = crc32c::crc32c(&out);
        let sums: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        sum = crc32c::crc32c_append(sum, &self.meta);
        sum = crc32c::crc32c_append(sum, &sums);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&self.meta);
        out.extend_from_slice(&sums);
        out
    }

    /// Reads the beginning of a record from bytes that hold all of it, and compares its checksum.
    #[must_use]
    pub fn parse(bytes: &[u8], life: Life) -> Option<Self> {
        let head = Head::peek(bytes, life)?;
        let (fixed, rest) = bytes.get(..head.body_at())?.split_at_checked(HEAD)?;
        let (fixed, sum) = fixed.split_last_chunk::<4>()?;
        let found = crc32c::crc32c_append(crc32c::crc32c(fixed), rest);
        let (meta, sums) = rest.split_at_checked(head.meta_length as usize)?;
        let sums = sums.as_chunks().0.iter();
        (found == u32::from_le_bytes(*sum)).then(|| Self {
            head,
            meta: meta.to_vec(),
            sums: sums.map(|sum| u32::from_le_bytes(*sum)).collect(),
        })
    }
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Object => 1,
            Self::Purged => 2,
            Self::PurgedAll => 3,
        }
    }

    const fn parse(bytes: [u8; 4]) -> Option<Self> {
        match bytes {
            [1, 0, 0, 0] => Some(Self::Object),
            [2, 0, 0, 0] => Some(Self::Purged),
            [3, 0, 0, 0] => Some(Self::PurgedAll),
            _ => None,
        }
    }
}

/// Writes the footer that seals a segment: the entries, then the trailer, to stand at the very end
/// of the file.
#[must_use]
pub fn footer(life: Life, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(footer_length(entries.len()));
    for entry in entries {
        out.extend_from_slice(&[entry.kind.code(), 0, 0, 0]);
        out.extend_from_slice(&entry.key);
        out.extend_from_slice(&entry.offset.to_le_bytes());
        out.extend_from_slice(&entry.length.to_le_bytes());
    }
    let sum = crc32c::crc32c(&out);
    let mut trailer = [0; TRAILER];
    let mut writer = Writer(&mut trailer);
    writer.put(&FOOTER_MAGIC);
    writer.put(&life.generation.to_le_bytes());
    writer.put(&life.salt.to_le_bytes());
    writer.put(
        &u32::try_from(entries.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    writer.put(&sum.to_le_bytes());
    close(&mut trailer);
    out.extend_from_slice(&trailer);
    out
}

/// Bytes of a footer with so many entries.
#[must_use]
pub const fn footer_length(entries: usize) -> usize {
    entries * ENTRY + TRAILER
}

impl Trailer {
    /// Reads the last bytes of a file of `length` bytes; `None` when it was not sealed in this life.
    #[must_use]
    pub fn parse(bytes: &[u8], life: Life, length: u32) -> Option<Self> {
        let mut reader = Reader(opened(bytes.get(..TRAILER)?)?);
        let ours = reader.array()? == FOOTER_MAGIC
            && reader.u64()? == life.generation
            && reader.u64()? == life.salt;
        let (count, sum) = (reader.u32()?, reader.u32()?);
        let fits = count as usize <= most_records(length);
        (ours && fits).then_some(Self { count, sum })
    }

    /// Reads the entries; `None` when one of them is damaged or no record of a file of `length`
    /// bytes could be there.
    #[must_use]
    pub fn entries(self, bytes: &[u8], length: u32) -> Option<Vec<Entry>> {
        let bytes = bytes.get(..self.count as usize * ENTRY)?;
        if crc32c::crc32c(bytes) != self.sum {
            return None;
        }
        let entries = bytes.as_chunks::<ENTRY>().0.iter();
        entries.map(|bytes| Entry::parse(bytes, length)).collect()
    }
}

impl Entry {
    fn parse(bytes: &[u8], file: u32) -> Option<Self> {
        let mut reader = Reader(bytes);
        let entry = Self {
            kind: Kind::parse(reader.array()?)?,
            key: reader.array()?,
            offset: reader.u32()?,
            length: reader.u32()?,
        };
        let inside = entry.offset as usize >= HEADER
            && entry.length as usize >= HEAD
            && entry.offset.checked_add(entry.length)? <= file;
        inside.then_some(entry)
    }
}

/// How many records a segment of `length` bytes takes at most, which bounds the index.
#[must_use]
pub const fn most_records(length: u32) -> usize {
    length as usize / LEAST_SHARE
}

/// Puts the checksum at the end of a block of fixed size.
fn close(block: &mut [u8]) {
    if let Some((body, end)) = block.split_last_chunk_mut::<4>() {
        *end = crc32c::crc32c(body).to_le_bytes();
    }
}

/// The block without its checksum, when that is right.
fn opened(block: &[u8]) -> Option<&[u8]> {
    let (body, sum) = block.split_last_chunk::<4>()?;
    (crc32c::crc32c(body) == u32::from_le_bytes(*sum)).then_some(body)
}

struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some((here, rest)) = std::mem::take(&mut self.0).split_at_mut_checked(bytes.len()) {
            here.copy_from_slice(bytes);
            self.0 = rest;
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (here, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*here)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// A body is checked in pieces of this size, each before any byte of it is sent.
pub const CHUNK: usize = 64 * 1024;
/// Bytes before the first record of a segment.
pub const HEADER: usize = 64;
/// Bytes of a record's fixed part.
pub const HEAD: usize = 60;
/// Bytes of a footer's end.
pub const TRAILER: usize = 40;
/// The longest meta that is written.
pub const MOST_META: usize = 64 * 1024;

const ENTRY: usize = 28;
/// The largest segment, and thus more than any body.
const MOST_BODY: u32 = 1 << 31;
/// A segment is sealed when its records are smaller than this on average.
const LEAST_SHARE: usize = 4096;
const SEGMENT_MAGIC: [u8; 8] = *b"MRseg\0\0\x02";
const RECORD_MAGIC: [u8; 4] = *b"MRrc";
const FOOTER_MAGIC: [u8; 8] = *b"MRfoot\0\x01";
