//! CMAF segments: together they are the mezzanine again.

use packager::{fmp4, index::Index};

use crate::films::{film, indexed, radio, silent};

/// The samples without their places in the file.
fn timing(index: &Index) -> Vec<(u64, u32, i32, u32, u32, bool)> {
    let facts = index.samples().iter().map(|sample| {
        (
            sample.dts,
            sample.duration,
            sample.cts,
            sample.size,
            sample.crc,
            sample.sync,
        )
    });
    facts.collect()
}

#[test]
fn segments_put_together_index_to_the_same_samples() {
    for (film, id) in [
        (film(), "54p"),
        (film(), "90p"),
        (film(), "audio-en"),
        (silent(), "72p"),
    ] {
        let index = film.rendition(id).0.index();
        let again = indexed(&film.cmaf(id).concat());
        assert_eq!(timing(&again), timing(index), "{id}");
        assert_eq!(again.track(), index.track(), "{id}");
    }
}

#[test]
fn a_segment_is_as_long_as_was_foretold() {
    for (film, id) in [(film(), "90p"), (film(), "audio-en"), (silent(), "72p")] {
        let (rendition, _) = film.rendition(id);
        for (segment, bytes) in rendition.segments().zip(film.cmaf(id).iter().skip(1)) {
            let length = fmp4::segment_length(rendition.index(), &segment, None);
            assert_eq!(length, bytes.len() as u64);
        }
    }
}

#[test]
fn renditions_are_cut_at_the_same_moments() {
    let film = film();
    let starts = |id: &str| {
        let (rendition, _) = film.rendition(id);
        let timescale = rendition.index().track().timescale;
        let seconds = rendition
            .segments()
            .map(|segment| segment.start as f64 / f64::from(timescale));
        seconds.collect::<Vec<_>>()
    };
    assert_eq!(starts("54p"), [0.0, 4.0, 8.0]);
    assert_eq!(starts("90p"), starts("54p"));
    for (sound, picture) in starts("audio-en").iter().zip(starts("90p")) {
        let late = sound - picture;
        assert!(
            (0.0..0.022).contains(&late),
            "sound begins {late} s after the cut"
        );
    }
}

#[test]
fn sound_alone_is_cut_every_four_seconds() {
    let film = radio();
    let (rendition, _) = film.rendition("audio-en");
    assert_eq!(rendition.segment_count(), 3);
    assert!(rendition.segment(0).is_none());
    assert!(rendition.segment(4).is_none());
    assert!(rendition.segment(u32::MAX).is_none());
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    assert_eq!(film().cmaf("90p"), film().cmaf("90p"));
    assert_eq!(film().ts("90p"), film().ts("90p"));
}
