//! Encrypted samples of transport streams (HLS `SAMPLE-AES`): undone, they are the samples that went in.

use packager::{
    Rendition, Segment,
    codec::{Sound, nal_units},
    index::Media,
    protect::Protection,
};

use super::{
    encrypted::chain,
    packing::{range, samples, ts},
};

/// Packs a segment with encrypted samples and compares what a player decrypts.
pub fn check(rendition: &Rendition, segment: &Segment, file: &[u8], protection: &Protection) {
    let key = protection.key(rendition).expect("its key is for all");
    let source = &file[range(&segment.bytes)];
    let Ok(packed) = ts(rendition, segment, source, Some(key)) else {
        return;
    };
    let media = &rendition.index().track().media;
    let streams = [0x100, 0x101].map(|pid| elementary(&packed, pid));
    let mut rest = match media {
        Media::Video(_) => streams[0].as_slice(),
        Media::Audio(_) => streams[1].as_slice(),
    };
    for (at, sample) in segment
        .samples
        .clone()
        .zip(samples(rendition, segment, file))
    {
        rest = match media {
            Media::Video(video) => {
                let sync = rendition.index().samples()[at].sync;
                let sets: Vec<&[u8]> = video.config.parameter_sets().collect();
                picture(rest, sample, if sync { &sets } else { &[] })
            }
            Media::Audio(Sound::Aac(_)) => frame(rest, sample),
            Media::Audio(Sound::Opus(_)) => unreachable!("it has no place in the stream"),
        };
    }
    assert!(rest.is_empty());
}

/// Takes one picture of H.264 off a stream.
fn picture<'a>(mut rest: &'a [u8], sample: &[u8], sets: &[&[u8]]) -> &'a [u8] {
    let units: Vec<&[u8]> = nal_units(sample)
        .collect::<Result<_, _>>()
        .expect("it was packed");
    let kind = |unit: &[u8]| unit[0] & 0x1f;
    rest = clear(rest, &[9, 0xf0]);
    if !units.iter().any(|unit| kind(unit) == 7) {
        rest = sets.iter().fold(rest, |rest, set| clear(rest, set));
    }
    for unit in units.into_iter().filter(|unit| kind(unit) != 9) {
        if !matches!(kind(unit), 1 | 5) || unit.len() <= 48 {
            rest = clear(rest, unit);
            continue;
        }
        let (mut found, behind) = unescaped(&rest[4..], unit.len());
        rest = behind;
        // One block of ten behind 32 bytes, while more than a block is left.
        let mut before = None;
        let mut at = 32;
        while found.len() - at > 16 {
            let block = &mut found[at..at + 16];
            let hidden: [u8; 16] = (&*block).try_into().expect("sixteen bytes");
            chain(before.unwrap_or(super::encrypted::IV), block, 1);
            before = Some(hidden);
            at += 160.min(found.len() - at);
        }
        assert!(found == unit);
    }
    rest
}

/// Takes a unit that is not encrypted off a stream.
fn clear<'a>(rest: &'a [u8], unit: &[u8]) -> &'a [u8] {
    let (code, rest) = rest.split_at(4);
    assert_eq!(code, [0, 0, 0, 1]);
    let (found, rest) = rest.split_at(unit.len());
    assert!(found == unit);
    rest
}

/// Takes `length` bytes off a stream, not counting emulation prevention.
fn unescaped(stream: &[u8], length: usize) -> (Vec<u8>, &[u8]) {
    let (mut out, mut zeros, mut at) = (Vec::new(), 0, 0);
    while out.len() < length {
        let byte = stream[at];
        at += 1;
        if zeros == 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        assert!(zeros < 2 || byte > 3, "a start code inside a unit");
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    (out, &stream[at..])
}

/// Takes a frame of AAC off a stream: its header, 16 clear bytes, and whole blocks.
fn frame<'a>(rest: &'a [u8], sample: &[u8]) -> &'a [u8] {
    let (found, rest) = rest[7..].split_at(sample.len());
    let mut found = found.to_vec();
    if let Some(hidden) = found.get_mut(16..) {
        chain(super::encrypted::IV, hidden, 1);
    }
    assert!(found == sample);
    rest
}

/// The bytes of an elementary stream. The header of a short PES packet may reach over several packets.
fn elementary(stream: &[u8], pid: u16) -> Vec<u8> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    for packet in stream.chunks(188) {
        let head = u32::from_be_bytes(packet[..4].try_into().expect("four bytes"));
        if head >> 8 & 0x1fff != u32::from(pid) || head & 0x10 == 0 {
            continue;
        }
        let adaptation = match head & 0x20 {
            0 => 0,
            _ => 1 + usize::from(packet[4]),
        };
        if head & 0x40_0000 != 0 {
            units.push(Vec::new());
        }
        let unit = units.last_mut().expect("a stream begins with a PES packet");
        unit.extend(&packet[4 + adaptation..]);
    }
    let bodies = units.iter().map(|unit| &unit[9 + usize::from(unit[8])..]);
    bodies.collect::<Vec<_>>().concat()
}
