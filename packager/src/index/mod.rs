//! The index of a mezzanine: every fact that packing needs, so that a segment costs one ranged read.

mod binary;
mod build;
mod events;
mod fragment;
mod header;

use std::ops;

use crate::{
    Error,
    codec::{Colour, Picture, Sound},
};

pub use build::build;
pub use events::{Event, ID3, Reference, UNKNOWN_DURATION};

/// What is known of one mezzanine file: its track, and where each sample lies and when it is shown.
///
/// Times are ticks of [`Track::timescale`]. Presentation time 0 is the film's start: edit lists are
/// folded in, and audio frames that would present before 0 (encoder priming) are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    track: Track,
    samples: Vec<Sample>,
    /// Places of the pictures that decoding can begin with; none for sound.
    heads: Vec<usize>,
    file: File,
    reorder: u64,
    end: u64,
    frame_rate: Option<(u32, u32)>,
    events: Vec<Event>,
    references: Vec<Reference>,
}

/// What identifies the mezzanine file that an index describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// The file's length in bytes.
    pub length: u64,
    /// SHA-256 of the whole file.
    pub sha256: [u8; 32],
}

/// The facts of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Ticks a second.
    pub timescale: u32,
    /// What the track carries.
    pub media: Media,
}

/// What a track carries, with what its decoder must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// Pictures.
    Video(Video),
    /// Sound.
    Audio(Sound),
}

/// The facts of a track of pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// Width in coded pixels.
    pub width: u16,
    /// Height in coded pixels.
    pub height: u16,
    /// Width to height of a pixel, where the file says it (`pasp`).
    pub pixel_aspect: Option<(u32, u32)>,
    /// Body of the `colr` box, where there is one.
    pub colour: Option<Vec<u8>>,
    /// The decoder configuration.
    pub config: Picture,
}

/// How bright pictures may be, in the words of HLS's `VIDEO-RANGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Range {
    /// Standard dynamic range.
    Sdr,
    /// High, by the transfer function of ITU-R BT.2100 that is called HLG.
    Hlg,
    /// High, by the transfer function of SMPTE ST 2084, called PQ.
    Pq,
}

/// One sample: a coded picture or an audio frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Where it begins in the mezzanine.
    pub offset: u64,
    /// When it is decoded, in ticks.
    pub dts: u64,
    /// Its length in bytes.
    pub size: u32,
    /// Ticks until the next sample is decoded.
    pub duration: u32,
    /// Ticks from decoding to presentation; negative where pictures are reordered.
    pub cts: i32,
    /// CRC-32C of its bytes.
    pub crc: u32,
    /// Decoding can begin here.
    pub sync: bool,
}

impl Index {
    /// Makes an index of parts, if they hold together.
    ///
    /// # Errors
    /// [`Error::Index`] when there is no sample, the first is no sync sample, samples are empty, overlap, go
    /// backwards or leave the file, times do not continue, or a sample presents before 0.
    pub fn new(track: Track, samples: Vec<Sample>, file: File) -> Result<Self, Error> {
        if track.timescale == 0 {
            return Err(Error::Index("its timescale is 0"));
        }
        let audio = matches!(track.media, Media::Audio(_));
        let first = samples.first().ok_or(Error::Index("it holds no sample"))?;
        if !first.sync {
            return Err(Error::Index("its first sample is no sync sample"));
        }
        let (mut offset, mut dts) = (0u64, first.dts);
        let (mut reorder, mut end) = (0u64, 0u64);
        for sample in &samples {
            if sample.size == 0 || sample.offset < offset {
                return Err(Error::Index("its samples are empty or overlap"));
            }
            if sample.duration == 0 || sample.dts != dts {
                return Err(Error::Index("its decoding times do not continue"));
            }
            if audio && sample.cts != 0 {
                return Err(Error::Index("its audio is reordered"));
            }
            offset = sample.end();
            dts = dts
                .checked_add(u64::from(sample.duration))
                .filter(|dts| *dts <= MAX_TICKS)
                .ok_or(Error::Index("it lasts too long"))?;
            let pts = sample
                .dts
                .checked_add_signed(i64::from(sample.cts))
                .ok_or(Error::Index("a sample presents before the start"))?;
            if sample.cts < 0 {
                reorder = reorder.max(u64::from(sample.cts.unsigned_abs()));
            }
            end = end.max(pts.saturating_add(u64::from(sample.duration)));
        }
        if offset > file.length {
            return Err(Error::Index("its samples lie outside the file"));
        }
        Ok(Self {
            frame_rate: frame_rate(&track, &samples),
            heads: heads(&track, &samples),
            track,
            samples,
            file,
            reorder,
            end,
            events: Vec::new(),
            references: Vec::new(),
        })
    }

    /// Adds what the mezzanine says beside its media, in place of what was said before.
    ///
    /// # Errors
    /// [`Error::Index`] when places are not in order or not of this film, or an event has no clock or a zero inside
    /// its scheme or value; [`Error::Unsupported`] when there is more of it than is packed.
    pub fn with_events(
        mut self,
        events: Vec<Event>,
        references: Vec<Reference>,
    ) -> Result<Self, Error> {
        events::check(&events, &references, self.samples.len())?;
        self.events = events;
        self.references = references;
        Ok(self)
    }

