//! Which parts of a sample are encrypted (ISO/IEC 23001-7 §9.5).

use crate::{
    Error,
    codec::{Picture, nal_units},
    index::Media,
    protect::{Scheme, avc, hevc},
};

/// A clear part of a sample and the encrypted part behind it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subsample {
    pub(crate) clear: u16,
    pub(crate) protected: u32,
}

/// The parts of all samples of a segment; samples that are encrypted as a whole have none.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    parts: Vec<Subsample>,
    /// Where each sample's parts end.
    ends: Vec<usize>,
}

/// The codec of pictures, with the parameter sets that slice headers refer to.
#[derive(Clone)]
pub(super) enum Slices {
    Avc(avc::Sets),
    Hevc(hevc::Sets),
}

impl Maps {
    /// Finds the parts of samples in decoding order, from a sync sample on; each comes with whether it is one.
    pub(crate) fn of<'a>(
        media: &Media,
        scheme: Scheme,
        samples: impl ExactSizeIterator<Item = Result<(&'a [u8], bool), Error>>,
    ) -> Result<Self, Error> {
        Self::new(Slices::of(media)?, scheme, samples)
    }

    pub(super) fn new<'a>(
        fresh: Option<Slices>,
        scheme: Scheme,
        samples: impl ExactSizeIterator<Item = Result<(&'a [u8], bool), Error>>,
    ) -> Result<Self, Error> {
        let mut maps = Self {
            parts: Vec::with_capacity(samples.len() * 2),
            ends: Vec::with_capacity(samples.len()),
        };
        let mut slices = fresh.clone();
        for sample in samples {
            let (sample, sync) = sample?;
            // Parameter sets in a sample hold until the next sync sample, so that a sample's parts do not depend on
            // where a segment begins.
            if sync {
                slices.clone_from(&fresh);
            }
            if let Some(slices) = &mut slices {
                let before = maps.parts.len();
                slices.map(sample, scheme, &mut maps.parts)?;
                if maps.parts.len() - before > MOST_PARTS {
                    return Err(Error::Unsupported(
                        "a picture has too many slices to be encrypted",
                    ));
                }
            }
            maps.ends.push(maps.parts.len());
        }
        Ok(maps)
    }

    /// The parts of the `at`th sample of the segment.
    pub(crate) fn sample(&self, at: usize) -> &[Subsample] {
        let start = at
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied();
        let end = self.ends.get(at).copied().unwrap_or_default();
        self.parts.get(start.unwrap_or(0)..end).unwrap_or_default()
    }

    /// The parts of each sample.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &[Subsample]> {
        (0..self.ends.len()).map(|at| self.sample(at))
    }
}

impl Slices {
    /// The slices of a track; none for sound, which is encrypted by whole samples.
    pub(super) fn of(media: &Media) -> Result<Option<Self>, Error> {
        match media {
            Media::Video(video) => Self::of_picture(&video.config).map(Some),
            Media::Audio(_) => Ok(None),
        }
    }

    pub(super) fn of_picture(picture: &Picture) -> Result<Self, Error> {
        let mut slices = match picture {
            Picture::Avc(_) => Self::Avc(avc::Sets::default()),
            Picture::Hevc(_) => Self::Hevc(hevc::Sets::default()),
            Picture::Av1(_) | Picture::Vp9(_) => {
                return Err(Error::Unsupported("AV1 and VP9 are not encrypted"));
            }
        };
        for set in picture.parameter_sets() {
            slices.clear_head(set)?;
        }
        Ok(slices)
    }

    /// Takes up a parameter set, or says how long the clear head of a unit with a slice is.
    fn clear_head(&mut self, unit: &[u8]) -> Result<Option<usize>, Error> {
        match self {
            Self::Avc(sets) => sets.clear_head(unit),
            Self::Hevc(sets) => sets.clear_head(unit),
        }
    }

    /// Appends the parts of a sample: units without slices, lengths, NAL headers and slice headers stay clear.
    ///
    /// In `cenc` the encrypted part is whole blocks, and what is left of a unit is clear with what follows; in
    /// `cbcs` it goes to the unit's end.
    pub(super) fn map(
        &mut self,
        sample: &[u8],
        scheme: Scheme,
        out: &mut Vec<Subsample>,
    ) -> Result<(), Error> {
        let mut clear = 0;
        for unit in nal_units(sample) {
            let unit = unit?;
            let body = self
                .clear_head(unit)?
                .map_or(0, |head| unit.len().saturating_sub(head));
            let protected = match scheme {
                Scheme::Cenc => body - body % BLOCK,
                Scheme::Cbcs => body,
            };
            clear += NAL_LENGTH + unit.len() - body;
            if protected > 0 {
                push(out, clear, protected);
                clear = 0;
            }
            clear += body - protected;
        }
        if clear > 0 {
            push(out, clear, 0);
        }
        Ok(())
    }
}

/// Appends a part; clear runs longer than 16 bits can tell are split.
fn push(out: &mut Vec<Subsample>, mut clear: usize, protected: usize) {
    while clear > usize::from(u16::MAX) {
        out.push(Subsample {
            clear: u16::MAX,
            protected: 0,
        });
        clear -= usize::from(u16::MAX);
    }
    out.push(Subsample {
        clear: u16::try_from(clear).unwrap_or(u16::MAX),
        // A sample is shorter than 4 GiB.
        protected: u32::try_from(protected).unwrap_or(u32::MAX),
    });
}

/// Calls `each` with every encrypted part of a sample.
pub(super) fn protected(
    mut sample: &mut [u8],
    parts: &[Subsample],
    mut each: impl FnMut(&mut [u8]),
) {
    for part in parts {
        let clear = usize::from(part.clear);
        let length = usize::try_from(part.protected).unwrap_or(usize::MAX);
        let Some((head, rest)) = sample
            .split_at_mut_checked(clear)
            .and_then(|(_, rest)| rest.split_at_mut_checked(length))
        else {
            return;
        };
        each(head);
        sample = rest;
    }
}

/// The most parts of a sample: `saiz` tells the length of what `senc` says of a sample in 8 bits
/// (ISO/IEC 14496-12 §8.7.8), which is a vector of 8 bytes, a count of 2, and 6 bytes a part.
pub(crate) const MOST_PARTS: usize = (255 - 8 - 2) / 6;
const NAL_LENGTH: usize = 4;
const BLOCK: usize = 16;
