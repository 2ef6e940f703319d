//! What CMAF says of encryption: `sinf` and `pssh` in the head of a track, `senc` and its like in segments
//! (ISO/IEC 23001-7 §7, §8, ISO/IEC 14496-12 §8.7.8, §8.12).

use std::ops::Range;

use crate::{
    Error,
    boxes::Kind,
    fmp4::write::Writer,
    index::{Index, Media},
    protect::{MOST_PARTS, Maps, Scheme, Subsample, Track, signalling},
    source::Bytes,
};

/// The protection, if it is one of samples: where whole segments are encrypted, what is inside them is clear.
pub(super) fn by_samples<'a>(protection: Option<&'a Track<'a>>) -> Option<&'a Track<'a>> {
    protection.filter(|track| track.scheme().is_some())
}

/// Writes the protection scheme information of a sample entry whose clear type is `original`.
pub(super) fn information(out: &mut Writer, original: &Kind, track: &Track<'_>) {
    let video = !matches!(original, b"mp4a" | b"Opus");
    let scheme = track.scheme().unwrap_or(Scheme::Cbcs);
    out.boxed(b"sinf", |out| {
        out.boxed(b"frma", |out| out.bytes(original));
        out.full(b"schm", 0, 0, |out| {
            out.bytes(scheme.fourcc());
            out.u32(0x1_0000);
        });
        out.boxed(b"schi", |out| match scheme {
            Scheme::Cenc => out.full(b"tenc", 0, 0, |out| {
                out.zeros(2);
                out.u8(1); // protected
                out.u8(8); // bytes of a sample's vector
                out.bytes(&track.key().id().0);
            }),
            Scheme::Cbcs => out.full(b"tenc", 1, 0, |out| {
                out.u8(0);
                out.u8(if video { 0x19 } else { 0 }); // one block of ten of pictures, every block of sound
                out.u8(1);
                out.u8(0); // samples have no vectors of their own
                out.bytes(&track.key().id().0);
                out.u8(16);
                out.bytes(&track.constant_iv().unwrap_or_default());
            }),
        });
    });
}

/// Writes a `pssh` box a system that has one.
pub(super) fn systems(out: &mut Writer, track: &Track<'_>) {
    for pssh in signalling::pssh::all(track.protection(), track.key()) {
        out.bytes(&pssh);
    }
}

/// What a segment says of the encryption of its samples.
pub(super) struct Auxiliary<'a> {
    track: &'a Track<'a>,
    maps: Maps,
    places: Range<usize>,
    video: bool,
}

impl<'a> Auxiliary<'a> {
    pub(super) fn new(
        index: &Index,
        places: Range<usize>,
        source: &Bytes<'_>,
        track: &'a Track<'a>,
    ) -> Result<Self, Error> {
        let media = &index.track().media;
        let scheme = track.scheme().unwrap_or(Scheme::Cbcs);
        let sync = |at: usize| index.samples().get(at).is_some_and(|sample| sample.sync);
        let samples = places.clone().map(|at| Ok((source.sample(at)?, sync(at))));
        Ok(Self {
            track,
            maps: Maps::of(media, scheme, samples)?,
            places,
            video: matches!(media, Media::Video(_)),
        })
    }

    /// The parts of the `at`th sample of the segment.
    pub(super) fn parts(&self, at: usize) -> &[Subsample] {
        self.maps.sample(at)
    }

    /// The length of its boxes.
    pub(super) fn size(&self) -> usize {
        sum(self.table(), self.entries().sum())
    }

    /// Writes `saiz`, `saio` and `senc`; `at` is where they begin, counted from the `moof` box.
    ///
    /// Where there is nothing to say of a sample, as of sound in `cbcs`, there is a `senc` without entries all the
    /// same: Bento4 leaves a fragment without one encrypted.
    pub(super) fn write(&self, out: &mut Writer, at: usize) {
        if self.entries().any(|entry| entry > 0) {
            self.write_places(out, at);
        }
        let count = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let flags = if self.video { 0x2 } else { 0 };
        out.full(b"senc", 0, flags, |out| {
            out.u32(count);
            for (place, parts) in self.places.clone().zip(self.maps.samples()) {
                self.write_entry(out, place, parts);
            }
        });
    }

    /// Writes where the entries are and how long each is.
    fn write_places(&self, out: &mut Writer, at: usize) {
        let count = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        out.full(b"saiz", 0, 0, |out| {
            let same = if self.table() == 0 {
                self.entries().next()
            } else {
                None
            };
            out.u8(same.map_or(0, byte));
            out.u32(count);
            if same.is_none() {
                self.entries().for_each(|entry| out.u8(byte(entry)));
            }
        });
        let first = at + SAIZ + self.table() + SAIO + SENC;
        out.full(b"saio", 0, 0, |out| {
            out.u32(1);
            out.u32(u32::try_from(first).unwrap_or(u32::MAX));
        });
    }

    fn write_entry(&self, out: &mut Writer, place: usize, parts: &[Subsample]) {
        if let Some(iv) = self.track.sample_iv(place) {
            out.u64(iv);
        }
        if self.video {
            out.u16(u16::try_from(parts.len()).unwrap_or(u16::MAX));
        }
        for part in parts {
            out.u16(part.clear);
            out.u32(part.protected);
        }
    }

    /// How many bytes `senc` says of each sample.
    fn entries(&self) -> impl Iterator<Item = usize> {
        let fixed = fixed(self.track, self.video);
        self.maps
            .samples()
            .map(move |parts| fixed + parts.len() * PART)
    }

    /// The bytes of `saiz` that tell the length of each entry, where they differ.
    fn table(&self) -> usize {
        let mut entries = self.entries();
        let first = entries.next();
        if entries.all(|entry| Some(entry) == first) {
            0
        } else {
            self.places.len()
        }
    }
}

/// The most that the boxes of `samples` with these sizes take: every encrypted part holds a block and a header.
pub(super) fn size_at_most(
    index: &Index,
    track: &Track<'_>,
    sizes: impl Iterator<Item = u32>,
) -> usize {
    let video = matches!(index.track().media, Media::Video(_));
    let fixed = fixed(track, video);
    let smallest = match track.scheme() {
        Some(Scheme::Cbcs) => 7,
        _ => 22,
    };
    let entry = |size: u32| {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let parts = (size / smallest + size / usize::from(u16::MAX) + 1).min(MOST_PARTS);
        fixed + if video { parts * PART } else { 0 }
    };
    let (count, told) = sizes.fold((0, 0), |(count, told), size| {
        (count + 1, told + entry(size))
    });
    sum(if video { count } else { 0 }, told)
}

/// The boxes around a table of lengths and the entries.
fn sum(table: usize, told: usize) -> usize {
    if told == 0 {
        SENC
    } else {
        SAIZ + table + SAIO + SENC + told
    }
}

/// What an entry of `senc` holds beside its parts: a vector, and how many parts there are.
fn fixed(track: &Track<'_>, video: bool) -> usize {
    let vector = if track.scheme() == Some(Scheme::Cenc) {
        8
    } else {
        0
    };
    vector + if video { 2 } else { 0 }
}

fn byte(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

const SAIZ: usize = 17;
const SAIO: usize = 20;
const SENC: usize = 16;
const PART: usize = 6;
