//! The bytes of a segment as they were read from the mezzanine, checked sample by sample.

use std::ops::Range;

use crate::{
    Error,
    index::{Index, Sample},
    presentation::Segment,
};

/// A segment's bytes; every sample is compared with its CRC before it is used.
pub(crate) struct Bytes<'a> {
    index: &'a Index,
    base: u64,
    bytes: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(index: &'a Index, segment: &Segment, bytes: &'a [u8]) -> Result<Self, Error> {
        let wanted = segment.bytes.end.saturating_sub(segment.bytes.start);
        if u64::try_from(bytes.len()).ok() != Some(wanted) {
            return Err(Error::Mismatch {
                sample: segment.samples.start,
            });
        }
        Ok(Self {
            index,
            base: segment.bytes.start,
            bytes,
        })
    }

    /// The bytes of the sample at a place of the index.
    pub(crate) fn sample(&self, at: usize) -> Result<&'a [u8], Error> {
        let mismatch = Error::Mismatch { sample: at };
        let wanted = self.index.samples().get(at).map(|sample| sample.crc);
        match self.bytes.get(self.place(at)?) {
            Some(bytes) if Some(crc32c::crc32c(bytes)) == wanted => Ok(bytes),
            _ => Err(mismatch),
        }
    }

    /// The bytes of a sample that [`Self::sample`] has compared before.
    pub(crate) fn compared(&self, at: usize) -> Result<&'a [u8], Error> {
        let place = self.place(at)?;
        self.bytes.get(place).ok_or(Error::Mismatch { sample: at })
    }

    /// Where the sample lies in the bytes that were read.
    pub(crate) fn place(&self, at: usize) -> Result<Range<usize>, Error> {
        let place = |sample: &Sample| {
            let start = usize::try_from(sample.offset.checked_sub(self.base)?).ok()?;
            let end = start.checked_add(usize::try_from(sample.size).ok()?)?;
            (end <= self.bytes.len()).then_some(start..end)
        };
        let found = self.index.samples().get(at).and_then(place);
        found.ok_or(Error::Mismatch { sample: at })
    }
}
