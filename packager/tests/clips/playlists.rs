//! Playlists and manifests, byte for byte. `UPDATE_GOLDEN=1` writes them anew.

use std::path::PathBuf;

use contracts::{address::Flavour, id::RenditionId};
use packager::{Presentation, Rendition, dash, hls, protect::Protection};

use crate::{
    films::{clip, film, indexed, present, radio, silent},
    properties::{AVC, audio, video},
};

pub(crate) fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
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
        if let Some(text) = text.unwrap() {
            golden(&format!("{name}.{what}"), &text);
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

#[test]
fn bandwidth_is_at_least_the_rate_of_every_segment() {
    let film = film();
    for (flavour, segments) in [
        (Flavour::Cmaf, film.cmaf("90p").split_off(1)),
        (Flavour::Ts, film.ts("90p")),
    ] {
        let master = hls::master(&film.presentation, flavour, None)
            .unwrap()
            .unwrap();
        let stated = master
            .lines()
            .filter(|line| line.contains("RESOLUTION=160x90"));
        let stated = stated
            .flat_map(|line| line.split("BANDWIDTH=").nth(1))
            .next()
            .unwrap();
        let stated: f64 = stated.split(',').next().unwrap().parse().unwrap();
        let (rendition, _) = film.rendition("90p");
        for (segment, bytes) in rendition.segments().zip(segments) {
            let seconds = segment.duration as f64 / f64::from(rendition.index().track().timescale);
            assert!(bytes.len() as f64 * 8.0 / seconds <= stated);
        }
    }
}

/// The target duration and the lengths of the segments of a playlist.
fn stated(film: &Presentation, id: &str, flavour: Flavour) -> (u64, Vec<f64>) {
    let id = RenditionId::parse(id).unwrap();
    let text = hls::playlist(film, &id, flavour, None).unwrap().unwrap();
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
