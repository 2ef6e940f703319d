//! Decodes an encoded field section: RFC 9204 §4.5.

use bytes::{Buf, Bytes, BytesMut};

use super::{huffman, table};

/// One field line. Nothing is known of its name and value but their length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name, as sent.
    pub name: Bytes,
    /// The value, as sent.
    pub value: Bytes,
}

/// The bounds of a field section.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest section: name, value and 32 bytes for each field (RFC 9114 §4.2.2).
    pub section_bytes: usize,
    /// The most fields.
    pub fields: usize,
}

/// Why a field section does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its encoding is wrong, or refers to a dynamic table: QPACK_DECOMPRESSION_FAILED.
    #[error("field section does not decode")]
    Failed,
    /// It is above a limit.
    #[error("field section too large")]
    TooLarge,
}

/// Decodes a section. Literals that are not Huffman-coded share the section's memory.
///
/// # Errors
///
/// [`Error::Failed`] or [`Error::TooLarge`].
pub fn decode(mut section: Bytes, limits: &Limits) -> Result<Vec<Field>, Error> {
    let mut room = Room {
        bytes: limits.section_bytes,
        scratch: BytesMut::new(),
    };
    let (_, required_inserts) = integer(&mut section, 8)?;
    let (sign, _base) = integer(&mut section, 7)?;
    // with no dynamic table nothing can have been inserted, and a base below zero is invalid
    if required_inserts != 0 || sign & 1 == 1 {
        return Err(Error::Failed);
    }
    let mut fields = Vec::new();
    while let Some(first) = section.first().copied() {
        if fields.len() == limits.fields {
            return Err(Error::TooLarge);
        }
        room.take(FIELD_OVERHEAD)?;
        fields.push(line(first, &mut section, &mut room)?);
    }
    Ok(fields)
}

/// One field line, by its first byte: RFC 9204 §4.5.2 to §4.5.6.
fn line(first: u8, section: &mut Bytes, room: &mut Room) -> Result<Field, Error> {
    match first {
        // indexed, static
        0b1100_0000.. => {
            let (name, value) = entry(integer(section, 6)?.1)?;
            room.take(name.len() + value.len())?;
            Ok(Field {
                name: Bytes::from_static(name.as_bytes()),
                value: Bytes::from_static(value.as_bytes()),
            })
        }
        // literal with a static name
        first if first & 0b1101_0000 == 0b0101_0000 => {
            let (name, _) = entry(integer(section, 4)?.1)?;
            room.take(name.len())?;
            let value = string(section, 7, room)?;
            Ok(Field {
                name: Bytes::from_static(name.as_bytes()),
                value,
            })
        }
        // literal with a literal name
        first if first & 0b1110_0000 == 0b0010_0000 => {
            let name = string(section, 3, room)?;
            let value = string(section, 7, room)?;
            Ok(Field { name, value })
        }
        // all other forms refer to the dynamic table
        _ => Err(Error::Failed),
    }
}

fn entry(index: u64) -> Result<(&'static str, &'static str), Error> {
    table::entry(index).ok_or(Error::Failed)
}

/// A string whose length has a prefix of `prefix` bits, with the Huffman bit before it.
fn string(section: &mut Bytes, prefix: u32, room: &mut Room) -> Result<Bytes, Error> {
    let (flags, length) = integer(section, prefix)?;
    let length = usize::try_from(length).map_err(|_| Error::Failed)?;
    if length > section.len() {
        return Err(Error::Failed);
    }
    let text = section.split_to(length);
    if flags & 1 == 0 {
        room.take(length)?;
        return Ok(text);
    }
    // the shortest code word has five bits
    room.scratch.reserve((length * 8 / 5).min(room.bytes));
    match huffman::decode(&text, &mut room.scratch, room.bytes) {
        Ok(true) => {
            let text = room.scratch.split().freeze();
            room.take(text.len())?;
            Ok(text)
        }
        Ok(false) => Err(Error::TooLarge),
        Err(huffman::Invalid) => Err(Error::Failed),
    }
}

/// An integer with a prefix of `prefix` bits (RFC 7541 §5.1): the bits before it, and its value.
fn integer(section: &mut Bytes, prefix: u32) -> Result<(u8, u64), Error> {
    if section.is_empty() {
        return Err(Error::Failed);
    }
    let first = section.get_u8();
    let mask = u8::MAX >> (8 - prefix);
    let flags = (u32::from(first) >> prefix).to_le_bytes()[0];
    let mut value = u64::from(first & mask);
    if value < u64::from(mask) {
        return Ok((flags, value));
    }
    // seven bits a byte; 62 bits are the most that RFC 9204 §4.1.1 asks for
    for shift in (0..=56).step_by(7) {
        if section.is_empty() {
            return Err(Error::Failed);
        }
        let byte = section.get_u8();
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((flags, value));
        }
    }
    Err(Error::Failed)
}

/// What the section may still grow by, and the memory that Huffman texts are cut from.
struct Room {
    bytes: usize,
    scratch: BytesMut,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Error::TooLarge)?;
        Ok(())
    }
}

