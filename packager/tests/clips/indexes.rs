//! What an index says of a clip, and how it survives the disk.

use packager::{
    Error,
    index::{self, Index, Media},
};

use crate::{
    films::{clip, indexed},
    properties::{AVC, video},
};

#[test]
fn an_index_reads_back_as_it_was_written() {
    for name in [
        "film.54p.mp4",
        "film.90p.mp4",
        "film.audio-en.mp4",
        "ntsc.72p.mp4",
        "hevc.72p.mp4",
        "av1.72p.mp4",
        "vp9.72p.mp4",
        "opus.audio-en.mp4",
    ] {
        let index = indexed(&clip(name));
        let bytes = index.encode();
        assert_eq!(Index::decode(&bytes).unwrap(), index, "{name}");
        assert_eq!(Index::decode(&bytes).unwrap().encode(), bytes, "{name}");
    }
}

#[test]
fn facts_of_pictures_are_those_of_the_file() {
    let bytes = clip("film.90p.mp4");
    let index = indexed(&bytes);
    let Media::Video(video) = &index.track().media else {
        panic!("not a picture")
    };
    assert_eq!((video.width, video.height), (160, 90));
    assert!(video.codec().starts_with("avc1.64"));
    assert_eq!(index.frame_rate(), Some((25, 1)));
    assert_eq!(index.samples().len(), 233); // ffprobe -count_packets
    assert_eq!(index.file().length, bytes.len() as u64);
    assert_eq!(
        indexed(&clip("ntsc.72p.mp4")).frame_rate(),
        Some((30_000, 1001))
    );
}

#[test]
fn facts_of_sound_are_those_of_the_file() {
    let index = indexed(&clip("film.audio-en.mp4"));
    let Media::Audio(config) = &index.track().media else {
        panic!("not sound")
    };
    assert_eq!((config.sample_rate(), config.channels()), (48_000, 1));
    assert_eq!(config.codec(), "mp4a.40.2");
    assert_eq!(index.frame_rate(), None);
}

#[test]
fn picture_and_sound_start_at_zero_without_encoder_priming() {
    let video = indexed(&clip("film.90p.mp4"));
    assert_eq!(video.samples()[0].dts, 0);
    assert_eq!(
        video.samples().iter().map(|sample| sample.pts()).min(),
        Some(0)
    );
    assert!(video.reorder() > 0, "the clip has reordered pictures");

    let audio = indexed(&clip("film.audio-en.mp4"));
    assert_eq!(audio.samples()[0].pts(), 0);
    assert_eq!(audio.samples().len(), 436); // ffprobe counts 437 packets, the first of them priming
}

#[test]
fn an_index_of_another_version_or_with_a_tail_is_refused() {
    let bytes = indexed(&clip("ntsc.72p.mp4")).encode();
    let sealed = |mut body: Vec<u8>| {
        let crc = crc32c::crc32c(&body);
        body.extend(crc.to_be_bytes());
        body
    };
    let body = &bytes[..bytes.len() - 4];
    assert!(Index::decode(&sealed(body.to_vec())).is_ok());
    for (version, advice) in [(1, "older version: build it anew"), (3, "newer version")] {
        let mut other = body.to_vec();
        other[5] = version;
        let message = Index::decode(&sealed(other)).unwrap_err().to_string();
        assert!(message.contains(advice), "{message}");
    }
    let mut tail = body.to_vec();
    tail.push(0);
    assert!(Index::decode(&sealed(tail)).is_err());
}

#[test]
fn an_index_weighs_what_it_remembers_of_its_gops() {
    let weight = |gops: &[usize]| {
        let index = video(AVC, gops, 25, 1, 0, &[20]).0;
        assert_eq!(index.heads().len(), gops.len());
        index.weight()
    };
    assert!(weight(&[1; 1000]) >= weight(&[1000]) + 999 * size_of::<usize>());
}

/// The clip's sound, whose one edit begins behind the encoder's priming, with an edit of another length: milliseconds,
/// for that is the movie's clock.
fn edited(millis: u32) -> Vec<u8> {
    let mut bytes = clip("film.audio-en.mp4");
    let at = bytes.windows(4).position(|kind| kind == b"elst").unwrap();
    bytes[at + 12..at + 16].copy_from_slice(&millis.to_be_bytes());
    bytes
}

#[test]
fn an_edit_that_ends_before_the_samples_is_refused_and_any_other_changes_nothing() {
    let whole = indexed(&edited(0));
    let lasts = whole.end() * 1000 / 48_000;
    for millis in [lasts, lasts + 5000, u64::from(u32::MAX)] {
        let index = indexed(&edited(millis as u32));
        assert!(index.samples() == whole.samples(), "{millis} ms");
    }
    // A last frame that is not heard to its end is served whole.
    assert!(indexed(&edited(lasts as u32 - 15)).samples() == whole.samples());
    for millis in [1, 2000, lasts as u32 - 50] {
        let outcome = index::build(std::io::Cursor::new(edited(millis))).map(drop);
        let Err(Error::Unsupported(what)) = outcome else {
            panic!("{millis} ms: {outcome:?}")
        };
        assert_eq!(what, "its edit list ends before its samples");
    }
}

#[test]
fn a_fragment_of_two_tracks_is_refused_by_name() {
    let mut bytes = clip("film.audio-en.mp4");
    let place = |kind: &[u8; 4]| bytes.windows(4).position(|found| found == kind).unwrap() - 4;
    let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (moof, traf) = (place(b"moof"), place(b"traf"));
    let (moof_size, traf_size) = (size(moof), size(traf));
    let twin = bytes[traf..traf + traf_size as usize].to_vec();
    let end = moof + moof_size as usize;
    bytes.splice(end..end, twin);
    bytes[moof..moof + 4].copy_from_slice(&(moof_size + traf_size).to_be_bytes());
    let outcome = index::build(std::io::Cursor::new(bytes)).map(drop);
    assert!(
        matches!(
            outcome,
            Err(Error::Unsupported("a fragment has more than one traf box"))
        ),
        "{outcome:?}"
    );
}
