//! What an address turns out to be in a film, and the text that is written of it.

use std::{borrow::Cow, ops::Range, time::Duration};

use bytes::Bytes;
use contracts::{
    address::{Flavour, Item, THUMBS},
    asset::{StillSize, Thumbs},
    id::RenditionId,
};
use packager::{Presentation, Rendition, dash, fmp4, hls, text, thumbs};

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
    /// A still in a size, and its length in bytes.
    Still((u32, StillSize), u32),
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
        let still = |number: u32, size| {
            let at = usize::try_from(number).ok()?.checked_sub(1)?;
            let still = published.edition.asset.stills.get(at)?;
            Some(Self::Still((number, size), still.image(size).bytes))
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
            Item::Still(number, size) => still(*number, *size),
            Item::Sprite(id) if id.as_str() == THUMBS => sheets.map(|_| Self::Sprite("sheet_")),
            Item::ThumbnailSprite => sheets.map(|_| Self::Sprite("sprite_")),
            Item::Key(id) => cut.find(id).map(Self::Key),
            Item::Sheet(..) | Item::Sprite(_) | Item::Poster => None,
        }
    }

    /// Bytes of memory that writing it takes at most: a text grows by doubling, and what it is made of is listed first.
    pub(super) fn weight(&self, job: &Job) -> u64 {
        let cut = &job.cut;
        let counts = cut.renditions().iter().map(Rendition::segment_count);
        let segments = counts.clone().max().unwrap_or_default();
        let cues = job.published.film.text_bytes;
        let tracks = cut.renditions().len() + cut.texts().count();
        let tracks = u64::try_from(tracks).unwrap_or(u64::MAX) + 1;
        let lines = match self {
            // All segments of all renditions are looked at, and in a manifest written.
            Self::Master(_) | Self::Manifest => counts.map(u64::from).sum(),
            Self::Playlist(..) => {
                let intervals = u64::try_from(cut.boundaries().len()).unwrap_or(u64::MAX);
                intervals.max(segments.into()).max(sheets(job))
            }
            Self::Iframes(id, _) => {
                let rendition = cut.find(id);
                rendition.map_or(0, |rendition| rendition.iframe_count().into())
            }
            Self::Sprite(_) => job.published.edition.asset.thumbs.as_ref().map_or(0, tiles),
            _ => 0,
        };
        let bytes = match self {
            Self::Cues(..) | Self::Subtitles(_) => cues.saturating_mul(CUES),
            _ => tracks.saturating_mul(TRACK),
        };
        bytes.saturating_add(lines.saturating_mul(LINE))
    }

    /// Whether it is written of what lies in memory, and small enough to be kept.
    pub(crate) const fn is_written(&self) -> bool {
        !matches!(
            self,
            Self::Segment(..) | Self::Sheet(..) | Self::Still(..) | Self::Key(_)
        )
    }

    /// Writes what is written; none when nothing of the film passes the filter, or the flavour cannot carry it, or the
    /// thing is not written.
    pub(super) fn write(&self, job: &Job) -> Result<Option<Bytes>, Fault> {
        let protection = job.lock().map(|lock| &*lock.protection);
        let text = match self {
            Self::Master(flavour) => match offered(job)? {
                Some(cut) => hls::master(&cut, *flavour, protection)?,
                None => None,
            },
            Self::Manifest => match offered(job)? {
                Some(cut) => dash::manifest(&cut, protection)?,
                None => None,
            },
            Self::Playlist(id, flavour) => hls::playlist(&job.cut, id, *flavour, protection)?,
            Self::Iframes(id, flavour) => hls::iframes(&job.cut, id, *flavour, protection)?,
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
            Self::Init(rendition) => return init(job, rendition),
            Self::Segment(..) | Self::Sheet(..) | Self::Still(..) | Self::Key(_) => None,
        };
        // A text grows by doubling: what it may be kept as is as long as it is weighed.
        Ok(text.map(|text| Bytes::from(text.into_boxed_str().into_boxed_bytes())))
    }
}

fn sheets(job: &Job) -> u64 {
    let thumbs = job.published.edition.asset.thumbs.as_ref();
    let sheets = thumbs.map_or(0, |thumbs| thumbs.sheet_bytes.len());
    u64::try_from(sheets).unwrap_or(u64::MAX)
}

fn tiles(thumbs: &Thumbs) -> u64 {
    // As many as are written at most.
    thumbs.tiles.min(thumbs::MAX_TILES).into()
}

fn init(job: &Job, rendition: &Rendition) -> Result<Option<Bytes>, Fault> {
    let Some(lock) = job.lock() else {
        return Ok(Some(boxed(fmp4::init(rendition.index(), None))));
    };
    if !lock.can_encrypt(rendition)? {
        return Ok(None);
    }
    let track = lock.protection.track(rendition)?;
    Ok(Some(boxed(fmp4::init(rendition.index(), Some(&track)))))
}

fn boxed(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// The film as a listing names it: what the token is for, and what can be encrypted as it is asked for. None when
/// nothing is left.
fn offered(job: &Job) -> Result<Option<Cow<'_, Presentation>>, Fault> {
    let mut cut = Cow::Borrowed(&*job.cut);
    if !job.asked.only.is_empty() {
        match cut.only(&job.asked.only) {
            Some(filtered) => cut = Cow::Owned(filtered),
            None => return Ok(None),
        }
    }
    let Some(lock) = job.lock() else {
        return Ok(Some(cut));
    };
    let mut names: Vec<RenditionId> = cut.texts().map(|text| text.id.clone()).collect();
    names.extend(RenditionId::parse(THUMBS));
    let mut all = true;
    for rendition in cut.renditions() {
        if lock.can_encrypt(rendition)? {
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

/// What a segment, an I-frame, a sheet or a tile takes at most: its line of 120 bytes twice while the text grows, and
/// its place in a list.
const LINE: u64 = 320;
/// What a rendition takes beside its segments: names and labels, and in a manifest what its keys say.
const TRACK: u64 = 16 << 10;
/// What a byte of a film's texts takes at most: times may be written shorter than we write them, and a text grows.
const CUES: u64 = 6;
