//! The address of every public media URL, parsed once.

mod view;

use std::fmt;

use crate::{
    asset::StillSize,
    id::{RenditionId, VideoId},
};

pub use view::{KeyFormat, Protection, View};

/// The container in which segments travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Fragmented MP4 (ISO/IEC 23000-19); the same bytes serve HLS and DASH.
    Cmaf,
    /// MPEG transport stream (ISO/IEC 13818-1), for players that know nothing else.
    Ts,
}

impl Flavour {
    /// The file name of a media playlist of such segments.
    #[must_use]
    pub const fn playlist(self) -> &'static str {
        match self {
            Self::Cmaf => "playlist.m3u8",
            Self::Ts => "playlist_ts.m3u8",
        }
    }

    /// The file name of an I-frame playlist of such segments.
    #[must_use]
    pub const fn iframes(self) -> &'static str {
        match self {
            Self::Cmaf => "iframes.m3u8",
            Self::Ts => "iframes_ts.m3u8",
        }
    }

    /// What the name of such a segment ends with, the dot before it.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Cmaf => ".m4s",
            Self::Ts => ".ts",
        }
    }
}

/// What a media path names: something of a film, packed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The film.
    pub video: VideoId,
    /// How it is packed; the default where a thing lies outside `/v/`.
    pub view: View,
    /// What of it.
    pub item: Item,
}

/// What there is of a film. `n` counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// `/v/{video}/master.m3u8` or `master_ts.m3u8`: the HLS multivariant playlist that names such segments.
    Master(Flavour),
    /// `/v/{video}/manifest.mpd`: the DASH manifest.
    Manifest,
    /// `/v/{video}/{rendition}/playlist.m3u8` or `playlist_ts.m3u8`: an HLS media playlist.
    Playlist(RenditionId, Flavour),
    /// `/v/{video}/{rendition}/iframes.m3u8` or `iframes_ts.m3u8`: an HLS I-frame playlist.
    Iframes(RenditionId, Flavour),
    /// `/v/{video}/{rendition}/init.mp4`: the CMAF initialization segment.
    Init(RenditionId),
    /// `/v/{video}/{rendition}/segment_{n}.m4s` or `.ts`.
    Segment(RenditionId, u32, Flavour),
    /// `/v/{video}/{rendition}/iframe_{n}.m4s` or `.ts`: one I-frame as a segment of its own.
    Iframe(RenditionId, u32, Flavour),
    /// `/v/{video}/{rendition}/segment_{n}.vtt` or `segment_ts_{n}.vtt`: the cues of a segment, on the clock of
    /// such segments.
    Cues(RenditionId, u32, Flavour),
    /// `/v/{video}/{rendition}/subtitles.vtt`: all cues.
    Subtitles(RenditionId),
    /// `/v/{video}/{rendition}/sheet_{n}.jpg`: one image of many tiles.
    Sheet(RenditionId, u32),
    /// `/v/{video}/{rendition}/sprite.vtt`: which tile belongs to which moment.
    Sprite(RenditionId),
    /// `/v/{video}/{rendition}/content.key`: the 16 bytes of the rendition's key, for films that allow it.
    Key(RenditionId),
    /// `/t/{video}/default.jpg`: the poster.
    Poster,
    /// `/t/{video}/sprite.vtt`: as [`Item::Sprite`], naming `sprite_{n}.jpg`.
    ThumbnailSprite,
    /// `/t/{video}/sprite_{n}.jpg`: as [`Item::Sheet`].
    ThumbnailSheet(u32),
    /// `/t/{video}/thumb_{n}_{small|medium|large}.jpg`: a picture of the film at a moment.
    Still(u32, StillSize),
    /// `/s/{video}/{lang}.vtt`: as [`Item::Subtitles`] of `text-{lang}`, which the field holds.
    Captions(RenditionId),
}

/// A path names no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path names no media")]
pub struct AddressError;

