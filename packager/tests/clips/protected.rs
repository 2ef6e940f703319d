//! Encrypted renditions: another implementation decrypts them to the mezzanine's samples, and they are the same bytes
//! wherever they are cut.

use bytes::Bytes;
use contracts::{
    address::Protection as Method,
    keys::{ContentKeys, TrackType},
};
use mp4decrypt::Ap4CencDecryptingProcessor;
use packager::{
    Error, fmp4,
    protect::{Protection, Scheme},
};
use serde_json::json;

use crate::films::{Film, film, modern, pictures, radio, range, vector};

pub(crate) const PICTURE: (&str, &str) = (
    "000102030405060708090a0b0c0d0e0f",
    "69eaa802a6763af979e8d1940fb88392",
);
pub(crate) const SOUND: (&str, &str) = (
    "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
    "100b6c20940f779a4589152b57d2dacb",
);

/// A key for pictures, one for sound, and these systems.
pub(crate) fn keys(systems: &[&str]) -> ContentKeys {
    serde_json::from_value(json!({
        "video": "film",
        "systems": systems,
        "license_urls": {"widevine": "https://licences.example/wv?a=1&b=2"},
        "periods": [{"start_ms": 0, "keys": [
            {"kid": PICTURE.0, "key": PICTURE.1, "tracks": ["sd", "hd"]},
            {"kid": SOUND.0, "key": SOUND.1, "tracks": ["audio"]},
        ]}],
    }))
    .unwrap()
}

fn protection(method: Method) -> Protection {
    Protection::new(&keys(&["clearkey"]), method, None).unwrap()
}

/// The body of the last box of a segment.
fn media(segment: &[u8]) -> &[u8] {
    let mut rest = segment;
    loop {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        if &rest[4..8] == b"mdat" {
            return &rest[8..size];
        }
        rest = &rest[size..];
    }
}

/// The samples of each segment, side by side.
fn wanted(film: &Film, id: &str) -> Vec<Vec<u8>> {
    let (rendition, mezzanine) = film.rendition(id);
    let samples = rendition.index().samples();
    let segments = rendition.segments().map(|segment| {
        let places = samples[segment.samples]
            .iter()
            .map(|sample| sample.offset..sample.end());
        places
            .flat_map(|place| mezzanine[range(&place)].to_vec())
            .collect()
    });
    segments.collect()
}

fn decrypted(init: &[u8], segment: &[u8]) -> Vec<u8> {
    let processor = Ap4CencDecryptingProcessor::new()
        .key(PICTURE.0, PICTURE.1)
        .and_then(|builder| builder.key(SOUND.0, SOUND.1))
        .and_then(|builder| builder.build())
        .unwrap();
    processor.decrypt(segment, Some(init)).unwrap()
}

#[test]
fn another_implementation_decrypts_every_segment_to_the_samples_of_the_mezzanine() {
    for method in [Method::Cenc, Method::Cbcs] {
        let protection = protection(method);
        let films = [
            (film(), "90p"),
            (film(), "audio-en"),
            (film().cut_by(6), "54p"),
            (vector("264"), "any"),
            (vector("4s"), "any"),
            (vector("265"), "any"),
            (pictures("hevc.72p.mp4"), "72p"),
            (modern("hevc.72p.mp4"), "audio-en"),
            (vector("a264"), "any"),
        ];
        for (film, id) in films {
            let parts = film.encrypted(id, &protection);
            let wanted = wanted(&film, id);
            assert_eq!(parts.len(), wanted.len() + 1);
            for (segment, wanted) in parts[1..].iter().zip(&wanted) {
                assert_ne!(media(segment), wanted, "{id} is encrypted");
                assert_eq!(media(segment).len(), wanted.len());
                let clear = decrypted(&parts[0], segment);
                assert!(media(&clear) == wanted, "{id} in {method:?}");
            }
        }
    }
}

/// The encrypted samples of a rendition, side by side over all segments.
fn encrypted_media(film: &Film, id: &str, protection: &Protection) -> Vec<u8> {
    let parts = film.encrypted(id, protection);
    parts[1..]
        .iter()
        .flat_map(|segment| media(segment).to_vec())
        .collect()
}

#[test]
fn a_sample_has_the_same_bytes_in_segments_of_any_length() {
    for method in [Method::Cenc, Method::Cbcs] {
        let protection = protection(method);
        for id in ["90p", "audio-en"] {
            let short = film().cut_by(2);
            let long = film().cut_by(6);
            assert_ne!(
                short.rendition(id).0.segment_count(),
                long.rendition(id).0.segment_count()
            );
            let bytes = encrypted_media(&short, id, &protection);
            assert!(bytes == encrypted_media(&long, id, &protection));
            assert_eq!(
                short.encrypted(id, &protection),
                film().cut_by(2).encrypted(id, &protection)
            );
        }
    }
}

