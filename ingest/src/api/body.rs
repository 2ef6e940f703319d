//! What goes over the wire: the API's JSON.

use contracts::asset::Privacy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A film that is about to be uploaded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Initiate {
    /// The file's name; its ending tells the kind.
    pub(crate) file_name: String,
    /// The file's length.
    pub(crate) size_bytes: u64,
    /// The whole file's SHA-256, 64 hexadecimal digits; may also be given at complete.
    pub(crate) sha256: Option<String>,
    /// What to call the video; else it is named after the file.
    pub(crate) title: Option<String>,
    /// Who may watch.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(public|unlisted|private)$")]
    pub(crate) privacy: Privacy,
    /// Whether the film leaves the house encrypted only.
    #[serde(default)]
    pub(crate) protected: bool,
    /// The file's media type.
    pub(crate) content_type: Option<String>,
    /// The channel that the film is for; publishers need one of their own.
    pub(crate) channel_id: Option<String>,
    /// Whether the bytes should go straight to the store, where it can take them: then the answer has `parts`.
    #[serde(default)]
    pub(crate) direct: bool,
}

/// How to go on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Initiated {
    pub(crate) upload_id: String,
    pub(crate) video_id: String,
    /// The length of every chunk but the last.
    pub(crate) chunk_size_bytes: u64,
    /// How many chunks there are, counted from 0.
    pub(crate) chunk_count: u32,
    /// Until when chunks are taken, in seconds since 1970.
    pub(crate) expires_unix_s: u64,
    /// A secret for whoever sends the bytes, as `Authorization: Bearer` at the addresses below: it opens this upload
    /// and nothing else, as long as that lasts, and is shown this once.
    pub(crate) upload_token: String,
    /// Where to PUT chunks, with `?index=N`.
    pub(crate) chunk_url: String,
    /// Where to GET what has arrived.
    pub(crate) status_url: String,
    /// Where to POST when all are there.
    pub(crate) complete_url: String,
    /// Where to PUT each chunk in the store itself; `chunk_url` then takes none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<PartUrl>,
}

/// Where to PUT one chunk, without further credentials. Whoever has the address may do so until the upload ends, and
/// for a week at most.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartUrl {
    /// Which chunk, counted from 0.
    pub(crate) index: u32,
    pub(crate) url: String,
}

/// What has arrived of an upload.
#[derive(Serialize, ToSchema)]
pub(crate) struct Progress {
    pub(crate) upload_id: String,
    pub(crate) video_id: String,
    /// `receiving`, `complete`, or `expired`: nothing more is taken, and what has arrived is about to be removed.
    pub(crate) state: &'static str,
    pub(crate) size_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) chunk_size_bytes: u64,
    pub(crate) chunk_count: u32,
    /// The indexes of the chunks that are here.
    pub(crate) received: Vec<u32>,
    pub(crate) expires_unix_s: u64,
    /// Where to PUT the chunks that are missing, of an upload that goes straight to the store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<PartUrl>,
}

/// A chunk that is here.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stored {
    pub(crate) index: u32,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
    /// It was here already.
    pub(crate) repeated: bool,
}

/// All chunks were sent.
#[derive(Deserialize, Default, ToSchema)]
pub(crate) struct Complete {
    /// The whole file's SHA-256, unless it was given at initiate.
    pub(crate) sha256: Option<String>,
}

/// The film is whole and on its way.
#[derive(Serialize, ToSchema)]
pub(crate) struct Completed {
    pub(crate) video_id: String,
    /// Where to GET how far processing is.
    pub(crate) status_url: String,
}

/// Which chunk.
#[derive(Deserialize)]
pub(crate) struct Which {
    pub(crate) index: String,
}

/// Subtitles that a film has.
#[derive(Serialize, Default, ToSchema)]
pub(crate) struct Subtitles {
    /// The language, as a BCP 47 tag in lower case.
    pub(crate) language: String,
    /// The rendition that they are.
    pub(crate) rendition: String,
    /// What viewers choose them by, where the language does not say enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
}

/// Subtitles that are here now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Put {
    #[serde(flatten)]
    pub(crate) subtitles: Subtitles,
    /// How many cues were found.
    pub(crate) cues: usize,
    /// How the bytes were read: `utf-8`, `utf-16` where a byte order mark says so, or as a guess `windows-1252`.
    pub(crate) encoding: &'static str,
    /// The SHA-256 of what is kept: the same cues as WebVTT.
    pub(crate) sha256: String,
}

/// All subtitles of a film.
#[derive(Serialize, ToSchema)]
pub(crate) struct Texts {
    pub(crate) video_id: String,
    /// By language.
    pub(crate) subtitles: Vec<Subtitles>,
}

/// What to call subtitles.
#[derive(Deserialize)]
pub(crate) struct Label {
    pub(crate) label: Option<String>,
}

/// How much an account takes up, and may.
#[derive(Serialize, ToSchema)]
pub(crate) struct Quota {
    pub(crate) user_id: String,
    /// Bytes of films as they were sent, from when an upload begins until the film is taken away.
    pub(crate) bytes: Amount,
    /// Uploads at a time; each part of a film that comes in parts is one.
    pub(crate) uploads: Amount,
    /// Films, with those that are being uploaded.
    pub(crate) films: Amount,
}

/// How much of something there is, and may be.
#[derive(Serialize, ToSchema)]
pub(crate) struct Amount {
    /// How much there may be; `null` for any amount.
    pub(crate) limit: Option<u64>,
    /// The account's own limit, 0 for any amount; `null` where the site's counts.
    pub(crate) own_limit: Option<u64>,
    /// How much there is.
    pub(crate) used: u64,
}

/// A quota that is wished: 0 for any amount, `null` for the site's.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotaWish {
    pub(crate) bytes: Option<u64>,
    pub(crate) uploads: Option<u64>,
    pub(crate) films: Option<u64>,
}
