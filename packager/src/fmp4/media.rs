//! The media segment: one `moof` that tells a segment's samples, and one `mdat` that holds them.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use crate::{
    Error,
    fmp4::{
        events::Said,
        init::TRACK_ID,
        packed::Packed,
        protected::{self, Auxiliary},
        write::Writer,
    },
    index::{Index, Sample},
    presentation::{IFrame, Segment},
    protect::Track,
    source,
};

/// Packs a segment out of its bytes of the mezzanine (`segment.bytes`). The same input gives the same bytes.
///
/// In front of its samples stand the events of the mezzanine's fragments that it is made of, and the first reading of
/// the producer's clock among them.
///
/// What stays clear is not copied: the media data of the outcome are slices of `mezzanine`. Where whole segments are
/// encrypted, the outcome is clear still: [`aes128::encrypt`](crate::protect::aes128::encrypt) comes behind.
///
/// # Errors
/// [`Error::Mismatch`] when `mezzanine` is not what was indexed; of an encrypted track also [`Error::Corrupt`] when
/// its pictures hold no readable slices, and [`Error::Unsupported`] for pictures that cannot be encrypted.
pub fn segment(
    index: &Index,
    segment: &Segment,
    mezzanine: &Bytes,
    protection: Option<&Track<'_>>,
) -> Result<Packed, Error> {
    let layout = Layout::of(index, segment);
    pack(index, segment, layout, mezzanine, protection)
}

/// Packs one sync sample as a segment of its own, out of its bytes of the mezzanine (`iframe.bytes`).
///
/// It has no events, is decoded when it is presented, and lasts until the next one: I-frames make a track by themselves.
///
/// # Errors
/// As [`segment()`].
pub fn iframe(
    index: &Index,
    iframe: &IFrame,
    mezzanine: &Bytes,
    protection: Option<&Track<'_>>,
) -> Result<Packed, Error> {
    let layout = Layout::of_iframe(index, iframe)?;
    pack(index, &iframe.segment(), layout, mezzanine, protection)
}

/// The length in bytes that [`segment()`] will give, without the mezzanine.
///
/// It is exact for clear segments and for sound. For encrypted pictures it is an upper bound: how many slices a
/// picture has is not known, so that it may be too high by up to 250 bytes a picture.
#[must_use]
pub fn segment_length(index: &Index, segment: &Segment, protection: Option<&Track<'_>>) -> u64 {
    Layout::of(index, segment).length(index, protection)
}

/// The length in bytes that [`iframe()`] will give, exact or bounded as in [`segment_length`].
#[must_use]
pub fn iframe_length(index: &Index, iframe: &IFrame, protection: Option<&Track<'_>>) -> u64 {
    Layout::of_iframe(index, iframe).map_or(0, |layout| layout.length(index, protection))
}

fn pack(
    index: &Index,
    segment: &Segment,
    layout: Layout<'_>,
    mezzanine: &Bytes,
    protection: Option<&Track<'_>>,
) -> Result<Packed, Error> {
    let source = source::Bytes::new(index, segment, mezzanine)?;
    match protected::by_samples(protection) {
        None => clear(segment, &layout, &source, mezzanine),
        Some(track) => {
            let about = Auxiliary::new(index, segment.samples.clone(), &source, track)?;
            encrypted(segment, layout, &source, track, &about)
        }
    }
}

/// A new head, and slices of the source: one where samples lie side by side.
fn clear(
    segment: &Segment,
    layout: &Layout<'_>,
    source: &source::Bytes<'_>,
    mezzanine: &Bytes,
) -> Result<Packed, Error> {
    let mut out = Writer(Vec::with_capacity(layout.total() - layout.data));
    layout.write_head(&mut out, None);
    let mut pieces = vec![Bytes::from(out.0)];
    let mut run: Option<Range<usize>> = None;
    for at in segment.samples.clone() {
        source.sample(at)?;
        let place = source.place(at)?;
        match &mut run {
            Some(run) if run.end == place.start => run.end = place.end,
            _ => pieces.extend(run.replace(place).map(|run| mezzanine.slice(run))),
        }
    }
    pieces.extend(run.map(|run| mezzanine.slice(run)));
    Ok(Packed::new(pieces))
}

