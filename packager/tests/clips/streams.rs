//! Transport streams carry the access units of the mezzanine, in time and in order.

use contracts::address::{Flavour, Protection as Method};
use packager::{
    codec::{Picture, avc, nal_units as units_of},
    hls,
    index::Index,
    protect::{Protection, aes128},
};
use sha2::{Digest as _, Sha256};

use crate::{
    demux::{Stream, adts_frames, demux, nal_units},
    films::{Film, film, pictures, present, radio, silent},
    playlists::golden,
    properties::{AVC, audio, video},
};

const HZ: u128 = 90_000;
const START: u64 = 900_000;
/// 100 ms may pass between two program clocks (ISO/IEC 13818-1 §2.7.2).
pub(crate) const LONGEST_PAUSE: u64 = 9000;

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

/// Pictures of which each has parameter sets of 60 KB before it, so many a second, and others without.
fn heavy(pictures: u32) -> Film {
    let coding = AVC.with(|| {
        let set = [0x67; 60_000];
        let length = u16::try_from(set.len()).unwrap().to_be_bytes();
        let record = [
            &[1, 0x64, 0, 0x1f, 0xff, 0xe1],
            &length[..],
            &set,
            &[1, 0, 1, 0x68],
        ]
        .concat();
        Picture::Avc(avc::Config::parse(&record).unwrap())
    });
    let count = usize::try_from(pictures).unwrap() * 8;
    let (large, heavy) = video(coding, &vec![1; count], pictures, 1, 0, &[100]);
    let (small, light) = video(AVC, &vec![1; count], pictures, 1, 0, &[100]);
    Film {
        presentation: present(vec![("large", large), ("small", small)]),
        mezzanines: vec![heavy, light],
    }
}

#[test]
fn a_rendition_whose_segments_are_too_large_for_a_stream_is_not_offered_in_one() {
    for (pictures, carried) in [(20, true), (500, false)] {
        let film = heavy(pictures).presentation;
        let large = &film.renditions()[0];
        assert_eq!(large.is_in(Flavour::Ts), carried);
        let master = hls::master(&film, Flavour::Ts, None).unwrap().unwrap();
        assert_eq!(master.contains("large/playlist_ts.m3u8"), carried);
        assert!(master.contains("small/playlist_ts.m3u8"));
        let list = hls::playlist(&film, large.id(), Flavour::Ts, None).unwrap();
        assert_eq!(list.is_some(), carried);
        assert!(large.is_in(Flavour::Cmaf));
    }
}

#[test]
fn pictures_reordered_over_ten_seconds_and_frames_too_long_for_adts_are_not_offered_in_a_stream() {
    let deep = deep(&video(AVC, &[300], 12_800, 512, 0, &[50]).0);
    let long = audio(8.0, 48_000, &[8184]).0;
    for (id, index) in [("pic", deep), ("audio-en", long)] {
        let film = present(vec![(id, index)]);
        let rendition = &film.renditions()[0];
        assert!(!rendition.is_in(Flavour::Ts), "{id}");
        assert!(hls::master(&film, Flavour::Ts, None).unwrap().is_none());
        let list = hls::playlist(&film, rendition.id(), Flavour::Ts, None);
        assert!(list.unwrap().is_none());
    }
    let fits = present(vec![("audio-en", audio(8.0, 48_000, &[8183]).0)]);
    assert!(fits.renditions()[0].is_in(Flavour::Ts));
}

/// All but the first picture are decoded ten seconds after they are shown.
fn deep(index: &Index) -> Index {
    let mut samples = index.samples().to_vec();
    let late = 10 * index.track().timescale;
    samples[0].duration += late;
    for sample in &mut samples[1..] {
        sample.dts += u64::from(late);
        sample.cts -= i32::try_from(late).unwrap();
    }
    Index::new(index.track().clone(), samples, *index.file()).unwrap()
}

#[test]
fn sound_arrives_before_its_time_while_a_picture_stands() {
    for (frame, timescale) in [(1, 1), (5, 1), (1, 5)] {
        let (picture, pictures) = video(AVC, &[10, 10], timescale, frame, 0, &[300]);
        let seconds = 20.0 * f64::from(frame) / f64::from(timescale);
        let (sound, sounds) = audio(seconds, 48_000, &[200]);
        let film = Film {
            presentation: present(vec![("pic", picture), ("audio-en", sound)]),
            mezzanines: vec![pictures, sounds],
        };
        let stream = demuxed(&film, "pic");
        for unit in stream.audio.iter().chain(&stream.video) {
            assert!(unit.clock < Some(unit.dts), "{frame}/{timescale}");
        }
    }
}

#[test]
fn the_bytes_of_every_stream() {
    let keys = crate::protected::keys(&["identity"]);
    let mut dump = String::new();
    for (name, film, ids) in [
        ("film", film(), &["54p", "90p", "audio-en"][..]),
        ("silent", silent(), &["72p"]),
        ("hevc", pictures("hevc.72p.mp4"), &["72p"]),
    ] {
        for (id, method) in ids.iter().flat_map(|id| WAYS.map(|method| (id, method))) {
            let protection = method.map(|method| Protection::new(&keys, method, None).unwrap());
            if protection
                .as_ref()
                .is_some_and(|way| way.covers(&film.presentation).is_err())
            {
                continue;
            }
            let (rendition, _) = film.rendition(id);
            let track = protection.as_ref().map(|way| way.track(rendition).unwrap());
            let key = track.as_ref().map(|track| track.key());
            let by_samples = key.filter(|_| method == Some(Method::SampleAes));
            for (number, segment) in (1u64..).zip(film.ts_with(id, by_samples)) {
                let segment = match (key, method) {
                    (Some(key), Some(Method::Aes128)) => aes128::encrypt(key, number, segment),
                    _ => segment,
                };
                let digest = hex::encode(Sha256::digest(&segment));
                let way = method.map_or_else(|| "clear".to_owned(), |method| format!("{method:?}"));
                dump += &format!("{name} {id} {way} {number} {} {digest}\n", segment.len());
            }
        }
    }
    golden("streams.digests.txt", &dump);
}

const WAYS: [Option<Method>; 3] = [None, Some(Method::Aes128), Some(Method::SampleAes)];
