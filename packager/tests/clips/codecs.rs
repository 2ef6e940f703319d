//! The newer codecs: what their clips say of themselves, and how they go into a transport stream or do not.

use packager::{
    Error,
    codec::{Picture, Sound, hevc, nal_units as units_of},
    fmp4,
    index::{Index, Media, Range, Video},
    ts,
};

use crate::{
    demux::{demux, nal_units},
    films::{clip, film, indexed, modern, pictures, range},
};

const PICTURES: [&str; 3] = ["hevc.72p.mp4", "av1.72p.mp4", "vp9.72p.mp4"];

fn video(index: &Index) -> &Video {
    match &index.track().media {
        Media::Video(video) => video,
        Media::Audio(_) => panic!("not a picture"),
    }
}

#[test]
fn codecs_are_named_as_shaka_packager_names_them() {
    for (name, codec) in [
        ("hevc.72p.mp4", "hvc1.1.6.L30.90"),
        ("av1.72p.mp4", "av01.0.00M.08"),
        ("vp9.72p.mp4", "vp09.00.10.08.01.02.02.02.00"),
        ("opus.audio-en.mp4", "opus"),
    ] {
        assert_eq!(indexed(&clip(name)).track().codec(), codec);
    }
}

#[test]
fn facts_of_pictures_are_those_of_the_file() {
    for name in PICTURES {
        let index = indexed(&clip(name));
        let video = video(&index);
        assert_eq!((video.width, video.height), (128, 72), "{name}");
        assert_eq!(index.frame_rate(), Some((25, 1)), "{name}");
        assert_eq!(index.samples().len(), 135, "{name}");
        let heads = index.samples().iter().enumerate();
        let heads: Vec<usize> = heads.filter(|(_, s)| s.sync).map(|(at, _)| at).collect();
        assert_eq!(heads, [0, 50, 100], "{name}");
        assert_eq!(video.range(), Range::Sdr);
    }
    assert!(indexed(&clip("hevc.72p.mp4")).reorder() > 0);
}

#[test]
fn opus_begins_where_it_is_heard() {
    let index = indexed(&clip("opus.audio-en.mp4"));
    let Media::Audio(sound) = &index.track().media else {
        panic!("not sound")
    };
    assert_eq!((sound.sample_rate(), sound.channels()), (48_000, 2));
    let Sound::Opus(config) = sound else {
        panic!("not Opus")
    };
    assert_eq!(config.pre_skip(), 312);
    let first = index.samples()[0];
    assert_eq!((first.pts(), first.duration), (0, 960 - 312));
    assert_eq!(index.samples()[1].duration, 960);
    assert_eq!(index.end(), 259_200); // ffprobe says 5.4 s
    assert_eq!(index.samples().len(), 271); // ffprobe -count_packets
}

#[test]
fn an_init_segment_bears_the_record_of_the_mezzanine() {
    let around = |bytes: &[u8], kind: &[u8; 4]| -> Vec<u8> {
        let at = bytes.windows(4).position(|found| found == kind).unwrap() - 4;
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        bytes[at..at + size as usize].to_vec()
    };
    for (name, entry, record) in [
        ("hevc.72p.mp4", b"hvc1", b"hvcC"),
        ("av1.72p.mp4", b"av01", b"av1C"),
        ("vp9.72p.mp4", b"vp09", b"vpcC"),
        ("opus.audio-en.mp4", b"Opus", b"dOps"),
    ] {
        let mezzanine = clip(name);
        let init = fmp4::init(&indexed(&mezzanine), None);
        assert_eq!(around(&init, record), around(&mezzanine, record), "{name}");
        let entry = around(&init, entry);
        assert!(entry.windows(4).any(|kind| kind == record), "{name}");
    }
}

/// The facts of a clip, with a `colr` box of this transfer function.
fn with_transfer(name: &str, transfer: u8) -> Video {
    let mut video = video(&indexed(&clip(name))).clone();
    let colr = [b"nclx".as_slice(), &[0, 9, 0, transfer, 0, 9, 0]];
    video.colour = Some(colr.concat());
    video
}

#[test]
fn the_transfer_function_tells_the_range() {
    for name in PICTURES {
        assert_eq!(with_transfer(name, 16).range(), Range::Pq);
        assert_eq!(with_transfer(name, 18).range(), Range::Hlg);
        assert_eq!(with_transfer(name, 1).range(), Range::Sdr);
    }
}

/// The clip with another name where one stands first.
fn renamed(name: &str, from: &[u8; 4], to: &[u8; 4]) -> Vec<u8> {
    let mut bytes = clip(name);
    let at = bytes.windows(4).position(|found| found == from).unwrap();
    bytes[at..at + 4].copy_from_slice(to);
    bytes
}

