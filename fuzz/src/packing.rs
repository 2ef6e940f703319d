//! Packing a film of one rendition in every way: what comes out holds the samples that went in, byte for byte.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::{address::Flavour, id::RenditionId};
use packager::{
    Error, Presentation, Rendition, Segment, Source,
    codec::nal_units,
    dash, fmp4, hls,
    index::{Index, Media, Sample},
    ts,
};

use super::{demux, encrypted};

/// Makes a film of an index, writes its playlists, and packs its segments out of `file`, which the index describes.
pub fn check(index: Index, file: &[u8]) {
    let Some(film) = film(index) else { return };
    let file = Bytes::copy_from_slice(file);
    manifests(&film);
    for rendition in film.renditions() {
        let _ = fmp4::init(rendition.index(), None);
        for segment in rendition.segments().take(MOST_SEGMENTS) {
            cmaf(rendition, &segment, &file);
            transport(rendition, &segment, &file);
        }
        for iframe in rendition.iframes().take(MOST_SEGMENTS) {
            let source = file.slice(range(&iframe.bytes));
            let Ok(packed) = fmp4::iframe(rendition.index(), &iframe, &source, None) else {
                continue;
            };
            assert_eq!(
                packed.length(),
                fmp4::iframe_length(rendition.index(), &iframe, None)
            );
            assert_eq!(mdat(&packed.into_bytes()), source);
        }
        encrypted::check(&film, rendition, &file);
    }
}

/// Packs the segments of an index whose file nobody has: each must say so.
pub fn refuses(index: &Index) {
    let Some(film) = film(index.clone()) else {
        return;
    };
    manifests(&film);
    for rendition in film.renditions() {
        for segment in rendition.segments().take(MOST_SEGMENTS) {
            let outcome = fmp4::segment(rendition.index(), &segment, &Bytes::new(), None);
            assert!(matches!(outcome, Err(Error::Mismatch { .. })));
            let outcome = ts(rendition, &segment, &[]);
            assert!(outcome.is_err());
        }
    }
}

/// The range in memory.
pub fn range(bytes: &Range<u64>) -> Range<usize> {
    let place = |at: u64| usize::try_from(at).expect("it lies in a file in memory");
    place(bytes.start)..place(bytes.end)
}

/// The samples of a segment in the file.
pub fn samples<'a>(rendition: &Rendition, segment: &Segment, file: &'a [u8]) -> Vec<&'a [u8]> {
    let samples = &rendition.index().samples()[segment.samples.clone()];
    let bytes = |sample: &Sample| &file[range(&(sample.offset..sample.end()))];
    samples.iter().map(bytes).collect()
}

/// The body of the last box of a segment, which must be its media data, and of no box before it.
pub fn mdat(segment: &[u8]) -> &[u8] {
    let last = boxes(segment).pop().expect("a segment has boxes");
    assert_eq!(last.0, *b"mdat");
    last.1
}

/// The boxes that fill `data`: types and bodies.
pub fn boxes(mut data: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while let Some((size, rest)) = data.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        let (kind, _) = rest.split_first_chunk::<4>().expect("a box has a type");
        found.push((*kind, &data[8..size]));
        data = &data[size..];
    }
    assert!(data.is_empty());
    found
}

fn film(index: Index) -> Option<Presentation> {
    let source = Source {
        id: RenditionId::parse("any").expect("a rendition's name"),
        language: None,
        index: Arc::new(index),
    };
    let film = Presentation::new(vec![source], Duration::from_secs(4)).ok()?;
    for rendition in film.renditions() {
        let mut next = 0;
        for segment in rendition.segments() {
            assert_eq!(segment.samples.start, next, "segments follow each other");
            assert!(!segment.samples.is_empty());
            next = segment.samples.end;
        }
        assert_eq!(next, rendition.index().samples().len());
    }
    Some(film)
}

