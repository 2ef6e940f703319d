//! Films whose tracks begin late, stop for a while, or end long before others: all of them play.

use contracts::{address::Flavour, id::RenditionId};
use packager::{
    Presentation, dash, hls,
    index::{Index, Sample},
};

use crate::{
    demux::{adts_frames, demux},
    films::{Film, present_by},
    properties::{AVC, audio, video},
};

/// The same track, heard or seen so many ticks later.
pub(crate) fn delayed(index: &Index, ticks: u64) -> Index {
    let later = index.samples().iter().map(|sample| Sample {
        dts: sample.dts + ticks,
        ..*sample
    });
    Index::new(index.track().clone(), later.collect(), *index.file()).unwrap()
}

/// The same track, of which one sample stands so many ticks longer.
pub(crate) fn held(index: &Index, at: usize, ticks: u32) -> Index {
    let mut samples = index.samples().to_vec();
    samples[at].duration += ticks;
    for sample in &mut samples[at + 1..] {
        sample.dts += u64::from(ticks);
    }
    Index::new(index.track().clone(), samples, *index.file()).unwrap()
}

/// 20 s of pictures in GOPs of one second, and their file.
fn picture() -> (Index, Vec<u8>) {
    video(AVC, &[25; 20], 12_800, 512, 2, &[40, 20])
}

fn id(name: &str) -> RenditionId {
    RenditionId::parse(name).unwrap()
}

/// The lengths that a playlist states, in seconds.
pub(crate) fn stated(playlist: &str) -> Vec<f64> {
    let lengths = playlist
        .lines()
        .filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','));
    lengths.map(|length| length.parse().unwrap()).collect()
}

fn lengths(film: &Presentation, name: &str, flavour: Flavour) -> Vec<f64> {
    let text = hls::playlist(film, &id(name), flavour, None);
    stated(&text.unwrap().unwrap())
}

/// Where each segment but the first begins by a playlist, and by the media.
fn places(film: &Presentation, name: &str) -> Vec<(f64, f64)> {
    let rendition = film.find(&id(name)).unwrap();
    let scale = f64::from(rendition.index().track().timescale);
    let mut told = 0.0;
    let ends = lengths(film, name, Flavour::Cmaf)
        .into_iter()
        .map(|length| {
            told += length;
            told
        });
    let starts = rendition.segments().skip(1);
    ends.zip(starts.map(|segment| segment.start as f64 / scale))
        .collect()
}

#[test]
fn a_sound_that_begins_whole_segments_late_plays_at_every_length() {
    let (picture, mezzanine) = picture();
    let (sound, recording) = audio(7.0, 48_000, &[20]);
    let late = delayed(&sound, 13 * 48_000);
    for seconds in 2..=6 {
        let parts = vec![("pic", picture.clone()), ("audio-en", late.clone())];
        let film = Film {
            presentation: present_by(parts, seconds),
            mezzanines: vec![mezzanine.clone(), recording.clone()],
        };
        for (told, true_start) in places(&film.presentation, "audio-en") {
            assert!((told - true_start).abs() < 1e-5, "{seconds} s: {told}");
        }
        // Beside each picture are the sounds of its time.
        let mut heard = 0;
        for segment in film.ts("pic") {
            let stream = demux(&segment);
            let (first, last) = (&stream.video[0], stream.video.last().unwrap());
            let seen = first.dts..last.pts + 90_000;
            for pes in &stream.audio {
                assert!(
                    seen.contains(&pes.pts),
                    "{seconds} s: sound beside its picture"
                );
                heard += adts_frames(&pes.data).len();
            }
        }
        assert_eq!(heard, sound.samples().len());
    }
}

#[test]
fn a_sound_with_a_hole_longer_than_segments_plays_at_every_length() {
    let (picture, mezzanine) = picture();
    let (sound, recording) = audio(8.0, 48_000, &[20]);
    let broken = held(&sound, 150, 12 * 48_000);
    for seconds in 2..=6 {
        let parts = vec![("pic", picture.clone()), ("audio-en", broken.clone())];
        let film = Film {
            presentation: present_by(parts, seconds),
            mezzanines: vec![mezzanine.clone(), recording.clone()],
        };
        for (told, true_start) in places(&film.presentation, "audio-en") {
            assert!((told - true_start).abs() < 1e-5, "{seconds} s: {told}");
        }
        let streams: Vec<_> = film.ts("pic").iter().map(|bytes| demux(bytes)).collect();
        assert!(streams.iter().any(|stream| stream.audio.is_empty()));
        for stream in &streams {
            let (first, last) = (&stream.video[0], stream.video.last().unwrap());
            let seen = first.dts..last.pts + 90_000;
            assert!(stream.audio.iter().all(|pes| seen.contains(&pes.pts)));
        }
    }
}

