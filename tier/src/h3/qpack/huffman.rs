//! The Huffman code of RFC 7541 Appendix B, which QPACK shares.
//!
//! The code is canonical: the lengths of the 257 symbols determine every code word, so only
//! lengths are kept and the decoder works from the first code word of each length.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "table look-ups whose indexes are bounded by the code's construction"
)]

use std::sync::LazyLock;

use bytes::{BufMut, BytesMut};

/// The text is not a Huffman string: a bad code word, the end symbol, or bad padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invalid;

/// Decodes `text` onto `out`, never writing more than `limit` bytes.
///
/// Returns `Ok(false)` when the decoded text would be longer than `limit`.
///
/// # Errors
///
/// [`Invalid`] as RFC 7541 §5.2 asks: the end symbol inside the text, padding of 8 bits or more,
/// or padding that is not all ones.
pub(super) fn decode(text: &[u8], out: &mut BytesMut, limit: usize) -> Result<bool, Invalid> {
    let code = &*CODE;
    let (mut window, mut bits, mut written) = (0u64, 0u32, 0usize);
    let mut input = text.iter();
    loop {
        while bits <= 32 {
            let Some(byte) = input.next() else { break };
            window |= u64::from(*byte) << (56 - bits);
            bits += 8;
        }
        let Some((symbol, length)) = code.symbol((window >> 32) as u32, bits) else {
            return padding_is_good(window, bits).then_some(true).ok_or(Invalid);
        };
        if symbol == END {
            return Err(Invalid);
        }
        if written == limit {
            return Ok(false);
        }
        out.put_u8(symbol as u8);
        written += 1;
        window <<= length;
        bits -= length;
    }
}

/// What is left after the last whole symbol: fewer than 8 bits, all ones.
fn padding_is_good(window: u64, bits: u32) -> bool {
    bits < 8 && window == !(u64::MAX.checked_shr(bits).unwrap_or(0))
}

/// The decoder's tables.
struct Code {
    /// Symbols ordered by code word.
    symbols: [u16; 257],
    /// For each length: the first code word beyond it, aligned left in 32 bits (in 33 to hold the
    /// end), the first code word of it, and where its symbols begin.
    lengths: [Length; 31],
    /// The symbol and length of every code word of at most 8 bits, by the next 8 bits.
    short: [(u16, u8); 256],
}

#[derive(Clone, Copy, Default)]
struct Length {
    end: u64,
    first: u32,
    offset: u16,
}

impl Code {
    /// The symbol at the head of `window`, whose first `bits` bits are valid.
    fn symbol(&self, window: u32, bits: u32) -> Option<(u16, u32)> {
        let (symbol, length) = self.short[(window >> 24) as usize];
        if length > 0 {
            return (u32::from(length) <= bits).then_some((symbol, u32::from(length)));
        }
        (9..=30u32)
            .take_while(|length| *length <= bits)
            .find_map(|length| {
                let table = self.lengths[length as usize];
                (u64::from(window) < table.end).then(|| {
                    let word = window >> (32 - length);
                    let place = u32::from(table.offset) + (word - table.first);
                    (self.symbols[place as usize], length)
                })
            })
    }

    fn new() -> Self {
        let mut code = Self {
            symbols: [0; 257],
            lengths: [Length::default(); 31],
            short: [(0, 0); 256],
        };
        let (mut word, mut place) = (0u32, 0u16);
        for length in 1..=30u32 {
            let first = word;
            let offset = place;
            for (symbol, _) in (0u16..)
                .zip(LENGTHS)
                .filter(|(_, l)| u32::from(*l) == length)
            {
                code.symbols[usize::from(place)] = symbol;
                if length <= 8 {
                    let from = (word << (8 - length)) as usize;
                    for slot in &mut code.short[from..from + (1 << (8 - length))] {
                        *slot = (symbol, length as u8);
                    }
                }
                word += 1;
                place += 1;
            }
            let end = u64::from(word) << (32 - length);
            code.lengths[length as usize] = Length { end, first, offset };
            word <<= 1;
        }
        code
    }
}

static CODE: LazyLock<Code> = LazyLock::new(Code::new);

/// The end symbol, which never stands in a text.
const END: u16 = 256;

/// The length in bits of each symbol's code word.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(hex: &str) -> Result<String, Invalid> {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let mut out = BytesMut::new();
        decode(&bytes, &mut out, 1 << 16)?;
        Ok(String::from_utf8(out.to_vec()).unwrap())
    }

    /// Encodes with the same lengths, to try every symbol.
    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut words = [0u32; 257];
        let mut word = 0u32;
        for length in 1..=30u8 {
            for symbol in 0..257 {
                if LENGTHS[symbol] == length {
                    words[symbol] = word;
                    word += 1;
                }
            }
            word <<= 1;
        }
        let mut bits = String::new();
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            bits += &format!("{:0length$b}", words[usize::from(*byte)]);
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        (0..bits.len())
            .step_by(8)
            .map(|at| u8::from_str_radix(&bits[at..at + 8], 2).unwrap())
            .collect()
    }

    #[test]
    fn the_examples_of_rfc_7541_decode() {
        assert_eq!(
            decoded("f1e3c2e5f23a6ba0ab90f4ff").unwrap(),
            "www.example.com"
        );
        assert_eq!(decoded("a8eb10649cbf").unwrap(), "no-cache");
        assert_eq!(decoded("25a849e95ba97d7f").unwrap(), "custom-key");
        assert_eq!(decoded("25a849e95bb8e8b4bf").unwrap(), "custom-value");
        assert_eq!(
            decoded("d07abe941054d444a8200595040b8166e082a62d1bff").unwrap(),
            "Mon, 21 Oct 2013 20:13:21 GMT"
        );
        assert_eq!(
            decoded("94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007").unwrap(),
            "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
        );
    }

    #[test]
    fn every_byte_survives_a_round_trip() {
        let text: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        let mut out = BytesMut::new();
        assert_eq!(decode(&encoded(&text), &mut out, 512), Ok(true));
        assert_eq!(out, text);
    }

    #[test]
    fn the_limit_stops_the_decoder() {
        let mut out = BytesMut::new();
        assert_eq!(decode(&encoded(&[b'a'; 100]), &mut out, 99), Ok(false));
        assert_eq!(out.len(), 99);
        out.clear();
        assert_eq!(decode(&encoded(&[b'a'; 100]), &mut out, 100), Ok(true));
    }

    #[test]
    fn bad_padding_and_the_end_symbol_are_refused() {
        assert_eq!(decoded("ff"), Err(Invalid), "eight bits of padding");
        assert_eq!(
            decoded("1fff"),
            Err(Invalid),
            "a, then eleven bits of padding"
        );
        assert_eq!(decoded("18"), Err(Invalid), "a, then zeros");
        assert_eq!(decoded("1f").unwrap(), "a");
        assert_eq!(decoded("fffffffc"), Err(Invalid), "the end symbol");
        assert_eq!(decoded("").unwrap(), "");
    }
}
