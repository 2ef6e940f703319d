//! Frames whole, cut up, and wrong.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { headers_bytes: 64 };

/// Decodes the pieces in turn.
fn decode(pieces: &[&[u8]]) -> Result<Vec<Frame>, Fault> {
    let mut decoder = Decoder::new(LIMITS);
    let mut frames = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut input)? {
            if frame == Frame::PushPromise {
                return Ok(vec![frame]);
            }
            frames.push(frame);
        }
        assert!(input.is_empty());
    }
    Ok(frames)
}

#[test]
fn a_request_decodes_whole_and_byte_by_byte() {
    let bytes = [1, 3, b'a', b'b', b'c', 0x21, 1, 9, 0, 2, b'x', b'y'];
    let whole = decode(&[&bytes]).unwrap();
    assert_eq!(
        whole,
        [Frame::Headers("abc".into()), Frame::Data("xy".into())]
    );
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let pieces = decode(&single).unwrap();
    assert_eq!(
        pieces,
        [
            Frame::Headers("abc".into()),
            Frame::Data("x".into()),
            Frame::Data("y".into())
        ]
    );
}

#[test]
fn a_stream_may_end_between_frames_only() {
    let mut decoder = Decoder::new(LIMITS);
    assert!(decoder.at_boundary());
    for (byte, boundary) in [(0, false), (1, false), (b'x', true), (0x40, false)] {
        let _ = decoder
            .decode(&mut Bytes::copy_from_slice(&[byte]))
            .unwrap();
        assert_eq!(decoder.at_boundary(), boundary);
    }
}

#[test]
fn frames_of_http_2_are_unexpected() {
    for kind in [2, 6, 8, 9] {
        assert_eq!(
            decode(&[&[kind, 0]]),
            Err(Fault::Connection(Code::FRAME_UNEXPECTED))
        );
    }
}

#[test]
fn oversized_frames_are_refused_from_their_head_alone() {
    assert_eq!(decode(&[&[1, 0x40, 65]]), Err(Fault::TooLarge));
    assert_eq!(
        decode(&[&[4, 0x44, 1]]),
        Err(Fault::Connection(Code::EXCESSIVE_LOAD))
    );
    assert_eq!(
        decode(&[&[7, 9]]),
        Err(Fault::Connection(Code::FRAME_ERROR))
    );
}

#[test]
fn a_payload_must_be_exactly_its_integer() {
    assert_eq!(decode(&[&[7, 1, 5]]).unwrap(), [Frame::GoAway(5)]);
    assert_eq!(decode(&[&[13, 1, 5]]).unwrap(), [Frame::MaxPushId(5)]);
    assert_eq!(decode(&[&[3, 1, 5]]).unwrap(), [Frame::CancelPush(5)]);
    assert_eq!(decode(&[&[5, 9]]).unwrap(), [Frame::PushPromise]);
    for bad in [&[7u8, 0][..], &[7, 2, 5, 5], &[13, 1, 0x40]] {
        assert_eq!(decode(&[bad]), Err(Fault::Connection(Code::FRAME_ERROR)));
    }
}

#[test]
fn settings_are_checked() {
    assert_eq!(decode(&[&[4, 0]]).unwrap(), [Frame::Settings]);
    assert_eq!(
        decode(&[&[4, 4, 1, 0, 0x21, 7]]).unwrap(),
        [Frame::Settings]
    );
    assert_eq!(
        decode(&[&[4, 1, 1]]),
        Err(Fault::Connection(Code::FRAME_ERROR))
    );
    for bad in [[2, 0], [3, 0], [4, 0], [5, 0], [8, 2]] {
        let bytes = [4, 2, bad[0], bad[1]];
        assert_eq!(
            decode(&[&bytes]),
            Err(Fault::Connection(Code::SETTINGS_ERROR))
        );
    }
    assert_eq!(
        decode(&[&[4, 4, 7, 0, 7, 0]]),
        Err(Fault::Connection(Code::SETTINGS_ERROR))
    );
}

#[test]
fn our_own_frames_decode() {
    let mut out = BytesMut::new();
    settings(16384, &mut out);
    go_away(400, &mut out);
    assert_eq!(
        decode(&[&out]).unwrap(),
        [Frame::Settings, Frame::GoAway(400)]
    );
}

#[test]
fn frames_without_use_are_counted() {
    let mut decoder = Decoder::new(LIMITS);
    let mut unknown = Bytes::from([0x21, 0].repeat(9));
    assert_eq!(decoder.decode(&mut unknown), Ok(None));
    assert_eq!((decoder.take_idle(), decoder.take_idle()), (9, 0));
    let mut empty = Bytes::from_static(&[0, 0, 0, 0, 0, 1, b'x']);
    while decoder.decode(&mut empty).unwrap().is_some() {}
    assert_eq!(decoder.take_idle(), 2);
}

proptest! {
    #[test]
    fn any_bytes_decode_alike_however_they_are_cut(bytes in proptest::collection::vec(0u8..16, 0..200), cut in 1usize..7) {
        let joined = |frames: Result<Vec<Frame>, Fault>| frames.map(|frames| {
            let (mut data, mut others) = (Vec::new(), Vec::new());
            for frame in frames {
                match frame {
                    Frame::Data(piece) => data.extend_from_slice(&piece),
                    frame => others.push(frame),
                }
            }
            (data, others)
        });
        let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
        prop_assert_eq!(joined(decode(&[&bytes])), joined(decode(&pieces)));
    }
}
