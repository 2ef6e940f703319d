//! Playlists and manifests, byte for byte. `UPDATE_GOLDEN=1` writes them anew.

use std::path::PathBuf;

use contracts::address::Flavour;
use packager::{Presentation, dash, hls};

use crate::films::{clip, film, indexed, present, radio, silent};

fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{name} differs; UPDATE_GOLDEN=1 accepts it");
}

fn all(name: &str, film: &Presentation) {
    for (flavour, suffix) in [(Flavour::Cmaf, ""), (Flavour::Ts, "_ts")] {
        golden(
            &format!("{name}.master{suffix}.m3u8"),
            &hls::master(film, flavour),
        );
        for rendition in film.renditions() {
            let id = rendition.id();
            let text = hls::playlist(film, id, flavour).unwrap();
            golden(&format!("{name}.{id}.playlist{suffix}.m3u8"), &text);
        }
    }
    golden(&format!("{name}.manifest.mpd"), &dash::manifest(film));
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
    let id = contracts::id::RenditionId::parse("2160p").unwrap();
    assert!(hls::playlist(&film().presentation, &id, Flavour::Cmaf).is_none());
}

#[test]
fn bandwidth_is_at_least_the_rate_of_every_segment() {
    let film = film();
    for (flavour, segments) in [
        (Flavour::Cmaf, film.cmaf("90p").split_off(1)),
        (Flavour::Ts, film.ts("90p")),
    ] {
        let master = hls::master(&film.presentation, flavour);
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
