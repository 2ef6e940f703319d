//! A film: its renditions on one timeline, and the plan of each segment.

use std::{ops::Range, sync::Arc, time::Duration};

use contracts::id::RenditionId;

use crate::{
    Error,
    index::{Index, Media, Sample, Video},
    timeline::{Instant, Timeline},
    ts,
};

/// A film that can be played: renditions that share their segment boundaries.
#[derive(Debug, Clone)]
pub struct Presentation {
    renditions: Vec<Rendition>,
}

/// One rendition of a film, with the places where it is cut.
#[derive(Debug, Clone)]
pub struct Rendition {
    id: RenditionId,
    language: Option<String>,
    index: Arc<Index>,
    /// Places in the sample table where segments begin, and its length; segment `n` is `cuts[n - 1]..cuts[n]`.
    cuts: Vec<usize>,
    /// Places of the pictures that decoding can begin with; none of sound.
    heads: Vec<usize>,
}

/// What a film is made of: one rendition as ingest published it.
#[derive(Debug, Clone)]
pub struct Source {
    /// The rendition's name in URLs.
    pub id: RenditionId,
    /// BCP 47 tag of the language, for sound.
    pub language: Option<String>,
    /// The index of its mezzanine.
    pub index: Arc<Index>,
}

/// The plan of one segment of one rendition; times are ticks of the rendition's timescale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Counted from 1.
    pub number: u32,
    /// When its first sample is presented.
    pub start: u64,
    /// How long it lasts on the screen: until the next segment's start.
    pub duration: u64,
    /// Its samples in the index.
    pub samples: Range<usize>,
    /// Its events in the index.
    pub events: Range<usize>,
    /// The bytes of the mezzanine that hold all of them, box headers between them included.
    pub bytes: Range<u64>,
}

/// The plan of one picture that decoding can begin with, as a segment of its own; times are ticks of the
/// rendition's timescale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IFrame {
    /// Counted from 1 over the film.
    pub number: u32,
    /// When it is presented.
    pub start: u64,
    /// How long it stays on the screen: until the next such picture, or the film's end.
    pub duration: u64,
    /// Its place in the index.
    pub sample: usize,
    /// The bytes of the mezzanine that hold it.
    pub bytes: Range<u64>,
}

impl IFrame {
    /// The plan of a segment that holds it alone, without events: they come with the pictures around it.
    #[must_use]
    pub fn segment(&self) -> Segment {
        Segment {
            number: self.number,
            start: self.start,
            duration: self.duration,
            samples: self.sample..self.sample + 1,
            events: 0..0,
            bytes: self.bytes.clone(),
        }
    }
}

impl Presentation {
    /// Puts renditions on one timeline, cut near each multiple of `target` (taken as 2 to 6 s).
    ///
    /// The order of `sources` is kept; the first sound is the film's default.
    ///
    /// # Errors
    /// [`Error::Presentation`] when there is nothing to play, when pictures share no GOP head with the first
    /// one's, when a rendition has a hole as long as a segment, or when a segment is absurdly large.
    pub fn new(sources: Vec<Source>, target: Duration) -> Result<Self, Error> {
        let timeline = timeline(&sources, target)?;
        let renditions = sources
            .into_iter()
            .map(|source| Rendition::new(source, &timeline))
            .collect::<Result<_, _>>()?;
        Ok(Self { renditions })
    }

    /// All renditions, in the order given.
    #[must_use]
    pub fn renditions(&self) -> &[Rendition] {
        &self.renditions
    }

    /// The renditions that carry pictures.
    pub fn videos(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions
            .iter()
            .filter(|rendition| rendition.video().is_some())
    }

    /// The renditions that carry sound; the first is the default.
    pub fn audios(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions
            .iter()
            .filter(|rendition| rendition.video().is_none())
    }

    /// The rendition of that name.
    #[must_use]
    pub fn find(&self, id: &RenditionId) -> Option<&Rendition> {
        self.renditions.iter().find(|rendition| rendition.id == *id)
    }

    /// The sound that is carried inside a rendition's transport stream segments: for pictures, the first sound that
    /// such a stream can carry.
    #[must_use]
    pub fn companion(&self, rendition: &Rendition) -> Option<&Rendition> {
        rendition
            .video()
            .and_then(|_| self.audios().find(|audio| ts::carries(audio.index())))
    }

    /// How many transport stream segments a rendition has: sound may outlast the picture that it is muxed with.
    #[must_use]
    pub fn ts_segment_count(&self, rendition: &Rendition) -> u32 {
        let sound = self
            .companion(rendition)
            .map_or(0, Rendition::segment_count);
        rendition.segment_count().max(sound)
    }

    /// How long the film lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let ends = self.renditions.iter().map(|rendition| {
            let index = &rendition.index;
            ticks_to_duration(index.end(), index.track().timescale)
        });
        ends.max().unwrap_or_default()
    }
}

impl Rendition {
    fn new(source: Source, timeline: &Timeline) -> Result<Self, Error> {
        let Source {
            id,
            language,
            index,
        } = source;
        let cuts = cuts(&index, timeline)?;
        let heads = heads(&index);
        let rendition = Self {
            id,
            language,
            index,
            cuts,
            heads,
        };
        let heavy = rendition.segments().any(|segment| {
            segment.bytes.end.saturating_sub(segment.bytes.start) > MAX_SEGMENT_BYTES
        });
        if heavy {
            return Err(Error::Presentation("a segment is larger than 64 MiB"));
        }
        Ok(rendition)
    }

