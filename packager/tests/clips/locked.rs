//! What playlists and manifests of protected films say, in every view that players are known to need.

use std::time::Duration;

use contracts::{
    address::{Flavour, KeyFormat, Protection as Method},
    id::RenditionId,
    keys::{ContentKeys, System, TrackType},
};
use packager::{Error, Presentation, dash, hls, protect::Protection};

use crate::{
    films::{Film, clip, film, indexed, media, pictures},
    offers::rich,
    playlists::{all_protected, peak, read},
    protected::keys,
};

const ALL: [&str; 5] = ["identity", "clearkey", "widevine", "playready", "fairplay"];

/// Three systems and a place to ask for licences.
fn licensed(systems: &[&str]) -> ContentKeys {
    let mut keys = keys(systems);
    let urls = [
        (
            System::ClearKey,
            "https://licences.example/clearkey?a=1&b=2",
        ),
        (System::PlayReady, "https://licences.example/playready"),
    ];
    let known = urls
        .into_iter()
        .filter(|(system, _)| keys.systems.contains(system));
    keys.license_urls = known
        .map(|(system, url)| (system, url.to_owned()))
        .collect();
    keys
}

fn protection(systems: &[&str], method: Method, format: Option<KeyFormat>) -> Protection {
    Protection::new(&licensed(systems), method, format).unwrap()
}

fn locked(name: &str, systems: &[&str], method: Method, format: Option<KeyFormat>) {
    let protection = protection(systems, method, format);
    all_protected(name, &film().presentation, Some(&protection));
}

#[test]
fn a_protected_film_by_default() {
    locked("cbcs", &ALL, Method::Cbcs, None);
}

#[test]
fn a_protected_film_in_counter_mode() {
    locked("cenc", &ALL, Method::Cenc, None);
}

#[test]
fn a_protected_film_whose_key_is_given_as_it_is() {
    locked("identity", &ALL, Method::Cbcs, Some(KeyFormat::Identity));
}

#[test]
fn a_protected_film_for_clear_key() {
    locked(
        "clearkey",
        &["clearkey"],
        Method::Cbcs,
        Some(KeyFormat::ClearKey),
    );
}

#[test]
fn a_protected_film_in_encrypted_segments() {
    locked("aes128", &["identity"], Method::Aes128, None);
}

#[test]
fn a_protected_film_by_what_hls_calls_sample_encryption() {
    locked("sampleaes", &["identity"], Method::SampleAes, None);
}

#[test]
fn schemes_of_cmaf_are_not_told_of_transport_streams() {
    let film = film().presentation;
    let id = RenditionId::parse("90p").unwrap();
    for method in [Method::Cbcs, Method::Cenc] {
        let protection = protection(&ALL, method, None);
        let outcomes = [
            hls::master(&film, Flavour::Ts, Some(&protection)),
            hls::playlist(&film, &id, Flavour::Ts, Some(&protection)),
            hls::iframes(&film, &id, Flavour::Ts, Some(&protection)),
        ];
        for outcome in outcomes {
            assert!(matches!(outcome, Ok(None)), "{method:?}");
        }
    }
}

#[test]
fn a_manifest_cannot_tell_of_encrypted_segments() {
    let protection = protection(&["identity"], Method::Aes128, None);
    let manifest = dash::manifest(&film().presentation, Some(&protection));
    assert!(matches!(manifest, Ok(None)));
}

#[test]
fn a_way_that_brings_no_key_is_an_error_before_a_player_starts() {
    let film = film().presentation;
    let id = RenditionId::parse("90p").unwrap();
    let protection = protection(&["widevine"], Method::Aes128, None);
    for flavour in [Flavour::Cmaf, Flavour::Ts] {
        let outcomes = [
            hls::master(&film, flavour, Some(&protection)),
            hls::playlist(&film, &id, flavour, Some(&protection)),
            hls::iframes(&film, &id, flavour, Some(&protection)),
        ];
        for outcome in outcomes {
            assert!(matches!(outcome, Err(Error::Keys(_))));
        }
    }
}

#[test]
fn pictures_of_several_keys_are_sets_that_belong_together() {
    let mut keys = licensed(&["clearkey"]);
    let mut other = keys.periods[0].keys[0].clone();
    other.kid.0[15] ^= 1;
    keys.periods[0].keys[0].tracks = vec![TrackType::Sd];
    other.tracks = vec![TrackType::Hd];
    keys.periods[0].keys.push(other);
    let large = taller(&indexed(&clip("film.90p.mp4")), 720);
    let parts = media(vec![
        ("54p", indexed(&clip("film.54p.mp4"))),
        ("720p", large),
        ("audio-en", indexed(&clip("film.audio-en.mp4"))),
    ]);
    let film = Presentation::new(parts, Duration::from_secs(4)).unwrap();
    let protection = Protection::new(&keys, Method::Cenc, None).unwrap();
    all_protected("keys", &film, Some(&protection));
    // Without a key for one of them there is nothing to offer.
    keys.periods[0].keys.pop();
    let protection = Protection::new(&keys, Method::Cenc, None).unwrap();
    assert!(matches!(
        dash::manifest(&film, Some(&protection)),
        Err(Error::Keys(_))
    ));
}

