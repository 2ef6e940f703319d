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
    /// Video renditions from the smallest to the largest, then audio.
    pub renditions: Vec<Rendition>,
}

/// One rendition of a film.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its name in URLs.
    pub id: RenditionId,
    /// Picture or sound.
    pub kind: Kind,
    /// BCP 47 tag of the sound, when the source told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Width in pixels, for picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, for picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// What a rendition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Picture.
    Video,
    /// Sound.
    Audio,
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