#[test]
fn no_two_samples_of_a_key_share_a_vector() {
    let protection = protection(Method::Cenc);
    let film = film();
    let mut vectors = Vec::new();
    for id in ["54p", "90p"] {
        for segment in &film.encrypted(id, &protection)[1..] {
            let at = segment.windows(4).position(|four| four == b"senc").unwrap() + 8;
            let count = u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
            let mut entry = at + 4;
            for _ in 0..count {
                vectors.push(segment[entry..entry + 8].to_vec());
                let parts = usize::from(segment[entry + 8]) << 8 | usize::from(segment[entry + 9]);
                entry += 10 + parts * 6;
            }
        }
    }
    let all = vectors.len();
    assert_eq!(all, film.rendition("54p").0.index().samples().len() * 2);
    vectors.sort();
    vectors.dedup();
    assert_eq!(vectors.len(), all);
}

#[test]
fn media_data_that_stay_clear_are_slices_of_the_source() {
    let film = film();
    let (rendition, mezzanine) = film.rendition("90p");
    let whole = Bytes::copy_from_slice(mezzanine);
    for segment in rendition.segments() {
        let source = whole.slice(range(&segment.bytes));
        let packed = fmp4::segment(rendition.index(), &segment, &source, None).unwrap();
        let places = source.as_ptr_range();
        let [_, media @ ..] = packed.pieces() else {
            panic!("there is no head")
        };
        assert!(!media.is_empty() && media.len() < segment.samples.len());
        for piece in media {
            assert!(places.contains(&piece.as_ptr()), "a piece is a copy");
        }
    }
}

#[test]
fn a_track_has_the_key_of_its_class_or_none() {
    let protection = protection(Method::Cbcs);
    let film = film();
    let id = |rendition: &str| {
        protection
            .key(film.rendition(rendition).0)
            .unwrap()
            .id()
            .to_string()
    };
    assert_eq!([id("54p"), id("audio-en")], [PICTURE.0, SOUND.0]);
    assert!(protection.covers(&film.presentation).is_ok());
    let mut keys = keys(&[]);
    keys.periods[0].keys.pop();
    let deaf = Protection::new(&keys, Method::Cbcs, None).unwrap();
    assert!(deaf.key(radio().rendition("audio-en").0).is_none());
    assert!(matches!(
        deaf.covers(&film.presentation),
        Err(Error::Keys(_))
    ));
    keys.periods[0].keys[0].tracks = vec![TrackType::Uhd];
    let large = Protection::new(&keys, Method::Cbcs, None).unwrap();
    assert!(large.track(film.rendition("90p").0).is_err());
    keys.periods[0].keys[0].tracks.clear();
    let one = Protection::new(&keys, Method::Cbcs, None).unwrap();
    assert!(
        one.covers(&film.presentation).is_ok(),
        "a key without classes is for all"
    );
    keys.periods.push(keys.periods[0].clone());
    assert!(Protection::new(&keys, Method::Cbcs, None).is_err());
}

#[test]
fn codecs_without_rules_for_their_slices_are_refused_in_time() {
    let keys = keys(&["clearkey"]);
    for clip in ["av1.72p.mp4", "vp9.72p.mp4"] {
        let film = modern(clip);
        for method in [Method::Cenc, Method::Cbcs] {
            let protection = Protection::new(&keys, method, None).unwrap();
            assert!(matches!(
                protection.covers(&film.presentation),
                Err(Error::Unsupported(_))
            ));
            let (rendition, mezzanine) = film.rendition("72p");
            let track = protection.track(rendition).unwrap();
            let segment = rendition.segment(1).unwrap();
            let source = Bytes::copy_from_slice(&mezzanine[range(&segment.bytes)]);
            assert!(fmp4::segment(rendition.index(), &segment, &source, Some(&track)).is_err());
        }
        let whole = Protection::new(&keys, Method::Aes128, None).unwrap();
        assert!(whole.covers(&film.presentation).is_ok());
    }
}

#[test]
fn what_is_encrypted_as_a_whole_segment_is_clear_inside() {
    let protection = protection(Method::Aes128);
    assert_eq!(protection.scheme(), None::<Scheme>);
    assert_eq!(film().encrypted("90p", &protection), film().cmaf("90p"));
}

#[test]
fn sample_aes_of_cmaf_is_cbcs() {
    let [sample_aes, cbcs] = [Method::SampleAes, Method::Cbcs].map(protection);
    assert_eq!(
        film().encrypted("90p", &sample_aes),
        film().encrypted("90p", &cbcs)
    );
}

#[test]
fn keys_do_not_show_themselves() {
    let protection = protection(Method::Cenc);
    let film = film();
    let track = protection.track(film.rendition("90p").0).unwrap();
    let text = format!("{protection:?} {track:?}");
    assert!(text.contains(PICTURE.0), "their names are public");
    assert!(
        !text.contains("69eaa8") && !text.contains("105, 234"),
        "{text}"
    );
}