fn taller(index: &packager::index::Index, height: u16) -> packager::index::Index {
    let mut track = index.track().clone();
    if let packager::index::Media::Video(video) = &mut track.media {
        (video.width, video.height) = (height / 9 * 16, height);
    }
    packager::index::Index::new(track, index.samples().to_vec(), *index.file()).unwrap()
}

/// The rate that a manifest states of a rendition, in bits a second.
fn stated(manifest: &str, id: &str) -> f64 {
    let from = manifest
        .split(&format!("<Representation id=\"{id}\" bandwidth=\""))
        .nth(1);
    from.unwrap().split('"').next().unwrap().parse().unwrap()
}

#[test]
fn bandwidth_is_the_peak_of_encrypted_segments_and_hardly_more() {
    let film: Film = film();
    for method in [Method::Cenc, Method::Cbcs] {
        let protection = protection(&["clearkey"], method, None);
        let manifest = dash::manifest(&film.presentation, Some(&protection));
        let manifest = manifest.unwrap().unwrap();
        for id in ["54p", "90p", "audio-en"] {
            let segments = film.encrypted(id, &protection).split_off(1);
            let sizes: Vec<usize> = segments.iter().map(Vec::len).collect();
            let playlist = hls::playlist(
                &film.presentation,
                &RenditionId::parse(id).unwrap(),
                Flavour::Cmaf,
                Some(&protection),
            );
            let (target, lengths) = read(&playlist.unwrap().unwrap());
            let (peak, told) = (peak(target, &lengths, &sizes), stated(&manifest, id));
            // Room for what is not in every film: four slices in each of 25 pictures a second, 26 bytes more than one, or
            // 8 bytes of a vector with each of 47 frames of sound, where `cbcs` has one for all; and for boxes' heads.
            let each = if id == "audio-en" {
                47.0 * 8.0
            } else {
                25.0 * 26.0
            };
            let room = each * 8.0 + 400.0;
            assert!(
                peak <= told + 1e-6 && told <= peak + room,
                "{id}: {told}, not {peak}"
            );
        }
    }
}

#[test]
fn h265_is_not_offered_by_samples_in_transport_streams() {
    let film = pictures("hevc.72p.mp4").presentation;
    let id = RenditionId::parse("72p").unwrap();
    let protection = protection(&["identity"], Method::SampleAes, None);
    assert!(matches!(
        protection.covers(&film),
        Err(Error::Unsupported(_))
    ));
    let outcomes = [
        hls::master(&film, Flavour::Ts, Some(&protection)),
        hls::playlist(&film, &id, Flavour::Ts, Some(&protection)),
        hls::iframes(&film, &id, Flavour::Ts, Some(&protection)),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
    }
    // In CMAF, where it is a scheme, and as AAC, it is.
    for (id, flavour) in [("72p", Flavour::Cmaf), ("audio-en", Flavour::Ts)] {
        let id = RenditionId::parse(id).unwrap();
        let text = hls::playlist(&film, &id, flavour, Some(&protection));
        assert!(matches!(text, Ok(Some(_))));
    }
}

#[test]
fn listings_of_what_lies_elsewhere_lead_there_and_say_the_same_else() {
    let folder = "../@cenc,k2/";
    let films = [film().presentation, rich()];
    for film in films {
        for flavour in [Flavour::Cmaf, Flavour::Ts] {
            let method = match flavour {
                Flavour::Cmaf => Method::Cenc,
                Flavour::Ts => Method::Aes128,
            };
            let write = |protection| {
                let mut texts = vec![hls::master(&film, flavour, Some(protection)).unwrap()];
                if flavour == Flavour::Cmaf {
                    texts.push(dash::manifest(&film, Some(protection)).unwrap());
                }
                texts.into_iter().map(Option::unwrap)
            };
            let beside = protection(&ALL, method, None);
            let elsewhere = beside.clone().within(folder);
            for (beside, elsewhere) in write(&beside).zip(write(&elsewhere)) {
                let named = [
                    "playlist.m3u8",
                    "playlist_ts.m3u8",
                    "iframes.m3u8",
                    "iframes_ts.m3u8",
                    "init.mp4",
                    "segment_$",
                    "sheet_",
                    "subtitles.vtt",
                ];
                let all = named.map(|name| beside.matches(name).count());
                let all: usize = all.iter().sum();
                assert_eq!(elsewhere.matches(folder).count(), all, "{elsewhere}");
                assert_eq!(elsewhere.replace(folder, ""), beside);
            }
        }
    }
}