impl Address {
    /// Parses a path without token and query.
    ///
    /// # Errors
    /// When the path has not the exact shape of one of the items: there are no aliases.
    pub fn parse(path: &str) -> Result<Self, AddressError> {
        let mut parts = path.strip_prefix('/').ok_or(AddressError)?.split('/');
        let mut next = || parts.next();
        let room = next().ok_or(AddressError)?;
        let video = VideoId::parse(next().ok_or(AddressError)?).map_err(|_| AddressError)?;
        let mut first = next().ok_or(AddressError)?;
        let mut view = View::default();
        if room == "v"
            && let Some(words) = first.strip_prefix('@')
        {
            view = View::parse(words).ok_or(AddressError)?;
            first = next().ok_or(AddressError)?;
        }
        let second = next();
        if next().is_some() {
            return Err(AddressError);
        }
        let item = match (room, second) {
            ("v", None) => of_film(first),
            ("v", Some(file)) => RenditionId::parse(first)
                .ok()
                .and_then(|rendition| of_rendition(rendition, file)),
            ("t", None) => of_thumbnails(first),
            ("s", None) => first.strip_suffix(".vtt").and_then(captions),
            _ => None,
        };
        let item = item.ok_or(AddressError)?;
        Ok(Self { video, view, item })
    }

    /// The path, as [`Address::parse`] takes it.
    #[must_use]
    pub fn path(&self) -> String {
        self.to_string()
    }
}

impl Item {
    /// The rendition that it belongs to, where it belongs to one.
    #[must_use]
    pub const fn rendition(&self) -> Option<&RenditionId> {
        match self {
            Self::Playlist(rendition, _)
            | Self::Iframes(rendition, _)
            | Self::Init(rendition)
            | Self::Segment(rendition, ..)
            | Self::Iframe(rendition, ..)
            | Self::Cues(rendition, ..)
            | Self::Subtitles(rendition)
            | Self::Sheet(rendition, _)
            | Self::Sprite(rendition)
            | Self::Key(rendition)
            | Self::Captions(rendition) => Some(rendition),
            Self::Master(_)
            | Self::Manifest
            | Self::Poster
            | Self::ThumbnailSprite
            | Self::ThumbnailSheet(_)
            | Self::Still(..) => None,
        }
    }

    /// Whether it lists a film's renditions, so that a token for some of them gets a shorter list.
    #[must_use]
    pub const fn lists_renditions(&self) -> bool {
        matches!(self, Self::Master(_) | Self::Manifest)
    }
}

fn of_film(file: &str) -> Option<Item> {
    Some(match file {
        "master.m3u8" => Item::Master(Flavour::Cmaf),
        "master_ts.m3u8" => Item::Master(Flavour::Ts),
        "manifest.mpd" => Item::Manifest,
        _ => return None,
    })
}

fn of_rendition(rendition: RenditionId, file: &str) -> Option<Item> {
    Some(match file {
        "playlist.m3u8" => Item::Playlist(rendition, Flavour::Cmaf),
        "playlist_ts.m3u8" => Item::Playlist(rendition, Flavour::Ts),
        "iframes.m3u8" => Item::Iframes(rendition, Flavour::Cmaf),
        "iframes_ts.m3u8" => Item::Iframes(rendition, Flavour::Ts),
        "init.mp4" => Item::Init(rendition),
        "subtitles.vtt" => Item::Subtitles(rendition),
        "sprite.vtt" => Item::Sprite(rendition),
        "content.key" => Item::Key(rendition),
        _ => return numbered(rendition, file),
    })
}

