//! What an address says of its answer, whatever the film: type, freshness, purge tags, its name in metrics.

use contracts::address::{Address, Flavour, Item};

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The URL names the same bytes for as long as its film is published.
    Immutable,
    /// A republished film shows within a minute, and an outage does not stop a playing one (RFC 5861).
    Short,
    /// A key: nobody keeps it.
    Secret,
}

impl Freshness {
    pub(crate) const fn of(item: &Item) -> Self {
        match item {
            Item::Init(_)
            | Item::Segment(..)
            | Item::Iframe(..)
            | Item::Sheet(..)
            | Item::ThumbnailSheet(_)
            | Item::Still(..) => Self::Immutable,
            Item::Key(_) => Self::Secret,
            // Text may be replaced, and playlists name what there is of it.
            Item::Master(_)
            | Item::Manifest
            | Item::Playlist(..)
            | Item::Iframes(..)
            | Item::Cues(..)
            | Item::Subtitles(_)
            | Item::Sprite(_)
            | Item::Poster
            | Item::ThumbnailSprite
            | Item::Captions(_) => Self::Short,
        }
    }

    /// The value of `Cache-Control`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Immutable => "public, max-age=31536000, immutable",
            Self::Short => "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400",
            Self::Secret => "no-store",
        }
    }
}

pub(crate) fn content_type(item: &Item) -> &'static str {
    match item {
        Item::Master(_) | Item::Playlist(..) | Item::Iframes(..) => "application/vnd.apple.mpegurl",
        Item::Manifest => "application/dash+xml",
        Item::Segment(_, _, Flavour::Ts) | Item::Iframe(_, _, Flavour::Ts) => "video/mp2t",
        Item::Init(rendition) | Item::Segment(rendition, ..) | Item::Iframe(rendition, ..) => {
            if rendition.as_str().starts_with("audio-") {
                "audio/mp4"
            } else {
                "video/mp4"
            }
        }
        Item::Cues(..)
        | Item::Subtitles(_)
        | Item::Sprite(_)
        | Item::Captions(_)
        | Item::ThumbnailSprite => "text/vtt; charset=utf-8",
        Item::Key(_) => "application/octet-stream",
        Item::Sheet(..) | Item::Poster | Item::ThumbnailSheet(_) | Item::Still(..) => "image/jpeg",
    }
}

/// The purge tags that an address bears whatever it holds.
pub(crate) fn tags(address: &Address) -> String {
    let video = &address.video;
    let asset = match address.item.rendition() {
        Some(rendition) => format!("a:{video} r:{video}/{rendition}"),
        None => format!("a:{video}"),
    };
    match address.item {
        Item::Master(_) | Item::Manifest | Item::Playlist(..) | Item::Iframes(..) => {
            format!("{asset} k:manifest")
        }
        _ => asset,
    }
}

/// What metrics tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No address at all.
    None,
    Master,
    Manifest,
    Playlist,
    Init,
    Segment,
    Text,
    Thumbs,
    Key,
    Poster,
}

impl Kind {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Poster as usize + 1;

    pub(crate) const fn of(item: &Item) -> Self {
        match item {
            Item::Master(_) => Self::Master,
            Item::Manifest => Self::Manifest,
            Item::Playlist(..) | Item::Iframes(..) => Self::Playlist,
            Item::Init(_) => Self::Init,
            Item::Segment(..) | Item::Iframe(..) => Self::Segment,
            Item::Cues(..) | Item::Subtitles(_) | Item::Captions(_) => Self::Text,
            Item::Sheet(..)
            | Item::Sprite(_)
            | Item::ThumbnailSprite
            | Item::ThumbnailSheet(_)
            | Item::Still(..) => Self::Thumbs,
            Item::Key(_) => Self::Key,
            Item::Poster => Self::Poster,
        }
    }

    /// Its name there.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Master => "master",
            Self::Manifest => "manifest",
            Self::Playlist => "playlist",
            Self::Init => "init",
            Self::Segment => "segment",
            Self::Text => "text",
            Self::Thumbs => "thumbs",
            Self::Key => "key",
            Self::Poster => "poster",
        }
    }
}
