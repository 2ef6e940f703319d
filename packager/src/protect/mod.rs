//! Encryption: which key a track has, what of a sample is encrypted with it, and how players are told.
//!
//! CMAF is encrypted sample by sample by the rules of ISO/IEC 23001-7, in the schemes `cenc` and `cbcs`; whole
//! segments of HLS by RFC 8216 §4.3.2.4 (`AES-128`), transport streams also sample by sample (`SAMPLE-AES`). What is
//! written depends on the film, its keys and the place of a sample in its mezzanine alone: any origin gives the same
//! bytes, and a sample has the same bytes in segments of any length.
//!
//! Pictures are encrypted where they are H.264 or H.265: headers of slices stay clear, for decoders in protected
//! paths read them. AV1 and VP9 are refused.

pub mod aes128;
mod avc;
mod bits;
mod cbcs;
mod cenc;
pub mod challenge;
mod hevc;
mod hevc_sets;
mod key;
pub(crate) mod sample_aes;
pub mod signalling;
mod subsamples;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use contracts::{
    address::{KeyFormat, Protection as Method},
    keys::{ContentKeys, KeyId, System, TrackType},
};
use sha2::{Digest, Sha256};

pub use key::Key;
pub(crate) use subsamples::{MOST_PARTS, Maps, Subsample};

use crate::{
    Error,
    index::Media,
    presentation::{Presentation, Rendition},
};

/// How a film is encrypted: the method, a key for each class of tracks, and the systems that bring keys to players.
#[derive(Debug, Clone)]
pub struct Protection {
    method: Method,
    format: Option<KeyFormat>,
    systems: Vec<System>,
    license_urls: BTreeMap<System, String>,
    keys: Vec<(Key, Vec<TrackType>)>,
    /// Where, from a listing, what is encrypted so is.
    folder: String,
}

/// How samples are encrypted (ISO/IEC 23001-7 §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// AES in counter mode, an initialization vector a sample.
    Cenc,
    /// AES in cipher block chaining, one block of ten of pictures, one initialization vector for all.
    Cbcs,
}

impl Scheme {
    /// Its four-character code.
    #[must_use]
    pub const fn fourcc(self) -> &'static [u8; 4] {
        match self {
            Self::Cenc => b"cenc",
            Self::Cbcs => b"cbcs",
        }
    }
}

/// How one rendition is encrypted.
#[derive(Debug, Clone)]
pub struct Track<'a> {
    protection: &'a Protection,
    key: &'a Key,
    iv: Ivs,
}

/// Where the initialization vectors of samples come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ivs {
    /// Each sample counts one up from the first sample of the mezzanine.
    Each {
        first: u64,
    },
    Constant([u8; 16]),
}

impl Protection {
    /// Makes a film's protection of its keys, for a method and, in HLS, the key format that a view asks for.
    ///
    /// # Errors
    /// [`Error::Keys`] for a document without keys or with more than one period.
    pub fn new(
        keys: &ContentKeys,
        method: Method,
        format: Option<KeyFormat>,
    ) -> Result<Self, Error> {
        let [period] = keys.periods.as_slice() else {
            return Err(Error::Keys("they are not of one period"));
        };
        if period.start_ms != 0 {
            return Err(Error::Keys("their period does not begin with the film"));
        }
        if period.keys.is_empty() {
            return Err(Error::Keys("there is none"));
        }
        let of_tracks = period
            .keys
            .iter()
            .map(|key| (Key::new(key), key.tracks.clone()));
        Ok(Self {
            method,
            format,
            systems: keys.systems.clone(),
            license_urls: keys.license_urls.clone(),
            keys: of_tracks.collect(),
            folder: String::new(),
        })
    }

    /// The same for listings that lie elsewhere than what they name: `folder`, which ends in `/`, leads there.
    #[must_use]
    pub fn within(self, folder: impl Into<String>) -> Self {
        let folder = folder.into();
        Self { folder, ..self }
    }

