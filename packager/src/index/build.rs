//! Builds an index by walking a mezzanine once for its boxes and once for its bytes.

use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use crate::{
    Error,
    boxes::Kind,
    codec::{Sound, opus},
    index::{
        File, Index, Media, Sample,
        events::{Collector, Moved},
        fragment::{Context, Fragment, Raw},
        header::Header,
    },
};

/// Builds the index of a CMAF mezzanine: one track in fragments, of a codec that
/// [`codec`](crate::codec) knows, from its first byte to its last.
///
/// Events (`emsg`) and readings of the producer's clock (`prft`) in front of a fragment go with it.
///
/// Memory is a few dozen bytes a sample and what is said beside the media; media data is only streamed through. The file is read twice.
///
/// # Errors
/// [`Error::Io`] when reading fails, [`Error::Corrupt`] for a damaged or truncated file, [`Error::Unsupported`]
/// for a sound file of another shape.
pub fn build<R: Read + Seek>(mut reader: R) -> Result<Index, Error> {
    let length = reader.seek(SeekFrom::End(0))?;
    let (header, mut samples, said) = walk(&mut reader, length)?;
    let moved = present(&header, &mut samples)?;
    let (events, references) = said.finish(&header, &samples, moved);
    reader.seek(SeekFrom::Start(0))?;
    let sha256 = digest(reader, &mut samples, length)?;
    Index::new(header.track, samples, File { length, sha256 })
        .and_then(|index| index.with_events(events, references))
        .map_err(|error| match error {
            Error::Index(what) => Error::Unsupported(what),
            other => other,
        })
}

/// Collects all samples, with decoding times on the media's own clock.
fn walk<R: Read + Seek>(
    reader: &mut R,
    length: u64,
) -> Result<(Header, Vec<Sample>, Collector), Error> {
    let mut header: Option<Header> = None;
    let mut samples = Vec::new();
    let mut said = Collector::default();
    let mut at = 0;
    while at < length {
        let top = top_level(reader, at, length)?;
        match &top.kind {
            b"moov" if header.is_none() => header = Some(Header::parse(&body(reader, &top)?)?),
            b"moov" => {
                return Err(Error::Corrupt {
                    what: "a second moov",
                    offset: at,
                });
            }
            b"moof" => {
                let header = header.as_ref().ok_or(Error::Corrupt {
                    what: "moof before moov",
                    offset: at,
                })?;
                let context = Context {
                    track_id: header.track_id,
                    defaults: header.defaults,
                    moof: at,
                    file_length: length,
                    samples_before: samples.len(),
                    end_before: samples.last().map_or(0, Sample::end),
                };
                let fragment = Fragment::parse(&body(reader, &top)?, &context)?;
                append(&mut samples, fragment, at)?;
                said.place(&(context.samples_before..samples.len()));
            }
            b"emsg" | b"prft" => {
                said.admit(top.end - top.body)?;
                said.add(&top.kind, &body(reader, &top)?)?;
            }
            _ => {}
        }
        at = top.end;
    }
    let header = header.ok_or(Error::Corrupt {
        what: "no moov",
        offset: at,
    })?;
    Ok((header, samples, said))
}

struct TopLevel {
    kind: Kind,
    body: u64,
    end: u64,
}

/// Reads the header of the box at `at`, which must end within the file.
fn top_level<R: Read + Seek>(reader: &mut R, at: u64, length: u64) -> Result<TopLevel, Error> {
    let corrupt = |what| Error::Corrupt { what, offset: at };
    let read = |reader: &mut R| -> Result<[u8; 4], Error> {
        let mut word = [0; 4];
        reader
            .read_exact(&mut word)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => corrupt("file ends in a box header"),
                _ => Error::Io(error),
            })?;
        Ok(word)
    };
    reader.seek(SeekFrom::Start(at))?;
    let size = u32::from_be_bytes(read(reader)?);
    let kind = read(reader)?;
    let (head, size) = match size {
        0 => (8, length - at),
        1 => {
            let high = u64::from(u32::from_be_bytes(read(reader)?));
            (
                16,
                high << 32 | u64::from(u32::from_be_bytes(read(reader)?)),
            )
        }
        size => (8, u64::from(size)),
    };
    let end = at
        .checked_add(size)
        .filter(|end| size >= head && *end <= length);
    let end = end.ok_or_else(|| corrupt("box outside the file"))?;
    Ok(TopLevel {
        kind,
        body: at + head,
        end,
    })
}

/// Loads a box's body; the vector grows with what is really there.
fn body<R: Read + Seek>(reader: &mut R, top: &TopLevel) -> Result<Vec<u8>, Error> {
    let wanted = top.end - top.body;
    if wanted > MAX_METADATA {
        return Err(Error::Unsupported(
            "it has a moov or moof box larger than 64 MiB",
        ));
    }
    reader.seek(SeekFrom::Start(top.body))?;
    let mut bytes = Vec::new();
    let read = reader.by_ref().take(wanted).read_to_end(&mut bytes)?;
    if u64::try_from(read).ok() == Some(wanted) {
        Ok(bytes)
    } else {
        Err(Error::Corrupt {
            what: "file ends in a box",
            offset: top.body,
        })
    }
}

