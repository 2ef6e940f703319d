//! Transport streams carry the access units of the mezzanine, in time and in order.

use packager::codec::{avc, nal_units as units_of};

use crate::{
    demux::{Stream, adts_frames, demux, nal_units},
    films::{Film, film, present, radio, silent},
    properties::{AVC, audio, video},
};

const HZ: u128 = 90_000;
const START: u64 = 900_000;
/// 100 ms may pass between two program clocks (ISO/IEC 13818-1 §2.7.2).
const LONGEST_PAUSE: u64 = 9000;

fn demuxed(film: &Film, id: &str) -> Stream {
    demux(&film.ts(id).concat())
}

fn ticks(ticks: u64, timescale: u32) -> u64 {
    u64::try_from(u128::from(ticks) * HZ / u128::from(timescale)).unwrap() + START
}

#[test]
fn pictures_are_the_same_access_units_in_both_flavours() {
    for (film, id) in [(film(), "54p"), (film(), "90p"), (silent(), "72p")] {
        let (rendition, mezzanine) = film.rendition(id);
        let index = rendition.index();
        let stream = demuxed(&film, id);
        assert_eq!(stream.video.len(), index.samples().len());
        for (sample, pes) in index.samples().iter().zip(&stream.video) {
            let place = usize::try_from(sample.offset).unwrap();
            let bytes = &mezzanine[place..place + sample.size as usize];
            let wanted: Vec<&[u8]> = units_of(bytes).map(Result::unwrap).collect();
            let found = nal_units(&pes.data);
            assert_eq!(found[0], [0x09, 0xf0], "an access unit delimiter opens it");
            let sets = if sample.sync { 2 } else { 0 };
            let kinds: Vec<u8> = found[1..=sets]
                .iter()
                .map(|unit| avc::nal_type(unit))
                .collect();
            assert_eq!(
                kinds,
                [7, 8][..sets],
                "parameter sets before each sync sample"
            );
            assert_eq!(found[1 + sets..], wanted);
            assert_eq!(pes.random_access, sample.sync);
        }
    }
}

#[test]
fn picture_times_are_those_of_the_index_on_the_90_khz_clock() {
    for (film, id) in [(film(), "90p"), (silent(), "72p")] {
        let index = film.rendition(id).0.index();
        let timescale = index.track().timescale;
        let stream = demuxed(&film, id);
        let mut before = None;
        for (sample, pes) in index.samples().iter().zip(&stream.video) {
            assert_eq!(pes.pts, ticks(sample.pts(), timescale));
            assert!(pes.dts <= pes.pts);
            assert!(before < Some(pes.dts), "decoding times rise");
            before = Some(pes.dts);
        }
        assert_eq!(stream.video[0].pts, START);
    }
}

#[test]
fn the_default_sound_is_muxed_into_every_picture() {
    let film = film();
    for id in ["54p", "90p", "audio-en"] {
        let (sound, mezzanine) = film.rendition("audio-en");
        let stream = demuxed(&film, id);
        let frames: Vec<&[u8]> = stream
            .audio
            .iter()
            .flat_map(|pes| adts_frames(&pes.data))
            .collect();
        let wanted = sound.index().samples().iter().map(|sample| {
            let place = usize::try_from(sample.offset).unwrap();
            &mezzanine[place..place + sample.size as usize]
        });
        assert!(frames.into_iter().eq(wanted), "{id}");
        assert_eq!(stream.audio[0].pts, START, "sound starts with the picture");
    }
}

#[test]
fn the_clock_runs_ahead_of_decoding_and_never_backwards() {
    for (film, id) in [(film(), "90p"), (silent(), "72p"), (radio(), "audio-en")] {
        let stream = demuxed(&film, id);
        let units = if stream.video.is_empty() {
            &stream.audio
        } else {
            &stream.video
        };
        for unit in units {
            assert!(unit.clock.unwrap() < unit.dts);
        }
        assert!(stream.clocks.is_sorted());
        let pause = stream.clocks.windows(2).map(|two| two[1] - two[0]).max();
        assert!(pause.unwrap() <= LONGEST_PAUSE, "{pause:?}");
    }
}

#[test]
fn each_segment_stands_alone() {
    let film = film();
    for segment in film.ts("90p") {
        let stream = demux(&segment);
        assert!(stream.video[0].random_access);
        assert!(!stream.audio.is_empty());
    }
}

#[test]
fn the_foretold_share_bounds_the_length_closely() {
    let film = film();
    for id in ["54p", "90p"] {
        let (rendition, _) = film.rendition(id);
        let (sound, _) = film.rendition("audio-en");
        for (at, bytes) in film.ts(id).iter().enumerate() {
            let number = u32::try_from(at).unwrap() + 1;
            let most: u64 = [rendition, sound]
                .iter()
                .map(|track| {
                    packager::ts::share_at_most(track.index(), &track.segment(number).unwrap())
                })
                .sum();
            let length = bytes.len() as u64;
            // The clips' pictures are of a few dozen bytes, the worst case for padding.
            assert!(length <= most && most < length * 2, "{length} of {most}");
        }
    }
}

/// Four seconds of picture with reordering, and this much sound.
fn outlasted(seconds: f64) -> Film {
    let (picture, pictures) = video(AVC, &[50, 50], 12_800, 512, 2, &[300]);
    let (sound, sounds) = audio(seconds, 48_000, &[200]);
    Film {
        presentation: present(vec![("pic", picture), ("audio-en", sound)]),
        mezzanines: vec![pictures, sounds],
    }
}

#[test]
fn the_clock_goes_on_while_sound_outlasts_its_picture() {
    for seconds in [5.5, 9.5] {
        let clocks = demuxed(&outlasted(seconds), "pic").clocks;
        assert!(clocks.is_sorted());
        let pause = clocks.windows(2).map(|two| two[1] - two[0]).max();
        assert!(pause.unwrap() <= LONGEST_PAUSE, "{seconds}: {pause:?}");
        let lasts = clocks.last().unwrap() - clocks.first().unwrap();
        assert!(lasts as f64 / 90_000.0 > seconds - 0.2, "{seconds}");
    }
}

#[test]
fn the_map_has_another_version_where_the_clock_moves_to_the_sound() {
    let versions = |film: &Film, id: &str| -> Vec<u8> {
        let maps = film.ts(id).into_iter().map(|segment| {
            let map = segment.chunks(188).find(|packet| packet[1..3] == [0x50, 0]);
            map.unwrap()[10] >> 1 & 0x1f
        });
        maps.collect()
    };
    assert_eq!(versions(&outlasted(5.5), "pic"), [0]);
    assert_eq!(versions(&outlasted(11.0), "pic"), [0, 1, 1]);
    assert_eq!(versions(&outlasted(11.0), "audio-en"), [0, 0, 0]);
}
