//! One picture or sound of a film: where it is cut, and the plan of each segment and I-frame.

use std::{ops::Range, sync::Arc};

use contracts::{address::Flavour, id::RenditionId};

use crate::{
    Error, fmp4,
    index::{Index, Media, Sample, Video},
    lengths,
    rates::{Measured, Packing, Rates},
    timeline::{Instant, Timeline},
    ts,
};

/// One rendition of a film, with the places where it is cut.
#[derive(Debug, Clone)]
pub struct Rendition {
    id: RenditionId,
    language: Option<String>,
    label: Option<String>,
    index: Arc<Index>,
    /// Places in the sample table where segments begin, and its length; segment `n` is `cuts[n - 1]..cuts[n]`.
    cuts: Arc<[usize]>,
    /// In which interval of the film's timeline each segment begins; rising. The first interval counts from 0.
    begins: Arc<[usize]>,
    /// The first interval behind its end.
    behind: usize,
    /// Whether transport streams can carry it.
    in_ts: bool,
    segment_rates: Measured,
    iframe_rates: Measured,
}

/// What a film is made of: one rendition as ingest published it.
#[derive(Debug, Clone)]
pub struct Source {
    /// The rendition's name in URLs.
    pub id: RenditionId,
    /// BCP 47 tag of the language, for sound.
    pub language: Option<String>,
    /// What viewers choose it by, where the language does not say enough.
    pub label: Option<String>,
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

impl Rendition {
    pub(crate) fn new(source: Source, timeline: &Timeline) -> Result<Self, Error> {
        let Source {
            id,
            language,
            label,
            index,
        } = source;
        let (cuts, begins) = cuts(&index, timeline);
        let end = Instant::of(&index, index.end());
        let mut starts = timeline.starts();
        let behind = starts.position(|start| start.compare(end).is_ge());
        let rendition = Self {
            id,
            language,
            label,
            cuts: cuts.into(),
            begins: begins.into(),
            behind: behind.unwrap_or(timeline.starts.len()),
            in_ts: ts::carries(&index),
            index,
            segment_rates: Measured::default(),
            iframe_rates: Measured::default(),
        };
        let heavy = rendition.segments().any(|segment| {
            segment.bytes.end.saturating_sub(segment.bytes.start) > MAX_SEGMENT_BYTES
        });
        if heavy {
            return Err(Error::Presentation("a segment is larger than 64 MiB"));
        }
        if rendition
            .segments()
            .any(|segment| segment.samples.len() > MAX_SEGMENT_SAMPLES)
        {
            return Err(Error::Presentation(
                "a segment has more than 262144 samples",
            ));
        }
        Ok(rendition)
    }

    /// Measures what it takes of a line, by the target durations of playlists of CMAF and of transport streams.
    pub(crate) fn measure(&mut self, targets: [u64; 2]) {
        let index = &*self.index;
        let segments = self
            .segments()
            .map(|segment| (segment.clone(), fmp4::segment_length(index, &segment, None)));
        let segment_rates = Measured::of(index, self.in_ts, segments, targets);
        let iframes = self
            .iframes()
            .map(|iframe| (iframe.segment(), fmp4::iframe_length(index, &iframe, None)));
        let target = lengths::target(lengths::of_iframes(self));
        self.iframe_rates = Measured::of(index, self.in_ts, iframes, [target; 2]);
        self.segment_rates = segment_rates;
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

    /// What viewers choose it by, where its language does not say enough.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
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
        self.plan(number, at..at + 1)
    }

    /// The plan of segments one after another, as one.
    fn plan(&self, number: u32, places: Range<usize>) -> Option<Segment> {
        let (&from, &to) = (self.cuts.get(places.start)?, self.cuts.get(places.end)?);
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

    /// The plans of all segments.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        (1..=self.segment_count()).filter_map(|number| self.segment(number))
    }

