//! Segments: what each is made of, and how it is packed.

use bytes::Bytes;
use contracts::{address::Flavour, id::RenditionId};
use packager::{Presentation, Rendition, Segment, fmp4, ts};

use crate::{content::Content, fault::Fault, lock::Lock};

/// What a segment is packed from: the picture's share, the sound's, or both.
pub(crate) struct Parts<'a> {
    video: Option<Track<'a>>,
    audio: Option<Track<'a>>,
}

/// A rendition and, unless it has ended before, its share of the segment.
pub(super) struct Track<'a> {
    pub(super) rendition: &'a Rendition,
    pub(super) segment: Option<Segment>,
}

impl<'a> Parts<'a> {
    /// Finds what a segment is made of; none when the film has no such segment.
    pub(super) fn find(
        cut: &'a Presentation,
        id: &RenditionId,
        number: u32,
        flavour: Flavour,
    ) -> Option<Self> {
        let track = |rendition: &'a Rendition| Track {
            rendition,
            segment: rendition.segment(number),
        };
        let rendition = cut.find(id)?;
        if !is_in(rendition, flavour) {
            return None;
        }
        let companion = match flavour {
            Flavour::Cmaf => None,
            Flavour::Ts => cut.companion(rendition),
        };
        let parts = if rendition.video().is_some() {
            Self {
                video: Some(track(rendition)),
                audio: companion.map(track),
            }
        } else {
            Self {
                video: None,
                audio: Some(track(rendition)),
            }
        };
        let exists = parts.tracks().any(|track| track.segment.is_some());
        exists.then_some(parts)
    }
}

impl<'a> Parts<'a> {
    /// One I-frame as a segment of its own, without sound; none when the film has no such I-frame.
    pub(super) fn find_iframe(
        cut: &'a Presentation,
        id: &RenditionId,
        number: u32,
        flavour: Flavour,
    ) -> Option<Self> {
        let rendition = cut.find(id)?;
        if !is_in(rendition, flavour) {
            return None;
        }
        let segment = rendition.iframe(number)?;
        Some(Self {
            video: Some(Track {
                rendition,
                segment: Some(segment),
            }),
            audio: None,
        })
    }
}

impl Parts<'_> {
    /// Picture, then sound.
    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track<'_>> {
        self.video.iter().chain(&self.audio)
    }

    /// Bytes of memory that source and packed form take together, at most.
    pub(super) fn weight(&self, flavour: Flavour, lock: Option<&Lock>) -> u64 {
        let of = |track: &Track<'_>| {
            let Some(segment) = &track.segment else {
                return 0;
            };
            let index = track.rendition.index();
            let source = segment.bytes.end - segment.bytes.start;
            source.saturating_add(match flavour {
                // The samples stay where they were read, unless they are encrypted.
                Flavour::Cmaf if lock.is_none() => {
                    fmp4::segment_length(index, segment).saturating_sub(source)
                }
                Flavour::Cmaf => fmp4::segment_length(index, segment).saturating_mul(2),
                Flavour::Ts => ts::share_at_most(index, segment),
            })
        };
        self.tracks().map(of).fold(0, u64::saturating_add)
    }

    /// Packs the segment out of what was read of each track.
    pub(super) fn pack(
        &self,
        number: u32,
        flavour: Flavour,
        sources: &[Bytes; 2],
        lock: Option<&Lock>,
    ) -> Result<Content, Fault> {
        must_be_clear(lock)?;
        match flavour {
            Flavour::Cmaf => self.pack_cmaf(sources),
            Flavour::Ts => self.pack_ts(number, sources),
        }
    }

    fn pack_cmaf(&self, sources: &[Bytes; 2]) -> Result<Content, Fault> {
        let track = self.tracks().next().zip(sources.first());
        let (track, source) = track.ok_or_else(Fault::not_found)?;
        let segment = track.segment.as_ref().ok_or_else(Fault::not_found)?;
        let packed = fmp4::segment(track.rendition.index(), segment, source)?;
        Ok(Bytes::from(packed).into())
    }

    fn pack_ts(&self, number: u32, sources: &[Bytes; 2]) -> Result<Content, Fault> {
        let mut streams = self.tracks().zip(sources).map(|(track, source)| {
            let part = track.segment.as_ref().map(|segment| ts::Part {
                segment,
                mezzanine: source,
            });
            ts::Stream {
                index: track.rendition.index(),
                part,
            }
        });
        let video = self.video.as_ref().and_then(|_| streams.next());
        let audio = streams.next();
        let packed = ts::segment(&ts::Input {
            number,
            video,
            audio,
        })?;
        Ok(Bytes::from(packed).into())
    }
}

fn is_in(rendition: &Rendition, flavour: Flavour) -> bool {
    flavour == Flavour::Cmaf || ts::carries(rendition.index())
}

/// Nothing of a protected film leaves as it lies.
pub(super) fn must_be_clear(lock: Option<&Lock>) -> Result<(), Fault> {
    match lock {
        None => Ok(()),
        Some(_) => Err(Fault::keys("this origin does not encrypt so")),
    }
}
