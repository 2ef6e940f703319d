//! Decoder configurations: what a player must know before the first sample.
//!
//! A configuration keeps its record byte for byte as the mezzanine bears it, and reads of it what packing and
//! manifests need.

pub mod aac;
pub mod av1;
pub mod avc;
mod colour;
pub mod hevc;
mod nal;
pub mod opus;
pub mod vp9;

pub use colour::Colour;
pub use nal::nal_units;

use crate::Error;

/// A four-character code: the type of a box or of a sample entry.
pub type FourCc = [u8; 4];

/// How pictures are coded, with what the decoder must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// H.264.
    Avc(avc::Config),
    /// H.265, its parameter sets out of band.
    Hevc(hevc::Config),
    /// AV1.
    Av1(av1::Config),
    /// VP9.
    Vp9(vp9::Config),
}

/// How sound is coded, with what the decoder must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// MPEG-4 AAC.
    Aac(aac::Config),
    /// Opus.
    Opus(opus::Config),
}

impl Picture {
    /// Reads the body of the configuration box that belongs to a sample entry; none for an entry that is not of a
    /// codec that is packed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that contradicts itself, [`Error::Unsupported`] for one that cannot be packed.
    pub(crate) fn parse(entry: FourCc, record: &[u8]) -> Option<Result<Self, Error>> {
        Some(match &entry {
            b"avc1" | b"avc3" => avc::Config::parse(record).map(Self::Avc),
            b"hvc1" | b"hev1" => hevc::Config::parse(record).map(Self::Hevc),
            b"av01" => av1::Config::parse(record).map(Self::Av1),
            b"vp09" => vp9::Config::parse(record).map(Self::Vp9),
            _ => return None,
        })
    }

    /// The codec in the words of RFC 6381, for instance `hvc1.1.6.L93.B0`. AV1 tells of `colour` where it is not
    /// the default.
    #[must_use]
    pub fn codec(&self, colour: Option<Colour>) -> String {
        match self {
            Self::Avc(config) => config.codec(),
            Self::Hevc(config) => config.codec(),
            Self::Av1(config) => config.codec(colour),
            Self::Vp9(config) => config.codec(),
        }
    }

    /// The type of the sample entry that packed tracks bear: parameter sets are always out of band.
    #[must_use]
    pub fn entry(&self) -> FourCc {
        match self {
            Self::Avc(_) => *b"avc1",
            Self::Hevc(_) => *b"hvc1",
            Self::Av1(_) => *b"av01",
            Self::Vp9(_) => *b"vp09",
        }
    }

    /// The type of the box that bears the record.
    #[must_use]
    pub fn config_box(&self) -> FourCc {
        match self {
            Self::Avc(_) => *b"avcC",
            Self::Hevc(_) => *b"hvcC",
            Self::Av1(_) => *b"av1C",
            Self::Vp9(_) => *b"vpcC",
        }
    }

    /// The body of that box, version and flags included where it has any.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        match self {
            Self::Avc(config) => config.record(),
            Self::Hevc(config) => config.record(),
            Self::Av1(config) => config.record(),
            Self::Vp9(config) => config.record(),
        }
    }

    /// The parameter sets of H.264 and H.265, in the order in which a decoder wants them; other codecs have none.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &[u8]> {
        let (avc, hevc) = match self {
            Self::Avc(config) => (Some(config.parameter_sets()), None),
            Self::Hevc(config) => (None, Some(config.parameter_sets())),
            Self::Av1(_) | Self::Vp9(_) => (None, None),
        };
        let avc = avc.into_iter().flatten();
        avc.chain(hevc.into_iter().flatten())
    }
}

impl Sound {
    /// The codec as players want it named: `mp4a.40.2`, `opus`.
    #[must_use]
    pub fn codec(&self) -> String {
        match self {
            Self::Aac(config) => config.codec(),
            Self::Opus(_) => "opus".to_owned(),
        }
    }

    /// The type of the sample entry.
    #[must_use]
    pub fn entry(&self) -> FourCc {
        match self {
            Self::Aac(_) => *b"mp4a",
            Self::Opus(_) => *b"Opus",
        }
    }

    /// The type of the box that bears the configuration.
    #[must_use]
    pub fn config_box(&self) -> FourCc {
        match self {
            Self::Aac(_) => *b"esds",
            Self::Opus(_) => *b"dOps",
        }
    }

    /// Samples a second that come out of the decoder.
    #[must_use]
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Aac(config) => config.sample_rate(),
            Self::Opus(_) => opus::SAMPLE_RATE,
        }
    }

    /// Speakers, the low-frequency one included.
    #[must_use]
    pub fn channels(&self) -> u16 {
        match self {
            Self::Aac(config) => config.channels(),
            Self::Opus(config) => u16::from(config.channels()),
        }
    }

    /// The layout of the speakers by its index in ISO/IEC 23091-3, where it has one.
    #[must_use]
    pub fn channel_configuration(&self) -> Option<u8> {
        match self {
            Self::Aac(config) => Some(config.channel_configuration()),
            Self::Opus(config) => config.channel_configuration(),
        }
    }
}
