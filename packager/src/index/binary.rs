//! The index on disk: magic, version, facts, one short record a sample, CRC-32C.
//!
//! ```text
//! "mrix" | version u16 | timescale u32 | file length u64 | SHA-256 of the file
//! kind u8: 1 H.264, 3 H.265, 4 AV1, 5 VP9: width u16, height u16, pixel aspect u32 u32 (0 0: not said),
//!            colr u32 + bytes, record of avcC, hvcC, av1C or vpcC u32 + bytes
//!          2 AAC, 6 Opus: AudioSpecificConfig or record of dOps u32 + bytes
//! first dts u64 | sample count u32 | samples
//! event count u32 | events | count u32 of readings of the producer's clock | readings
//! CRC-32C of all before it, u32
//! sample: varint(gap since the last sample's end << 1 | sync) varint(size) varint(duration) varint(zigzag(cts)) crc u32
//! event: sample u32 | timescale u32 | time u64 | duration u32 | id u32 | scheme, value and data: u32 + bytes each
//! reading: sample u32 | NTP time u64 | decoding time u64 | flags u32
//! ```
//! Fixed-width numbers are big-endian; varints are little-endian groups of seven bits.

use crate::{
    Error,
    bytes::Reader,
    codec::{Picture, Sound, aac, av1, avc, hevc, opus, vp9},
    index::{Event, File, Index, Media, Reference, Sample, Track, Video},
};

impl Index {
    /// Encodes the index for disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.samples().len() * 14);
        out.extend(MAGIC);
        out.extend(VERSION.to_be_bytes());
        out.extend(self.track().timescale.to_be_bytes());
        out.extend(self.file().length.to_be_bytes());
        out.extend(self.file().sha256);
        encode_media(&mut out, &self.track().media);
        out.extend(
            self.samples()
                .first()
                .map_or(0, |first| first.dts)
                .to_be_bytes(),
        );
        let count = u32::try_from(self.samples().len()).unwrap_or(u32::MAX);
        out.extend(count.to_be_bytes());
        let mut end = 0;
        for sample in self.samples() {
            let gap = sample.offset.saturating_sub(end);
            varint(&mut out, gap << 1 | u64::from(sample.sync));
            varint(&mut out, u64::from(sample.size));
            varint(&mut out, u64::from(sample.duration));
            varint(&mut out, zigzag(sample.cts));
            out.extend(sample.crc.to_be_bytes());
            end = sample.end();
        }
        encode_said(&mut out, self);
        out.extend(crc32c::crc32c(&out).to_be_bytes());
        out
    }

    /// Decodes an index from disk. Memory is bounded by the length of `bytes`.
    ///
    /// # Errors
    /// [`Error::Index`] for anything but what [`Index::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or(SHORT)?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return Err(Error::Index("its checksum is wrong"));
        }
        decode(body).map_err(|error| match error {
            Error::Corrupt { .. } | Error::Unsupported(_) => SHORT,
            other => other,
        })
    }
}

fn encode_media(out: &mut Vec<u8>, media: &Media) {
    match media {
        Media::Video(video) => {
            out.push(match &video.config {
                Picture::Avc(_) => KIND_AVC,
                Picture::Hevc(_) => KIND_HEVC,
                Picture::Av1(_) => KIND_AV1,
                Picture::Vp9(_) => KIND_VP9,
            });
            out.extend(video.width.to_be_bytes());
            out.extend(video.height.to_be_bytes());
            let (horizontal, vertical) = video.pixel_aspect.unwrap_or((0, 0));
            out.extend(horizontal.to_be_bytes());
            out.extend(vertical.to_be_bytes());
            blob(out, video.colour.as_deref().unwrap_or_default());
            blob(out, video.config.record());
        }
        Media::Audio(Sound::Aac(config)) => {
            out.push(KIND_AAC);
            blob(out, config.specific());
        }
        Media::Audio(Sound::Opus(config)) => {
            out.push(KIND_OPUS);
            blob(out, config.record());
        }
    }
}

/// A length and the bytes.
fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}

fn decode(body: &[u8]) -> Result<Index, Error> {
    let mut reader = Reader::new("index", body);
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(Error::Index("it does not begin like one"));
    }
    match reader.u16()? {
        VERSION => {}
        0..VERSION => {
            return Err(Error::Index("it is of an older version: build it anew"));
        }
        _ => return Err(Error::Index("it is of a newer version")),
    }
    let timescale = reader.u32()?;
    let length = reader.u64()?;
    let sha256 = <[u8; 32]>::try_from(reader.take(32)?).map_err(|_| SHORT)?;
    let media = decode_media(&mut reader)?;
    let samples = decode_samples(&mut reader)?;
    let events = decode_list(&mut reader, SMALLEST_EVENT, decode_event)?;
    let references = decode_list(&mut reader, REFERENCE, decode_reference)?;
    if !reader.rest().is_empty() {
        return Err(Error::Index("it goes on behind its end"));
    }
    Index::new(Track { timescale, media }, samples, File { length, sha256 })?
        .with_events(events, references)
}