/// The whole segment in one buffer, in which samples are encrypted where they lie.
fn encrypted(
    segment: &Segment,
    mut layout: Layout<'_>,
    source: &source::Bytes<'_>,
    track: &Track<'_>,
    about: &Auxiliary<'_>,
) -> Result<Packed, Error> {
    layout.protection = about.size();
    let mut out = Writer(Vec::with_capacity(layout.total()));
    layout.write_head(&mut out, Some(about));
    for (nth, at) in segment.samples.clone().enumerate() {
        let start = out.0.len();
        // Finding its parts has compared it with its CRC.
        out.bytes(source.compared(at)?);
        if let Some(sample) = out.0.get_mut(start..) {
            track.encrypt(at, sample, about.parts(nth));
        }
    }
    Ok(Packed::new(vec![out.0.into()]))
}

/// What the boxes of a segment will hold, so that their sizes are known before they are written.
struct Layout<'a> {
    number: u32,
    said: Said<'a>,
    samples: Cow<'a, [Sample]>,
    /// The duration of every sample, where they agree.
    duration: Option<u32>,
    /// Only the first sample is a sync sample; flags then need not be told one by one.
    flags: Flags,
    reordered: bool,
    data: usize,
    /// The length of what is said of encryption.
    protection: usize,
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
        Self {
            said: Said::of(index, segment),
            ..Self::new(segment.number, Cow::Borrowed(samples))
        }
    }

    /// The one sample is shown when it is decoded, for nothing is reordered around it.
    fn of_iframe(index: &Index, iframe: &IFrame) -> Result<Self, Error> {
        let sample = index.samples().get(iframe.sample).ok_or(Error::Mismatch {
            sample: iframe.sample,
        })?;
        let alone = Sample {
            dts: iframe.start,
            cts: 0,
            duration: u32::try_from(iframe.duration).unwrap_or(u32::MAX),
            ..*sample
        };
        Ok(Self::new(iframe.number, Cow::Owned(vec![alone])))
    }

    fn new(number: u32, samples: Cow<'a, [Sample]>) -> Self {
        let first = samples.first().map(|sample| sample.duration);
        let flags = match &*samples {
            all if all.iter().all(|sample| sample.sync) => Flags::AllSync,
            [first, rest @ ..] if first.sync && !rest.iter().any(|sample| sample.sync) => {
                Flags::FirstSync
            }
            _ => Flags::Each,
        };
        let data: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
        Self {
            number,
            said: Said::default(),
            duration: first.filter(|first| samples.iter().all(|other| other.duration == *first)),
            flags,
            reordered: samples.iter().any(|sample| sample.cts != 0),
            data: usize::try_from(data).unwrap_or(usize::MAX),
            samples,
            protection: 0,
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
        self.before_protection() + self.protection
    }

    fn before_protection(&self) -> usize {
        let tfhd = 20 + usize::from(self.duration.is_some()) * 4;
        8 + 16 + 8 + tfhd + 20 + self.run_size()
    }

    /// The length of the whole segment, its encryption at most.
    fn length(&self, index: &Index, protection: Option<&Track<'_>>) -> u64 {
        let told = protected::by_samples(protection).map_or(0, |track| {
            let sizes = self.samples.iter().map(|sample| sample.size);
            protected::size_at_most(index, track, sizes)
        });
        u64::try_from(self.total() + told).unwrap_or(u64::MAX)
    }

    fn total(&self) -> usize {
        STYP + self.said.size() + self.moof_size() + MDAT_HEADER + self.data
    }

    fn write_head(&self, out: &mut Writer, about: Option<&Auxiliary<'_>>) {
        out.boxed(b"styp", |out| {
            out.bytes(b"cmfs");
            out.u32(0);
            out.bytes(b"cmfscmffiso6msdh");
        });
        self.said.write(out);
        out.boxed(b"moof", |out| {
            out.full(b"mfhd", 0, 0, |out| out.u32(self.number));
            out.boxed(b"traf", |out| {
                self.write_track_header(out);
                let decode_time = self.samples.first().map_or(0, |sample| sample.dts);
                out.full(b"tfdt", 1, 0, |out| out.u64(decode_time));
                out.full(b"trun", 1, self.run_flags(), |out| self.write_run(out));
                if let Some(about) = about {
                    about.write(out, self.before_protection());
                }
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
        for sample in &*self.samples {
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
