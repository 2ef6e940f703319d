//! Any bytes as a document of content keys: keys that no manifest and no text betrays, or an error.

use std::{io::Cursor, sync::Arc, sync::LazyLock, time::Duration};

use contracts::{
    address::{KeyFormat, Protection as Method},
    id::RenditionId,
    keys::ContentKeys,
};
use packager::{Presentation, Source, fmp4, index, protect::Protection};

/// Reads `data` and writes all that is told of its keys.
pub fn check(data: &[u8]) {
    let Ok(keys) = serde_json::from_slice::<ContentKeys>(data) else {
        return;
    };
    let again = serde_json::to_vec(&keys).expect("keys are JSON");
    assert_eq!(serde_json::from_slice::<ContentKeys>(&again).expect("their own text"), keys);
    betrays_nothing(&keys, &format!("{keys:?}"));
    for method in [Method::Cenc, Method::Cbcs, Method::Aes128, Method::SampleAes] {
        for format in [None, Some(KeyFormat::Identity), Some(KeyFormat::ClearKey)] {
            if let Ok(protection) = Protection::new(&keys, method, format) {
                told(&keys, &protection);
            }
        }
    }
}

fn told(keys: &ContentKeys, protection: &Protection) {
    betrays_nothing(keys, &format!("{protection:?}"));
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
            assert!(matches!(attributes.matches('"').count(), 2 | 6), "{attributes}");
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

/// No key stands in a text in hexadecimal digits, unless something public is the same.
fn betrays_nothing(keys: &ContentKeys, text: &str) {
    let text = text.to_ascii_lowercase();
    let public = |hidden: &str| {
        let own = |key: &contracts::keys::ContentKey| {
            key.kid.to_string() == hidden || key.iv.is_some_and(|iv| hex::encode(iv.0) == hidden)
        };
        let mut all = keys.periods.iter().flat_map(|period| &period.keys);
        let mut urls = keys.license_urls.values();
        all.any(own) || urls.any(|url| url.to_ascii_lowercase().contains(hidden))
    };
    for key in keys.periods.iter().flat_map(|period| &period.keys) {
        let hidden = hex::encode(key.key.0);
        assert!(!text.contains(&hidden) || public(&hidden), "a key shows itself");
    }
}

/// A picture and a sound.
static FILM: LazyLock<Presentation> = LazyLock::new(|| {
    let source = |id: &str, file: &[u8]| Source {
        id: RenditionId::parse(id).expect("an id"),
        language: None,
        index: Arc::new(index::build(Cursor::new(file)).expect("a clip")),
    };
    let video = source("54p", include_bytes!("../../packager/tests/data/film.54p.mp4"));
    let audio = source("audio-en", include_bytes!("../../packager/tests/data/film.audio-en.mp4"));
    Presentation::new(vec![video, audio], Duration::from_secs(4)).expect("a film")
});
