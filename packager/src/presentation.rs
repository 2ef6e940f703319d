//! A film: its renditions on one timeline, and the plan of each segment.

use std::{ops::Range, sync::Arc, time::Duration};

pub(crate) use contracts::address::THUMBS;
use contracts::{address::Flavour, asset::Thumbs, id::RenditionId};

use crate::{
    Error,
    index::{Index, Media, Sample},
    lengths,
    rates::Rates,
    text,
    timeline::{Instant, NOTHING, Timeline},
    ts,
};

pub use crate::rendition::{IFrame, Rendition, Segment, Source};

/// A film that can be played: renditions that share their segment boundaries, subtitles and thumbnails beside them.
///
/// Cheap to clone: clones share what was measured of the film.
#[derive(Debug, Clone)]
pub struct Presentation {
    renditions: Vec<Rendition>,
    texts: Vec<Text>,
    thumbs: Option<Thumbs>,
    whole: Arc<Whole>,
}

/// What a film is made of.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Pictures and sounds in the order in which players see them; the first sound is the film's default.
    pub sources: Vec<Source>,
    /// Subtitles, in the order in which players see them.
    pub texts: Vec<text::Track>,
    /// Sheets of thumbnails, where they were made.
    pub thumbs: Option<Thumbs>,
}

/// What a transport stream segment is made of: at least one of two shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Of the rendition itself; none behind its end.
    pub own: Option<Segment>,
    /// Of the sound that is carried beside a picture; none where it is silent.
    pub sound: Option<Segment>,
}

/// What stays true of the whole film when some of its renditions are left out.
#[derive(Debug)]
struct Whole {
    /// The sound inside the transport streams of pictures.
    muxed: Option<Rendition>,
    /// Where subtitles are cut: the starts of segments, and the film's end.
    boundaries: Vec<Duration>,
    duration: Duration,
    /// `EXT-X-TARGETDURATION` of the playlists of each flavour.
    targets: [u64; 2],
}

/// Subtitles and what they take of a line, in each flavour.
#[derive(Debug, Clone)]
struct Text {
    track: text::Track,
    rates: [Rates; 2],
}

impl Presentation {
    /// Puts a film together, cut near each multiple of `target` (taken as 2 to 6 s). Rates are measured here, once.
    ///
    /// # Errors
    /// [`Error::Presentation`] when there is nothing to play, when the clocks of pictures have too little in
    /// common, or when a segment is absurdly large.
    pub fn new(parts: Parts, target: Duration) -> Result<Self, Error> {
        let Parts {
            sources,
            texts,
            thumbs,
        } = parts;
        let timeline = timeline(&sources, target)?;
        let renditions = sources
            .into_iter()
            .map(|source| Rendition::new(source, &timeline))
            .collect::<Result<Vec<_>, _>>()?;
        let whole = Whole::of(&renditions, &timeline);
        let texts = texts.into_iter().map(|track| Text {
            rates: [Rates::default(); 2],
            track,
        });
        let mut film = Self {
            renditions,
            texts: texts.collect(),
            thumbs,
            whole: Arc::new(whole),
        };
        film.leave_ts();
        film.measure();
        Ok(film)
    }

    /// Keeps what would make too large a transport stream segment out of transport streams.
    fn leave_ts(&mut self) {
        let is_too_large = |rendition: &Rendition| {
            let mut numbers = 1..=self.ts_segment_count(rendition);
            let sound = self.companion(rendition);
            numbers.any(|number| {
                let Some(Shares { own, sound: heard }) = self.ts_segment(rendition, number) else {
                    return false;
                };
                let own = own.as_ref().map(|own| (&**rendition.index(), own));
                let heard = sound.zip(heard.as_ref());
                let heard = heard.map(|(sound, heard)| (&**sound.index(), heard));
                !ts::holds(own, heard)
            })
        };
        let of = |rendition: &Rendition| rendition.is_in(Flavour::Ts) && is_too_large(rendition);
        let leaving: Vec<bool> = self.renditions.iter().map(of).collect();
        for (rendition, leaves) in self.renditions.iter_mut().zip(leaving) {
            if leaves {
                rendition.leave_ts();
            }
        }
    }

