//! The key tags of HLS playlists (RFC 8216 §4.3.2.4, and its second edition for `SAMPLE-AES-CTR` and `KEYID`).

use std::fmt::Write;

use contracts::{
    address::{KeyFormat, Protection as Method},
    keys::{KeyId, System},
};

use crate::{
    Error,
    escape::Quoted,
    protect::{
        Key, Protection, Scheme,
        signalling::{base64, playready, uuid, widevine},
    },
};

/// What one `EXT-X-KEY` or `EXT-X-SESSION-KEY` tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTag {
    /// How the media is encrypted.
    pub method: &'static str,
    /// Where the key is, or what a system wants to know.
    pub uri: String,
    /// The system; none for the key as it is (`identity`).
    pub key_format: Option<String>,
    /// The versions of the format that the tag obeys; none for `identity`.
    pub versions: Option<&'static str>,
    /// The key's name, where the format says it in the tag.
    pub key_id: Option<KeyId>,
    /// The initialization vector, where it is neither in the media nor the media sequence number.
    pub iv: Option<[u8; 16]>,
}

impl KeyTag {
    /// The tag's attribute list, as it stands behind `#EXT-X-KEY:`.
    #[must_use]
    pub fn attributes(&self) -> String {
        let mut out = format!("METHOD={},URI={}", self.method, Quoted(&self.uri));
        if let Some(iv) = &self.iv {
            let _ = write!(out, ",IV=0x{}", hex::encode(iv));
        }
        if let Some(key) = &self.key_id {
            let _ = write!(out, ",KEYID=0x{key}");
        }
        if let Some(format) = &self.key_format {
            let _ = write!(out, ",KEYFORMAT={}", Quoted(format));
        }
        if let Some(versions) = self.versions {
            let _ = write!(out, ",KEYFORMATVERSIONS={}", Quoted(versions));
        }
        out
    }

    /// Whether a master playlist may name it: its meaning does not depend on the playlist's place.
    #[must_use]
    pub fn is_for_session(&self) -> bool {
        self.key_format.is_some()
    }
}

impl Protection {
    /// The tags of all formats that a playlist lists for a key; a player takes the one that it knows.
    ///
    /// A view names one format. Without one, CMAF lists the DRM systems of the film; where it has none, the key as
    /// it is, or W3C Clear Key. In transport streams there is the key as it is. The key as
    /// it is lies beside the playlist as `content.key`.
    ///
    /// # Errors
    /// [`Error::Keys`] when the film's systems bring no key in such a way.
    pub fn hls_keys(&self, key: &Key) -> Result<Vec<KeyTag>, Error> {
        let tags: Vec<KeyTag> = self
            .hls_systems()
            .into_iter()
            .map(|system| self.hls_key(system, key))
            .collect();
        if tags.is_empty() {
            return Err(Error::Keys("its systems bring none in this way"));
        }
        Ok(tags)
    }

    fn hls_systems(&self) -> Vec<System> {
        let has = |system: &System| self.systems().contains(system);
        let only = |system| Some(system).filter(has).into_iter().collect();
        let wanted: &[System] = match (self.method(), self.format) {
            (Method::Aes128 | Method::SampleAes, _) | (_, Some(KeyFormat::Identity)) => {
                return only(System::Identity);
            }
            (_, Some(KeyFormat::ClearKey)) => return only(System::ClearKey),
            (Method::Cenc, None) => &[System::Widevine, System::PlayReady],
            (Method::Cbcs, None) => &[System::Widevine, System::PlayReady, System::FairPlay],
        };
        let found: Vec<System> = wanted.iter().copied().filter(has).collect();
        if !found.is_empty() {
            return found;
        }
        let identity = only(System::Identity);
        if identity.is_empty() {
            only(System::ClearKey)
        } else {
            identity
        }
    }

    fn hls_key(&self, system: System, key: &Key) -> KeyTag {
        let scheme = self.scheme().unwrap_or(Scheme::Cbcs);
        let (uri, key_format, key_id) = match system {
            System::Identity => (CONTENT_KEY.to_owned(), None, None),
            System::ClearKey => (
                data("application/octet-stream", &key.id().0),
                Some("org.w3.clearkey".to_owned()),
                None,
            ),
            System::Widevine => (
                data("text/plain", &widevine::pssh(key.id(), scheme)),
                Some(format!("urn:uuid:{}", uuid(&widevine::SYSTEM))),
                Some(key.id()),
            ),
            System::PlayReady => {
                let object = playready::object(key, scheme, self.license_url(System::PlayReady));
                (
                    data("text/plain;charset=UTF-16", &object),
                    Some("com.microsoft.playready".to_owned()),
                    None,
                )
            }
            System::FairPlay => (
                format!("skd://{}", key.id()),
                Some("com.apple.streamingkeydelivery".to_owned()),
                None,
            ),
        };
        KeyTag {
            method: match self.method() {
                Method::Cenc => "SAMPLE-AES-CTR",
                Method::Cbcs | Method::SampleAes => "SAMPLE-AES",
                Method::Aes128 => "AES-128",
            },
            uri,
            versions: key_format.as_ref().map(|_| "1"),
            key_format,
            key_id,
            iv: match self.method() {
                Method::Aes128 => key.iv().map(|iv| iv.0),
                Method::SampleAes if system == System::Identity => Some(key.constant_iv()),
                Method::Cenc | Method::Cbcs | Method::SampleAes => None,
            },
        }
    }
}

/// A URL that holds its data (RFC 2397).
fn data(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64(bytes))
}

/// The key as it is, beside the playlist.
const CONTENT_KEY: &str = "content.key";
