//! Widevine: a `pssh` box of version 0 whose data are a protocol buffer with the key's name and the scheme.

use contracts::keys::KeyId;

use crate::protect::{Scheme, signalling::pssh};

/// Writes the box.
#[must_use]
pub fn pssh(key: KeyId, scheme: Scheme) -> Vec<u8> {
    pssh::boxed(&SYSTEM, None, &data(key, scheme))
}

/// `WidevinePsshData`: `key_ids` (2) and `protection_scheme` (9).
fn data(key: KeyId, scheme: Scheme) -> Vec<u8> {
    let mut out = vec![2 << 3 | LENGTH_DELIMITED, 16];
    out.extend(key.0);
    out.push(9 << 3);
    let mut rest = scheme.number();
    while rest > 0x7f {
        let [low, ..] = rest.to_le_bytes();
        out.push(low | 0x80);
        rest >>= 7;
    }
    let [last, ..] = rest.to_le_bytes();
    out.push(last);
    out
}

/// The system's UUID.
pub const SYSTEM: [u8; 16] = [
    0xed, 0xef, 0x8b, 0xa9, 0x79, 0xd6, 0x4a, 0xce, 0xa3, 0xc8, 0x27, 0xdc, 0xd5, 0x1d, 0x21, 0xed,
];
const LENGTH_DELIMITED: u8 = 2;
