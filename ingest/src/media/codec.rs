//! The codecs of rungs: what they are called, and how their encoders are told what a rung must be. Pure.

use serde::{Deserialize, Serialize};

use super::ladder::Rung;

/// A codec that pictures are encoded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264, which every player knows. It is always made.
    H264,
    /// HEVC: two thirds of the bits, several times the work.
    Hevc,
    /// AV1: half of the bits, more work still.
    Av1,
}

impl Codec {
    /// What a rung's name ends with.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::H264 => "",
            Self::Hevc => "-hevc",
            Self::Av1 => "-av1",
        }
    }

    /// What its encoder is called.
    #[must_use]
    pub const fn encoder(self) -> &'static str {
        match self {
            Self::H264 => "libx264",
            Self::Hevc => "libx265",
            Self::Av1 => "libsvtav1",
        }
    }

    /// The bits that it takes of what H.264 takes, in hundredths.
    #[must_use]
    pub const fn percent(self) -> u32 {
        match self {
            Self::H264 => 100,
            Self::Hevc => 70,
            Self::Av1 => 60,
        }
    }

    /// The shortest side of a picture that its encoder takes.
    #[must_use]
    pub const fn least_side(self) -> u32 {
        match self {
            Self::H264 => 2,
            Self::Hevc => 32,
            Self::Av1 => 64,
        }
    }

    /// What its encoder is told, beside the rung's peak: every group begins with a key picture, is
    /// of `gop` pictures, and none of it needs another group.
    #[must_use]
    pub(super) fn arguments(self, rung: &Rung, gop: u32) -> String {
        let (peak, buffer) = (rung.peak_bits, u64::from(rung.peak_bits) * 2);
        match self {
            Self::H264 => format!(
                "-c:v libx264 -preset veryfast -profile:v high -crf 23 -bf 2 -maxrate {peak} \
                 -bufsize {buffer} -g {gop} -keyint_min {gop} -sc_threshold 0 -flags +cgop"
            ),
            // What the encoder says of itself would make the pieces of two machines unlike.
            Self::Hevc => format!(
                "-c:v libx265 -preset veryfast -crf 26 -tag:v hvc1 -x265-params \
                 log-level=error:info=0:keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=2:\
                 vbv-maxrate={}:vbv-bufsize={}",
                peak / 1000,
                buffer / 1000
            ),
            // Its own limit, `mbr`, is for capped CRF, which this encoder has at every preset.
            Self::Av1 => format!(
                "-c:v libsvtav1 -preset 8 -crf 35 -g {gop} -svtav1-params \
                 irefresh-type=2:scd=0:mbr={}",
                peak / 1000
            ),
        }
    }
}