    /// Finds the target durations, and the rates, which depend on them.
    fn measure(&mut self) {
        let targets = FLAVOURS.map(|flavour| self.longest(flavour));
        let Some(whole) = Arc::get_mut(&mut self.whole) else {
            return;
        };
        whole.targets = targets;
        let muxed = whole.muxed.as_mut();
        for rendition in self.renditions.iter_mut().chain(muxed) {
            rendition.measure(targets);
        }
        for text in &mut self.texts {
            let [cmaf, ts] = targets;
            let rates = |target, flavour| text.track.rates(&whole.boundaries, target, flavour);
            text.rates = [rates(cmaf, Flavour::Cmaf), rates(ts, Flavour::Ts)];
        }
    }

    /// The film as it is offered to those who may have some renditions only: all that is left has the same
    /// segments as in the whole film. None when neither picture nor sound is left.
    ///
    /// The sound inside transport streams stays, for their bytes are those of the whole film.
    #[must_use]
    pub fn only(&self, wanted: &[RenditionId]) -> Option<Self> {
        let renditions = self.renditions.iter();
        let renditions: Vec<_> = renditions
            .filter(|rendition| wanted.contains(rendition.id()))
            .cloned()
            .collect();
        if renditions.is_empty() {
            return None;
        }
        let texts = self.texts.iter();
        Some(Self {
            renditions,
            texts: texts
                .filter(|text| wanted.contains(&text.track.id))
                .cloned()
                .collect(),
            thumbs: self
                .thumbs
                .clone()
                .filter(|_| wanted.iter().any(|id| id.as_str() == THUMBS)),
            whole: Arc::clone(&self.whole),
        })
    }

    /// The pictures and sounds, in the order given.
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

    /// The subtitles, in the order given.
    pub fn texts(&self) -> impl Iterator<Item = &text::Track> {
        self.texts.iter().map(|text| &text.track)
    }

    /// The sheets of thumbnails.
    #[must_use]
    pub fn thumbs(&self) -> Option<&Thumbs> {
        self.thumbs.as_ref()
    }

    /// The picture or sound of that name.
    #[must_use]
    pub fn find(&self, id: &RenditionId) -> Option<&Rendition> {
        self.renditions
            .iter()
            .find(|rendition| rendition.id() == id)
    }

    /// The subtitles of that name.
    #[must_use]
    pub fn text(&self, id: &RenditionId) -> Option<&text::Track> {
        self.texts().find(|text| text.id == *id)
    }

    /// Where subtitles are cut: the starts of the film's segments from 0 on, and the film's end.
    #[must_use]
    pub fn boundaries(&self) -> &[Duration] {
        &self.whole.boundaries
    }

