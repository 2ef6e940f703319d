//! How players learn which keys they need and who gives them: `pssh` boxes, HLS key tags, DASH elements.

pub mod dash;
mod export;
pub mod hls;
pub mod playready;
pub mod pssh;
pub mod widevine;

pub use export::Signals;

use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::keys::KeyId;

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The text form of RFC 9562 §4.
fn uuid(id: &[u8; 16]) -> String {
    let digits = hex::encode(id);
    let groups =
        [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| digits.get(group).unwrap_or_default());
    groups.join("-")
}

/// The bytes of a key's name in Microsoft's order: the first three fields of the UUID are little-endian.
#[must_use]
pub fn guid(id: KeyId) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = id.0;
    let mut guid = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    for (place, byte) in guid.iter_mut().skip(8).zip(rest) {
        *place = byte;
    }
    guid
}
