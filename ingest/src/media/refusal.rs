//! Why a film cannot be made, in words that its publisher understands.

use std::time::Duration;

use super::formats;

/// The publisher's file is at fault; trying again would end the same way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no byte in it.
    #[error("the file is empty")]
    Empty,
    /// Its bytes are of no kind of film that is known here.
    #[error("the file is not a video file; use {}", formats::names())]
    NotVideo,
    /// It begins like a film, but the part without which nothing can be read is missing.
    #[error("the file is truncated or damaged: its index is missing; export or copy it again")]
    Headless,
    /// It holds neither picture nor sound.
    #[error("the file has no video stream")]
    NoPicture,
    /// It holds sound alone, or one whose length it does not tell.
    #[error(
        "the file has sound but no picture; give it a video stream, or a cover as its attached picture"
    )]
    SoundOnly,
    /// The picture's size is not one that can be encoded.
    #[error(
        "the picture is {width}x{height}, which is more than 16384 pixels on a side or 67 million in all"
    )]
    Dimensions {
        /// Width as the file states it.
        width: u32,
        /// Height as the file states it.
        height: u32,
    },
    /// Its colours are coded in a way that only its own players know.
    #[error(
        "the film is Dolby Vision of profile 5, whose colours cannot be read here; export it as HDR10, HLG or SDR"
    )]
    DolbyVision,
    /// It ends long before the end that it announces.
    #[error(
        "the file is truncated: it announces {:.1} s, but only {:.1} s can be read; copy it again",
        announced.as_secs_f64(), readable.as_secs_f64()
    )]
    Cut {
        /// The length that the file announces.
        announced: Duration,
        /// The length that could be decoded.
        readable: Duration,
    },
    /// It ends where nothing ends.
    #[error("the file is truncated: its end is missing; copy it again")]
    Short,
    /// Only who has its key can read it.
    #[error("the film is encrypted; export it without encryption")]
    Encrypted,
    /// Too much of it cannot be decoded.
    #[error("the file is damaged: too much of it cannot be decoded; export or copy it again")]
    Damaged,
    /// Its renditions do not make a film that can be cut into segments.
    #[error("the film cannot be served: {why}")]
    Unplayable {
        /// What the packager finds at fault.
        why: String,
    },
    /// It is longer than the operator allows.
    #[error("the film is longer than the {:.0} minutes allowed here", limit.as_secs_f64() / 60.0)]
    TooLong {
        /// What the operator allows.
        limit: Duration,
    },
    /// It goes on long after the end that it announces.
    #[error(
        "the file announces {:.1} s, but goes on long after: its times are damaged; export it again",
        announced.as_secs_f64()
    )]
    Overrun {
        /// The length that the file announces.
        announced: Duration,
    },
    /// A rendition of it grew beyond what its length and rate can need.
    #[error(
        "a rendition grew larger than the {limit_bytes} bytes that a film of this length needs"
    )]
    TooLarge {
        /// How large it might become.
        limit_bytes: u64,
    },
    /// Encoding took longer than the operator allows.
    #[error("encoding took longer than the {:.0} minutes allowed here", limit.as_secs_f64() / 60.0)]
    TooSlow {
        /// What the operator allows.
        limit: Duration,
    },
}

impl Refusal {
    /// A short word for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotVideo => "not_video",
            Self::Headless => "headless",
            Self::NoPicture => "no_picture",
            Self::SoundOnly => "sound_only",
            Self::Dimensions { .. } => "dimensions",
            Self::DolbyVision => "dolby_vision",
            Self::Cut { .. } | Self::Short => "truncated",
            Self::Encrypted => "encrypted",
            Self::Damaged => "damaged",
            Self::Unplayable { .. } => "unplayable",
            Self::TooLong { .. } => "too_long",
            Self::Overrun { .. } => "overrun",
            Self::TooLarge { .. } => "too_large",
            Self::TooSlow { .. } => "too_slow",
        }
    }
}
