//! Damaged mezzanines and indexes: always an error or an answer, never a panic and never a wrong byte.

use std::io::Cursor;

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
    let bytes = index::build(Cursor::new(clip("ntsc.72p.mp4")))
        .unwrap()
        .encode();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(Index::decode(&damaged).is_err(), "flipped at {at}");
        assert!(Index::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn an_index_whose_checksum_was_made_to_fit_is_survived() {
    let bytes = index::build(Cursor::new(clip("ntsc.72p.mp4")))
        .unwrap()
        .encode();
    let body = bytes.len() - 4;
    for at in 0..body {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes[..body].to_vec();
            damaged[at] ^= flip;
            let crc = crc32c::crc32c(&damaged);
            damaged.extend(crc.to_be_bytes());
            if let Ok(index) = Index::decode(&damaged) {
                let presentation = crate::films::try_present(index);
                let _ = presentation.map(|film| packager::dash::manifest(&film));
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
        let outcome = fmp4::segment(index, &segment, &damaged);
        assert!(matches!(outcome, Err(Error::Mismatch { sample: found }) if found == sample));
    }
    assert!(fmp4::segment(index, &segment, &source[1..]).is_err());
}
