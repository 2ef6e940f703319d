//! What playlists and manifests of protected films say, in every view that players are known to need.

use std::time::Duration;

use contracts::{
    address::{Flavour, KeyFormat, Protection as Method},
    id::RenditionId,
    keys::{ContentKeys, System, TrackType},
};
use packager::{Error, Presentation, dash, hls, protect::Protection};

use crate::{
    films::{Film, clip, film, indexed, media},
    playlists::all_protected,
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
fn bandwidth_is_at_least_the_rate_of_every_encrypted_segment_of_some_length() {
    let film: Film = film();
    for method in [Method::Cenc, Method::Cbcs] {
        let protection = protection(&["clearkey"], method, None);
        let manifest = dash::manifest(&film.presentation, Some(&protection));
        let manifest = manifest.unwrap().unwrap();
        for id in ["54p", "90p", "audio-en"] {
            let (rendition, _) = film.rendition(id);
            let timescale = f64::from(rendition.index().track().timescale);
            let segments = film.encrypted(id, &protection).split_off(1);
            for (segment, bytes) in rendition.segments().zip(segments) {
                let seconds = segment.duration as f64 / timescale;
                let rate = bytes.len() as f64 * 8.0 / seconds;
                // RFC 8216 §4.1 takes no peak over less than half the target duration, here 4 s.
                assert!(
                    seconds < 2.0 || rate <= stated(&manifest, id),
                    "{id}: {rate}"
                );
            }
        }
    }
}