fn numbered(rendition: RenditionId, file: &str) -> Option<Item> {
    let (name, extension) = file.split_once('.')?;
    let (kind, digits) = name.rsplit_once('_')?;
    let n = number(digits)?;
    Some(match (kind, extension) {
        ("segment", "m4s") => Item::Segment(rendition, n, Flavour::Cmaf),
        ("segment", "ts") => Item::Segment(rendition, n, Flavour::Ts),
        ("iframe", "m4s") => Item::Iframe(rendition, n, Flavour::Cmaf),
        ("iframe", "ts") => Item::Iframe(rendition, n, Flavour::Ts),
        ("segment", "vtt") => Item::Cues(rendition, n, Flavour::Cmaf),
        ("segment_ts", "vtt") => Item::Cues(rendition, n, Flavour::Ts),
        ("sheet", "jpg") => Item::Sheet(rendition, n),
        _ => return None,
    })
}

fn of_thumbnails(file: &str) -> Option<Item> {
    match file {
        "default.jpg" => Some(Item::Poster),
        "sprite.vtt" => Some(Item::ThumbnailSprite),
        _ => {
            let name = file.strip_suffix(".jpg")?;
            if let Some(digits) = name.strip_prefix("sprite_") {
                return number(digits).map(Item::ThumbnailSheet);
            }
            let (digits, size) = name.strip_prefix("thumb_")?.split_once('_')?;
            Some(Item::Still(number(digits)?, StillSize::parse(size)?))
        }
    }
}

fn captions(language: &str) -> Option<Item> {
    let rendition = RenditionId::parse(&format!("{TEXT}{language}")).ok()?;
    (!language.is_empty()).then_some(Item::Captions(rendition))
}

impl Address {
    /// What follows a segment, or a segment's cues, in its playlist, if the film lasts so long.
    #[must_use]
    pub fn following(&self) -> Option<Self> {
        let mut next = self.clone();
        match &mut next.item {
            Item::Segment(_, n, _) | Item::Cues(_, n, _) => *n = n.checked_add(1)?,
            _ => return None,
        }
        Some(next)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { video, view, item } = self;
        match item {
            Item::Poster => return write!(f, "/t/{video}/default.jpg"),
            Item::ThumbnailSprite => return write!(f, "/t/{video}/sprite.vtt"),
            Item::ThumbnailSheet(n) => return write!(f, "/t/{video}/sprite_{n}.jpg"),
            Item::Still(n, size) => {
                return write!(f, "/t/{video}/thumb_{n}_{}.jpg", size.as_str());
            }
            Item::Captions(text) => {
                let language = text.as_str().strip_prefix(TEXT).unwrap_or(text.as_str());
                return write!(f, "/s/{video}/{language}.vtt");
            }
            _ => write!(f, "/v/{video}/")?,
        }
        if !view.is_default() {
            write!(f, "@{view}/")?;
        }
        if let Some(rendition) = item.rendition() {
            write!(f, "{rendition}/")?;
        }
        write!(f, "{}", Name(item))
    }
}

/// The last segment of a path below `/v/`.
struct Name<'a>(&'a Item);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ts = |flavour: &Flavour| match flavour {
            Flavour::Cmaf => "",
            Flavour::Ts => "_ts",
        };
        match self.0 {
            Item::Master(flavour) => write!(f, "master{}.m3u8", ts(flavour)),
            Item::Manifest => f.write_str("manifest.mpd"),
            Item::Playlist(_, flavour) => f.write_str(flavour.playlist()),
            Item::Iframes(_, flavour) => f.write_str(flavour.iframes()),
            Item::Init(_) => f.write_str("init.mp4"),
            Item::Segment(_, n, flavour) => write!(f, "segment_{n}{}", flavour.extension()),
            Item::Iframe(_, n, flavour) => write!(f, "iframe_{n}{}", flavour.extension()),
            Item::Cues(_, n, flavour) => write!(f, "segment{}_{n}.vtt", ts(flavour)),
            Item::Subtitles(_) => f.write_str("subtitles.vtt"),
            Item::Sheet(_, n) => write!(f, "sheet_{n}.jpg"),
            Item::Sprite(_) => f.write_str("sprite.vtt"),
            Item::Key(_) => f.write_str("content.key"),
            Item::Poster
            | Item::ThumbnailSprite
            | Item::ThumbnailSheet(_)
            | Item::Still(..)
            | Item::Captions(_) => Ok(()),
        }
    }
}

