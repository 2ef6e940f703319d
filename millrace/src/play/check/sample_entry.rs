//! What a sample entry says of its codec, and whether a sample begins with an IDR picture.

use super::atoms::atoms_in;
use super::bytes::Cursor;

/// A sample entry, ISO/IEC 14496-12 §8.5.2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The codec as RFC 6381 writes it, where it is one that this player knows.
    pub(crate) codec: Option<String>,
    /// The coded size of a picture.
    pub(crate) size: Option<(u32, u32)>,
    /// How many bytes give the length of a NAL unit; `None` when NAL units cannot be read.
    nal_length: Option<usize>,
}

impl Entry {
    /// Whether a sample, which must be AVC in the clear, has no IDR slice.
    pub(super) fn begins_without_idr(&self, sample: &[u8]) -> bool {
        let Some(width) = self.nal_length else {
            return false;
        };
        let mut cursor = Cursor::new(sample);
        while let Some(length) = cursor.take(width) {
            let length = length
                .iter()
                .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
            let Some(nal) = cursor.take(length) else {
                return true;
            };
            if nal.first().is_some_and(|first| first & 0x1f == 5) {
                return false;
            }
        }
        true
    }
}

/// Reads the first entry of an `stsd`.
pub(super) fn read((kind, body): ([u8; 4], &[u8]), picture: bool) -> Entry {
    let read = if picture {
        read_picture(kind, body)
    } else {
        read_sound(kind, body)
    };
    read.unwrap_or_default()
}

fn read_picture(kind: [u8; 4], body: &[u8]) -> Option<Entry> {
    let mut cursor = Cursor::new(body);
    cursor.skip(24)?;
    let size = Some((u32::from(cursor.u16()?), u32::from(cursor.u16()?)));
    cursor.skip(50)?;
    let config = atoms_in(cursor.rest()).find(|(kind, _)| kind == b"avcC");
    let (codec, nal_length) = match config {
        Some((_, avcc)) => {
            let mut avcc = Cursor::new(avcc);
            avcc.skip(1)?;
            let (profile, compatible, level) = (avcc.u8()?, avcc.u8()?, avcc.u8()?);
            let width = usize::from(avcc.u8()? & 0x3) + 1;
            let name = if kind == *b"avc3" { "avc3" } else { "avc1" };
            let codec = format!("{name}.{profile:02x}{compatible:02x}{level:02x}");
            (Some(codec), (kind != *b"encv").then_some(width))
        }
        None => (None, None),
    };
    Some(Entry {
        codec,
        size,
        nal_length,
    })
}

fn read_sound(kind: [u8; 4], body: &[u8]) -> Option<Entry> {
    let mut cursor = Cursor::new(body);
    cursor.skip(28)?;
    let codec = match &kind {
        b"mp4a" | b"enca" => atoms_in(cursor.rest())
            .find(|(kind, _)| kind == b"esds")
            .and_then(|(_, esds)| read_esds(esds)),
        b"Opus" => Some("opus".to_owned()),
        b"ac-3" => Some("ac-3".to_owned()),
        b"ec-3" => Some("ec-3".to_owned()),
        _ => None,
    };
    Some(Entry {
        codec,
        ..Entry::default()
    })
}

/// `mp4a.40.N` from the descriptors of ISO/IEC 14496-1 §7.2.6.
fn read_esds(esds: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(esds);
    cursor.skip(4)?;
    descriptor(&mut cursor, 0x03)?;
    cursor.skip(2)?;
    let flags = cursor.u8()?;
    if flags & 0x80 != 0 {
        cursor.skip(2)?;
    }
    if flags & 0x40 != 0 {
        let length = usize::from(cursor.u8()?);
        cursor.skip(length)?;
    }
    if flags & 0x20 != 0 {
        cursor.skip(2)?;
    }
    descriptor(&mut cursor, 0x04)?;
    let object = cursor.u8()?;
    if object != 0x40 {
        return Some(format!("mp4a.{object:02x}"));
    }
    cursor.skip(12)?;
    descriptor(&mut cursor, 0x05)?;
    let first = cursor.u8()?;
    let kind = match first >> 3 {
        31 => 32 + ((first & 0x7) << 3 | cursor.u8()? >> 5),
        kind => kind,
    };
    Some(format!("mp4a.40.{kind}"))
}

/// Steps over a descriptor's tag, which must be `tag`, and its length.
fn descriptor(cursor: &mut Cursor<'_>, tag: u8) -> Option<()> {
    if cursor.u8()? != tag {
        return None;
    }
    for _ in 0..4 {
        if cursor.u8()? & 0x80 == 0 {
            return Some(());
        }
    }
    None
}
