//! What ingest publishes about a film and the origin reads: the content of `asset.json`.

use serde::{Deserialize, Serialize};

use crate::id::{Generation, RenditionId, VideoId};

/// A published film. Written last, in one write: whoever reads it finds all that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// The film.
    pub video: VideoId,
    /// Which encode the renditions belong to.
    pub generation: Generation,
    /// As the publisher named it.
    pub title: String,
    /// Who may watch without asking.
    pub privacy: Privacy,
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// Video renditions from the smallest to the largest, then audio, then text.
    pub renditions: Vec<Rendition>,
    /// The small pictures that a player shows along the time line, where they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbs: Option<Thumbs>,
    /// Single pictures of the film, in its order, where they were made: at its start, and after each quarter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stills: Vec<Still>,
    /// Whether the film leaves the origin encrypted only, with the keys that the origin's `keys` know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

/// Sheets of small pictures, taken at equal distances: tile `k` (from 0) shows the film at `k * interval_ms`.
/// A sheet is filled row by row; all but the last are full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbs {
    /// Width of one tile in pixels.
    pub width: u32,
    /// Height of one tile in pixels.
    pub height: u32,
    /// Tiles in a row of a sheet.
    pub columns: u32,
    /// Rows of a sheet; the last sheet has as many, the rest of it is black.
    pub rows: u32,
    /// Milliseconds from one tile to the next.
    pub interval_ms: u32,
    /// How many tiles there are in all.
    pub tiles: u32,
    /// Length of each sheet's JPEG file in bytes, in order.
    pub sheet_bytes: Vec<u32>,
}

/// A picture of a film, in three sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Still {
    /// Which moment it shows, in milliseconds.
    pub at_ms: u64,
    /// As [`StillSize::Small`] has it.
    pub small: Image,
    /// As [`StillSize::Medium`] has it.
    pub medium: Image,
    /// As [`StillSize::Large`] has it.
    pub large: Image,
}

impl Still {
    /// It in a size.
    #[must_use]
    pub const fn image(&self, size: StillSize) -> &Image {
        match size {
            StillSize::Small => &self.small,
            StillSize::Medium => &self.medium,
            StillSize::Large => &self.large,
        }
    }
}

/// A JPEG file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// How large a still is: no larger than the film's picture, whose shape it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StillSize {
    /// For lists.
    Small,
    /// For cards.
    Medium,
    /// For pages.
    Large,
}

impl StillSize {
    /// All of them, the smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// Its longer side in pixels, where the film's picture is not smaller.
    #[must_use]
    pub const fn long_side(self) -> u32 {
        match self {
            Self::Small => 320,
            Self::Medium => 640,
            Self::Large => 1280,
        }
    }

    /// The word used in addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.as_str() == word)
    }
}

/// One rendition of a film.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its name in URLs.
    pub id: RenditionId,
    /// Picture or sound.
    pub kind: Kind,
    /// BCP 47 tag of the sound or the text, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What viewers choose it by, where its language does not say enough: `Director's comments`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// SHA-256 of a text's file, in hexadecimal: text may be replaced while the film stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Width in pixels, for picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, for picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How loud it is, for sound that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudness: Option<Loudness>,
}

/// How loud a sound is, by EBU R 128. It is told, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loudness {
    /// Integrated loudness in thousandths of a LUFS: -23000 is the level of broadcasts.
    pub integrated_mlufs: i32,
    /// Loudness range in thousandths of a LU.
    pub range_mlu: i32,
    /// The highest true peak in thousandths of a dBTP; above 0 players may clip.
    pub true_peak_mdbtp: i32,
}

impl Rendition {
    /// A rendition of which nothing more is known.
    #[must_use]
    pub const fn new(id: RenditionId, kind: Kind) -> Self {
        Self {
            id,
            kind,
            language: None,
            label: None,
            sha256: None,
            width: None,
            height: None,
            loudness: None,
        }
    }
}

/// What a rendition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Picture.
    Video,
    /// Sound.
    Audio,
    /// Subtitles or captions.
    Text,
}

/// Who may watch a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privacy {
    /// Everybody, and it is listed.
    #[default]
    Public,
    /// Everybody who knows its id; it is not listed.
    Unlisted,
    /// Only sessions that a backend started.
    Private,
}

impl Privacy {
    /// The word used in JSON and in the catalogue.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unlisted => "unlisted",
            Self::Private => "private",
        }
    }
}
