//! The source as it is: what is taken and what is not.

use packager::{
    codec,
    index::{File, Sample, Track, Video},
};

use super::*;
use crate::media::sound::Sound;

const SPS: [u8; 4] = [0x67, 0x64, 0, 0x1f];
const AVCC: [u8; 18] = [
    1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 3, 0x68, 0xee, 0x3c,
];

fn rate() -> Rate {
    Rate::new(25, 1).unwrap()
}

/// A minute of H.264 and AAC in MP4, as cameras and exports have it.
fn facts() -> Facts {
    let mut facts = Facts::plain(1280, 720, rate());
    facts.picture.as_is = true;
    facts.indexed = true;
    facts.announced = Some(Duration::from_secs(60));
    facts.sounds.push(Sound {
        stream: 1,
        channels: 2,
        language: None,
        turn: 1,
        label: None,
        ends: Some(Duration::from_secs(60)),
        as_is: true,
    });
    facts
}

/// Pictures of these sizes and places, in the order of decoding; each `Some` is a key picture's.
fn picture(pictures: impl IntoIterator<Item = (u32, u64, bool)>) -> Index {
    let ticks = rate().frame_ticks();
    let (mut dts, mut offset) = (0, 0);
    let samples = pictures.into_iter().map(|(size, place, sync)| {
        let cts = i64::try_from(place * u64::from(ticks)).unwrap() - i64::try_from(dts).unwrap();
        let sample = Sample {
            offset,
            dts,
            size,
            duration: ticks,
            cts: cts.try_into().unwrap(),
            crc: 0,
            sync,
        };
        dts += u64::from(ticks);
        offset += u64::from(size);
        sample
    });
    let video = Media::Video(Video {
        width: 1280,
        height: 720,
        pixel_aspect: None,
        colour: None,
        config: Picture::Avc(avc::Config::parse(&AVCC).unwrap()),
    });
    let samples = samples.collect();
    let file = File {
        length: 1 << 40,
        sha256: [0; 32],
    };
    let track = Track {
        timescale: rate().timescale(),
        media: video,
    };
    Index::new(track, samples, file).unwrap()
}

/// Four groups of two seconds, shown in the order of decoding, with further key pictures every second.
fn plain(size: u32) -> Index {
    picture((0..200).map(|at| (size, at, at % 25 == 0)))
}

#[test]
fn only_what_every_player_takes_and_what_takes_long_to_make_is_looked_at() {
    let ladder = Ladder::of(1280, 720, rate());
    assert_eq!(is_worth_a_look(&facts(), &ladder), Ok(()));
    let silent = |facts: &mut Facts| facts.sounds.clear();
    let spoilt: [&dyn Fn(&mut Facts); 5] = [
        &|facts| facts.picture.as_is = false,
        &|facts| facts.sounds[0].as_is = false,
        &|facts| facts.indexed = false,
        &|facts| facts.announced = Some(Duration::from_secs(9)),
        &|facts| facts.sounds[0].ends = Some(Duration::from_secs(59)),
    ];
    for spoil in spoilt {
        let mut facts = facts();
        spoil(&mut facts);
        assert!(is_worth_a_look(&facts, &ladder).is_err());
    }
    let mut without = facts();
    silent(&mut without);
    assert_eq!(is_worth_a_look(&without, &ladder), Ok(()));
    let one = Ladder::of(100, 100, rate());
    assert!(
        is_worth_a_look(&facts(), &one).is_err(),
        "nothing to wait for"
    );
}

#[test]
fn key_pictures_must_stand_where_the_ladder_has_them_and_may_stand_elsewhere_too() {
    let keys = |every: usize| -> Vec<bool> { (0..401).map(|at| at % every == 0).collect() };
    assert_eq!(usize::try_from(looked_at(rate())).unwrap(), keys(1).len());
    for every in [1, 25, 50] {
        assert_eq!(begins_on_grid(&keys(every), rate()), Ok(()), "{every}");
    }
    for every in [48, 60, 100, 250] {
        assert_eq!(begins_on_grid(&keys(every), rate()), Err(NO_KEY), "{every}");
    }
    assert!(begins_on_grid(&[], rate()).is_err());
}

#[test]
fn a_film_is_cut_as_it_will_be_with_its_ladder() {
    let taken = on_grid(&plain(100), rate()).unwrap();
    assert_eq!(taken.heads(), [0, 50, 100, 150]);
    // B-pictures, in groups that are closed.
    let order = [0, 3, 1, 2];
    let closed = (0..200).map(|at: u64| {
        (
            9,
            at / 4 * 4 + order[usize::try_from(at % 4).unwrap()],
            at.is_multiple_of(100),
        )
    });
    assert!(
        on_grid(&picture(closed), rate()).is_err(),
        "a group of four seconds"
    );
    let closed = (0..200).map(|at: u64| {
        let within = at % 50;
        let moved = if within < 48 {
            within / 4 * 4 + order[usize::try_from(within % 4).unwrap()]
        } else {
            within
        };
        (9, at / 50 * 50 + moved, within == 0)
    });
    assert!(on_grid(&picture(closed), rate()).is_ok());
}

