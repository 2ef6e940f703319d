//! The `moov` box of a mezzanine: one track, its defaults and its edit list.

use crate::{
    Error,
    boxes::{children, descend, find},
    bytes::Reader,
    codec::{FourCc, Picture, Sound, aac, opus},
    index::{Media, Track, Video},
};

/// What `moov` says of the one track of a mezzanine.
pub(super) struct Header {
    pub(super) track: Track,
    pub(super) track_id: u32,
    pub(super) defaults: Defaults,
    /// Added to a media time, gives the presentation time (ISO/IEC 14496-12 §8.6.6).
    pub(super) shift: i64,
    /// The media time at which the edit list ends the film, where it says so.
    pub(super) end: Option<i64>,
}

/// The values of samples that carry none of their own (§8.8.3).
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

impl Header {
    /// Reads the body of a `moov` box.
    pub(super) fn parse(moov: &[u8]) -> Result<Self, Error> {
        let trak = the_only_track(moov)?;
        let track_id = track_id(descend(trak, &[(b"tkhd", "no tkhd")])?)?;
        let mdia = descend(trak, &[(b"mdia", "no mdia")])?;
        let timescale = timescale(descend(mdia, &[(b"mdhd", "no mdhd")])?, "mdhd")?;
        let movie_timescale = timescale_of_movie(moov)?;
        let stbl = descend(mdia, &[(b"minf", "no minf"), (b"stbl", "no stbl")])?;
        let media = media(descend(stbl, &[(b"stsd", "no stsd")])?)?;
        let trex = descend(
            moov,
            &[(b"mvex", "no mvex: not fragmented"), (b"trex", "no trex")],
        )?;
        let (shift, end) = edit(trak, timescale, movie_timescale)?;
        Ok(Self {
            track: Track { timescale, media },
            track_id,
            defaults: defaults(trex)?,
            shift,
            end,
        })
    }
}

fn the_only_track(moov: &[u8]) -> Result<&[u8], Error> {
    let mut found = None;
    for child in children(moov) {
        let child = child?;
        if child.kind == *b"trak" && found.replace(child.body).is_some() {
            return Err(Error::Unsupported("it holds more than one track"));
        }
    }
    found.ok_or(Error::Corrupt {
        what: "no trak",
        offset: 0,
    })
}

fn track_id(tkhd: &[u8]) -> Result<u32, Error> {
    let mut reader = Reader::new("tkhd", tkhd);
    let (version, _) = reader.full_box()?;
    reader.skip(if version == 1 { 16 } else { 8 })?;
    reader.u32()
}

fn timescale_of_movie(moov: &[u8]) -> Result<u32, Error> {
    timescale(descend(moov, &[(b"mvhd", "no mvhd")])?, "mvhd")
}

/// `mvhd` and `mdhd` begin alike.
fn timescale(body: &[u8], what: &'static str) -> Result<u32, Error> {
    let mut reader = Reader::new(what, body);
    let (version, _) = reader.full_box()?;
    reader.skip(if version == 1 { 16 } else { 8 })?;
    match reader.u32()? {
        0 => Err(reader.corrupt()),
        timescale => Ok(timescale),
    }
}

fn defaults(trex: &[u8]) -> Result<Defaults, Error> {
    let mut reader = Reader::new("trex", trex);
    reader.full_box()?;
    reader.skip(8)?;
    Ok(Defaults {
        duration: reader.u32()?,
        size: reader.u32()?,
        flags: reader.u32()?,
    })
}

/// Accepts what encoders write: nothing, one edit at normal speed, or an empty edit before it. Tells by how much it moves
/// the media, and the media time at which it ends: an edit of fragments lasts 0, which stands for all of them.
fn edit(trak: &[u8], timescale: u32, movie_timescale: u32) -> Result<(i64, Option<i64>), Error> {
    let Some(edts) = find(trak, b"edts")? else {
        return Ok((0, None));
    };
    let Some(elst) = find(edts, b"elst")? else {
        return Ok((0, None));
    };
    let mut reader = Reader::new("elst", elst);
    let (version, _) = reader.full_box()?;
    let count = reader.u32()?;
    let (mut delay, mut start, mut end) = (0i64, None, None);
    for at in 0..count {
        let (duration, media_time) = if version == 1 {
            (reader.u64()?, reader.i64()?)
        } else {
            (u64::from(reader.u32()?), i64::from(reader.i32()?))
        };
        if reader.u32()? != 1 << 16 {
            return Err(Error::Unsupported("its edit list changes the speed"));
        }
        match media_time {
            -1 if at == 0 => delay = rescale(duration, movie_timescale, timescale)?,
            0.. if start.is_none() => {
                start = Some(media_time);
                // The movie's clock may be coarser, so that what it says may be rounded down. A length beyond all bounds
                // ends nothing.
                let length = rescale(duration, movie_timescale, timescale).ok();
                let length = length.filter(|_| duration > 0);
                end = length.and_then(|length| media_time.checked_add(length)?.checked_add(1));
            }
            _ => return Err(Error::Unsupported("its edit list cuts the film")),
        }
    }
    let shift = delay
        .checked_sub(start.unwrap_or(0))
        .filter(|shift| shift.unsigned_abs() <= MAX_SHIFT)
        .ok_or(Error::Unsupported("its edit list is out of bounds"))?;
    Ok((shift, end))
}

