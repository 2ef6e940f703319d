//! The `moof` box of a mezzanine: when a fragment begins and which samples it holds.

use crate::{
    Error,
    boxes::{children, descend},
    bytes::Reader,
    index::header::Defaults,
};

/// What a `moof` box says.
pub(super) struct Fragment {
    /// When the first sample is decoded, where `tfdt` says it.
    pub(super) decode_time: Option<u64>,
    pub(super) samples: Vec<Raw>,
}

/// A sample as a `trun` box tells it.
pub(super) struct Raw {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) duration: u32,
    pub(super) cts: i32,
    pub(super) sync: bool,
}

/// What a fragment is read against.
pub(super) struct Context {
    pub(super) track_id: u32,
    pub(super) defaults: Defaults,
    /// Where the `moof` box begins in the file.
    pub(super) moof: u64,
    pub(super) file_length: u64,
    /// How many samples the fragments before this one hold.
    pub(super) samples_before: usize,
    /// Where the last of them ends in the file.
    pub(super) end_before: u64,
}

impl Fragment {
    /// Reads the body of a `moof` box.
    ///
    /// A run may name billions of samples in a few bytes, and a fragment may hold many runs. Samples must lie
    /// inside the file, each behind the one before it, so that the file's length bounds their number; and
    /// [`MAX_SAMPLES`] bounds it for any file.
    pub(super) fn parse(moof: &[u8], context: &Context) -> Result<Self, Error> {
        let mut trafs = children(moof)
            .filter(|child| child.as_ref().map_or(true, |child| child.kind == *b"traf"));
        let traf = trafs.next().transpose()?.map(|child| child.body);
        let traf = traf.ok_or(Error::Corrupt {
            what: "no traf",
            offset: context.moof,
        })?;
        if trafs.next().transpose()?.is_some() {
            return Err(Error::Unsupported("a fragment has more than one traf box"));
        }
        let tfhd = descend(traf, &[(b"tfhd", "no tfhd")])?;
        let (defaults, mut next) = track_header(tfhd, context)?;
        let mut fragment = Self {
            decode_time: None,
            samples: Vec::new(),
        };
        for child in children(traf) {
            let child = child?;
            match &child.kind {
                b"tfdt" => fragment.decode_time = Some(decode_time(child.body)?),
                b"trun" => fragment.run(child.body, context, defaults, &mut next)?,
                b"senc" => return Err(Error::Unsupported("it is encrypted")),
                _ => {}
            }
        }
        Ok(fragment)
    }

    /// Adds the samples of a `trun` box (ISO/IEC 14496-12 §8.8.8); `next` is where a run without an offset begins.
    fn run(
        &mut self,
        trun: &[u8],
        context: &Context,
        defaults: (u64, Defaults),
        next: &mut u64,
    ) -> Result<(), Error> {
        let (base, defaults) = defaults;
        let mut reader = Reader::new("trun", trun);
        let (_, flags) = reader.full_box()?;
        let count = reader.u32()?;
        let held = context.samples_before.saturating_add(self.samples.len());
        if usize::try_from(count).map_or(usize::MAX, |count| held.saturating_add(count))
            > MAX_SAMPLES
        {
            return Err(Error::Unsupported("it has more than 16777216 samples"));
        }
        if flags & DATA_OFFSET != 0 {
            let offset = i64::from(reader.i32()?);
            *next = base
                .checked_add_signed(offset)
                .ok_or_else(|| reader.corrupt())?;
        }
        let first_flags = (flags & FIRST_FLAGS != 0)
            .then(|| reader.u32())
            .transpose()?;
        for at in 0..count {
            let mut field = |bit: u32, default: u32| -> Result<u32, Error> {
                if flags & bit != 0 {
                    reader.u32()
                } else {
                    Ok(default)
                }
            };
            let duration = field(DURATION, defaults.duration)?;
            let size = field(SIZE, defaults.size)?;
            let mut sample_flags = field(FLAGS, defaults.flags)?;
            // Both versions of the box are read as signed: offsets of 2^31 ticks and more are not of this world.
            let cts = field(COMPOSITION, 0)?.cast_signed();
            if let (0, Some(first)) = (at, first_flags) {
                sample_flags = first;
            }
            let offset = *next;
            if offset < self.end(context) {
                return Err(Error::Corrupt {
                    what: "samples that overlap or go backwards",
                    offset: context.moof,
                });
            }
            *next = offset
                .checked_add(u64::from(size))
                .filter(|end| size > 0 && *end <= context.file_length)
                .ok_or(Error::Corrupt {
                    what: "sample outside the file",
                    offset: context.moof,
                })?;
            let sync = sample_flags & NON_SYNC == 0;
            self.samples.push(Raw {
                offset,
                size,
                duration,
                cts,
                sync,
            });
        }
        Ok(())
    }

    /// Where the track's last sample so far ends in the file.
    fn end(&self, context: &Context) -> u64 {
        self.samples.last().map_or(context.end_before, |last| {
            last.offset + u64::from(last.size)
        })
    }
}

/// Reads `tfhd` (§8.8.7): the base of data offsets, the defaults, and where the first run begins.
fn track_header(tfhd: &[u8], context: &Context) -> Result<((u64, Defaults), u64), Error> {
    let mut reader = Reader::new("tfhd", tfhd);
    let (_, flags) = reader.full_box()?;
    if reader.u32()? != context.track_id {
        return Err(Error::Unsupported("a fragment belongs to another track"));
    }
    let base = if flags & 0x1 != 0 {
        reader.u64()?
    } else {
        context.moof
    };
    if flags & 0x2 != 0 && reader.u32()? != 1 {
        return Err(Error::Unsupported(
            "a fragment has another sample description",
        ));
    }
    let mut defaults = context.defaults;
    if flags & 0x8 != 0 {
        defaults.duration = reader.u32()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = reader.u32()?;
    }
    if flags & 0x20 != 0 {
        defaults.flags = reader.u32()?;
    }
    Ok(((base, defaults), base))
}

fn decode_time(tfdt: &[u8]) -> Result<u64, Error> {
    let mut reader = Reader::new("tfdt", tfdt);
    let (version, _) = reader.full_box()?;
    if version == 1 {
        reader.u64()
    } else {
        reader.u32().map(u64::from)
    }
}

/// A day at 120 pictures a second is below it.
const MAX_SAMPLES: usize = 1 << 24;
const DATA_OFFSET: u32 = 0x1;
const FIRST_FLAGS: u32 = 0x4;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION: u32 = 0x800;
const NON_SYNC: u32 = 0x1_0000;