    /// The interval that a segment of subtitles covers, counted from 1; none behind the last.
    #[must_use]
    pub fn interval(&self, number: u32) -> Option<Range<Duration>> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let (start, end) = (self.boundaries().get(at)?, self.boundaries().get(at + 1)?);
        Some(*start..*end)
    }

    /// The sound that is carried inside a rendition's transport stream segments: for pictures, the first sound of
    /// the whole film that such a stream can carry.
    #[must_use]
    pub fn companion(&self, rendition: &Rendition) -> Option<&Rendition> {
        rendition.video().and(self.whole.muxed.as_ref())
    }

    /// The plan of a transport stream segment, counted from 1; none behind the last. Beside a picture goes the sound of
    /// its time, and sound that outlasts the picture has segments of its own.
    #[must_use]
    pub fn ts_segment(&self, rendition: &Rendition, number: u32) -> Option<Shares> {
        let own = rendition.segment(number);
        let Some(sound) = self.companion(rendition) else {
            return own.map(|own| Shares {
                own: Some(own),
                sound: None,
            });
        };
        let sound = match &own {
            Some(_) => sound.beginning_in(rendition.intervals(number)),
            None => {
                let alone = number.checked_sub(rendition.segment_count())?;
                let before = sound.segments_before(rendition.behind());
                Some(sound.segment(before.checked_add(alone)?)?)
            }
        };
        Some(Shares { own, sound })
    }

    /// How many transport stream segments a rendition has.
    #[must_use]
    pub fn ts_segment_count(&self, rendition: &Rendition) -> u32 {
        let alone = self.companion(rendition).map_or(0, |sound| {
            let before = sound.segments_before(rendition.behind());
            sound.segment_count().saturating_sub(before)
        });
        rendition.segment_count().saturating_add(alone)
    }

    /// How long the whole film lasts, rounded down to the nanosecond.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.whole.duration
    }

    /// The target duration of all playlists of a flavour: RFC 8216 §6.2.4 wants one value for all variants and
    /// renditions.
    pub(crate) fn target_duration(&self, flavour: Flavour) -> u64 {
        let [cmaf, ts] = self.whole.targets;
        match flavour {
            Flavour::Cmaf => cmaf,
            Flavour::Ts => ts,
        }
    }

    /// The rates of the heaviest subtitles.
    pub(crate) fn text_rates(&self, flavour: Flavour) -> Rates {
        Rates::heaviest(self.texts.iter().map(|text| text.rates_in(flavour)))
    }

    /// The rates of subtitles.
    pub(crate) fn rates_of_text(&self, id: &RenditionId, flavour: Flavour) -> Option<Rates> {
        let text = self.texts.iter().find(|text| text.track.id == *id)?;
        Some(text.rates_in(flavour))
    }

    fn longest(&self, flavour: Flavour) -> u64 {
        let texts = self.texts.iter().flat_map(|_| lengths::intervals(self));
        let renditions = self.renditions.iter();
        let carried = renditions.filter(|rendition| rendition.is_in(flavour));
        let all = carried.flat_map(|rendition| lengths::of(self, rendition, flavour));
        lengths::target(all.chain(texts))
    }
}

impl Whole {
    fn of(renditions: &[Rendition], timeline: &Timeline) -> Self {
        let muxed = renditions
            .iter()
            .find(|rendition| rendition.video().is_none() && rendition.is_in(Flavour::Ts));
        let ends = renditions.iter().map(|rendition| {
            let index = rendition.index();
            ticks_to_duration(index.end(), index.track().timescale)
        });
        let duration = ends.max().unwrap_or_default();
        let starts = timeline.starts().skip(1);
        let starts = starts.map(|start| nanoseconds(start.ticks, start.timescale));
        // Subtitles of the time before a late first picture belong to the first segment.
        let mut boundaries: Vec<Duration> = std::iter::once(Duration::ZERO)
            .chain(starts.take_while(|start| *start < duration))
            .collect();
        boundaries.push(duration);
        Self {
            muxed: muxed.cloned(),
            boundaries,
            duration,
            targets: [1; 2],
        }
    }
}

impl Text {
    fn rates_in(&self, flavour: Flavour) -> Rates {
        let [cmaf, ts] = self.rates;
        match flavour {
            Flavour::Cmaf => cmaf,
            Flavour::Ts => ts,
        }
    }
}

/// Converts ticks to a length, rounded down to the nanosecond.
pub(crate) fn ticks_to_duration(ticks: u64, timescale: u32) -> Duration {
    nanoseconds(ticks, timescale.into())
}

fn nanoseconds(ticks: u64, timescale: u64) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn timeline(sources: &[Source], target: Duration) -> Result<Timeline, Error> {
    let indexes = || sources.iter().map(|source| &*source.index);
    let end = indexes()
        .map(|index| Instant::of(index, index.end()))
        .max_by(|a, b| a.compare(*b))
        .ok_or(NOTHING)?;
    let is_video = |index: &&Index| matches!(index.track().media, Media::Video(_));
    let videos: Vec<&Index> = indexes().filter(is_video).collect();
    if !videos.is_empty() {
        return Timeline::of_video(&videos, end, target);
    }
    let start = indexes()
        .map(|index| Instant::of(index, index.samples().first().map_or(0, Sample::pts)))
        .min_by(|a, b| a.compare(*b))
        .ok_or(NOTHING)?;
    Timeline::of_audio(start, end, target)
}

const FLAVOURS: [Flavour; 2] = [Flavour::Cmaf, Flavour::Ts];
