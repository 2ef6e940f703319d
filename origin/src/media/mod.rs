//! Bodies: playlists written from the indexes, segments packed out of ranged reads, posters as they lie.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::{
    address::{Address, Flavour, Item},
    asset::Asset,
    id::RenditionId,
    reason::Reason,
};
use packager::{Rendition, Segment, dash, fmp4, hls, ts};
use store::layout;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::Settings,
    library::{Fault, Published},
    metrics::Metrics,
    shelf::Shelf,
};

/// Makes bodies.
pub(crate) struct Media {
    shelf: Arc<Shelf>,
    /// Permits are KiB of memory.
    memory: Arc<Semaphore>,
    memory_kib: u32,
    wait: Duration,
    metrics: Metrics,
}

/// What a segment is packed from: the picture's share, the sound's, or both.
struct Parts<'a> {
    video: Option<Track<'a>>,
    audio: Option<Track<'a>>,
}

/// A rendition and, unless it has ended before, its share of the segment.
struct Track<'a> {
    rendition: &'a Rendition,
    segment: Option<Segment>,
}

impl Media {
    pub(crate) fn new(shelf: Arc<Shelf>, settings: &Settings, metrics: Metrics) -> Self {
        let most = u64::try_from(Semaphore::MAX_PERMITS)
            .unwrap_or(u64::MAX)
            .min(1 << 30);
        let memory_kib = u32::try_from((settings.pack_memory >> 10).min(most)).unwrap_or(1 << 30);
        Self {
            shelf,
            memory: Arc::new(Semaphore::new(
                usize::try_from(memory_kib).unwrap_or(1 << 20),
            )),
            memory_kib,
            wait: settings.pack_wait,
            metrics,
        }
    }

    /// Whether the film has what the address names.
    pub(crate) fn exists(published: &Published, address: &Address) -> bool {
        let film = &published.film.presentation;
        match &address.item {
            _ if !address.view.is_default() => false,
            Item::Playlist(rendition, _) | Item::Init(rendition) => film.find(rendition).is_some(),
            Item::Segment(rendition, number, flavour) => {
                parts(published, rendition, *number, *flavour).is_some()
            }
            Item::Master(_) | Item::Manifest | Item::Poster => true,
            _ => false,
        }
    }

    /// The body of an address of a film; none when the film has no such thing.
    pub(crate) async fn body(
        &self,
        published: &Published,
        address: &Address,
    ) -> Result<Option<Bytes>, Fault> {
        let film = &published.film.presentation;
        Ok(match &address.item {
            Item::Master(flavour) => Some(hls::master(film, *flavour).into()),
            Item::Manifest => Some(dash::manifest(film).into()),
            Item::Playlist(rendition, flavour) => {
                hls::playlist(film, rendition, *flavour).map(Bytes::from)
            }
            Item::Init(rendition) => film
                .find(rendition)
                .map(|found| fmp4::init(found.index()).into()),
            Item::Segment(rendition, number, flavour) => {
                match parts(published, rendition, *number, *flavour) {
                    Some(parts) => Some(self.segment(published, *number, *flavour, parts).await?),
                    None => None,
                }
            }
            Item::Poster => self.poster(&published.asset).await?,
            _ => None,
        })
    }

    /// The poster of a film, if it has one.
    pub(crate) async fn poster(&self, asset: &Asset) -> Result<Option<Bytes>, Fault> {
        self.shelf.read(&layout::poster(&asset.video)).await
    }

    async fn segment(
        &self,
        published: &Published,
        number: u32,
        flavour: Flavour,
        parts: Parts<'_>,
    ) -> Result<Bytes, Fault> {
        let permit = self.reserve(parts.source_bytes()).await?;
        let asset = &published.asset;
        let video = self.read(asset, parts.video.as_ref()).await?;
        let audio = self.read(asset, parts.audio.as_ref()).await?;
        let timer = self.metrics.pack_seconds(flavour).start_timer();
        let packed = match flavour {
            Flavour::Cmaf => parts.pack_cmaf(&video, &audio),
            Flavour::Ts => ts::segment(&ts::Input {
                number,
                video: parts.video.as_ref().map(|track| track.stream(&video)),
                audio: parts.audio.as_ref().map(|track| track.stream(&audio)),
            }),
        };
        timer.observe_duration();
        Ok(Bytes::from_owner(Held {
            bytes: packed?,
            _memory: permit,
        }))
    }

