//! Playlists and manifests, byte for byte. `UPDATE_GOLDEN=1` writes them anew.

use std::path::PathBuf;

use contracts::{address::Flavour, id::RenditionId};
use packager::{
    Presentation, Rendition, dash, fmp4, hls,
    index::{Index, Sample},
    protect::Protection,
};

use crate::{
    films::{Film, clip, film, indexed, present, present_by, radio, silent},
    properties::{AVC, audio, video},
};

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

pub(crate) fn golden(name: &str, text: &str) {
    let path = place(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{name} differs; UPDATE_GOLDEN=1 accepts it");
}

/// Compares everything that is written of a film.
pub(crate) fn all(name: &str, film: &Presentation) {
    all_protected(name, film, None);
}

pub(crate) fn all_protected(name: &str, film: &Presentation, protection: Option<&Protection>) {
    let compare = |what: &str, text: Result<Option<String>, packager::Error>| {
        let file = format!("{name}.{what}");
        match text.unwrap() {
            Some(text) => golden(&file, &text),
            // A list that is written no more must not vanish unnoticed.
            None => assert!(!place(&file).exists(), "{file} is written no more"),
        }
    };
    let thumbs = RenditionId::parse("thumbs").unwrap();
    for (flavour, suffix) in [(Flavour::Cmaf, ""), (Flavour::Ts, "_ts")] {
        compare(
            &format!("master{suffix}.m3u8"),
            hls::master(film, flavour, protection),
        );
        let media = film.renditions().iter().map(Rendition::id);
        let others = film.texts().map(|text| &text.id).chain([&thumbs]);
        for id in media.chain(others) {
            let text = hls::playlist(film, id, flavour, protection);
            compare(&format!("{id}.playlist{suffix}.m3u8"), text);
            let text = hls::iframes(film, id, flavour, protection);
            compare(&format!("{id}.iframes{suffix}.m3u8"), text);
        }
    }
    compare("manifest.mpd", dash::manifest(film, protection));
}

#[test]
fn a_film_of_two_rungs_and_sound() {
    all("film", &film().presentation);
}

#[test]
fn a_film_without_sound() {
    all("silent", &silent().presentation);
}

#[test]
fn a_film_without_picture() {
    all("radio", &radio().presentation);
}

#[test]
fn a_film_in_two_languages() {
    let sound = || indexed(&clip("film.audio-en.mp4"));
    let video = indexed(&clip("film.54p.mp4"));
    all(
        "bilingual",
        &present(vec![
            ("54p", video),
            ("audio-en", sound()),
            ("audio-de", sound()),
        ]),
    );
}

#[test]
fn a_rendition_that_is_not_there_has_no_playlist() {
    let id = RenditionId::parse("2160p").unwrap();
    let film = film().presentation;
    assert!(matches!(
        hls::playlist(&film, &id, Flavour::Cmaf, None),
        Ok(None)
    ));
}

/// What the first line of this tag states as `BANDWIDTH`.
fn bandwidth(master: &str, tag: &str) -> f64 {
    let line = master.lines().find(|line| line.starts_with(tag));
    let value = line.unwrap().split("BANDWIDTH=").nth(1).unwrap();
    value.split(',').next().unwrap().parse().unwrap()
}

/// RFC 8216 §4.1, as it is written: of all runs of segments that last 0.5 to 1.5 target durations.
pub(crate) fn peak(target: u64, lengths: &[f64], bytes: &[usize]) -> f64 {
    assert_eq!(lengths.len(), bytes.len());
    let runs =
        (0..lengths.len()).flat_map(|from| (from + 1..=lengths.len()).map(move |to| from..to));
    let rates = runs.filter_map(|run| {
        let length: f64 = lengths[run.clone()].iter().sum();
        let parts = length / target as f64;
        let bits = bytes[run].iter().sum::<usize>() as f64 * 8.0;
        (0.5..=1.5).contains(&parts).then_some(bits / length)
    });
    rates.fold(0.0, f64::max)
}

/// Two long GOPs, close I-frames between them, and a last picture alone behind them.
fn uneven() -> Film {
    let (index, mezzanine) = video(
        AVC,
        &[150, 1, 1, 1, 147, 150, 1],
        12_800,
        512,
        0,
        &[700, 90, 300],
    );
    Film {
        presentation: present_by(vec![("90p", index)], 6),
        mezzanines: vec![mezzanine],
    }
}

#[test]
fn bandwidth_is_the_peak_over_half_to_one_and_a_half_target_durations() {
    for film in [silent(), uneven()] {
        let id = film.presentation.renditions()[0].id().as_str();
        for flavour in [Flavour::Cmaf, Flavour::Ts] {
            let segments = match flavour {
                Flavour::Cmaf => film.cmaf(id).split_off(1),
                Flavour::Ts => film.ts(id),
            };
            let sizes: Vec<usize> = segments.iter().map(Vec::len).collect();
            let (target, lengths) = stated(&film.presentation, id, flavour);
            let peak = peak(target, &lengths, &sizes);
            let master = hls::master(&film.presentation, flavour, None);
            let told = bandwidth(&master.unwrap().unwrap(), "#EXT-X-STREAM-INF");
            // What is told of transport streams is a bound, for whose padding tiny pictures are the worst case.
            let most = if flavour == Flavour::Cmaf { 1.001 } else { 1.5 };
            assert!(
                peak <= told + 1e-6 && told <= peak * most + 1.0,
                "{flavour:?}: {told}, not {peak}"
            );
        }
    }
}

#[test]
fn bandwidth_of_i_frames_is_a_peak_of_the_same_kind() {
    for film in [silent(), uneven()] {
        let rendition = &film.presentation.renditions()[0];
        let iframes = rendition.iframes();
        let sizes: Vec<usize> = iframes
            .map(|plan| fmp4::iframe_length(rendition.index(), &plan, None) as usize)
            .collect();
        let text = hls::iframes(&film.presentation, rendition.id(), Flavour::Cmaf, None);
        let (target, lengths) = read(&text.unwrap().unwrap());
        let peak = peak(target, &lengths, &sizes);
        let master = hls::master(&film.presentation, Flavour::Cmaf, None);
        let told = bandwidth(&master.unwrap().unwrap(), "#EXT-X-I-FRAME-STREAM-INF");
        assert!(
            peak <= told + 1e-6 && told <= peak * 1.001 + 1.0,
            "{told}, not {peak}"
        );
    }
}

/// The target duration and the lengths of the segments of a playlist.
fn stated(film: &Presentation, id: &str, flavour: Flavour) -> (u64, Vec<f64>) {
    let id = RenditionId::parse(id).unwrap();
    read(&hls::playlist(film, &id, flavour, None).unwrap().unwrap())
}

pub(crate) fn read(text: &str) -> (u64, Vec<f64>) {
    let values = |name: &str| -> Vec<String> {
        let found = text.lines().filter_map(|line| line.strip_prefix(name));
        found
            .map(|value| value.trim_end_matches(',').to_owned())
            .collect()
    };
    let target = values("#EXT-X-TARGETDURATION:")[0].parse().unwrap();
    let lengths = values("#EXTINF:");
    let lengths = lengths.iter().map(|length| length.parse().unwrap());
    (target, lengths.collect())
}

#[test]
fn the_target_duration_is_one_over_all_playlists_of_a_flavour() {
    // Two GOPs of about 4.5 s, the picture rounding up and the sound down, and the other way around.
    for (last_gop, seconds) in [(113, 8.9), (112, 9.0)] {
        let (picture, _) = video(AVC, &[112, last_gop], 12_800, 512, 0, &[20]);
        let (sound, _) = audio(seconds, 48_000, &[20]);
        let film = present(vec![("pic", picture), ("audio-en", sound)]);
        for flavour in [Flavour::Cmaf, Flavour::Ts] {
            let (picture, pictures) = stated(&film, "pic", flavour);
            let (sound, sounds) = stated(&film, "audio-en", flavour);
            let longest = pictures.iter().chain(&sounds).copied().fold(0.0, f64::max);
            assert_eq!((picture, sound), (5, 5), "{longest}");
            assert_eq!(longest.round() as u64, picture);
        }
    }
}

#[test]
fn a_last_segment_is_as_long_as_the_sound_that_outlasts_its_picture() {
    // 4 s of picture and 5.504 s of sound: too little more for a segment of its own.
    let (picture, _) = video(AVC, &[100], 12_800, 512, 0, &[20]);
    let (sound, _) = audio(5.5, 48_000, &[20]);
    let film = present(vec![("pic", picture), ("audio-en", sound)]);
    assert_eq!(stated(&film, "pic", Flavour::Cmaf).1, [4.0]);
    assert_eq!(stated(&film, "pic", Flavour::Ts), (6, vec![5.504]));
    // The sound alone must not be promised longer than it is.
    let (picture, _) = video(AVC, &[100], 12_800, 512, 0, &[20]);
    let (sound, _) = audio(2.0, 48_000, &[20]);
    let film = present(vec![("pic", picture), ("audio-en", sound)]);
    assert_eq!(stated(&film, "pic", Flavour::Ts).1, [4.0]);
}

#[test]
fn a_sound_that_begins_late_stands_in_its_playlist_where_it_is_heard() {
    let (picture, _) = video(AVC, &[100; 5], 12_800, 512, 0, &[20]);
    let (sound, _) = audio(17.0, 48_000, &[20]);
    let late = sound.samples().iter().map(|sample| Sample {
        dts: sample.dts + 3 * 48_000,
        ..*sample
    });
    let late = Index::new(sound.track().clone(), late.collect(), *sound.file()).unwrap();
    let film = present(vec![("pic", picture), ("audio-en", late)]);
    let lengths = stated(&film, "audio-en", Flavour::Cmaf).1;
    let rendition = film.find(&RenditionId::parse("audio-en").unwrap()).unwrap();
    let mut ends = lengths.iter().scan(0.0, |sum, length| {
        *sum += length;
        Some(*sum)
    });
    for segment in rendition.segments() {
        let end = (segment.start + segment.duration) as f64 / 48_000.0;
        let told = ends.next().unwrap();
        assert!((end - told).abs() < 1e-5, "{lengths:?}");
    }
    assert!(lengths[0] > 3.9, "{lengths:?}");
}

#[test]
fn a_codec_that_lacks_a_language_has_no_group() {
    let pictures = video(AVC, &[100; 2], 12_800, 512, 0, &[20]).0;
    let opus = || indexed(&clip("opus.audio-en.mp4"));
    let aac = || audio(8.0, 48_000, &[20]).0;
    let master = |sounds: Vec<(&'static str, Index)>| {
        let mut parts = vec![("pic", pictures.clone())];
        parts.extend(sounds);
        let film = present(parts);
        hls::master(&film, Flavour::Cmaf, None).unwrap().unwrap()
    };
    let uneven = master(vec![
        ("audio-en", aac()),
        ("audio-de", aac()),
        ("audio-fr", opus()),
    ]);
    assert!(
        uneven.contains("GROUP-ID=\"aac\"") && !uneven.contains("opus"),
        "{uneven}"
    );
    let even = master(vec![("audio-en", aac()), ("audio-de", aac())]);
    assert_eq!(even.matches("TYPE=AUDIO").count(), 2);
}
