//! The variable-length integers of QUIC: RFC 9000 §16.
#![expect(
    clippy::cast_possible_truncation,
    reason = "each cast is to the width that the match arm has checked"
)]

use bytes::{BufMut, BytesMut};

/// The largest value that a variable-length integer holds.
pub(super) const MAX: u64 = (1 << 62) - 1;

/// Reads one integer from the head of `input`: its value and how many bytes it took, or `None`
/// when `input` ends before the integer does.
pub(super) fn decode(input: &[u8]) -> Option<(u64, usize)> {
    let first = *input.first()?;
    let length = 1usize << (first >> 6);
    let rest = input.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| {
        value << 8 | u64::from(*byte)
    });
    Some((value, length))
}

/// Writes `value` in as few bytes as hold it. Values above [`MAX`] are written as [`MAX`].
pub(super) fn encode(value: u64, out: &mut BytesMut) {
    match value.min(MAX) {
        value @ 0..=0x3f => out.put_u8(value as u8),
        value @ 0x40..=0x3fff => out.put_u16(value as u16 | 0x4000),
        value @ 0x4000..=0x3fff_ffff => out.put_u32(value as u32 | 0x8000_0000),
        value => out.put_u64(value | 0xc000_0000_0000_0000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_9000_decode() {
        let bytes = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(decode(&bytes), Some((151_288_809_941_952_652, 8)));
        assert_eq!(decode(&[0x9d, 0x7f, 0x3e, 0x7d]), Some((494_878_333, 4)));
        assert_eq!(decode(&[0x7b, 0xbd]), Some((15293, 2)));
        assert_eq!(decode(&[0x25]), Some((37, 1)));
        assert_eq!(decode(&[0x40, 0x25]), Some((37, 2)));
    }

    #[test]
    fn an_integer_cut_short_asks_for_more() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0x40]), None);
        assert_eq!(decode(&[0xc0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn encoding_takes_the_shortest_form() {
        for (value, length) in [
            (0, 1),
            (63, 1),
            (64, 2),
            (16383, 2),
            (16384, 4),
            (1 << 30, 8),
            (MAX, 8),
        ] {
            let mut out = BytesMut::new();
            encode(value, &mut out);
            assert_eq!(out.len(), length, "{value}");
            assert_eq!(decode(&out), Some((value, length)));
        }
    }
}
