//! ID3 tags as a stream of a transport stream.

use std::process::Command;

use contracts::address::Protection as Method;
use packager::{protect::Protection, ts};

use super::{
    eventful,
    mezzanine::{Emsg, ODD, TAGS, id3, injected},
};
use crate::{
    demux::demux,
    films::{Film, clip, film, indexed, present_by, range},
    protected::keys,
};

/// Ten seconds, where the film begins.
const START: u64 = 900_000;

/// When each tag comes, in milliseconds, and its bytes.
fn wanted() -> Vec<(u64, Vec<u8>)> {
    vec![
        (500, id3("0.5 s")),
        (4250, id3("4.25 s")),
        (5000, id3("5 s")),
        (6100, id3(&"6.1 s ".repeat(600))),
        (7900, id3("7.9 s, late")),
    ]
}

fn tags(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let packets = demux(bytes).metadata.into_iter();
    packets
        .map(|pes| ((pes.pts - START) / 90, pes.data))
        .collect()
}

#[test]
fn each_tag_is_in_exactly_one_segment_with_its_time() {
    for (seconds, places) in [
        (2, vec![0..1, 1..1, 1..3, 3..4, 4..5]),
        (6, vec![0..3, 3..5]),
    ] {
        let segments = eventful(seconds).ts("90p");
        let found: Vec<_> = segments.iter().map(|bytes| tags(bytes)).collect();
        let wanted: Vec<_> = places
            .iter()
            .map(|of| wanted()[of.clone()].to_vec())
            .collect();
        assert_eq!(found, wanted, "{seconds} s");
    }
}

#[test]
fn segments_with_tags_continue_each_other() {
    for seconds in [2, 6] {
        let stream = demux(&eventful(seconds).ts("90p").concat());
        assert_eq!(stream.metadata.len(), wanted().len());
        assert_eq!(stream.video.len(), 233);
        assert!(stream.clocks.is_sorted());
    }
}

/// The program map of a segment.
fn map(segment: &[u8]) -> &[u8] {
    let map = segment.chunks(188).find(|packet| packet[1..3] == [0x50, 0]);
    map.unwrap()
}

#[test]
fn the_map_names_the_tags_in_every_segment_or_in_none() {
    let pointer = b"\x25\x0f\xff\xffID3 \xffID3 \x00\x1f\x00\x01";
    let stream = b"\x15\xe1\x02\xf0\x0f\x26\x0d\xff\xffID3 \xffID3 \x00\x0f";
    let has =
        |segment: &[u8], part: &[u8]| map(segment).windows(part.len()).any(|found| found == part);
    for segment in eventful(2).ts("90p") {
        assert_eq!(
            map(&segment)[15..17],
            [0xf0, 17],
            "the program is told of first"
        );
        assert!(has(&segment, pointer) && has(&segment, stream));
    }
    for segment in eventful(2).ts("audio-en").iter().chain(&film().ts("90p")) {
        assert!(!has(segment, b"ID3 "));
    }
}

fn tag<'a>(kind: (&'a str, &'a str), data: &'a [u8]) -> Vec<u8> {
    Emsg {
        kind,
        timescale: 10,
        time: 15,
        duration: 0,
        id: 1,
        data,
    }
    .v1()
}

/// Sound with these boxes in front of its first fragment, and pictures without any, if wanted.
fn sounding(front: Vec<u8>, picture: Option<&str>) -> Film {
    let mut parts = vec![("audio-en", injected("film.audio-en.mp4", &[front]))];
    parts.extend(picture.map(|name| ("90p", clip(name))));
    let indexes = parts.iter().map(|(id, bytes)| (*id, indexed(bytes)));
    Film {
        presentation: present_by(indexes.collect(), 4),
        mezzanines: parts.into_iter().map(|(_, bytes)| bytes).collect(),
    }
}

#[test]
fn tags_of_sound_go_with_sound_that_has_no_picture() {
    let one = || tag(TAGS, &id3("1.5 s"));
    let radio = demux(&sounding(one(), None).ts("audio-en").concat());
    let [found] = radio.metadata.as_slice() else {
        panic!("{:?}", radio.metadata)
    };
    assert_eq!((found.pts, &found.data), (START + 135_000, &id3("1.5 s")));
    let muxed = demux(&sounding(one(), Some("film.90p.mp4")).ts("90p").concat());
    assert!(muxed.metadata.is_empty() && !muxed.video.is_empty());
}

