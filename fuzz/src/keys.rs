//! Any bytes as a document of content keys: keys that no manifest and no text betrays, or an error.

use std::{io::Cursor, sync::Arc, sync::LazyLock, time::Duration};

use contracts::{
    address::{Flavour, KeyFormat, Protection as Method},
    id::RenditionId,
    keys::ContentKeys,
};
use packager::{Parts, Presentation, Source, dash, fmp4, hls, index, protect::Protection};

/// Reads `data` and writes all that is told of its keys.
pub fn check(data: &[u8]) {
    let Ok(keys) = serde_json::from_slice::<ContentKeys>(data) else {
        return;
    };
    let again = serde_json::to_vec(&keys).expect("keys are JSON");
    assert_eq!(
        serde_json::from_slice::<ContentKeys>(&again).expect("their own text"),
        keys
    );
    betrays_nothing(&keys, &format!("{keys:?}"));
    for method in [
        Method::Cenc,
        Method::Cbcs,
        Method::Aes128,
        Method::SampleAes,
    ] {
        for format in [None, Some(KeyFormat::Identity), Some(KeyFormat::ClearKey)] {
            if let Ok(protection) = Protection::new(&keys, method, format) {
                told(&keys, &protection);
            }
        }
    }
}

fn told(keys: &ContentKeys, protection: &Protection) {
    betrays_nothing(keys, &format!("{protection:?}"));
    let protection = Some(protection);
    let mut texts = vec![dash::manifest(&FILM, protection)];
    for flavour in [Flavour::Cmaf, Flavour::Ts] {
        texts.push(hls::master(&FILM, flavour, protection));
        for rendition in FILM.renditions() {
            texts.push(hls::playlist(&FILM, rendition.id(), flavour, protection));
            texts.push(hls::iframes(&FILM, rendition.id(), flavour, protection));
        }
    }
    let texts = texts.into_iter().flatten().flatten();
    texts.for_each(|text| betrays_nothing(keys, &text));
    protection
        .into_iter()
        .for_each(|protection| told_of_tracks(keys, protection));
}

fn told_of_tracks(keys: &ContentKeys, protection: &Protection) {
    for rendition in FILM.renditions() {
        let Some(key) = protection.key(rendition) else {
            assert!(protection.track(rendition).is_err());
            continue;
        };
        betrays_nothing(keys, &format!("{key:?}"));
        for tag in protection.hls_keys(key).into_iter().flatten() {
            let attributes = tag.attributes();
            assert!(!attributes.contains(char::is_control), "a tag is one line");
            // Method, URI, IV, key's name, format and versions: two quotes a quoted one.
            assert!(
                matches!(attributes.matches('"').count(), 2 | 6),
                "{attributes}"
            );
            betrays_nothing(keys, &attributes);
        }
        let element = protection.dash_content_protection(key);
        assert_eq!(element.matches('<').count(), element.matches('>').count());
        assert!(element.chars().all(is_xml), "{element:?}");
        betrays_nothing(keys, &element);
        let track = protection.track(rendition).expect("it has a key");
        let _ = fmp4::init(rendition.index(), Some(&track));
    }
}

/// A character of XML 1.0 (§2.2).
fn is_xml(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// No key stands in a text in hexadecimal digits, unless something public has the same digits.
fn betrays_nothing(keys: &ContentKeys, text: &str) {
    let all = || keys.periods.iter().flat_map(|period| &period.keys);
    let text = text.to_ascii_lowercase();
    for key in all() {
        let hidden = hex::encode(key.key.0);
        if !text.contains(&hidden) {
            continue;
        }
        let names = all().map(|key| key.kid.to_string());
        let vectors = all().filter_map(|key| key.iv.map(|iv| hex::encode(iv.0)));
        // What a manifest leaves out of an address may join digits.
        let digits = |text: &str| {
            text.chars()
                .filter(char::is_ascii_hexdigit)
                .collect::<String>()
        };
        let urls = keys.license_urls.values().map(|url| digits(url));
        let film = digits(keys.video.as_str());
        let mut public = names.chain(vectors).chain(urls).chain([film]);
        let is_public = public.any(|public| public.to_ascii_lowercase().contains(&hidden));
        assert!(is_public, "a key shows itself");
    }
}

/// A picture and a sound.
static FILM: LazyLock<Presentation> = LazyLock::new(|| {
    let source = |id: &str, file: &[u8]| Source {
        id: RenditionId::parse(id).expect("an id"),
        language: None,
        label: None,
        index: Arc::new(index::build(Cursor::new(file)).expect("a clip")),
    };
    let video = source(
        "54p",
        include_bytes!("../../packager/tests/data/film.54p.mp4"),
    );
    let audio = source(
        "audio-en",
        include_bytes!("../../packager/tests/data/film.audio-en.mp4"),
    );
    let parts = Parts {
        sources: vec![video, audio],
        ..Parts::default()
    };
    Presentation::new(parts, Duration::from_secs(4)).expect("a film")
});