fn rescale(ticks: u64, from: u32, to: u32) -> Result<i64, Error> {
    let ticks = u128::from(ticks) * u128::from(to) / u128::from(from);
    i64::try_from(ticks).map_err(|_| Error::Unsupported("its edit list is out of bounds"))
}

fn media(stsd: &[u8]) -> Result<Media, Error> {
    let mut reader = Reader::new("stsd", stsd);
    reader.full_box()?;
    if reader.u32()? != 1 {
        return Err(Error::Unsupported(
            "it has other than one sample description",
        ));
    }
    let entry = children(reader.rest())
        .next()
        .ok_or_else(|| reader.corrupt())??;
    let record = match &entry.kind {
        b"avc1" | b"avc3" => (b"avcC", "no avcC"),
        b"hvc1" | b"hev1" => (b"hvcC", "no hvcC"),
        b"av01" => (b"av1C", "no av1C"),
        b"vp09" => (b"vpcC", "no vpcC"),
        b"mp4a" => return aac(entry.body).map(|config| Media::Audio(Sound::Aac(config))),
        b"Opus" => return opus(entry.body).map(|config| Media::Audio(Sound::Opus(config))),
        _ => return Err(Error::Unsupported(FOREIGN_CODEC)),
    };
    video(entry.kind, entry.body, record).map(Media::Video)
}

/// A visual sample entry (§12.1.3) and the box that configures its codec.
fn video(kind: FourCc, entry: &[u8], record: (&FourCc, &'static str)) -> Result<Video, Error> {
    let mut reader = Reader::new("visual sample entry", entry);
    reader.skip(24)?;
    let (width, height) = (reader.u16()?, reader.u16()?);
    if width == 0 || height == 0 {
        return Err(reader.corrupt());
    }
    reader.skip(50)?;
    let inner = reader.rest();
    let config = Picture::parse(kind, descend(inner, &[record])?)
        .unwrap_or(Err(Error::Unsupported(FOREIGN_CODEC)))?;
    let colour = find(inner, b"colr")?.filter(|body| body.len() <= MAX_COLOUR);
    Ok(Video {
        width,
        height,
        pixel_aspect: find(inner, b"pasp")?
            .map(pixel_aspect)
            .transpose()?
            .flatten(),
        colour: colour.map(<[u8]>::to_vec),
        config,
    })
}

fn pixel_aspect(pasp: &[u8]) -> Result<Option<(u32, u32)>, Error> {
    let mut reader = Reader::new("pasp", pasp);
    let (horizontal, vertical) = (reader.u32()?, reader.u32()?);
    Ok((horizontal > 0 && vertical > 0).then_some((horizontal, vertical)))
}

/// An audio sample entry (§12.2.3) whose `esds` holds the AudioSpecificConfig.
fn aac(entry: &[u8]) -> Result<aac::Config, Error> {
    let mut reader = Reader::new("audio sample entry", entry);
    reader.skip(28)?;
    let esds = find(reader.rest(), b"esds")?.ok_or(Error::Corrupt {
        what: "no esds",
        offset: 0,
    })?;
    let mut reader = Reader::new("esds", esds);
    reader.full_box()?;
    let mut es = descriptor(&mut reader, 0x03)?;
    es.skip(2)?;
    let flags = es.u8()?;
    if flags & 0b1110_0000 != 0 {
        return Err(Error::Unsupported("its esds has optional fields"));
    }
    let mut decoder = descriptor(&mut es, 0x04)?;
    if decoder.u8()? != 0x40 {
        return Err(Error::Unsupported("its sound is not MPEG-4 AAC"));
    }
    decoder.skip(12)?;
    aac::Config::parse(descriptor(&mut decoder, 0x05)?.rest())
}

/// An audio sample entry of Opus. Its own rate and channel count are a hint at most: `dOps` tells.
fn opus(entry: &[u8]) -> Result<opus::Config, Error> {
    let mut reader = Reader::new("audio sample entry", entry);
    reader.skip(28)?;
    opus::Config::parse(descend(reader.rest(), &[(b"dOps", "no dOps")])?)
}

/// One descriptor of the wanted tag (ISO/IEC 14496-1 §8.3.3); its length takes up to four bytes.
fn descriptor<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<Reader<'a>, Error> {
    if reader.u8()? != tag {
        return Err(reader.corrupt());
    }
    let mut length = 0usize;
    for _ in 0..4 {
        let byte = reader.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(Reader::new("esds", reader.take(length)?))
}

const FOREIGN_CODEC: &str = "its codec is none of H.264, H.265, AV1 and VP9, nor AAC or Opus";
/// An ICC profile may be megabytes; the numbers that players use take 19 bytes.
const MAX_COLOUR: usize = 64;
/// Far from where its sum with a media time could overflow.
const MAX_SHIFT: u64 = 1 << 59;