#[test]
fn groups_that_need_others_and_pictures_of_other_lengths_are_not_taken() {
    // The picture after the second key picture is shown before it.
    let open = (0..200).map(|at: u64| {
        let place = match at {
            50 => 51,
            51 => 50,
            at => at,
        };
        (9, place, at.is_multiple_of(50))
    });
    assert!(on_grid(&picture(open), rate()).is_err());
    let twice = (0..200).map(|at: u64| (9, if at == 7 { 8 } else { at }, at.is_multiple_of(50)));
    assert!(on_grid(&picture(twice), rate()).is_err());
    let whole = plain(9);
    let mut samples = whole.samples().to_vec();
    samples[199].duration += 1;
    let longer = Index::new(whole.track().clone(), samples, *whole.file()).unwrap();
    assert!(on_grid(&longer, rate()).is_err());
    let faster = Rate::new(50, 1).unwrap();
    assert!(on_grid(&whole, faster).is_err(), "another clock");
}

#[test]
fn a_group_begins_with_an_idr_picture_under_the_parameter_sets_of_the_film() {
    let index = plain(9);
    let sample = |units: &[&[u8]]| {
        let unit =
            |unit: &&[u8]| [&u32::try_from(unit.len()).unwrap().to_be_bytes(), *unit].concat();
        units.iter().flat_map(unit).collect::<Vec<u8>>()
    };
    let idr: &[u8] = &[0x65, 1, 2, 3];
    let said: &[u8] = &[0x06, 5, 1];
    assert_eq!(is_fresh_start(&index, &sample(&[said, &SPS, idr])), Ok(()));
    for spoilt in [
        sample(&[said, &[0x41, 1, 2]]),
        sample(&[&[0x67, 0x64, 0, 0x20], idr]),
        sample(&[&[0x68, 0xee, 0x3d], idr]),
        sample(&[said]),
        sample(&[idr])[..6].to_vec(),
        Vec::new(),
    ] {
        assert!(is_fresh_start(&index, &spoilt).is_err(), "{spoilt:x?}");
    }
}

#[test]
fn a_sound_begins_with_the_film_and_has_no_holes() {
    let sound = |start: u64, frames: &[u32]| {
        let mut dts = start;
        let samples = (0..).zip(frames).map(|(offset, &duration)| {
            let sample = Sample {
                offset,
                dts,
                size: 1,
                duration,
                cts: 0,
                crc: 0,
                sync: true,
            };
            dts += u64::from(duration);
            sample
        });
        let config = codec::aac::Config::parse(&[0x11, 0x90]).unwrap();
        let track = Track {
            timescale: 48_000,
            media: Media::Audio(codec::Sound::Aac(config)),
        };
        let file = File {
            length: 1 << 20,
            sha256: [0; 32],
        };
        Index::new(track, samples.collect(), file).unwrap()
    };
    assert_eq!(is_steady(&sound(0, &[1024; 9])), Ok(()));
    assert_eq!(is_steady(&sound(1024, &[1024, 1024, 200])), Ok(()));
    assert!(is_steady(&sound(0, &[1024, 5000, 1024])).is_err());
    assert!(is_steady(&sound(48_000, &[1024; 9])).is_err());
}

#[test]
fn a_source_takes_the_place_of_the_largest_rung_unless_it_has_more_bits() {
    let ladder = Ladder::of(1280, 720, rate());
    let largest = ladder.largest().unwrap().clone();
    // Bytes of a picture at so many times the rung's bits.
    let at = |times: u32| plain(largest.peak_bits / 8 / 25 * times);
    let replaced = Stands::InPlaceOf(largest.id.clone());
    assert_eq!(stands(&at(1), &ladder), Ok(replaced.clone()));
    assert_eq!(stands(&at(2), &ladder), Ok(Stands::Beside));
    assert_eq!(stands(&at(4), &ladder), Ok(Stands::Beside));
    assert!(stands(&at(5), &ladder).is_err());
    // As much on average as the largest rung, but all at once.
    let burst = picture((0..200).map(|at| {
        (
            if at < 50 {
                largest.peak_bits / 8 / 10
            } else {
                9
            },
            at,
            at % 50 == 0,
        )
    }));
    assert_eq!(stands(&burst, &ladder), Ok(Stands::Beside));
    let other_size = Ladder::of(1920, 1080, rate());
    assert_eq!(stands(&at(1), &other_size), Ok(Stands::Beside));
}
