//! The media segment: one `moof` that tells a segment's samples, and one `mdat` that holds them.

use crate::{
    Error,
    fmp4::{init::TRACK_ID, write::Writer},
    index::{Index, Sample},
    presentation::Segment,
    source::Bytes,
};

/// Packs a segment out of its bytes of the mezzanine (`segment.bytes`). The same input gives the same bytes.
///
/// # Errors
/// [`Error::Mismatch`] when `mezzanine` is not what was indexed.
pub fn segment(index: &Index, segment: &Segment, mezzanine: &[u8]) -> Result<Vec<u8>, Error> {
    let layout = Layout::of(index, segment);
    let mut out = Writer(Vec::with_capacity(layout.total()));
    layout.write_head(&mut out);
    let source = Bytes::new(index, segment, mezzanine)?;
    for sample in segment.samples.clone() {
        out.bytes(source.sample(sample)?);
    }
    Ok(out.0)
}

/// The length in bytes that [`segment()`] will give, without the mezzanine.
#[must_use]
pub fn segment_length(index: &Index, segment: &Segment) -> u64 {
    u64::try_from(Layout::of(index, segment).total()).unwrap_or(u64::MAX)
}

/// What the boxes of a segment will hold, so that their sizes are known before they are written.
struct Layout<'a> {
    number: u32,
    samples: &'a [Sample],
    /// The duration of every sample, where they agree.
    duration: Option<u32>,
    /// Only the first sample is a sync sample; flags then need not be told one by one.
    flags: Flags,
    reordered: bool,
    data: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Flags {
    AllSync,
    FirstSync,
    Each,
}

impl<'a> Layout<'a> {
    fn of(index: &'a Index, segment: &Segment) -> Self {
        let samples = index
            .samples()
            .get(segment.samples.clone())
            .unwrap_or_default();
        let first = samples.first().map(|sample| sample.duration);
        let flags = match samples {
            all if all.iter().all(|sample| sample.sync) => Flags::AllSync,
            [first, rest @ ..] if first.sync && !rest.iter().any(|sample| sample.sync) => {
                Flags::FirstSync
            }
            _ => Flags::Each,
        };
        let data: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
        Self {
            number: segment.number,
            samples,
            duration: first.filter(|first| samples.iter().all(|other| other.duration == *first)),
            flags,
            reordered: samples.iter().any(|sample| sample.cts != 0),
            data: usize::try_from(data).unwrap_or(usize::MAX),
        }
    }

    fn run_flags(&self) -> u32 {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        0x1 | bit(self.flags == Flags::FirstSync, 0x4)
            | bit(self.duration.is_none(), 0x100)
            | 0x200
            | bit(self.flags == Flags::Each, 0x400)
            | bit(self.reordered, 0x800)
    }

    fn run_size(&self) -> usize {
        let flags = self.run_flags();
        let fields = (flags & 0xf00).count_ones() as usize;
        20 + usize::from(flags & 0x4 != 0) * 4 + self.samples.len() * fields * 4
    }

    fn moof_size(&self) -> usize {
        let tfhd = 20 + usize::from(self.duration.is_some()) * 4;
        8 + 16 + 8 + tfhd + 20 + self.run_size()
    }

    fn total(&self) -> usize {
        STYP + self.moof_size() + MDAT_HEADER + self.data
    }

    fn write_head(&self, out: &mut Writer) {
        out.boxed(b"styp", |out| {
            out.bytes(b"cmfs");
            out.u32(0);
            out.bytes(b"cmfscmffiso6msdh");
        });
        out.boxed(b"moof", |out| {
            out.full(b"mfhd", 0, 0, |out| out.u32(self.number));
            out.boxed(b"traf", |out| {
                self.write_track_header(out);
                let decode_time = self.samples.first().map_or(0, |sample| sample.dts);
                out.full(b"tfdt", 1, 0, |out| out.u64(decode_time));
                out.full(b"trun", 1, self.run_flags(), |out| self.write_run(out));
            });
        });
        out.u32(u32::try_from(MDAT_HEADER + self.data).unwrap_or(u32::MAX));
        out.bytes(b"mdat");
    }

    /// Data offsets count from the `moof` box: default-base-is-moof (ISO/IEC 14496-12 §8.8.7).
    fn write_track_header(&self, out: &mut Writer) {
        let flags = 0x2_0000 | 0x20 | if self.duration.is_some() { 0x8 } else { 0 };
        out.full(b"tfhd", 0, flags, |out| {
            out.u32(TRACK_ID);
            if let Some(duration) = self.duration {
                out.u32(duration);
            }
            out.u32(sample_flags(self.flags == Flags::AllSync));
        });
    }

    fn write_run(&self, out: &mut Writer) {
        out.u32(u32::try_from(self.samples.len()).unwrap_or(u32::MAX));
        out.u32(u32::try_from(self.moof_size() + MDAT_HEADER).unwrap_or(u32::MAX));
        if self.flags == Flags::FirstSync {
            out.u32(sample_flags(true));
        }
        for sample in self.samples {
            if self.duration.is_none() {
                out.u32(sample.duration);
            }
            out.u32(sample.size);
            if self.flags == Flags::Each {
                out.u32(sample_flags(sample.sync));
            }
            if self.reordered {
                out.u32(sample.cts.cast_unsigned());
            }
        }
    }
}

/// A sync sample depends on no other; any other does, and is no sync sample (§8.8.3.1).
fn sample_flags(sync: bool) -> u32 {
    if sync { 0x0200_0000 } else { 0x0101_0000 }
}

const STYP: usize = 8 + 8 + 16;
const MDAT_HEADER: usize = 8;
