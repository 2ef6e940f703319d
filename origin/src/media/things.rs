//! What an address turns out to be in a film, and the text that is written of it.

use std::time::Duration;

use bytes::Bytes;
use contracts::{
    address::{Flavour, Item},
    id::RenditionId,
};
use packager::{Presentation, Rendition, dash, hls, text, thumbs};

use super::{
    Job,
    packing::{Parts, must_be_clear},
};
use crate::{fault::Fault, library::Published};

/// Something that a film has.
pub(crate) enum Thing<'a> {
    Master(Flavour),
    Manifest,
    Playlist(&'a RenditionId, Flavour),
    /// The playlist of the sheets.
    Images,
    Init(&'a Rendition),
    Segment(Parts<'a>, u32, Flavour),
    /// The cues from one moment until just before another.
    Cues(&'a text::Track, Duration, Duration, Flavour),
    /// All cues.
    Subtitles(&'a text::Track),
    /// A sheet and its length in bytes.
    Sheet(u32, u32),
    /// Which tile belongs to which moment, and what the names of sheets begin with.
    Sprite(&'static str),
}

impl<'a> Thing<'a> {
    /// Looks an address up; none when the film has no such thing.
    pub(crate) fn find(
        published: &'a Published,
        cut: &'a Presentation,
        item: &'a Item,
    ) -> Option<Self> {
        let film = &published.film;
        let sheets = published.edition.asset.thumbs.as_ref();
        let sheet = |number: u32| {
            let at = usize::try_from(number).ok()?.checked_sub(1)?;
            let bytes = sheets?.sheet_bytes.get(at)?;
            Some(Self::Sheet(number, *bytes))
        };
        match item {
            Item::Master(flavour) => Some(Self::Master(*flavour)),
            Item::Manifest => Some(Self::Manifest),
            Item::Playlist(id, Flavour::Cmaf) if id.as_str() == THUMBS => {
                sheets.map(|_| Self::Images)
            }
            Item::Playlist(id, flavour) => cut.find(id).map(|_| Self::Playlist(id, *flavour)),
            Item::Init(id) => cut.find(id).map(Self::Init),
            Item::Segment(id, number, flavour) => Parts::find(cut, id, *number, *flavour)
                .map(|parts| Self::Segment(parts, *number, *flavour)),
            Item::Cues(id, number, flavour) => {
                let (start, end) = interval(cut, *number)?;
                let text = film.text(id)?;
                Some(Self::Cues(text, start, end, *flavour))
            }
            Item::Subtitles(id) | Item::Captions(id) => film.text(id).map(Self::Subtitles),
            Item::Sheet(id, number) if id.as_str() == THUMBS => sheet(*number),
            Item::ThumbnailSheet(number) => sheet(*number),
            Item::Sprite(id) if id.as_str() == THUMBS => sheets.map(|_| Self::Sprite("sheet_")),
            Item::ThumbnailSprite => sheets.map(|_| Self::Sprite("sprite_")),
            Item::Sheet(..)
            | Item::Sprite(_)
            | Item::Iframes(..)
            | Item::Iframe(..)
            | Item::Key(_)
            | Item::Poster => None,
        }
    }

    /// Writes what is text; none when nothing of the film passes the filter, or the thing is no text.
    pub(super) fn write(&self, job: &Job<'_>) -> Result<Option<Bytes>, Fault> {
        let Job { cut, .. } = job;
        let film = cut.duration();
        let text = match self {
            Self::Master(flavour) => {
                must_be_clear(job.lock)?;
                hls::master(cut, *flavour)
            }
            Self::Manifest => {
                must_be_clear(job.lock)?;
                dash::manifest(cut)
            }
            Self::Playlist(id, flavour) => {
                must_be_clear(job.lock)?;
                return Ok(hls::playlist(cut, id, *flavour).map(Bytes::from));
            }
            Self::Cues(text, start, end, flavour) => {
                text::segment(&text.document, *start, *end, *flavour)
            }
            Self::Subtitles(text) => text::webvtt::write(&text.document),
            Self::Images | Self::Sprite(_) => {
                let Some(sheets) = &job.published.edition.asset.thumbs else {
                    return Ok(None);
                };
                match self {
                    // Each cue's text is the name of a sheet, which is another in this room.
                    Self::Sprite(name) => {
                        let sprite = thumbs::vtt(sheets, film, "");
                        sprite.replace("\nsheet_", &format!("\n{name}"))
                    }
                    _ => thumbs::playlist(sheets, film),
                }
            }
            Self::Init(_) | Self::Segment(..) | Self::Sheet(..) => return Ok(None),
        };
        Ok(Some(text.into()))
    }
}

/// When a segment begins and ends.
fn interval(cut: &Presentation, number: u32) -> Option<(Duration, Duration)> {
    let reference = cut.videos().next().or_else(|| cut.audios().next())?;
    let segment = reference.segment(number)?;
    let timescale = u128::from(reference.index().track().timescale);
    let moment = |ticks: u64| {
        let nanos = u128::from(ticks) * 1_000_000_000 / timescale;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    let end = segment.start.saturating_add(segment.duration);
    Some((moment(segment.start), moment(end)))
}

/// The rendition that the sheets are in URLs.
const THUMBS: &str = "thumbs";
