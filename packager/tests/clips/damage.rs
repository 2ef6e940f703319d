//! Damaged mezzanines and indexes: always an error or an answer, never a panic and never a wrong byte.

use std::io::Cursor;

use bytes::Bytes;
use packager::{
    Error, fmp4,
    index::{self, Index},
};

use crate::films::{clip, film, range};

/// Box headers, `moov` and the first `moof` of a clip: everything that a parser looks at.
fn structure(bytes: &[u8]) -> usize {
    let first_data = bytes.windows(4).position(|kind| kind == b"mdat").unwrap();
    first_data + 4
}

#[test]
fn every_flipped_byte_of_the_structure_is_survived() {
    for name in ["ntsc.72p.mp4", "film.audio-en.mp4"] {
        let bytes = clip(name);
        for at in 0..structure(&bytes) {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                if let Ok(index) = index::build(Cursor::new(&damaged)) {
                    assert_eq!(
                        Index::decode(&index.encode()).unwrap(),
                        index,
                        "{name} at {at}"
                    );
                }
            }
        }
    }
}

/// Clips of the newer codecs.
const NEWER: [&str; 4] = [
    "hevc.72p.mp4",
    "av1.72p.mp4",
    "vp9.72p.mp4",
    "opus.audio-en.mp4",
];

#[test]
fn every_flipped_byte_of_a_sample_entry_is_survived() {
    for name in NEWER {
        let bytes = clip(name);
        let start = bytes.windows(4).position(|kind| kind == b"stsd").unwrap() - 4;
        let size = u32::from_be_bytes(bytes[start..start + 4].try_into().unwrap());
        for at in start..start + size as usize {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                if let Ok(index) = index::build(Cursor::new(&damaged)) {
                    assert_eq!(
                        Index::decode(&index.encode()).unwrap(),
                        index,
                        "{name} at {at}"
                    );
                    let _ = (index.track().codec(), fmp4::init(&index, None));
                }
            }
        }
    }
}

#[test]
fn a_mezzanine_cut_inside_a_box_is_refused() {
    let bytes = clip("ntsc.72p.mp4");
    let whole = structure(&bytes);
    for end in (0..whole).chain([bytes.len() - 1]) {
        match index::build(Cursor::new(&bytes[..end])) {
            Err(Error::Corrupt { .. } | Error::Unsupported(_)) => {}
            other => panic!("cut at {end}: {other:?}"),
        }
    }
}

#[test]
fn every_flipped_byte_of_an_index_is_an_error() {
    for name in NEWER.into_iter().chain(["ntsc.72p.mp4"]) {
        let bytes = index::build(Cursor::new(clip(name))).unwrap().encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Index::decode(&damaged).is_err(), "{name} flipped at {at}");
            assert!(Index::decode(&bytes[..at]).is_err(), "{name} cut at {at}");
        }
    }
}

#[test]
fn an_index_whose_checksum_was_made_to_fit_is_survived() {
    for name in NEWER.into_iter().chain(["ntsc.72p.mp4"]) {
        survives_flips_below_the_checksum(name);
    }
}

fn survives_flips_below_the_checksum(name: &str) {
    let bytes = index::build(Cursor::new(clip(name))).unwrap().encode();
    let body = bytes.len() - 4;
    for at in 0..body {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes[..body].to_vec();
            damaged[at] ^= flip;
            let crc = crc32c::crc32c(&damaged);
            damaged.extend(crc.to_be_bytes());
            if let Ok(index) = Index::decode(&damaged) {
                let presentation = crate::films::try_present(index);
                let _ = presentation.map(|film| packager::dash::manifest(&film, None));
            }
        }
    }
}

#[test]
fn a_changed_byte_of_media_is_found_before_it_is_packed() {
    let film = film();
    let (rendition, mezzanine) = film.rendition("90p");
    let segment = rendition.segment(1).unwrap();
    let source = &mezzanine[range(&segment.bytes)];
    let index = rendition.index();
    for sample in [0, 7, segment.samples.end - 1] {
        let mut damaged = source.to_vec();
        let place = index.samples()[sample].offset - segment.bytes.start;
        damaged[usize::try_from(place).unwrap() + 3] ^= 1;
        let outcome = fmp4::segment(index, &segment, &damaged.into(), None);
        assert!(matches!(outcome, Err(Error::Mismatch { sample: found }) if found == sample));
    }
    let short = Bytes::copy_from_slice(&source[1..]);
    assert!(fmp4::segment(index, &segment, &short, None).is_err());
}

/// A box of its type and parts.
fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes()[..], kind, &body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// 64 KiB: a clip's head and one fragment whose runs, each of `count` one-byte samples, all begin at one byte.
fn runs_over_the_same_bytes(runs: usize, count: u32) -> Vec<u8> {
    let mut file = clip("ntsc.72p.mp4");
    let moof = file.windows(4).position(|kind| kind == b"moof").unwrap() - 4;
    file.truncate(moof);
    let tfhd = boxed(b"tfhd", &[&words(&[0x2_0038, 1, 1001, 1, 0])]);
    let run = boxed(b"trun", &[&words(&[0x1, count, 4096])]);
    let traf = boxed(b"traf", &[&tfhd, &run.repeat(runs)]);
    file.extend(boxed(b"moof", &[&traf]));
    let rest = (64 << 10) - file.len();
    file.extend(boxed(b"mdat", &[&vec![0; rest - 8]]));
    file
}

#[test]
fn runs_that_name_the_same_bytes_again_are_refused_at_the_second() {
    let whole = runs_over_the_same_bytes(1, 50_000);
    assert_eq!(
        index::build(Cursor::new(&whole)).unwrap().samples().len(),
        50_000
    );
    let hostile = runs_over_the_same_bytes(40, 50_000);
    assert_eq!(hostile.len(), 64 << 10);
    let outcome = index::build(Cursor::new(&hostile));
    let Err(Error::Corrupt { what, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(what, "samples that overlap or go backwards");
}

#[test]
fn a_run_of_millions_of_samples_is_refused_before_it_is_read() {
    let outcome = index::build(Cursor::new(runs_over_the_same_bytes(1, (1 << 24) + 1)));
    let Err(Error::Unsupported(what)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(what.contains("16777216"), "{what}");
}