    /// What the relative addresses of a multivariant playlist, or of a DASH manifest, begin with.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// What is done to segments.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// How samples of CMAF are encrypted; none where whole segments are. `SAMPLE-AES` of CMAF is `cbcs`.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        match self.method {
            Method::Cenc => Some(Scheme::Cenc),
            Method::Cbcs | Method::SampleAes => Some(Scheme::Cbcs),
            Method::Aes128 => None,
        }
    }

    /// The systems that bring keys to players.
    #[must_use]
    pub fn systems(&self) -> &[System] {
        &self.systems
    }

    /// The key of a rendition: the first that names its class of tracks, or names none.
    #[must_use]
    pub fn key(&self, rendition: &Rendition) -> Option<&Key> {
        self.key_of(track_type(&rendition.index().track().media))
    }

    /// How a rendition is encrypted.
    ///
    /// # Errors
    /// [`Error::Keys`] when no key is for such tracks.
    pub fn track(&self, rendition: &Rendition) -> Result<Track<'_>, Error> {
        let key = self
            .key(rendition)
            .ok_or(Error::Keys("none is for such a track"))?;
        Ok(Track {
            protection: self,
            key,
            iv: match self.method {
                Method::Cenc => Ivs::Each {
                    first: first_iv(key, rendition),
                },
                Method::Cbcs | Method::Aes128 | Method::SampleAes => {
                    Ivs::Constant(key.constant_iv())
                }
            },
        })
    }

    /// Whether every rendition of a film can be encrypted.
    ///
    /// # Errors
    /// [`Error::Keys`] when a rendition has no key, [`Error::Unsupported`] when its pictures cannot be encrypted.
    pub fn covers(&self, film: &Presentation) -> Result<(), Error> {
        let mut renditions = film.renditions().iter();
        renditions.try_for_each(|rendition| self.covers_one(rendition))
    }

    /// Whether a rendition can be encrypted.
    ///
    /// # Errors
    /// As [`Protection::covers`].
    pub fn covers_one(&self, rendition: &Rendition) -> Result<(), Error> {
        self.track(rendition)?;
        let media = &rendition.index().track().media;
        match self.method {
            Method::Cenc | Method::Cbcs => subsamples::Slices::of(media).map(drop),
            Method::SampleAes => sample_aes::covers(media),
            Method::Aes128 => Ok(()),
        }
    }

    /// The names of all keys, a track's own first.
    pub(crate) fn key_ids(&self, first: &Key) -> Vec<KeyId> {
        let all = self.keys.iter().map(|(key, _)| key.id());
        let others = all.filter(|id| *id != first.id());
        std::iter::once(first.id()).chain(others).collect()
    }

    fn key_of(&self, kind: TrackType) -> Option<&Key> {
        let fits = |tracks: &[TrackType]| tracks.is_empty() || tracks.contains(&kind);
        self.keys
            .iter()
            .find(|(_, tracks)| fits(tracks))
            .map(|(key, _)| key)
    }
}

impl<'a> Track<'a> {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> &'a Key {
        self.key
    }

    /// How its samples are encrypted in CMAF; none where whole segments are, which [`aes128::encrypt`] does.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.protection.scheme()
    }

    pub(crate) fn protection(&self) -> &'a Protection {
        self.protection
    }

    /// The initialization vector that all samples share, if they do.
    pub(crate) fn constant_iv(&self) -> Option<[u8; 16]> {
        match self.iv {
            Ivs::Constant(iv) => Some(iv),
            Ivs::Each { .. } => None,
        }
    }

    /// The initialization vector of the sample at a place of the index, if each has its own.
    pub(crate) fn sample_iv(&self, at: usize) -> Option<u64> {
        match self.iv {
            Ivs::Each { first } => Some(first.wrapping_add(u64::try_from(at).unwrap_or(u64::MAX))),
            Ivs::Constant(_) => None,
        }
    }

    /// Encrypts the sample at a place of the index where it lies; no parts mean the whole sample.
    pub(crate) fn encrypt(&self, at: usize, sample: &mut [u8], parts: &[Subsample]) {
        match self.iv {
            Ivs::Constant(iv) => cbcs::encrypt(self.key, &iv, sample, parts),
            Ivs::Each { .. } => {
                cenc::encrypt(
                    self.key,
                    self.sample_iv(at).unwrap_or_default(),
                    sample,
                    parts,
                );
            }
        }
    }
}

/// The class of a track, by the shorter side of its pictures.
#[must_use]
pub fn track_type(media: &Media) -> TrackType {
    match media {
        Media::Audio(_) => TrackType::Audio,
        Media::Video(video) => match video.width.min(video.height) {
            ..=576 => TrackType::Sd,
            577..=1080 => TrackType::Hd,
            _ => TrackType::Uhd,
        },
    }
}

/// The initialization vector of a rendition's first sample in `cenc`.
///
/// Two samples under one key must never share a vector. Within a mezzanine they count up. Two mezzanines of one key,
/// be they renditions or a film encoded anew, begin at two points of a circle of 2^64 that a hash picks: stretches of
/// 2^24 samples each (two days at 100 a second) overlap with a chance of 2^-39, and of a thousand mezzanines under one
/// key two do with a chance of 2^-20.
///
/// Where the first sample lies counts too: an index that leaves out more or fewer samples at the start counts anew.
fn first_iv(key: &Key, rendition: &Rendition) -> u64 {
    let samples = rendition.index().samples();
    let first = samples.first().map_or(0, |sample| sample.offset);
    let digest = Sha256::new()
        .chain_update(b"millrace cenc iv")
        .chain_update(key.id().0)
        .chain_update(rendition.index().file().sha256)
        .chain_update(first.to_be_bytes())
        .chain_update(rendition.id().as_str())
        .finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |iv, byte| iv << 8 | u64::from(*byte))
}