/// One to nine digits without a leading zero, so that every segment has one name.
fn number(digits: &str) -> Option<u32> {
    let canonical = matches!(digits.len(), 1..=9)
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    canonical.then(|| digits.parse().ok()).flatten()
}

/// The rendition that a film's sheets of small pictures are.
pub const THUMBS: &str = "thumbs";
/// How the names of renditions that carry text begin.
pub const TEXT: &str = "text-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_reads_back_from_its_own_path() {
        for path in [
            "/v/a/master.m3u8",
            "/v/a/master_ts.m3u8",
            "/v/a/manifest.mpd",
            "/v/a/@cenc,2s/manifest.mpd",
            "/v/a/720p/playlist.m3u8",
            "/v/a/@clearkey/720p/playlist.m3u8",
            "/v/a/720p/playlist_ts.m3u8",
            "/v/a/720p/iframes.m3u8",
            "/v/a/720p/iframes_ts.m3u8",
            "/v/a/audio-en/init.mp4",
            "/v/a/720p/segment_1.m4s",
            "/v/a/@aes128/720p/segment_999999999.ts",
            "/v/a/720p/iframe_7.m4s",
            "/v/a/720p/iframe_7.ts",
            "/v/a/text-en/segment_1.vtt",
            "/v/a/text-en/segment_ts_1.vtt",
            "/v/a/text-en/subtitles.vtt",
            "/v/a/thumbs/sheet_1.jpg",
            "/v/a/thumbs/sprite.vtt",
            "/v/a/720p/content.key",
            "/t/a/default.jpg",
            "/t/a/sprite.vtt",
            "/t/a/sprite_12.jpg",
            "/t/a/thumb_1_small.jpg",
            "/t/a/thumb_4_large.jpg",
            "/s/a/pt-br.vtt",
        ] {
            assert_eq!(
                Address::parse(path).map(|address| address.path()),
                Ok(path.to_owned())
            );
        }
    }

    #[test]
    fn there_are_no_aliases() {
        for path in [
            "",
            "/",
            "/v",
            "/v/",
            "/v/a",
            "/v/a/",
            "/v//master.m3u8",
            "/v/a/master.m3u8/",
            "/v/a/@/master.m3u8",
            "/v/a/@2s,cenc/master.m3u8",
            "/v/a/@2s/@cenc/master.m3u8",
            "/v/a/@2s",
            "/v/a/720p/@2s/playlist.m3u8",
            "/v/a/720p/segment_0.ts",
            "/v/a/720p/segment_01.ts",
            "/v/a/720p/segment_+1.ts",
            "/v/a/720p/segment_.ts",
            "/v/a/720p/segment_1.mp4",
            "/v/a/720p/segment_1.m4s.ts",
            "/v/a/720p/segment_ts_1.ts",
            "/v/a/720p/segment_1234567890.ts",
            "/v/a/720P/init.mp4",
            "/x/a/master.m3u8",
            "/t/a/@2s/default.jpg",
            "/t/a/720p/default.jpg",
            "/t/a/sprite_0.jpg",
            "/t/a/thumb_0_small.jpg",
            "/t/a/thumb_01_small.jpg",
            "/t/a/thumb_1.jpg",
            "/t/a/thumb_1_huge.jpg",
            "/t/a/thumb_1_small_2.jpg",
            "/t/a/thumb_small.jpg",
            "/s/a/.vtt",
            "/s/a/EN.vtt",
            "/s/a/en.srt",
            "v/a/master.m3u8",
        ] {
            assert_eq!(Address::parse(path), Err(AddressError), "{path}");
        }
    }
}
