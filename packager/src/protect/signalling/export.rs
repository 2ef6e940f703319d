//! What one system is told of one key, piece by piece, for documents that other packagers read.

use contracts::{
    address::Protection as Method,
    id::VideoId,
    keys::{ContentKey, ContentKeys, KeyPeriod, System},
};

use crate::{
    Error,
    protect::{
        Protection, Scheme,
        signalling::{base64, playready, pssh, widevine},
    },
};

/// What a system wants to know of a key, in the forms in which it is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signals {
    /// The `pssh` box; none for systems that have none.
    pub pssh: Option<Vec<u8>>,
    /// What stands in the `ContentProtection` element of a DASH manifest; none for systems that DASH does not carry.
    pub content_protection: Option<String>,
    /// The attributes of the key tags of HLS playlists.
    pub hls: String,
    /// The PlayReady object alone, in base64, as Smooth Streaming carries it.
    pub smooth: Option<String>,
}

impl Signals {
    /// Writes all of it, as the film's own manifests have it.
    ///
    /// # Errors
    /// [`Error::Keys`] for a system that is no DRM system.
    pub fn of(
        video: &VideoId,
        key: &ContentKey,
        system: System,
        scheme: Scheme,
    ) -> Result<Self, Error> {
        let method = match scheme {
            Scheme::Cenc => Method::Cenc,
            Scheme::Cbcs => Method::Cbcs,
        };
        let alone = ContentKeys {
            video: video.clone(),
            systems: vec![system],
            license_urls: Default::default(),
            set: Default::default(),
            retired: Vec::new(),
            periods: vec![KeyPeriod {
                start_ms: 0,
                keys: vec![ContentKey {
                    tracks: Vec::new(),
                    ..key.clone()
                }],
            }],
        };
        let protection = Protection::new(&alone, method, None)?;
        let none = || Error::Keys("its systems bring none in this way");
        let (key, _) = protection.keys.first().ok_or_else(none)?;
        if system == System::Identity {
            return Err(none());
        }
        let tag = protection.hls_keys(key)?.into_iter().next();
        let boxed = match system {
            System::Widevine => Some(widevine::pssh(key.id(), scheme)),
            System::PlayReady => Some(playready::pssh(key, scheme, None)),
            System::ClearKey => Some(pssh::common(&[key.id()])),
            System::Identity | System::FairPlay => None,
        };
        let smooth =
            (system == System::PlayReady).then(|| base64(&playready::object(key, scheme, None)));
        Ok(Self {
            pssh: boxed,
            content_protection: protection
                .dash_system(system, key, scheme)
                .map(|(_, _, inside)| inside),
            hls: tag.ok_or_else(none)?.attributes(),
            smooth,
        })
    }
}
