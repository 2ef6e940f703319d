//! A view of a film: the same pictures and sounds, packed another way.

use std::fmt;

use crate::keys::KeySet;

/// How a film is packed when its default way does not suit a player: a path segment behind the film's id, `@` and
/// words in this order, separated by commas: a [`Protection`], a [`KeyFormat`], a set of keys `k2` and so on, a segment
/// length `2s` to `6s`.
///
/// `/v/abc/@cenc,2s/manifest.mpd`, for instance. Relative URLs stay inside the view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// How a protected film is encrypted; none: `cbcs` in CMAF, `aes128` in transport streams.
    pub protection: Option<Protection>,
    /// How HLS playlists name the keys; none: for the DRM systems that the film is meant for.
    pub key_format: Option<KeyFormat>,
    /// The set of keys that it is encrypted with; none: the first, and of what lists the film the one that counts.
    /// The first has no word.
    pub keys: Option<KeySet>,
    /// The length of a segment that is aimed at, in seconds, 2 to 6; none: as the origin is configured.
    pub segment_s: Option<u8>,
}

/// How media is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Common encryption, AES-CTR (ISO/IEC 23001-7 §10.1): CMAF only.
    Cenc,
    /// Common encryption, AES-CBC in a pattern (ISO/IEC 23001-7 §10.4): CMAF only.
    Cbcs,
    /// Whole segments, AES-CBC (RFC 8216 §4.3.2.4): HLS only.
    Aes128,
    /// Samples inside a transport stream (HLS `SAMPLE-AES`): transport streams only.
    SampleAes,
}

/// How an HLS playlist names a key to players without a DRM system of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFormat {
    /// `identity`: the key itself lies behind a URL (RFC 8216 §4.3.2.4).
    Identity,
    /// `org.w3.clearkey`: a licence server gives it (W3C Encrypted Media Extensions, Clear Key).
    ClearKey,
}

impl View {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_default(self) -> bool {
        self == Self::default()
    }

    /// Parses the words of a view, without `@`; none unless they are spelt in the one canonical way.
    #[must_use]
    pub fn parse(words: &str) -> Option<Self> {
        let mut view = Self::default();
        for word in words.split(',') {
            match word {
                "cenc" => view.protection = Some(Protection::Cenc),
                "cbcs" => view.protection = Some(Protection::Cbcs),
                "aes128" => view.protection = Some(Protection::Aes128),
                "sampleaes" => view.protection = Some(Protection::SampleAes),
                "identity" => view.key_format = Some(KeyFormat::Identity),
                "clearkey" => view.key_format = Some(KeyFormat::ClearKey),
                set if set.starts_with('k') => {
                    let set = KeySet::parse(set.strip_prefix('k')?)?;
                    view.keys = Some(set).filter(|set| !set.is_first());
                }
                "2s" => view.segment_s = Some(2),
                "3s" => view.segment_s = Some(3),
                "4s" => view.segment_s = Some(4),
                "5s" => view.segment_s = Some(5),
                "6s" => view.segment_s = Some(6),
                _ => return None,
            }
        }
        // Written anew it must be the same: order, repetition and contradiction are caught at once.
        (view.to_string() == words).then_some(view)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.protection
                .map(|protection| protection.as_str().to_owned()),
            self.key_format.map(|format| format.as_str().to_owned()),
            self.keys.map(|set| format!("k{set}")),
            self.segment_s.map(|seconds| format!("{seconds}s")),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        f.write_str(&words.join(","))
    }
}

impl Protection {
    /// The word that a view spells it with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cenc => "cenc",
            Self::Cbcs => "cbcs",
            Self::Aes128 => "aes128",
            Self::SampleAes => "sampleaes",
        }
    }
}

impl KeyFormat {
    /// The word that a view spells it with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::ClearKey => "clearkey",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_reads_back_from_its_own_words() {
        for words in [
            "cenc",
            "clearkey",
            "2s",
            "cbcs,identity",
            "cenc,clearkey,6s",
            "aes128,3s",
            "k2",
            "cbcs,clearkey,k4294967295,6s",
        ] {
            assert_eq!(
                View::parse(words).map(|view| view.to_string()).as_deref(),
                Some(words)
            );
        }
    }

    #[test]
    fn a_view_has_one_spelling() {
        for words in [
            "",
            ",",
            "1s",
            "7s",
            "02s",
            "2s,cenc",
            "cenc,cbcs",
            "cenc,cenc",
            "cenc,",
            "CENC",
            "clear",
            "k",
            "k0",
            "k1",
            "k02",
            "k4294967296",
            "2s,k2",
            "k2,clearkey",
        ] {
            assert_eq!(View::parse(words), None, "{words}");
        }
    }
}
