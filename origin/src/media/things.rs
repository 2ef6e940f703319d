//! What an address turns out to be in a film, and the text that is written of it.

use std::{borrow::Cow, ops::Range, time::Duration};

use bytes::Bytes;
use contracts::{
    address::{Flavour, Item, THUMBS},
    id::RenditionId,
};
use packager::{Presentation, Rendition, dash, hls, text, thumbs};

use super::{Job, packing::Parts};
use crate::{fault::Fault, library::Published};

/// Something that a film has.
pub(crate) enum Thing<'a> {
    Master(Flavour),
    Manifest,
    Playlist(&'a RenditionId, Flavour),
    Iframes(&'a RenditionId, Flavour),
    Init(&'a Rendition),
    Segment(Box<Parts>, u32, Flavour),
    /// The cues of an interval.
    Cues(&'a text::Track, Range<Duration>, Flavour),
    /// The key of a rendition, as it is.
    Key(&'a Rendition),
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
        let sheets = published.edition.asset.thumbs.as_ref();
        let sheet = |number: u32| {
            let at = usize::try_from(number).ok()?.checked_sub(1)?;
            let bytes = sheets?.sheet_bytes.get(at)?;
            Some(Self::Sheet(number, *bytes))
        };
        match item {
            Item::Master(flavour) => Some(Self::Master(*flavour)),
            Item::Manifest => Some(Self::Manifest),
            Item::Playlist(id, flavour) => {
                let exists = cut.find(id).is_some()
                    || cut.text(id).is_some()
                    || (sheets.is_some() && id.as_str() == THUMBS);
                exists.then_some(Self::Playlist(id, *flavour))
            }
            Item::Iframes(id, flavour) => {
                let picture = cut.find(id)?.video().is_some();
                picture.then_some(Self::Iframes(id, *flavour))
            }
            Item::Init(id) => cut.find(id).map(Self::Init),
            Item::Segment(id, number, flavour) => Parts::find(cut, id, *number, *flavour)
                .map(|parts| Self::Segment(Box::new(parts), *number, *flavour)),
            Item::Iframe(id, number, flavour) => Parts::find_iframe(cut, id, *number, *flavour)
                .map(|parts| Self::Segment(Box::new(parts), *number, *flavour)),
            Item::Cues(id, number, flavour) => {
                let interval = cut.interval(*number)?;
                Some(Self::Cues(cut.text(id)?, interval, *flavour))
            }
            Item::Subtitles(id) | Item::Captions(id) => cut.text(id).map(Self::Subtitles),
            Item::Sheet(id, number) if id.as_str() == THUMBS => sheet(*number),
            Item::ThumbnailSheet(number) => sheet(*number),
            Item::Sprite(id) if id.as_str() == THUMBS => sheets.map(|_| Self::Sprite("sheet_")),
            Item::ThumbnailSprite => sheets.map(|_| Self::Sprite("sprite_")),
            Item::Key(id) => cut.find(id).map(Self::Key),
            Item::Sheet(..) | Item::Sprite(_) | Item::Poster => None,
        }
    }

    /// Writes what is text; none when nothing of the film passes the filter, or the flavour cannot carry it, or the
    /// thing is no text.
    pub(super) fn write(&self, job: &Job<'_>) -> Result<Option<Bytes>, Fault> {
        let protection = job.lock.map(|lock| &*lock.protection);
        let text = match self {
            Self::Master(flavour) => match offered(job)? {
                Some(cut) => hls::master(&cut, *flavour, protection)?,
                None => None,
            },
            Self::Manifest => match offered(job)? {
                Some(cut) => dash::manifest(&cut, protection)?,
                None => None,
            },
            Self::Playlist(id, flavour) => hls::playlist(job.cut, id, *flavour, protection)?,
            Self::Iframes(id, flavour) => hls::iframes(job.cut, id, *flavour, protection)?,
            Self::Cues(text, interval, flavour) => {
                let Range { start, end } = *interval;
                Some(text::segment(&text.document, start, end, *flavour))
            }
            Self::Subtitles(text) => Some(text::webvtt::write(&text.document)),
            // Each cue's text is the name of a sheet, which is another in another room.
            Self::Sprite(name) => job
                .cut
                .thumbs()
                .map(|sheets| thumbs::vtt(sheets, job.cut.duration(), name)),
            Self::Init(_) | Self::Segment(..) | Self::Sheet(..) | Self::Key(_) => None,
        };
        Ok(text.map(Bytes::from))
    }
}

/// The film as a listing names it: what the token is for, and what can be encrypted as it is asked for. None when
/// nothing is left.
fn offered<'a>(job: &Job<'a>) -> Result<Option<Cow<'a, Presentation>>, Fault> {
    let mut cut = Cow::Borrowed(job.cut);
    if !job.asked.only.is_empty() {
        match cut.only(&job.asked.only) {
            Some(filtered) => cut = Cow::Owned(filtered),
            None => return Ok(None),
        }
    }
    let Some(lock) = job.lock else {
        return Ok(Some(cut));
    };
    let mut names: Vec<RenditionId> = cut.texts().map(|text| text.id.clone()).collect();
    names.extend(RenditionId::parse(THUMBS));
    let mut all = true;
    for rendition in cut.renditions() {
        if lock.can_encrypt(&cut, rendition)? {
            names.push(rendition.id().clone());
        } else {
            all = false;
        }
    }
    Ok(if all {
        Some(cut)
    } else {
        cut.only(&names).map(Cow::Owned)
    })
}
