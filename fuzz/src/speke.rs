//! Any text as a CPIX document that wants to be filled in: one of the same content, of a bounded size, or a refusal.

use contracts::keys::{ContentKey, Iv, KeyId, KeyValue};
use quick_xml::Reader;
use quick_xml::events::Event;

use self::filling::{Filling, content_id};

#[path = "../../control-plane/src/drm/filling.rs"]
mod filling;
#[path = "../../control-plane/src/drm/systems.rs"]
mod systems;

/// Fills in `data`, of which no more is read than the control plane takes.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data.get(..MOST).unwrap_or(data)) else {
        return;
    };
    let Ok(content) = content_id(text) else {
        return;
    };
    let Ok(filled) = Filling::new(text, &draw).fill() else {
        return;
    };
    assert!(filled.len() <= MOST_FOR_A_BYTE * text.len());
    let filled = String::from_utf8(filled).expect("what was text is text");
    assert_eq!(content_id(&filled).ok(), Some(content));
    let mut reader = Reader::from_str(&filled);
    while reader.read_event().expect("it is XML") != Event::Eof {}
}

fn draw(kid: KeyId) -> ContentKey {
    ContentKey {
        kid,
        key: KeyValue(kid.0),
        iv: Some(Iv([1; 16])),
        tracks: Vec::new(),
    }
}

const MOST: usize = 64 * 1024;

/// The longest that is told stands in place of the shortest element.
const MOST_FOR_A_BYTE: usize = 512;
