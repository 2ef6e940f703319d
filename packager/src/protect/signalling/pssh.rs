//! The `pssh` box: what one system wants to know (ISO/IEC 23001-7 §8.1).

use contracts::keys::{KeyId, System};

use crate::protect::{
    Key, Protection, Scheme,
    signalling::{playready, widevine},
};

/// One box for each system of a film that has one. FairPlay and keys given as they are have none.
///
/// Clear Key's lists every key of the film, the track's first: hls.js opens one session for all tracks, with what it
/// meets first. Whoever gives licences leaves out the keys that a viewer may not have.
#[must_use]
pub fn all(protection: &Protection, key: &Key) -> Vec<Vec<u8>> {
    let Some(scheme) = protection.scheme() else {
        return Vec::new();
    };
    let of = |system: &System| match system {
        System::Widevine => Some(widevine::pssh(key.id(), scheme)),
        System::PlayReady => Some(playready::pssh(
            key,
            scheme,
            protection.license_url(System::PlayReady),
        )),
        System::ClearKey => Some(common(&protection.key_ids(key))),
        System::Identity | System::FairPlay => None,
    };
    protection.systems().iter().filter_map(of).collect()
}

/// The W3C common box, which names keys and no system of its own.
#[must_use]
pub fn common(keys: &[KeyId]) -> Vec<u8> {
    boxed(&COMMON, Some(keys), &[])
}

/// A box of version 1 that lists keys, or of version 0 where there is no list.
pub(super) fn boxed(system: &[u8; 16], keys: Option<&[KeyId]>, data: &[u8]) -> Vec<u8> {
    let list = keys.map_or(0, |keys| 4 + keys.len() * 16);
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Vec::with_capacity(32 + list + data.len());
    out.extend(number(32 + list + data.len()));
    out.extend(b"pssh");
    out.extend([u8::from(keys.is_some()), 0, 0, 0]);
    out.extend(system);
    if let Some(keys) = keys {
        out.extend(number(keys.len()));
        out.extend(keys.iter().flat_map(|key| key.0));
    }
    out.extend(number(data.len()));
    out.extend(data);
    out
}

impl Scheme {
    /// Its four-character code as a number.
    pub(super) fn number(self) -> u32 {
        u32::from_be_bytes(*self.fourcc())
    }
}

const COMMON: [u8; 16] = [
    0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b,
];