/// Puts a fragment behind what is there: a gap lengthens the sample before it, an overlap is an error.
fn append(samples: &mut Vec<Sample>, fragment: Fragment, moof: u64) -> Result<(), Error> {
    let corrupt = |what| Error::Corrupt { what, offset: moof };
    let mut dts = samples
        .last()
        .map_or(0, |last| last.dts + u64::from(last.duration));
    if let Some(stated) = fragment.decode_time {
        if let Some(last) = samples.last_mut() {
            let gap = stated
                .checked_sub(dts)
                .ok_or_else(|| corrupt("fragments overlap in time"))?;
            let longer = u64::from(last.duration).checked_add(gap);
            last.duration = longer
                .and_then(|duration| u32::try_from(duration).ok())
                .ok_or_else(|| corrupt("gap between fragments"))?;
        }
        dts = stated;
    }
    for Raw {
        offset,
        size,
        duration,
        cts,
        sync,
    } in fragment.samples
    {
        samples.push(Sample {
            offset,
            dts,
            size,
            duration,
            cts,
            crc: 0,
            sync,
        });
        dts = dts
            .checked_add(u64::from(duration))
            .ok_or_else(|| corrupt("decoding time"))?;
        if dts > MAX_MEDIA_TIME {
            return Err(corrupt("decoding time"));
        }
    }
    Ok(())
}

/// Moves times so that presentation begins at 0 and leaves out audio that would be heard before it.
///
/// Decoding then begins with the earliest presentation, so that composition offsets are negative where
/// pictures are reordered (ISO/IEC 23000-19 §7.5.17 calls this version 1 offsets), and no edit list is needed. An edit
/// list that leaves out whole samples at the end is refused: encoders of fragments cannot know the end, and leave it open.
fn present(header: &Header, samples: &mut Vec<Sample>) -> Result<Moved, Error> {
    let bounds = || Error::Unsupported("its times are out of bounds");
    let signed = |ticks: u64| i64::try_from(ticks).map_err(|_| bounds());
    let mut moved = Moved::default();
    for sample in samples.iter() {
        let shown = signed(sample.dts)? + i64::from(sample.cts);
        if header.end.is_some_and(|end| end <= shown) {
            return Err(Error::Unsupported("its edit list ends before its samples"));
        }
    }
    if let Media::Audio(sound) = &header.track.media {
        if let (Sound::Opus(config), Some(first)) = (sound, samples.first_mut()) {
            shorten_by_pre_skip(config, header, first);
        }
        let early = samples
            .partition_point(|sample| signed(sample.dts).is_ok_and(|dts| dts + header.shift < 0));
        samples.drain(..early);
        moved.early = early;
    }
    if let [.., before, last] = samples.as_mut_slice()
        && last.duration == 0
    {
        last.duration = before.duration;
    }
    let Some(first) = samples.first().map(|first| first.dts) else {
        return Ok(moved);
    };
    let mut earliest = i64::MAX;
    for sample in samples.iter() {
        earliest = earliest.min(signed(sample.dts)? + i64::from(sample.cts));
    }
    let start = earliest.checked_add(header.shift).ok_or_else(bounds)?;
    let start = u64::try_from(start)
        .map_err(|_| Error::Unsupported("pictures lie before the start of its edit list"))?;
    moved.ticks = signed(start)?
        .checked_sub(signed(first)?)
        .ok_or_else(bounds)?;
    let offset = signed(first)?.checked_sub(earliest).ok_or_else(bounds)?;
    for sample in samples {
        sample.dts = (sample.dts - first).checked_add(start).ok_or_else(bounds)?;
        let cts = i64::from(sample.cts)
            .checked_add(offset)
            .ok_or_else(bounds)?;
        sample.cts = i32::try_from(cts).map_err(|_| bounds())?;
    }
    Ok(moved)
}

/// Lets a first frame of Opus last only as long as it is heard, where the edit list cuts off what the decoder drops.
///
/// The decoder drops the pre-skip of its own accord, so the frame must stay, and its rest begins the film.
fn shorten_by_pre_skip(config: &opus::Config, header: &Header, first: &mut Sample) {
    let skip = u32::from(config.pre_skip());
    let start = i64::try_from(first.dts)
        .ok()
        .and_then(|dts| dts.checked_add(header.shift));
    if header.track.timescale == opus::SAMPLE_RATE
        && start == Some(-i64::from(skip))
        && first.duration > skip
    {
        first.dts += u64::from(skip);
        first.duration -= skip;
    }
}

/// Streams the file for its SHA-256 and for each sample's CRC.
fn digest<R: Read>(reader: R, samples: &mut [Sample], length: u64) -> Result<[u8; 32], Error> {
    let mut source = Source {
        reader,
        hash: Sha256::new(),
        buffer: vec![0; BUFFER],
        at: 0,
    };
    for sample in samples {
        let Some(gap) = sample.offset.checked_sub(source.at) else {
            return Err(Error::Unsupported("its samples are not in decoding order"));
        };
        source.pass(gap)?;
        sample.crc = source.pass(u64::from(sample.size))?;
    }
    source.pass(length.saturating_sub(source.at))?;
    Ok(source.hash.finalize().into())
}

struct Source<R> {
    reader: R,
    hash: Sha256,
    buffer: Vec<u8>,
    at: u64,
}

impl<R: Read> Source<R> {
    /// Reads `count` bytes into the file's digest and returns their CRC-32C.
    fn pass(&mut self, count: u64) -> Result<u32, Error> {
        let (mut crc, mut left) = (0, count);
        while left > 0 {
            let step = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let Some(chunk) = self.buffer.get_mut(..step) else {
                break;
            };
            self.reader.read_exact(chunk)?;
            self.hash.update(&*chunk);
            crc = crc32c::crc32c_append(crc, chunk);
            let step = u64::try_from(step).unwrap_or(u64::MAX);
            left -= step;
            self.at += step;
        }
        Ok(crc)
    }
}

const BUFFER: usize = 64 << 10;
const MAX_METADATA: u64 = 64 << 20;
/// Media times stay far from where their sums could overflow.
const MAX_MEDIA_TIME: u64 = 1 << 59;
