//! What a manifest promises, in the same words for HLS and DASH.

use reqwest::Url;

use super::seal::Seal;

/// Which manifest an address turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlKind {
    /// An HLS multivariant playlist.
    Multivariant,
    /// An HLS media playlist.
    Media,
    /// A DASH MPD.
    Dash,
}

impl UrlKind {
    /// The word for reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Multivariant => "hls-multivariant",
            Self::Media => "hls-media",
            Self::Dash => "dash",
        }
    }
}

/// What a rendition carries, as far as the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Video,
    Audio,
    Text,
}

impl Kind {
    /// The word for reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Text => "text",
        }
    }
}

/// How the segments are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Fmp4,
    Ts,
    Text,
}

/// How a manifest's bandwidth is defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bandwidth {
    /// HLS: the sum of the peak segment bit rates, RFC 8216 §4.3.4.2.
    Peak(u64),
    /// DASH: what fills a buffer of `buffer_s` seconds in time, ISO/IEC 23009-1 §5.3.5.2.
    Buffered { bits_per_s: u64, buffer_s: f64 },
}

/// One promised segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub(super) url: Url,
    /// The promised length in seconds.
    pub(super) seconds: f64,
    /// How far the media may be from it, in seconds.
    pub(super) tolerance: f64,
    /// The promised decode time of its first sample in seconds, where the manifest gives it.
    pub(super) start: Option<f64>,
    /// Whether the timeline may break before it.
    pub(super) discontinuity: bool,
    /// What it is opened with, where it is encrypted whole.
    pub(super) seal: Option<Seal>,
}

/// One promised rendition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rendition {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) container: Container,
    pub(super) codecs: Option<String>,
    pub(super) size: Option<(u64, u64)>,
    pub(super) bandwidth: Option<Bandwidth>,
    /// The audio group that a variant plays with, or that an audio rendition belongs to.
    pub(super) group: Option<String>,
    /// The media playlist; DASH has none.
    pub(super) playlist: Option<Url>,
    /// `EXT-X-TARGETDURATION` in seconds.
    pub(super) target: Option<f64>,
    pub(super) init: Option<Url>,
    pub(super) segments: Vec<Segment>,
}

impl Rendition {
    /// The promised length in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.segments.iter().map(|segment| segment.seconds).sum()
    }
}

/// The most segments that a rendition may have: a day of two-second ones.
pub(super) const MAX_SEGMENTS: usize = 43_200;
/// The most renditions that a manifest may have.
pub(super) const MAX_RENDITIONS: usize = 200;
