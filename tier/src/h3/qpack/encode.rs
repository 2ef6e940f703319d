//! Encodes the field section of a response: RFC 9204 §4.5, static references and plain literals.

use bytes::{BufMut, Bytes, BytesMut};

use super::table::{self, Place};

/// Builds one field section.
#[derive(Debug)]
pub struct Encoder {
    out: BytesMut,
}

impl Encoder {
    /// Starts a section that needs no dynamic table.
    pub fn new() -> Self {
        let mut out = BytesMut::with_capacity(512);
        out.put_slice(&[0, 0]);
        Self { out }
    }

    /// Adds a field. `name` must be lower-case.
    pub fn field(&mut self, name: &str, value: &[u8]) {
        match table::find(name, value) {
            Some(Place::Whole(index)) => self.integer(0b11, 6, index),
            Some(Place::Name(index)) => {
                self.integer(0b0101, 4, index);
                self.string(0, 7, value);
            }
            None => {
                self.string(0b00100, 3, name.as_bytes());
                self.string(0, 7, value);
            }
        }
    }

    /// The finished section.
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    fn string(&mut self, flags: u8, prefix: u32, text: &[u8]) {
        self.integer(flags, prefix, text.len() as u64);
        self.out.put_slice(text);
    }

    /// RFC 7541 §5.1.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each cast takes what the mask leaves"
    )]
    fn integer(&mut self, flags: u8, prefix: u32, value: u64) {
        let flags = flags.checked_shl(prefix).unwrap_or(0);
        let mask = u64::from(u8::MAX >> (8 - prefix));
        if value < mask {
            return self.out.put_u8(flags | value as u8);
        }
        self.out.put_u8(flags | mask as u8);
        let mut rest = value - mask;
        while rest >= 0x80 {
            self.out.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.put_u8(rest as u8);
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, decode};
    use super::*;

    #[test]
    fn the_literal_example_of_rfc_9204_b_1_encodes() {
        let mut encoder = Encoder::new();
        encoder.field(":path", b"/index.html");
        assert_eq!(&encoder.finish()[..], b"\x00\x00\x51\x0b/index.html");
    }

    #[test]
    fn every_kind_of_field_survives_a_round_trip() {
        let long = "v".repeat(5000);
        let fields = [
            (":status", "200"),
            (":status", "206"),
            (":status", "418"),
            ("x-frame-options", "sameorigin"),
            ("server", "millrace"),
            ("x-a", ""),
            ("a-name-that-no-table-knows", &long),
        ];
        let mut encoder = Encoder::new();
        for (name, value) in fields {
            encoder.field(name, value.as_bytes());
        }
        let section = encoder.finish();
        assert_eq!(
            &section[..4],
            [0, 0, 0xd9, 0xff],
            "the first two are indexed"
        );
        let limits = Limits {
            section_bytes: 1 << 16,
            fields: 10,
        };
        let decoded = decode(section, &limits).unwrap();
        assert_eq!(decoded.len(), fields.len());
        for (field, (name, value)) in decoded.iter().zip(fields) {
            assert_eq!(
                (&field.name[..], &field.value[..]),
                (name.as_bytes(), value.as_bytes())
            );
        }
    }
}