    /// Takes memory for a segment's source and its packed form, kept until the body is sent.
    async fn reserve(&self, source_bytes: u64) -> Result<OwnedSemaphorePermit, Fault> {
        let wanted = u32::try_from(source_bytes.saturating_mul(2) >> 10).unwrap_or(u32::MAX);
        let wanted = wanted.clamp(1, self.memory_kib);
        let permit = Arc::clone(&self.memory).acquire_many_owned(wanted);
        match tokio::time::timeout(self.wait, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Fault::new(
                Reason::Internal,
                "the memory for packing is closed",
            )),
            Err(_) => Err(Fault::new(Reason::Busy, "the memory for packing is taken")),
        }
    }

    /// The one ranged read of a track's share; nothing for a track that has none.
    async fn read(&self, asset: &Asset, track: Option<&Track<'_>>) -> Result<Bytes, Fault> {
        let Some(Track {
            rendition,
            segment: Some(segment),
        }) = track
        else {
            return Ok(Bytes::new());
        };
        let key = layout::mezzanine(&asset.video, asset.generation, rendition.id());
        let range: Range<u64> = segment.bytes.clone();
        let bytes = self.shelf.read_range(&key, range).await?;
        let missing = || Fault::corrupt(format!("{}: its mezzanine is missing", rendition.id()));
        bytes.ok_or_else(missing)
    }
}

/// Finds what a segment is made of; none when the film has no such segment.
fn parts<'a>(
    published: &'a Published,
    id: &RenditionId,
    number: u32,
    flavour: Flavour,
) -> Option<Parts<'a>> {
    let film = &published.film.presentation;
    let track = |rendition: &'a Rendition| Track {
        rendition,
        segment: rendition.segment(number),
    };
    let rendition = film.find(id)?;
    let companion = match flavour {
        Flavour::Cmaf => None,
        Flavour::Ts => film.companion(rendition),
    };
    let parts = if rendition.video().is_some() {
        Parts {
            video: Some(track(rendition)),
            audio: companion.map(track),
        }
    } else {
        Parts {
            video: None,
            audio: Some(track(rendition)),
        }
    };
    let exists = parts.tracks().any(|track| track.segment.is_some());
    exists.then_some(parts)
}

impl Parts<'_> {
    fn tracks(&self) -> impl Iterator<Item = &Track<'_>> {
        self.video.iter().chain(&self.audio)
    }

    fn source_bytes(&self) -> u64 {
        let segments = self.tracks().filter_map(|track| track.segment.as_ref());
        segments
            .map(|segment| segment.bytes.end - segment.bytes.start)
            .sum()
    }

    fn pack_cmaf(&self, video: &[u8], audio: &[u8]) -> Result<Vec<u8>, packager::Error> {
        let (track, mezzanine) = match (&self.video, &self.audio) {
            (Some(track), _) => (track, video),
            (None, Some(track)) => (track, audio),
            (None, None) => return Err(packager::Error::Presentation("nothing to pack")),
        };
        let nothing = packager::Error::Presentation("nothing to pack");
        let segment = track.segment.as_ref().ok_or(nothing)?;
        fmp4::segment(track.rendition.index(), segment, mezzanine)
    }
}

impl Track<'_> {
    fn stream<'a>(&'a self, mezzanine: &'a [u8]) -> ts::Stream<'a> {
        let part = self
            .segment
            .as_ref()
            .map(|segment| ts::Part { segment, mezzanine });
        ts::Stream {
            index: self.rendition.index(),
            part,
        }
    }
}

/// A packed segment together with its claim on memory, given back when the last byte was sent.
struct Held {
    bytes: Vec<u8>,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