/// What RFC 9114 §4.2.2 adds for each field.
const FIELD_OVERHEAD: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        section_bytes: 16 * 1024,
        fields: 128,
    };

    fn decoded(bytes: &[u8]) -> Result<Vec<(String, String)>, Error> {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = decode(Bytes::copy_from_slice(bytes), &LIMITS)?;
        Ok(fields
            .iter()
            .map(|field| (text(&field.name), text(&field.value)))
            .collect())
    }

    #[test]
    fn the_literal_example_of_rfc_9204_b_1_decodes() {
        let bytes = b"\x00\x00\x51\x0b/index.html";
        assert_eq!(
            decoded(bytes).unwrap(),
            [(":path".into(), "/index.html".into())]
        );
    }

    #[test]
    fn the_dynamic_examples_of_rfc_9204_fail_without_a_table() {
        // B.2, B.3 and B.4: their sections need inserts
        for bytes in [
            &b"\x03\x81\x10\x11"[..],
            b"\x05\x00\x80\xc1\x81",
            b"\x06\x00\x81",
        ] {
            assert_eq!(decoded(bytes), Err(Error::Failed));
        }
        // the same references with no inserts required
        for line in [
            &b"\x80"[..],
            b"\x10",
            b"\x40\x01a",
            b"\x00\x01a",
            b"\x0f\x00\x01a",
        ] {
            let bytes = [b"\x00\x00", line].concat();
            assert_eq!(decoded(&bytes), Err(Error::Failed), "{line:x?}");
        }
    }

    #[test]
    fn static_literal_and_huffman_fields_decode() {
        let bytes = b"\x00\x00\xd1\xc1\x50\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\x23x-a\x86\xa8\xeb\x10\x64\x9c\xbf";
        let expected = [
            (":method", "GET"),
            (":path", "/"),
            (":authority", "www.example.com"),
            ("x-a", "no-cache"),
        ];
        let expected: Vec<_> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(decoded(bytes).unwrap(), expected);
    }

    #[test]
    fn indexes_beyond_the_static_table_fail() {
        // 98 is the last: prefix 63, then 35
        assert_eq!(
            decoded(b"\x00\x00\xff\x23").unwrap(),
            [("x-frame-options".into(), "sameorigin".into())]
        );
        assert_eq!(decoded(b"\x00\x00\xff\x24"), Err(Error::Failed));
        assert_eq!(decoded(b"\x00\x00\x5f\x54\x00"), Err(Error::Failed));
    }

    #[test]
    fn sections_cut_anywhere_fail_or_are_shorter() {
        let whole = b"\x00\x00\x51\x0b/index.html";
        for end in 0..whole.len() {
            match decoded(&whole[..end]) {
                Ok(fields) => assert!(end == 2 && fields.is_empty()),
                Err(error) => assert_eq!(error, Error::Failed),
            }
        }
    }

    #[test]
    fn integers_beyond_62_bits_fail() {
        let long = [&b"\x00\x00\xff"[..], &[0xff; 9], b"\x01"].concat();
        assert_eq!(decoded(&long), Err(Error::Failed));
        assert_eq!(
            decoded(b"\x00\x80"),
            Err(Error::Failed),
            "a base below zero"
        );
    }

    #[test]
    fn sections_above_a_limit_are_too_large() {
        let many = [b"\x00\x00".to_vec(), vec![0xd1; 129]].concat();
        assert_eq!(decoded(&many), Err(Error::TooLarge));
        assert_eq!(decoded(&many[..130]).unwrap().len(), 128);
        let limits = Limits {
            section_bytes: 42 + 41,
            fields: 128,
        };
        let section = Bytes::from_static(b"\x00\x00\xd1\xd1");
        assert_eq!(decode(section.clone(), &limits), Err(Error::TooLarge));
        let limits = Limits {
            section_bytes: 42 * 2,
            ..limits
        };
        assert_eq!(decode(section, &limits).unwrap().len(), 2);
    }

    #[test]
    fn a_huffman_text_that_unpacks_beyond_the_limit_is_too_large() {
        let limits = Limits {
            section_bytes: 32 + 5 + 15,
            fields: 8,
        };
        let packed =
            Bytes::from_static(b"\x00\x00\x51\x8a\x18\xc6\x31\x8c\x63\x18\xc6\x31\x8c\x63");
        assert_eq!(decode(packed.clone(), &limits), Err(Error::TooLarge));
        let limits = Limits {
            section_bytes: 32 + 5 + 16,
            fields: 8,
        };
        assert_eq!(&decode(packed, &limits).unwrap()[0].value[..], [b'a'; 16]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_exceed_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let section = [b"\x00\x00".to_vec(), bytes].concat();
            let limits = Limits { section_bytes: 400, fields: 8 };
            if let Ok(fields) = decode(section.into(), &limits) {
                let size: usize = fields.iter().map(|f| f.name.len() + f.value.len() + 32).sum();
                prop_assert!(size <= 400 && fields.len() <= 8);
            }
        }
    }
}