#[test]
fn what_is_no_tag_has_no_place() {
    for (kind, data) in [
        (ODD, &*id3("odd")),
        (TAGS, b"no tag at all"),
        (TAGS, b"ID3"),
        (TAGS, b""),
    ] {
        let segments = sounding(tag(kind, data), None).ts("audio-en");
        assert!(demux(&segments.concat()).metadata.is_empty());
        assert!(!map(&segments[0]).windows(4).any(|part| part == b"ID3 "));
    }
}

#[test]
fn a_tag_as_large_as_an_event_may_be_is_whole() {
    let most = id3(&"x".repeat(65_000));
    let stream = demux(&sounding(tag(TAGS, &most), None).ts("audio-en").concat());
    assert_eq!(stream.metadata[0].data, most);
}

#[test]
fn an_iframe_has_no_tags() {
    let film = eventful(2);
    let (rendition, mezzanine) = film.rendition("90p");
    for plan in rendition.iframes() {
        let part = ts::Part {
            segment: &plan.segment(),
            mezzanine: &mezzanine[range(&plan.bytes)],
        };
        let video = ts::Stream {
            index: rendition.index(),
            part: Some(part),
        };
        let packed = ts::segment(&ts::Input {
            number: plan.number,
            video: Some(video),
            audio: None,
            key: None,
        });
        let stream = demux(&packed.unwrap());
        assert_eq!((stream.video.len(), stream.metadata.len()), (1, 0));
    }
}

#[test]
fn the_foretold_share_has_room_for_tags() {
    for seconds in [2, 6] {
        let film = eventful(seconds);
        let segments = film.ts("90p");
        for (number, bytes) in (1..).zip(&segments) {
            let tracks = film.presentation.renditions().iter();
            let shares = tracks.filter_map(|track| {
                let segment = track.segment(number)?;
                Some(ts::share_at_most(track.index(), &segment))
            });
            assert!(bytes.len() as u64 <= shares.sum());
        }
    }
}

#[test]
fn the_foretold_share_bounds_hundreds_of_tags_closely() {
    let front = tag(TAGS, &id3("one of many")).repeat(400);
    let film = sounding(front, None);
    let (rendition, _) = film.rendition("audio-en");
    let share = ts::share_at_most(rendition.index(), &rendition.segment(1).unwrap());
    let segment = &film.ts("audio-en")[0];
    let length = segment.len() as u64;
    assert_eq!(demux(segment).metadata.len(), 400);
    assert!(
        length <= share && share < length + 32 * 188,
        "{length} of {share}"
    );
}

#[test]
fn tags_stay_clear_where_samples_are_encrypted() {
    let protection = Protection::new(&keys(&["identity"]), Method::SampleAes, None).unwrap();
    let film = eventful(2);
    let key = protection.key(film.rendition("90p").0);
    assert!(key.is_some());
    let stream = demux(&film.ts_with("90p", key).concat());
    let found: Vec<_> = stream.metadata.into_iter().map(|pes| pes.data).collect();
    assert_eq!(
        found,
        wanted().into_iter().map(|(_, tag)| tag).collect::<Vec<_>>()
    );
    assert!(stream.video.len() == 233 && !stream.audio.is_empty());
}

#[test]
fn ffprobe_finds_the_tags_and_their_times() {
    let folder = tempfile::tempdir().unwrap();
    for seconds in [2, 6] {
        let file = folder.path().join("tags.ts");
        std::fs::write(&file, eventful(seconds).ts("90p").concat()).unwrap();
        let probed = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "d", "-show_packets"])
            .args([
                "-show_entries",
                "stream=codec_name:packet=pts,size",
                "-of",
                "json",
            ])
            .arg(&file)
            .output()
            .expect("ffprobe is installed");
        let complaint = String::from_utf8_lossy(&probed.stderr);
        assert!(
            probed.status.success() && complaint.is_empty(),
            "{complaint}"
        );
        let found: serde_json::Value = serde_json::from_slice(&probed.stdout).unwrap();
        assert_eq!(found["streams"][0]["codec_name"], "timed_id3");
        let packets = found["packets"].as_array().unwrap();
        assert_eq!(packets.len(), wanted().len());
        for (packet, (millis, tag)) in packets.iter().zip(wanted()) {
            assert_eq!(packet["pts"], millis * 90 + START);
            // Release 5.1 leaves out five bytes, of what ffmpeg itself muxed too, as if there were a cell header.
            let size: usize = packet["size"].as_str().unwrap().parse().unwrap();
            assert!(size == tag.len() || size == tag.len() - 5, "{size}");
        }
    }
}
