//! Any bytes as an HTTP/3 stream, whole and in pieces: the same frames, or the same fault.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tier::h3::Fault;
use tier::h3::frame::{Decoder, Frame, Limits};

const HEADERS_BYTES: usize = 4096;

/// What was decoded: the bodies joined, and everything else in its order.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    others: Vec<Frame>,
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Decoded, Fault> {
    let limits = Limits {
        headers_bytes: HEADERS_BYTES,
    };
    let mut decoder = Decoder::new(limits);
    let mut decoded = Decoded::default();
    for piece in pieces {
        let mut input = piece.to_vec().into();
        while let Some(frame) = decoder.decode(&mut input)? {
            match frame {
                Frame::Data(piece) => decoded.data.extend_from_slice(&piece),
                // no decoder goes on behind a frame that no client may send
                Frame::PushPromise => return Ok(decoded),
                Frame::Headers(section) => {
                    assert!(section.len() <= HEADERS_BYTES, "a section above its limit");
                    decoded.others.push(Frame::Headers(section));
                }
                other => decoded.others.push(other),
            }
        }
        assert!(input.is_empty(), "asking for more with bytes left");
    }
    Ok(decoded)
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let whole = decode(std::iter::once(data));
    let pieces = decode(data.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, pieces);
});