fn manifests(film: &Presentation) {
    let _ = dash::manifest(film);
    for flavour in [Flavour::Cmaf, Flavour::Ts] {
        let _ = hls::master(film, flavour);
        for rendition in film.renditions() {
            assert!(hls::playlist(film, rendition.id(), flavour).is_some());
        }
    }
}

fn cmaf(rendition: &Rendition, segment: &Segment, file: &Bytes) {
    let index = rendition.index();
    let source = file.slice(range(&segment.bytes));
    let packed = fmp4::segment(index, segment, &source, None).expect("the file is the index's own");
    assert_eq!(packed.length(), fmp4::segment_length(index, segment, None));
    let wanted = samples(rendition, segment, file);
    assert!(mdat(&packed.into_bytes()) == wanted.concat());
    // One bit of the first sample is enough, and so is a byte too few.
    let mut damaged = source.to_vec();
    damaged[0] ^= 0x10;
    for bytes in [damaged.into(), source.slice(1..)] {
        let outcome = fmp4::segment(index, segment, &bytes, None);
        assert!(matches!(outcome, Err(Error::Mismatch { .. })));
    }
}

/// Packs a transport stream segment of the rendition alone.
fn ts(rendition: &Rendition, segment: &Segment, mezzanine: &[u8]) -> Result<Vec<u8>, Error> {
    let stream = Some(ts::Stream {
        index: rendition.index(),
        part: Some(ts::Part { segment, mezzanine }),
    });
    let (video, audio) = match rendition.video() {
        Some(_) => (stream, None),
        None => (None, stream),
    };
    let number = segment.number;
    ts::segment(&ts::Input { number, video, audio })
}

fn transport(rendition: &Rendition, segment: &Segment, file: &[u8]) {
    let index = rendition.index();
    let Ok(packed) = ts(rendition, segment, &file[range(&segment.bytes)]) else {
        return;
    };
    assert!(ts::carries(index));
    assert!(packed.len() as u64 <= ts::share_at_most(index, segment));
    let stream = demux::demux(&packed);
    let samples = samples(rendition, segment, file);
    if rendition.video().is_none() {
        assert!(stream.video.is_empty());
        let sounds: Vec<&[u8]> = stream.audio.iter().map(|pes| &*pes.data).collect();
        let sounds = sounds.concat();
        assert_eq!(demux::adts_frames(&sounds), samples);
        return;
    }
    assert!(stream.audio.is_empty());
    assert_eq!(stream.video.len(), samples.len());
    for ((pes, sample), at) in stream.video.iter().zip(samples).zip(segment.samples.clone()) {
        let sync = index.samples()[at].sync;
        assert!(pes.data == access_unit(&index.track().media, sample, sync));
    }
}

/// What a sample is in byte stream format.
fn access_unit(media: &Media, sample: &[u8], sync: bool) -> Vec<u8> {
    let Media::Video(video) = media else {
        unreachable!("sound has no access units")
    };
    let hevc = &video.config.entry() == b"hvc1";
    let kind = |unit: &[u8]| if hevc { unit[0] >> 1 & 0x3f } else { unit[0] & 0x1f };
    let (delimiter, set, delimiter_kind): (&[u8], _, _) = if hevc {
        (&[0x46, 0x01, 0x50], 33, 35)
    } else {
        (&[0x09, 0xf0], 7, 9)
    };
    let units: Vec<&[u8]> = nal_units(sample)
        .collect::<Result<_, _>>()
        .expect("it was packed");
    let mut written = vec![delimiter];
    if sync && !units.iter().any(|unit| kind(unit) == set) {
        written.extend(video.config.parameter_sets());
    }
    written.extend(units.into_iter().filter(|unit| kind(unit) != delimiter_kind));
    written
        .iter()
        .flat_map(|unit| [&[0, 0, 0, 1], *unit].concat())
        .collect()
}

/// Segments of an input that are packed: enough for every shape, few enough for many inputs.
const MOST_SEGMENTS: usize = 24;