/// The last packet of a segment's sound is spread over as many transport packets as bring their counter to its end.
#[test]
fn silence_that_ends_a_segment_has_its_header_in_one_piece() {
    let (picture, mezzanine) = picture();
    for frames in 870..890 {
        let (silence, recording) = audio(f64::from(frames) * 1024.0 / 48_000.0, 48_000, &[5]);
        let film = Film {
            presentation: present_by(vec![("pic", picture.clone()), ("audio-en", silence)], 4),
            mezzanines: vec![mezzanine.clone(), recording],
        };
        for segment in film.ts("pic") {
            let sounds = demux(&segment).audio;
            let begun = heads(&segment, 257);
            assert_eq!(begun.len(), sounds.len());
            assert!(
                begun.iter().all(|bytes| *bytes >= 14),
                "{frames}: {begun:?}"
            );
        }
    }
}

/// How many bytes of each PES packet are in the transport packet with which it begins.
fn heads(segment: &[u8], wanted: u16) -> Vec<usize> {
    let of_a_packet = |packet: &[u8]| {
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let has_adaptation = packet[3] & 0x20 != 0;
        let adaptation = usize::from(packet[4]) + 1;
        let payload = if has_adaptation {
            184 - adaptation
        } else {
            184
        };
        (pid == wanted && packet[1] & 0x40 != 0).then_some(payload)
    };
    segment.chunks(188).filter_map(of_a_packet).collect()
}

#[test]
fn a_picture_that_goes_on_long_behind_the_first_one_plays_at_every_length() {
    let short = video(AVC, &[25; 5], 12_800, 512, 0, &[20]).0;
    // GOPs of six seconds: no boundary of even steps is the head of one.
    let long = video(AVC, &[25, 25, 25, 25, 25, 150, 150, 150], 25, 1, 0, &[20]).0;
    let sound = audio(23.0, 48_000, &[20]).0;
    for seconds in 2..=6 {
        let parts = vec![
            ("pic", short.clone()),
            ("pic-2", long.clone()),
            ("audio-en", sound.clone()),
        ];
        let film = present_by(parts, seconds);
        for name in ["pic-2", "audio-en"] {
            for (told, true_start) in places(&film, name) {
                assert!((told - true_start).abs() < 1e-5, "{name}, {seconds} s");
            }
        }
        // Both playlists of transport streams last as long as the film: the sound is in them.
        for name in ["pic", "pic-2"] {
            let told: f64 = lengths(&film, name, Flavour::Ts).iter().sum();
            let wanted = film.duration().as_secs_f64();
            assert!((told - wanted).abs() < 1e-5, "{name}, {seconds} s: {told}");
        }
    }
}

#[test]
fn pictures_that_begin_at_different_times_share_the_cuts_of_the_time_that_they_share() {
    let first = video(AVC, &[25; 20], 12_800, 512, 0, &[20]).0;
    let second = delayed(&video(AVC, &[25; 12], 25, 1, 0, &[20]).0, 8 * 25);
    let film = present_by(vec![("pic", first), ("pic-2", second)], 4);
    let starts = |name| -> Vec<u64> {
        let rendition = film.find(&id(name)).unwrap();
        let clock = u64::from(rendition.index().track().timescale);
        rendition
            .segments()
            .map(|segment| segment.start / clock)
            .collect()
    };
    assert_eq!(starts("pic"), [0, 4, 8, 12, 16]);
    assert_eq!(starts("pic-2"), [8, 12, 16]);
    // Segments of one number are not of one time, which a manifest must not promise.
    let manifest = dash::manifest(&film, None).unwrap().unwrap();
    assert!(!manifest.contains("segmentAlignment"), "{manifest}");
}

#[test]
fn a_sound_that_begins_before_another_is_cut_from_its_own_beginning() {
    let sound = || audio(20.0, 48_000, &[20]).0;
    let parts = vec![
        ("audio-en", delayed(&sound(), 15 * 48_000)),
        ("audio-de", sound()),
    ];
    let film = present_by(parts, 4);
    let early = film.find(&id("audio-de")).unwrap();
    let longest = early.segments().map(|segment| segment.duration).max();
    assert!(longest.unwrap() < 5 * 48_000);
    for name in ["audio-en", "audio-de"] {
        for (told, true_start) in places(&film, name) {
            assert!((told - true_start).abs() < 1e-5, "{name}");
        }
    }
}
