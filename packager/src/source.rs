//! The bytes of a segment as they were read from the mezzanine, checked sample by sample.

use crate::{Error, index::Index, presentation::Segment};

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
        let Some(sample) = self.index.samples().get(at) else {
            return Err(mismatch);
        };
        let found = sample
            .offset
            .checked_sub(self.base)
            .and_then(|start| usize::try_from(start).ok())
            .zip(usize::try_from(sample.size).ok())
            .and_then(|(start, size)| self.bytes.get(start..start.checked_add(size)?));
        match found {
            Some(bytes) if crc32c::crc32c(bytes) == sample.crc => Ok(bytes),
            _ => Err(mismatch),
        }
    }
}