    /// The track's facts.
    #[must_use]
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// The samples in decoding order, which is also their order in the file.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The places among [`samples`](Self::samples) of the pictures that decoding can begin with; none for sound.
    #[must_use]
    pub fn heads(&self) -> &[usize] {
        &self.heads
    }

    /// The file that the index describes.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// By how many ticks the most reordered picture is shown before its place in decoding order.
    #[must_use]
    pub fn reorder(&self) -> u64 {
        self.reorder
    }

    /// When the last sample's presentation ends, in ticks.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// All events, in the order of the mezzanine.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The places among [`events`](Self::events) of those whose place in the film is among `samples`: disjoint ranges
    /// of samples share none, and the ranges of a whole film have each once.
    #[must_use]
    pub fn events_of(&self, samples: &ops::Range<usize>) -> ops::Range<usize> {
        events::within(&self.events, samples, |event| event.sample)
    }

    /// All readings of the producer's clock, in the order of the mezzanine.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The places of readings, as [`events_of`](Self::events_of).
    #[must_use]
    pub fn references_of(&self, samples: &ops::Range<usize>) -> ops::Range<usize> {
        events::within(&self.references, samples, |reference| reference.sample)
    }

    /// Bytes of memory that the index takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let text = |event: &Event| {
            event.scheme.capacity() + event.value.capacity() + event.data.capacity()
        };
        size_of::<Self>()
            + self.samples.capacity() * size_of::<Sample>()
            + self.heads.capacity() * size_of::<usize>()
            + self.events.capacity() * size_of::<Event>()
            + self.events.iter().map(text).sum::<usize>()
            + self.references.capacity() * size_of::<Reference>()
            + MAX_CONFIG_WEIGHT
    }
}

impl Track {
    /// The codec in the words of RFC 6381 §3.3, as a manifest tells it.
    #[must_use]
    pub fn codec(&self) -> String {
        match &self.media {
            Media::Video(video) => video.codec(),
            Media::Audio(sound) => sound.codec(),
        }
    }
}

impl Video {
    /// The codec in the words of RFC 6381 §3.3, as a manifest tells it.
    #[must_use]
    pub fn codec(&self) -> String {
        self.config.codec(self.told_colour())
    }

    /// Width and height in square pixels, at which the pictures are shown: the height is that of the coded pictures.
    #[must_use]
    pub fn displayed(&self) -> (u64, u64) {
        let (horizontal, vertical) = self.pixel_aspect.unwrap_or((1, 1));
        let vertical = u64::from(vertical.max(1));
        let width = u64::from(self.width) * u64::from(horizontal);
        (
            ((width + vertical / 2) / vertical).max(1),
            self.height.into(),
        )
    }

    /// How bright the pictures may be, by the transfer function that the container tells; standard where it tells none.
    #[must_use]
    pub fn range(&self) -> Range {
        match self.told_colour().map(|colour| colour.transfer) {
            Some(TRANSFER_PQ) => Range::Pq,
            Some(TRANSFER_HLG) => Range::Hlg,
            _ => Range::Sdr,
        }
    }

    /// The `colr` box goes before a codec's own record.
    pub(crate) fn told_colour(&self) -> Option<Colour> {
        let own = || match &self.config {
            Picture::Vp9(config) => Some(config.colour()),
            Picture::Avc(_) | Picture::Hevc(_) | Picture::Av1(_) => None,
        };
        self.colour.as_deref().and_then(Colour::parse).or_else(own)
    }
}

impl Sample {
    /// When it is presented, in ticks.
    #[must_use]
    pub fn pts(&self) -> u64 {
        self.dts.saturating_add_signed(i64::from(self.cts))
    }

    /// The first byte of the mezzanine behind it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.size))
    }
}

impl Index {
    /// Pictures a second as numerator and denominator, from the most usual sample duration; none for audio.
    #[must_use]
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        self.frame_rate
    }
}

fn heads(track: &Track, samples: &[Sample]) -> Vec<usize> {
    if !matches!(track.media, Media::Video(_)) {
        return Vec::new();
    }
    let samples = samples.iter().enumerate();
    let heads = samples.filter(|(_, sample)| sample.sync);
    heads.map(|(at, _)| at).collect()
}

/// Pictures a second, from the most usual sample duration.
fn frame_rate(track: &Track, samples: &[Sample]) -> Option<(u32, u32)> {
    if !matches!(track.media, Media::Video(_)) {
        return None;
    }
    let mut durations: Vec<u32> = samples.iter().map(|sample| sample.duration).collect();
    durations.sort_unstable();
    let usual = durations
        .chunk_by(|a, b| a == b)
        .max_by_key(|run| run.len())?
        .first()?;
    let divisor = greatest_common_divisor(track.timescale, *usual);
    Some((track.timescale / divisor, usual / divisor))
}

/// Euclid's; both arguments are above 0.
pub(crate) fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Keeps every sum of two times and every product with a rate within 128 bits.
const MAX_TICKS: u64 = 1 << 60;
const MAX_CONFIG_WEIGHT: usize = 4 << 10;
/// ITU-T H.273 §8.2.
const TRANSFER_PQ: u16 = 16;
const TRANSFER_HLG: u16 = 18;