#[test]
fn sets_may_be_in_band_only_if_the_record_has_them_all_too() {
    let index = indexed(&renamed("hevc.72p.mp4", b"hvc1", b"hev1"));
    assert_eq!(index.track().codec(), "hvc1.1.6.L30.90");
    assert!(
        fmp4::init(&index, None)
            .windows(4)
            .any(|kind| kind == b"hvc1")
    );

    let mut bytes = renamed("hevc.72p.mp4", b"hvc1", b"hev1");
    let record = bytes.windows(4).position(|kind| kind == b"hvcC").unwrap() + 4;
    bytes[record + 22] = 0; // no array of parameter sets
    let outcome = packager::index::build(std::io::Cursor::new(&bytes));
    let Err(Error::Unsupported(what)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(what.contains("parameter sets"), "{what}");
}

#[test]
fn a_codec_that_nobody_packs_is_named_in_the_refusal() {
    let bytes = renamed("hevc.72p.mp4", b"hvc1", b"vvc1");
    let outcome = packager::index::build(std::io::Cursor::new(&bytes));
    let message = outcome.unwrap_err().to_string();
    assert!(
        message.contains("H.265") && message.contains("Opus"),
        "{message}"
    );
}

#[test]
fn h265_access_units_are_the_same_in_a_transport_stream() {
    let film = pictures("hevc.72p.mp4");
    let (rendition, mezzanine) = film.rendition("72p");
    let index = rendition.index();
    let segments = film.ts("72p");
    for packet in segments.iter().map(|segment| &segment[188..376]) {
        assert!(packet.windows(3).any(|entry| entry == [0x24, 0xe1, 0x00]));
    }
    let stream = demux(&segments.concat());
    assert_eq!(stream.video.len(), index.samples().len());
    assert!(!stream.audio.is_empty());
    for (sample, pes) in index.samples().iter().zip(&stream.video) {
        let bytes = &mezzanine[range(&(sample.offset..sample.end()))];
        let wanted: Vec<&[u8]> = units_of(bytes).map(Result::unwrap).collect();
        let found = nal_units(&pes.data);
        assert_eq!(found[0], [0x46, 0x01, 0x50], "a delimiter opens it");
        let sets: &[u8] = if sample.sync { &[32, 33, 34] } else { &[] };
        let kinds = found[1..=sets.len()]
            .iter()
            .map(|unit| hevc::nal_type(unit));
        assert!(
            kinds.eq(sets.iter().copied()),
            "sets before each sync sample"
        );
        assert_eq!(found[1 + sets.len()..], wanted);
        assert_eq!(pes.random_access, sample.sync);
        let first = hevc::nal_type(wanted.last().unwrap());
        assert_eq!(sample.sync, (16..=23).contains(&first), "sync is IRAP");
        assert!(pes.dts <= pes.pts);
    }
}

#[test]
fn a_transport_stream_carries_some_codecs_and_refuses_others() {
    for (name, carried) in [
        ("film.90p.mp4", true),
        ("film.audio-en.mp4", true),
        ("hevc.72p.mp4", true),
        ("av1.72p.mp4", false),
        ("vp9.72p.mp4", false),
        ("opus.audio-en.mp4", false),
    ] {
        let index = indexed(&clip(name));
        assert_eq!(ts::carries(&index), carried, "{name}");
        let stream = Some(ts::Stream {
            index: &index,
            part: None,
        });
        let (video, audio) = match &index.track().media {
            Media::Video(_) => (stream, None),
            Media::Audio(_) => (None, stream),
        };
        let outcome = ts::segment(&ts::Input {
            number: 1,
            video,
            audio,
            key: None,
        });
        match outcome {
            Ok(bytes) => assert!(carried && bytes.len() == 2 * 188, "{name}"),
            Err(Error::Unsupported(what)) => {
                assert!(!carried && what.contains("transport stream"), "{name}");
            }
            Err(other) => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn pictures_go_alone_where_their_sound_has_no_place() {
    let film = modern("hevc.72p.mp4");
    let (rendition, _) = film.rendition("72p");
    assert!(film.presentation.companion(rendition).is_none());
    let stream = demux(&film.ts("72p").concat());
    assert_eq!(stream.video.len(), 135);
    assert!(stream.audio.is_empty());
}

#[test]
fn the_foretold_length_and_share_hold_for_every_codec() {
    for name in PICTURES {
        let film = modern(name);
        for id in ["72p", "audio-en"] {
            let (rendition, _) = film.rendition(id);
            for (segment, bytes) in rendition.segments().zip(film.cmaf(id).iter().skip(1)) {
                let length = fmp4::segment_length(rendition.index(), &segment, None);
                assert_eq!(length, bytes.len() as u64, "{name} {id}");
            }
        }
    }
    let film = modern("hevc.72p.mp4");
    let (rendition, _) = film.rendition("72p");
    for (segment, bytes) in rendition.segments().zip(film.ts("72p")) {
        let most = ts::share_at_most(rendition.index(), &segment);
        assert!(bytes.len() as u64 <= most, "{} of {most}", bytes.len());
    }
}

#[test]
fn parameter_sets_belong_to_the_codecs_of_nal_units() {
    let sets = |index: &Index| match &video(index).config {
        Picture::Avc(_) => ("H.264", video(index).config.parameter_sets().count()),
        Picture::Hevc(_) => ("H.265", video(index).config.parameter_sets().count()),
        other => ("none", other.parameter_sets().count()),
    };
    assert_eq!(sets(film().rendition("90p").0.index()), ("H.264", 2));
    assert_eq!(sets(&indexed(&clip("hevc.72p.mp4"))), ("H.265", 3));
    assert_eq!(sets(&indexed(&clip("av1.72p.mp4"))), ("none", 0));
    assert_eq!(sets(&indexed(&clip("vp9.72p.mp4"))), ("none", 0));
}