    /// Its name in URLs.
    #[must_use]
    pub fn id(&self) -> &RenditionId {
        &self.id
    }

    /// BCP 47 tag of its language.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// The index of its mezzanine.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The facts of its pictures; none when it carries sound.
    #[must_use]
    pub fn video(&self) -> Option<&Video> {
        match &self.index.track().media {
            Media::Video(video) => Some(video),
            Media::Audio(_) => None,
        }
    }

    /// How many segments it has.
    #[must_use]
    pub fn segment_count(&self) -> u32 {
        u32::try_from(self.cuts.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The plan of a segment, counted from 1; none behind the last.
    #[must_use]
    pub fn segment(&self, number: u32) -> Option<Segment> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let (&from, &to) = (self.cuts.get(at)?, self.cuts.get(at + 1)?);
        let samples = self.index.samples();
        let (first, last) = (samples.get(from)?, samples.get(to.checked_sub(1)?)?);
        let end = samples
            .get(to)
            .map_or_else(|| self.index.end(), Sample::pts);
        Some(Segment {
            number,
            start: first.pts(),
            duration: end.saturating_sub(first.pts()),
            samples: from..to,
            events: self.index.events_of(&(from..to)),
            bytes: first.offset..last.end(),
        })
    }

    /// How many pictures it has that decoding can begin with; 0 for sound.
    #[must_use]
    pub fn iframe_count(&self) -> u32 {
        u32::try_from(self.heads.len()).unwrap_or(u32::MAX)
    }

    /// The plan of such a picture, counted from 1; none behind the last.
    #[must_use]
    pub fn iframe(&self, number: u32) -> Option<IFrame> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let &place = self.heads.get(at)?;
        let samples = self.index.samples();
        let sample = samples.get(place)?;
        let next = self.heads.get(at + 1).and_then(|next| samples.get(*next));
        let end = next.map_or_else(|| self.index.end(), Sample::pts);
        Some(IFrame {
            number,
            start: sample.pts(),
            duration: end.saturating_sub(sample.pts()),
            sample: place,
            bytes: sample.offset..sample.end(),
        })
    }

    /// The plans of all pictures that decoding can begin with.
    pub fn iframes(&self) -> impl Iterator<Item = IFrame> {
        (1..=self.iframe_count()).filter_map(|number| self.iframe(number))
    }

    /// The plans of all segments.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        (1..=self.segment_count()).filter_map(|number| self.segment(number))
    }
}

/// Converts ticks to a length, rounded down to the nanosecond.
pub(crate) fn ticks_to_duration(ticks: u64, timescale: u32) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn timeline(sources: &[Source], target: Duration) -> Result<Timeline, Error> {
    let instant = |index: &Index, ticks| Instant {
        ticks,
        timescale: index.track().timescale,
    };
    let end = sources
        .iter()
        .map(|source| instant(&source.index, source.index.end()))
        .max_by(|a, b| a.compare(*b))
        .ok_or(Error::Presentation("there is no rendition"))?;
    let is_video = |index: &Index| matches!(index.track().media, Media::Video(_));
    let videos: Vec<&Index> = sources
        .iter()
        .map(|source| &*source.index)
        .filter(|index| is_video(index))
        .collect();
    if !videos.is_empty() {
        return Timeline::of_video(&videos, end, target);
    }
    let first = sources
        .first()
        .ok_or(Error::Presentation("there is no rendition"))?;
    let start = first.index.samples().first().map_or(0, Sample::pts);
    Timeline::of_audio(first.index.track().timescale, start, end, target)
}

/// Finds where the timeline cuts a sample table. Segments without samples are allowed at the end only.
fn cuts(index: &Index, timeline: &Timeline) -> Result<Vec<usize>, Error> {
    let samples = index.samples();
    let timescale = index.track().timescale;
    let audio = matches!(index.track().media, Media::Audio(_));
    let mut cuts = vec![0];
    let mut from = 0;
    for start in timeline.starts().skip(1) {
        let rest = samples.get(from..).unwrap_or_default();
        let reached = |sample: &Sample| {
            let pts = Instant {
                ticks: sample.pts(),
                timescale,
            };
            (audio || sample.sync) && pts.compare(start).is_ge()
        };
        let Some(step) = rest.iter().position(reached) else {
            break;
        };
        if step == 0 {
            return Err(Error::Presentation(
                "a rendition has a hole as long as a segment",
            ));
        }
        from += step;
        cuts.push(from);
    }
    cuts.push(samples.len());
    Ok(cuts)
}

/// The places of the sync samples of pictures.
fn heads(index: &Index) -> Vec<usize> {
    match index.track().media {
        Media::Video(_) => {
            let places = index.samples().iter().enumerate();
            places
                .filter(|(_, sample)| sample.sync)
                .map(|(at, _)| at)
                .collect()
        }
        Media::Audio(_) => Vec::new(),
    }
}

const MAX_SEGMENT_BYTES: u64 = 64 << 20;
