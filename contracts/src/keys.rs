//! Content keys as the origin asks for them: what a film is encrypted with, and how players come to the keys.
//!
//! The control plane (or a file) answers with this document as JSON; ids and keys are 32 hexadecimal digits.
//! It is a secret as a whole: it travels between tiers only, and is kept in memory only.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::VideoId;

/// The keys of a film.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentKeys {
    /// The film.
    pub video: VideoId,
    /// Which systems may give the keys to players.
    pub systems: Vec<System>,
    /// Where licences are asked for, for systems whose manifests say so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub license_urls: BTreeMap<System, String>,
    /// The keys over the film's time, from 0 on. Readers of today refuse more than one period.
    pub periods: Vec<KeyPeriod>,
}

/// The keys of a stretch of a film.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPeriod {
    /// When it begins, in milliseconds.
    pub start_ms: u64,
    /// Its keys; the first that fits a track is its key.
    pub keys: Vec<ContentKey>,
}

/// One key and the tracks that it encrypts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentKey {
    /// Its name, which is public.
    pub kid: KeyId,
    /// The key itself.
    pub key: KeyValue,
    /// The constant initialization vector of `cbcs`; where there is none, it is derived from the key's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iv: Option<Iv>,
    /// The tracks that it encrypts; empty: all.
    #[serde(default)]
    pub tracks: Vec<TrackType>,
}

/// A system that brings keys to players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// The origin gives the key itself to whoever may fetch the segments (HLS `identity`).
    Identity,
    /// W3C Clear Key.
    ClearKey,
    /// Google Widevine.
    Widevine,
    /// Microsoft PlayReady.
    PlayReady,
    /// Apple FairPlay Streaming.
    FairPlay,
}

/// Classes of tracks that have keys of their own, so that a licence can be given for some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackType {
    /// Sound.
    Audio,
    /// Pictures whose shorter side is up to 576 pixels.
    Sd,
    /// Pictures above that, up to 1080.
    Hd,
    /// Pictures above that.
    Uhd,
}

/// The name of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

/// An initialization vector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Iv(pub [u8; 16]);

/// A key. It has no text form but the document's.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue(pub [u8; 16]);

macro_rules! hexadecimal {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let mut bytes = [0; 16];
                // The text may be a key: the error must not repeat it.
                hex::decode_to_slice(&text, &mut bytes)
                    .map_err(|_| serde::de::Error::custom("not 32 hexadecimal digits"))?;
                Ok(Self(bytes))
            }
        }
    )+};
}

hexadecimal!(KeyId, Iv, KeyValue);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Debug for Iv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iv({})", hex::encode(self.0))
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyValue(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"video":"film","systems":["identity","playready"],"license_urls":{"playready":"https://licences.example/pr"},"periods":[{"start_ms":0,"keys":[{"kid":"000102030405060708090a0b0c0d0e0f","key":"69eaa802a6763af979e8d1940fb88392","tracks":["audio","sd"]}]}]}"#;

    #[test]
    fn the_document_reads_back_from_its_own_text() {
        let keys: ContentKeys = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(keys.systems, [System::Identity, System::PlayReady]);
        assert_eq!(serde_json::to_string(&keys).unwrap(), DOCUMENT);
    }

    #[test]
    fn a_key_shows_itself_neither_in_debug_text_nor_in_errors() {
        let keys: ContentKeys = serde_json::from_str(DOCUMENT).unwrap();
        assert!(!format!("{keys:?}").contains("69eaa802"));
        let damaged = DOCUMENT.replace("69eaa802", "69eaa80x");
        let error = serde_json::from_str::<ContentKeys>(&damaged).unwrap_err();
        assert!(!error.to_string().contains("6763af979e8"), "{error}");
    }
}
