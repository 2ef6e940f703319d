//! Damaged events: always an error or an answer, never a panic and never a bound that does not hold.

use std::io::Cursor;

use bytes::Bytes;
use packager::{
    Error, dash, fmp4,
    index::{self, Index},
};

use super::mezzanine::{Emsg, TAGS, boxed, fronts, injected, prft};
use crate::films::{Film, indexed, range, try_present};

fn build(front: Vec<u8>) -> Result<Index, Error> {
    index::build(Cursor::new(injected("ntsc.72p.mp4", &[front])))
}

/// Packs everything, whatever it says.
fn pack(index: Index, mezzanine: Vec<u8>) {
    let Ok(presentation) = try_present(index) else {
        return;
    };
    let film = Film {
        presentation,
        mezzanines: vec![mezzanine],
    };
    let _ = dash::manifest(&film.presentation, None);
    let (rendition, mezzanine) = film.rendition("any");
    for segment in rendition.segments() {
        let source = Bytes::copy_from_slice(&mezzanine[range(&segment.bytes)]);
        let packed = fmp4::segment(rendition.index(), &segment, &source, None).unwrap();
        let foretold = fmp4::segment_length(rendition.index(), &segment, None);
        assert_eq!(packed.length(), foretold);
    }
    film.ts("any");
}

#[test]
fn every_flipped_byte_of_an_event_is_survived() {
    let fronts = &fronts()[..3];
    let whole = injected("ntsc.72p.mp4", fronts);
    for front in fronts {
        let start = whole
            .windows(front.len())
            .position(|found| found == front)
            .unwrap();
        for at in start..start + front.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                if let Ok(index) = index::build(Cursor::new(&damaged)) {
                    assert_eq!(Index::decode(&index.encode()).unwrap(), index, "{at}");
                    pack(index, damaged);
                }
            }
        }
    }
}

fn emsg(timescale: u32, data: &[u8]) -> Emsg<'_> {
    Emsg {
        kind: TAGS,
        timescale,
        time: 1,
        duration: 0,
        id: 1,
        data,
    }
}

#[test]
fn an_event_that_does_not_hold_together_is_refused() {
    let strings = |text: &[u8]| boxed(b"emsg", &[&[0; 4], text]);
    let clock = prft(1, 1, 1, 1);
    for front in [
        emsg(0, b"").v0(),
        emsg(0, b"").v1(),
        strings(b"no end"),
        strings(b"one end\0no other"),
        strings(b"\xff\0\0 and then what counts for four numbers"),
        strings(b"\0\0too short"),
        boxed(b"emsg", &[]),
        boxed(b"prft", &[&clock[8..clock.len() - 1]]),
    ] {
        let outcome = build(front);
        assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
    }
}

#[test]
fn a_version_that_is_not_known_says_nothing() {
    for kind in [b"emsg", b"prft"] {
        let index = build(boxed(kind, &[&[2, 0, 0, 0], &[0; 40]])).unwrap();
        assert!(index.events().is_empty() && index.references().is_empty());
    }
}

#[test]
fn what_no_fragment_follows_is_left_out() {
    let mut clip = crate::films::clip("ntsc.72p.mp4");
    clip.extend(emsg(1, b"").v1());
    assert!(indexed(&clip).events().is_empty());
}

#[test]
fn events_are_bounded_one_by_one_and_together() {
    let large = |size: usize| emsg(1, &vec![0; size]).v1();
    let around = large(0).len() - 8;
    let fits = (64 << 10) - around;
    assert!(build(large(fits)).is_ok());
    let refused = |front: Vec<u8>, why: &str| {
        let outcome = build(front);
        let Err(Error::Unsupported(what)) = outcome else {
            panic!("{why}: {outcome:?}")
        };
        assert!(what.contains(why), "{what}");
    };
    refused(large(fits + 1), "larger than 64 KiB");
    assert!(build(large(fits).repeat(64)).is_ok());
    refused(large(fits).repeat(65), "4 MiB");
    let small = boxed(b"emsg", &[&[0; 6], &[0, 0, 0, 1], &[0; 12]]);
    assert_eq!(build(small.repeat(65_536)).unwrap().events().len(), 65_536);
    refused(small.repeat(65_537), "65536");
    let hint = [&(u32::MAX).to_be_bytes()[..], b"emsg"].concat();
    assert!(build(hint).is_err());
}

#[test]
fn an_index_with_damaged_events_is_survived() {
    let index = indexed(&injected("ntsc.72p.mp4", &fronts()[..3]));
    let bytes = index.encode();
    let plain = index.clone().with_events(vec![], vec![]).unwrap().encode();
    let sealed = |mut body: Vec<u8>| {
        let crc = crc32c::crc32c(&body);
        body.extend(crc.to_be_bytes());
        body
    };
    let body = &bytes[..bytes.len() - 4];
    let start = plain.len() - 4 - 8;
    for at in start..body.len() {
        assert!(Index::decode(&sealed(body[..at].to_vec())).is_err());
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut damaged = body.to_vec();
            damaged[at] ^= flip;
            if let Ok(index) = Index::decode(&sealed(damaged.clone())) {
                assert_eq!(index.encode(), sealed(damaged));
            }
        }
    }
}

#[test]
fn parts_that_contradict_each_other_make_no_index() {
    let index = indexed(&injected("ntsc.72p.mp4", &fronts()[..2]));
    let (events, references) = (index.events().to_vec(), index.references().to_vec());
    let refused = |change: fn(&mut index::Event, &mut index::Reference)| {
        let (mut events, mut references) = (events.clone(), references.clone());
        change(&mut events[0], &mut references[0]);
        let outcome = index.clone().with_events(events, references);
        assert!(matches!(outcome, Err(Error::Index(_))), "{outcome:?}");
    };
    refused(|event, _| event.timescale = 0);
    refused(|event, _| event.sample = 100);
    refused(|event, _| event.sample = usize::MAX);
    refused(|event, _| event.scheme.push('\0'));
    refused(|event, _| event.value.push('\0'));
    refused(|_, reference| reference.sample = 1 << 30);
    let mut too_large = events.clone();
    too_large[0].data = vec![0; 65_536];
    let outcome = index.clone().with_events(too_large, vec![]);
    assert!(matches!(outcome, Err(Error::Unsupported(_))), "{outcome:?}");
    let backwards = events.iter().rev().cloned().collect();
    let outcome = index.clone().with_events(backwards, vec![]);
    assert!(matches!(outcome, Err(Error::Index(_))), "{outcome:?}");
    assert_eq!(
        index
            .clone()
            .with_events(events.clone(), references.clone())
            .unwrap(),
        index
    );
}
