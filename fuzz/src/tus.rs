//! Any bytes in the header fields of tus: what is read of them stands there and is bounded, or they are refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};

use self::words::{Checksum, Concat, Metadata, number};

#[path = "../../ingest/src/tus/words.rs"]
#[expect(dead_code, reason = "ingest itself makes use of more of it")]
mod words;

/// Reads `data` as the value of each field.
pub fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let names = [words::LENGTH, words::METADATA, words::CHECKSUM, words::CONCAT];
    let fields = names.map(|name| (HeaderName::from_static(name), value.clone()));
    let headers = HeaderMap::from_iter(fields);
    // What is not text is read as nothing.
    let text = value.to_str().unwrap_or_default();
    if let Ok(Some(read)) = number(&headers, words::LENGTH) {
        let digits = text.trim_start_matches('0');
        let shown = if read == 0 { String::new() } else { read.to_string() };
        assert!(digits == shown || read == u64::MAX, "{text} is {read}");
    }
    if let Ok(read) = Metadata::of(&headers) {
        assert!(read.text.len() <= MOST_METADATA);
        assert_eq!(read.text.parse(), Ok(read.clone()), "it is shown as it was sent");
        for key in text.split([',', ' ']) {
            let value = read.value(&[key]).unwrap_or_default().unwrap_or_default();
            assert!(value.len() <= text.len() && text.contains(&STANDARD.encode(value)));
        }
        let _ = (read.privacy(), read.protected());
    }
    if let Ok(Some(read)) = Checksum::of(&headers) {
        let digest = match &read {
            Checksum::Sha1(digest) => STANDARD.encode(digest),
            Checksum::Sha256(digest) => STANDARD.encode(digest),
        };
        assert!(text.ends_with(&digest), "{text}");
    }
    if let Ok(Some(Concat::Final(parts))) = Concat::of(&headers) {
        assert!((1..=MOST_PARTS).contains(&parts.len()));
        for (at, part) in parts.iter().enumerate() {
            assert!(text.contains(part.as_str()) && !parts[..at].contains(part), "{text}");
        }
    }
}

const MOST_METADATA: usize = 8 << 10;
const MOST_PARTS: usize = 100;