    /// The intervals of the film's timeline that a segment of it stands for, as far as others go beside it: the time
    /// before its first and the rest of that in which it ends are of its first and last.
    pub(crate) fn intervals(&self, number: u32) -> Range<usize> {
        let next = usize::try_from(number).unwrap_or(usize::MAX);
        let of = |at: usize| self.begins.get(at).copied();
        let start = next.checked_sub(1).filter(|at| *at > 0).and_then(of);
        start.unwrap_or(0)..of(next).unwrap_or(self.behind)
    }

    /// The first interval of the film's timeline that begins when it has ended.
    pub(crate) fn behind(&self) -> usize {
        self.behind
    }

    /// How many segments begin before an interval.
    pub(crate) fn segments_before(&self, interval: usize) -> u32 {
        let count = self.begins.partition_point(|begin| *begin < interval);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What begins in some intervals, as one segment, numbered as its first; none where nothing does.
    pub(crate) fn beginning_in(&self, intervals: Range<usize>) -> Option<Segment> {
        let place = |interval| self.begins.partition_point(|begin| *begin < interval);
        let places = place(intervals.start)..place(intervals.end);
        let number = u32::try_from(places.start).ok()?.checked_add(1)?;
        (!places.is_empty()).then(|| self.plan(number, places))?
    }

    /// Whether its segments begin in the same intervals as another's, as far as both go.
    pub(crate) fn is_aligned_with(&self, other: &Self) -> bool {
        let mut pairs = self.begins.iter().zip(&*other.begins);
        pairs.all(|(ours, theirs)| ours == theirs)
    }

    /// How many pictures it has that decoding can begin with; 0 for sound.
    #[must_use]
    pub fn iframe_count(&self) -> u32 {
        u32::try_from(self.index.heads().len()).unwrap_or(u32::MAX)
    }

    /// The plan of such a picture, counted from 1; none behind the last.
    #[must_use]
    pub fn iframe(&self, number: u32) -> Option<IFrame> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let (heads, samples) = (self.index.heads(), self.index.samples());
        let &place = heads.get(at)?;
        let sample = samples.get(place)?;
        let next = heads.get(at + 1).and_then(|next| samples.get(*next));
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

    /// Whether segments of a flavour can carry it.
    #[must_use]
    pub fn is_in(&self, flavour: Flavour) -> bool {
        flavour == Flavour::Cmaf || self.in_ts
    }

    /// Keeps it out of transport streams.
    pub(crate) fn leave_ts(&mut self) {
        self.in_ts = false;
    }

    /// What its segments take of a line.
    pub(crate) fn rates(&self, packing: Packing) -> Rates {
        self.segment_rates.rates(packing)
    }

    /// What its I-frames take of a line, one by one.
    pub(crate) fn iframe_rates(&self, packing: Packing) -> Rates {
        self.iframe_rates.rates(packing)
    }
}

/// Finds where the timeline cuts a sample table, and in which interval each segment begins. Where nothing new begins in
/// an interval, for the track is late or stands still, nothing is cut.
fn cuts(index: &Index, timeline: &Timeline) -> (Vec<usize>, Vec<usize>) {
    let samples = index.samples();
    let timescale = index.track().timescale;
    let audio = matches!(index.track().media, Media::Audio(_));
    let (mut cuts, mut begins) = (vec![0], Vec::new());
    let (mut from, mut begin) = (0, 0);
    for (interval, start) in timeline.starts().enumerate().skip(1) {
        let start = start.ticks_from(timescale);
        let rest = samples.get(from..).unwrap_or_default();
        let reached = |sample: &Sample| (audio || sample.sync) && sample.pts() >= start;
        let Some(step) = rest.iter().position(reached) else {
            break;
        };
        if step > 0 {
            begins.push(begin);
            from += step;
            cuts.push(from);
        }
        begin = interval;
    }
    begins.push(begin);
    cuts.push(samples.len());
    (cuts, begins)
}

const MAX_SEGMENT_BYTES: u64 = 64 << 20;
/// An hour at 72 pictures a second. Containers spend more on a sample than the smallest samples are long.
const MAX_SEGMENT_SAMPLES: usize = 1 << 18;