fn decode_media(reader: &mut Reader<'_>) -> Result<Media, Error> {
    match reader.u8()? {
        kind @ (KIND_AVC | KIND_HEVC | KIND_AV1 | KIND_VP9) => {
            let (width, height) = (reader.u16()?, reader.u16()?);
            let aspect = (reader.u32()?, reader.u32()?);
            let colour = take_blob(reader)?;
            Ok(Media::Video(Video {
                width,
                height,
                pixel_aspect: (aspect.0 > 0 && aspect.1 > 0).then_some(aspect),
                colour: (!colour.is_empty()).then(|| colour.to_vec()),
                config: picture(kind, take_blob(reader)?)?,
            }))
        }
        KIND_AAC => {
            let config = aac::Config::parse(take_blob(reader)?)?;
            Ok(Media::Audio(Sound::Aac(config)))
        }
        KIND_OPUS => {
            let config = opus::Config::parse(take_blob(reader)?)?;
            Ok(Media::Audio(Sound::Opus(config)))
        }
        _ => Err(Error::Index("its track is of no codec that is packed")),
    }
}

fn picture(kind: u8, record: &[u8]) -> Result<Picture, Error> {
    match kind {
        KIND_HEVC => hevc::Config::parse(record).map(Picture::Hevc),
        KIND_AV1 => av1::Config::parse(record).map(Picture::Av1),
        KIND_VP9 => vp9::Config::parse(record).map(Picture::Vp9),
        _ => avc::Config::parse(record).map(Picture::Avc),
    }
}

fn take_blob<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = usize::try_from(reader.u32()?).map_err(|_| SHORT)?;
    reader.take(length)
}

fn decode_samples(reader: &mut Reader<'_>) -> Result<Vec<Sample>, Error> {
    let mut dts = reader.u64()?;
    let count = usize::try_from(reader.u32()?).map_err(|_| SHORT)?;
    if count > reader.rest().len() / SMALLEST_SAMPLE {
        return Err(SHORT);
    }
    let mut samples = Vec::with_capacity(count);
    let mut end = 0u64;
    for _ in 0..count {
        let head = read_varint(reader)?;
        let size = u32::try_from(read_varint(reader)?).map_err(|_| SHORT)?;
        let duration = u32::try_from(read_varint(reader)?).map_err(|_| SHORT)?;
        let cts = unzigzag(read_varint(reader)?)?;
        let crc = reader.u32()?;
        let offset = end.checked_add(head >> 1).ok_or(SHORT)?;
        end = offset.checked_add(u64::from(size)).ok_or(SHORT)?;
        samples.push(Sample {
            offset,
            dts,
            size,
            duration,
            cts,
            crc,
            sync: head & 1 == 1,
        });
        dts = dts.checked_add(u64::from(duration)).ok_or(SHORT)?;
    }
    Ok(samples)
}

/// What is said beside the samples.
fn encode_said(out: &mut Vec<u8>, index: &Index) {
    let short = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    out.extend(short(index.events().len()));
    for event in index.events() {
        out.extend(short(event.sample));
        out.extend(event.timescale.to_be_bytes());
        out.extend(event.time.to_be_bytes());
        out.extend(event.duration.to_be_bytes());
        out.extend(event.id.to_be_bytes());
        blob(out, event.scheme.as_bytes());
        blob(out, event.value.as_bytes());
        blob(out, &event.data);
    }
    out.extend(short(index.references().len()));
    for reference in index.references() {
        out.extend(short(reference.sample));
        out.extend(reference.ntp.to_be_bytes());
        out.extend(reference.time.to_be_bytes());
        out.extend(reference.flags.to_be_bytes());
    }
}

/// A count and what it counts, each of at least `smallest` bytes.
fn decode_list<'a, T>(
    reader: &mut Reader<'a>,
    smallest: usize,
    one: fn(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let count = usize::try_from(reader.u32()?).map_err(|_| SHORT)?;
    if count > reader.rest().len() / smallest {
        return Err(SHORT);
    }
    (0..count).map(|_| one(reader)).collect()
}

fn decode_event(reader: &mut Reader<'_>) -> Result<Event, Error> {
    let sample = usize::try_from(reader.u32()?).map_err(|_| SHORT)?;
    let (timescale, time) = (reader.u32()?, reader.u64()?);
    let (duration, id) = (reader.u32()?, reader.u32()?);
    let mut text = || String::from_utf8(take_blob(reader)?.to_vec()).map_err(|_| SHORT);
    let (scheme, value) = (text()?, text()?);
    Ok(Event {
        sample,
        scheme,
        value,
        timescale,
        time,
        duration,
        id,
        data: take_blob(reader)?.to_vec(),
    })
}

fn decode_reference(reader: &mut Reader<'_>) -> Result<Reference, Error> {
    Ok(Reference {
        sample: usize::try_from(reader.u32()?).map_err(|_| SHORT)?,
        ntp: reader.u64()?,
        time: reader.u64()?,
        flags: reader.u32()?,
    })
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn read_varint(reader: &mut Reader<'_>) -> Result<u64, Error> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(SHORT)
}

fn zigzag(value: i32) -> u64 {
    u64::from((value << 1 ^ value >> 31).cast_unsigned())
}

fn unzigzag(value: u64) -> Result<i32, Error> {
    let value = u32::try_from(value).map_err(|_| SHORT)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

const MAGIC: [u8; 4] = *b"mrix";
const VERSION: u16 = 2;
const KIND_AVC: u8 = 1;
const KIND_AAC: u8 = 2;
const KIND_HEVC: u8 = 3;
const KIND_AV1: u8 = 4;
const KIND_VP9: u8 = 5;
const KIND_OPUS: u8 = 6;
/// Four varints of a byte each and the CRC.
const SMALLEST_SAMPLE: usize = 8;
/// Six numbers and three lengths.
const SMALLEST_EVENT: usize = 36;
const REFERENCE: usize = 24;
const SHORT: Error = Error::Index("its contents contradict each other");
