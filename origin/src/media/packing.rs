//! Segments: what each is made of, and how it is packed.

use bytes::Bytes;
use contracts::{address::Flavour, id::RenditionId};
use packager::{IFrame, Presentation, Rendition, Segment, fmp4, protect, ts};

use crate::{content::Content, fault::Fault, lock::Lock, shelf::held};

/// What a segment is packed from: the picture's share, the sound's, or both.
pub(crate) struct Parts {
    video: Option<Track>,
    audio: Option<Track>,
}

/// A rendition and, unless it has none, its share of the segment.
pub(super) struct Track {
    pub(super) rendition: Rendition,
    pub(super) segment: Option<Segment>,
    /// The plan of an I-frame, if the segment is one.
    iframe: Option<IFrame>,
}

impl Parts {
    /// Finds what a segment is made of; none when the film has no such segment.
    pub(super) fn find(
        cut: &Presentation,
        id: &RenditionId,
        number: u32,
        flavour: Flavour,
    ) -> Option<Self> {
        let rendition = cut.find(id)?;
        if !rendition.is_in(flavour) {
            return None;
        }
        let track = |rendition: &Rendition, segment| Track {
            rendition: rendition.clone(),
            segment,
            iframe: None,
        };
        let (own, companion) = match flavour {
            Flavour::Cmaf => (Some(rendition.segment(number)?), None),
            Flavour::Ts => {
                let plan = cut.ts_segment(rendition, number)?;
                let sound = cut.companion(rendition);
                (plan.own, sound.map(|sound| track(sound, plan.sound)))
            }
        };
        let own = Some(track(rendition, own));
        let parts = if rendition.video().is_some() {
            Self {
                video: own,
                audio: companion,
            }
        } else {
            Self {
                video: None,
                audio: own,
            }
        };
        Some(parts)
    }

    /// One I-frame as a segment of its own, without sound; none when the film has no such I-frame.
    pub(super) fn find_iframe(
        cut: &Presentation,
        id: &RenditionId,
        number: u32,
        flavour: Flavour,
    ) -> Option<Self> {
        let rendition = cut.find(id)?;
        if !rendition.is_in(flavour) {
            return None;
        }
        let iframe = rendition.iframe(number)?;
        Some(Self {
            video: Some(Track {
                rendition: rendition.clone(),
                segment: Some(iframe.segment()),
                iframe: Some(iframe),
            }),
            audio: None,
        })
    }

    /// Picture, then sound.
    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.video.iter().chain(&self.audio)
    }

    /// Whether it can be encrypted so, which is asked before anything is read: a codec that cannot is not offered so.
    pub(super) fn can_be_locked(&self, lock: Option<&Lock>) -> Result<bool, Fault> {
        match (self.tracks().next(), lock) {
            // The sound inside has the key of the picture, and a form wherever it can be inside.
            (Some(track), Some(lock)) => lock.can_encrypt(&track.rendition),
            (track, _) => Ok(track.is_some()),
        }
    }

    /// Bytes of memory that source and packed form take together, at most.
    pub(super) fn weight(&self, flavour: Flavour, lock: Option<&Lock>) -> u64 {
        let of = |track: &Track| {
            let Some(segment) = &track.segment else {
                return 0;
            };
            let index = track.rendition.index();
            let source = segment.bytes.end - segment.bytes.start;
            // Without a key nothing is packed.
            let key = lock.and_then(|lock| lock.protection.track(&track.rendition).ok());
            let key = key.filter(|key| key.scheme().is_some());
            let packed = match flavour {
                Flavour::Cmaf => fmp4::segment_length(index, segment, key.as_ref()),
                Flavour::Ts => ts::share_at_most(index, segment),
            };
            let made = match flavour {
                // The samples stay where they were read, unless they are encrypted.
                Flavour::Cmaf if lock.is_none() => packed.saturating_sub(source),
                _ => packed,
            };
            held(source).saturating_add(made).saturating_add(HEAD)
        };
        self.tracks().map(of).fold(0, u64::saturating_add)
    }

    /// Whether packing takes so long that other answers must not wait for it.
    pub(super) fn is_work(flavour: Flavour, lock: Option<&Lock>) -> bool {
        flavour == Flavour::Ts || lock.is_some()
    }

    /// Packs the segment out of what was read of each track, and encrypts it.
    pub(super) fn pack(
        &self,
        number: u32,
        flavour: Flavour,
        sources: &[Bytes; 2],
        lock: Option<&Lock>,
    ) -> Result<Content, Fault> {
        let track = self.tracks().next().ok_or_else(Fault::not_found)?;
        let protection = lock.map(|lock| lock.protection.track(&track.rendition));
        let protection = protection.transpose()?;
        match (flavour, &protection) {
            (Flavour::Cmaf, None) => Ok(Content::new(self.pack_cmaf(sources, None)?.into_pieces())),
            (Flavour::Cmaf, Some(key)) if key.scheme().is_some() => {
                let packed = self.pack_cmaf(sources, Some(key))?;
                Ok(Content::new(packed.into_pieces()))
            }
            (Flavour::Cmaf, Some(key)) => {
                let packed = self.pack_cmaf(sources, None)?;
                let pieces = packed.pieces();
                let sealed = protect::aes128::encrypt_pieces(key.key(), number.into(), pieces);
                Ok(Bytes::from(sealed).into())
            }
            (Flavour::Ts, None) => Ok(Bytes::from(self.pack_ts(number, sources, None)?).into()),
            // What `SAMPLE-AES` is in CMAF is a scheme; here it has rules of its own.
            (Flavour::Ts, Some(key)) if key.scheme().is_some() => {
                let packed = self.pack_ts(number, sources, Some(key.key()))?;
                Ok(Bytes::from(packed).into())
            }
            (Flavour::Ts, Some(key)) => {
                let packed = self.pack_ts(number, sources, None)?;
                let sealed = protect::aes128::encrypt(key.key(), number.into(), packed);
                Ok(Bytes::from(sealed).into())
            }
        }
    }

    fn pack_cmaf(
        &self,
        sources: &[Bytes; 2],
        key: Option<&protect::Track<'_>>,
    ) -> Result<fmp4::Packed, Fault> {
        let track = self.tracks().next().zip(sources.first());
        let (track, source) = track.ok_or_else(Fault::not_found)?;
        let index = track.rendition.index();
        match (&track.iframe, &track.segment) {
            (Some(iframe), _) => Ok(fmp4::iframe(index, iframe, source, key)?),
            (None, Some(segment)) => Ok(fmp4::segment(index, segment, source, key)?),
            (None, None) => Err(Fault::not_found()),
        }
    }

    fn pack_ts(
        &self,
        number: u32,
        sources: &[Bytes; 2],
        key: Option<&protect::Key>,
    ) -> Result<Vec<u8>, Fault> {
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
        Ok(ts::segment(&ts::Input {
            number,
            video,
            audio,
            key,
        })?)
    }
}

/// What the boxes of a segment take at most beside its samples, but for long segments of many.
const HEAD: u64 = 64 << 10;
