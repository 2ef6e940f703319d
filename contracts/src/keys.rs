//! Content keys as the origin asks for them: what a film is encrypted with, and how players come to the keys.
//!
//! The control plane (or a file) answers with this document as JSON; ids and keys are 32 hexadecimal digits.
//! It is a secret as a whole: it travels between tiers only, and is kept in memory only.

use std::{collections::BTreeMap, fmt, num::NonZeroU32};

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
    /// Which of the film's sets of keys this is: its media are under addresses that name it.
    #[serde(default, skip_serializing_if = "KeySet::is_first")]
    pub set: KeySet,
    /// The keys over the film's time, from 0 on. Readers of today refuse more than one period.
    pub periods: Vec<KeyPeriod>,
    /// Sets that were replaced and still count, for players that began with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredKeys>,
}

/// The number of a film's set of keys. A film begins with the first; when its keys are rotated, the next one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySet(NonZeroU32);

/// A set of keys that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredKeys {
    /// Its number.
    pub set: KeySet,
    /// Its keys.
    pub periods: Vec<KeyPeriod>,
}

impl ContentKeys {
    /// The document as it is for one of the sets alone; none when that set does not count, or no longer.
    #[must_use]
    pub fn of_set(&self, set: KeySet) -> Option<Self> {
        let retired = || self.retired.iter().find(|retired| retired.set == set);
        let periods = if set == self.set {
            &self.periods
        } else {
            &retired()?.periods
        };
        Some(Self {
            video: self.video.clone(),
            systems: self.systems.clone(),
            license_urls: self.license_urls.clone(),
            set,
            periods: periods.clone(),
            retired: Vec::new(),
        })
    }
}

impl KeySet {
    /// The set that a film begins with. Addresses without a number are its media's.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Whether it is the one that a film begins with.
    #[must_use]
    pub fn is_first(&self) -> bool {
        *self == Self::FIRST
    }

    /// The set that replaces it; none after as many as there are numbers.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// Reads the digits of a set, in the one spelling that it has.
    #[must_use]
    pub fn parse(digits: &str) -> Option<Self> {
        let number: NonZeroU32 = digits.parse().ok()?;
        (number.to_string() == digits).then_some(Self(number))
    }
}

impl Default for KeySet {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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

impl System {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Identity,
        Self::ClearKey,
        Self::Widevine,
        Self::PlayReady,
        Self::FairPlay,
    ];

    /// The word that it is written as.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::ClearKey => "clearkey",
            Self::Widevine => "widevine",
            Self::PlayReady => "playready",
            Self::FairPlay => "fairplay",
        }
    }

    /// The system of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.as_str() == word)
    }
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
    fn each_set_that_counts_is_a_document_of_its_own() {
        let rotated = DOCUMENT
            .replace("\"periods\"", "\"set\":3,\"periods\"")
            .replace(
                "}]}]}",
                "}]}],\"retired\":[{\"set\":2,\"periods\":[{\"start_ms\":0,\"keys\":[]}]}]}",
            );
        let keys: ContentKeys = serde_json::from_str(&rotated).unwrap();
        assert_eq!(serde_json::to_string(&keys).unwrap(), rotated);
        let [first, second, third] = ["1", "2", "3"].map(|set| KeySet::parse(set).unwrap());
        assert_eq!(keys.of_set(first), None);
        let old = keys.of_set(second).unwrap();
        assert_eq!((old.set, old.periods[0].keys.len()), (second, 0));
        let now = keys.of_set(third).unwrap();
        assert_eq!((now.periods, now.retired), (keys.periods, Vec::new()));
        for text in ["0", "02", "-1", "+1", "", "4294967296"] {
            assert_eq!(KeySet::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_system_is_written_in_one_way() {
        for system in System::ALL {
            let written = serde_json::to_value(system).unwrap();
            assert_eq!(written, system.as_str());
            assert_eq!(System::parse(system.as_str()), Some(system));
        }
        assert_eq!(System::parse("Widevine"), None);
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
