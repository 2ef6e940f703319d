//! What holds of every film: any GOPs, any clock, any depth of reordering.

use contracts::address::Flavour;
use packager::{
    Rendition,
    codec::{self, aac, avc, hevc},
    hls,
    index::{File, Index, Media, Sample, Track, Video},
};
use proptest::prelude::*;

use crate::{
    demux::{adts_frames, demux, nal_units},
    films::{Film, indexed, present_by},
    late::{delayed, held, stated},
    streams::LONGEST_PAUSE,
};

const AVCC: [u8; 18] = [
    1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 3, 0x68, 0xee, 0x3c,
];

/// A record of H.265 with one small set of each kind.
const HVCC: [u8; 46] = [
    1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 30, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f,
    3, //
    0xa0, 0, 1, 0, 3, 0x40, 1, 0x0c, //
    0xa1, 0, 1, 0, 4, 0x42, 1, 1, 0x60, //
    0xa2, 0, 1, 0, 1, 0x44,
];

/// A codec of NAL units: its configuration, and how slices of sync and other samples begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coding {
    config: fn() -> codec::Picture,
    sync: &'static [u8],
    other: &'static [u8],
}

pub(crate) const AVC: Coding = Coding {
    config: || codec::Picture::Avc(avc::Config::parse(&AVCC).unwrap()),
    sync: &[0x65],
    other: &[0x41],
};
pub(crate) const HEVC: Coding = Coding {
    config: || codec::Picture::Hevc(hevc::Config::parse(&HVCC).unwrap()),
    sync: &[0x26, 1],
    other: &[0x02, 1],
};

impl Coding {
    /// The same slices under another configuration.
    pub(crate) fn with(self, config: fn() -> codec::Picture) -> Self {
        Self { config, ..self }
    }
}

/// A sample as a test wants it: what is in it and how long it lasts.
struct Unit {
    bytes: Vec<u8>,
    duration: u32,
    cts: i32,
    sync: bool,
}

/// Lays samples out in a file, some noise between them.
fn lay_out(media: Media, timescale: u32, start: u64, units: Vec<Unit>) -> (Index, Vec<u8>) {
    let mut file = vec![0xee; 24];
    let mut dts = start;
    let mut samples = Vec::new();
    for (at, unit) in units.into_iter().enumerate() {
        if at % 7 == 0 {
            file.extend([0xee; 5]);
        }
        samples.push(Sample {
            offset: file.len() as u64,
            dts,
            size: u32::try_from(unit.bytes.len()).unwrap(),
            duration: unit.duration,
            cts: unit.cts,
            crc: crc32c::crc32c(&unit.bytes),
            sync: unit.sync,
        });
        dts += u64::from(unit.duration);
        file.extend(unit.bytes);
    }
    let facts = File {
        length: file.len() as u64,
        sha256: [7; 32],
    };
    (
        Index::new(Track { timescale, media }, samples, facts).unwrap(),
        file,
    )
}

/// One slice in a NAL unit; the byte pattern holds no start code.
fn slice(size: usize, head: &[u8]) -> Vec<u8> {
    let length = u32::try_from(size + head.len()).unwrap();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(head);
    bytes.extend((0..size).map(|at| 1 + u8::try_from(at % 200).unwrap()));
    bytes
}

/// Closed GOPs: groups of `depth` B-pictures, shown before the picture that is decoded before them.
pub(crate) fn video(
    coding: Coding,
    gops: &[usize],
    timescale: u32,
    frame: u32,
    depth: usize,
    sizes: &[usize],
) -> (Index, Vec<u8>) {
    let mut units = Vec::new();
    for &length in gops {
        let mut shown = vec![0];
        while shown.len() < length {
            let group = (depth + 1).min(length - shown.len());
            let first = shown.len();
            shown.push(first + group - 1);
            shown.extend(first..first + group - 1);
        }
        for (decoded, shown) in shown.into_iter().enumerate() {
            let places = i64::try_from(shown).unwrap() - i64::try_from(decoded).unwrap();
            let size = sizes[units.len() % sizes.len()];
            units.push(Unit {
                bytes: slice(
                    size,
                    if decoded == 0 {
                        coding.sync
                    } else {
                        coding.other
                    },
                ),
                duration: frame,
                cts: i32::try_from(places * i64::from(frame)).unwrap(),
                sync: decoded == 0,
            });
        }
    }
    let facts = Video {
        width: 2,
        height: 2,
        pixel_aspect: None,
        colour: None,
        config: (coding.config)(),
    };
    lay_out(Media::Video(facts), timescale, 0, units)
}

pub(crate) fn audio(seconds: f64, rate: u32, sizes: &[usize]) -> (Index, Vec<u8>) {
    let specific = if rate == 48_000 {
        [0x11, 0x90]
    } else {
        [0x12, 0x10]
    };
    let count = ((seconds * f64::from(rate) / 1024.0).ceil() as usize).max(1);
    let units = (0..count).map(|at| Unit {
        bytes: vec![0x21; sizes[at % sizes.len()] + 1],
        duration: 1024,
        cts: 0,
        sync: true,
    });
    lay_out(
        Media::Audio(codec::Sound::Aac(aac::Config::parse(&specific).unwrap())),
        rate,
        0,
        units.collect(),
    )
}

/// How a track differs from one that begins with the film and runs on: it begins later, and one of its samples stands
/// longer, by so many seconds each.
#[derive(Debug, Clone, Copy)]
struct Broken {
    late: f64,
    hole: Option<(prop::sample::Index, f64)>,
}

impl Broken {
    fn of(self, index: &Index) -> Index {
        let ticks = |seconds: f64| (seconds * f64::from(index.track().timescale)) as u32;
        let index = delayed(index, ticks(self.late).into());
        match self.hole {
            Some((at, seconds)) => held(&index, at.index(index.samples().len()), ticks(seconds)),
            None => index,
        }
    }
}

prop_compose! {
    fn any_break()(
        late in prop_oneof![3 => Just(0.0), 2 => 0.0..30.0],
        hole in prop::option::of((any::<prop::sample::Index>(), 0.0..30.0)),
    ) -> Broken {
        Broken { late, hole }
    }
}

prop_compose! {
    fn any_film()(
        coding in prop_oneof![Just(AVC), Just(HEVC)],
        gops in prop::collection::vec(1usize..80, 1..24),
        (timescale, frame) in prop_oneof![
            Just((12_800, 512)), Just((15, 1)), Just((24, 1)), Just((30_000, 1001)), Just((50, 1)),
            Just((90_000, 3003)), (600u32..4_000_000).prop_map(|timescale| (timescale, timescale / 25)),
        ],
        depth in 0usize..6,
        sizes in prop::collection::vec(0usize..700, 1..9),
        rate in prop_oneof![Just(48_000u32), Just(44_100)],
        longer in -0.5f64..9.0,
        breaks in any_break(),
        silence in any_break(),
        other in prop::option::of((any::<prop::sample::Index>(), 1usize..24, 1u32..4)),
        seconds in 2u64..=6,
    ) -> Film {
        let (index, mezzanine) = video(coding, &gops, timescale, frame, depth, &sizes);
        let length = index.end() as f64 / f64::from(timescale);
        let (sound, recording) = audio((length + longer).max(length / 2.0), rate, &sizes);
        // Some of the GOPs once more, on a clock of its own.
        let other = other.map(|(from, count, finer)| {
            let from = from.index(gops.len());
            let some = &gops[from..gops.len().min(from + count)];
            let (index, file) = video(coding, some, timescale * finer, frame * finer, depth, &sizes);
            let before: usize = gops[..from].iter().sum();
            let late = before as u64 * u64::from(frame * finer);
            let late = late + (breaks.late * f64::from(timescale)) as u64 * u64::from(finer);
            (delayed(&index, late), file)
        });
        let mut parts = vec![("pic", breaks.of(&index)), ("audio-und", silence.of(&sound))];
        let mut mezzanines = vec![mezzanine, recording];
        if let Some((index, file)) = other {
            parts.push(("pic-2", index));
            mezzanines.push(file);
        }
        Film { presentation: present_by(parts, seconds), mezzanines }
    }
}

/// The lengths of segments by a playlist, in seconds.
fn lengths(film: &Film, rendition: &Rendition, flavour: Flavour) -> Vec<f64> {
    let text = hls::playlist(&film.presentation, rendition.id(), flavour, None);
    stated(&text.unwrap().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn segments_partition_samples_and_time(film in any_film()) {
        for rendition in film.presentation.renditions() {
            let samples = rendition.index().samples();
            let (mut next, mut start) = (0, samples[0].pts());
            for (segment, number) in rendition.segments().zip(1u32..) {
                prop_assert_eq!(segment.number, number);
                prop_assert_eq!(segment.samples.start, next);
                prop_assert!(samples[next].sync);
                prop_assert_eq!(segment.start, start);
                prop_assert!(!segment.samples.is_empty());
                next = segment.samples.end;
                start = segment.start + segment.duration;
            }
            prop_assert_eq!(next, samples.len());
            prop_assert_eq!(start, rendition.index().end());
        }
    }

    #[test]
    fn segments_keep_within_bounds_where_gops_allow(film in any_film()) {
        let (rendition, _) = film.rendition("pic");
        let index = rendition.index();
        let seconds = |ticks: u64| ticks as f64 / f64::from(index.track().timescale);
        let heads = index.samples().iter().filter(|s| s.sync).map(|s| s.pts());
        let heads: Vec<u64> = heads.chain([index.end()]).collect();
        if film.presentation.videos().count() > 1 {
            return Ok(()); // which share fewer heads
        }
        let longest = heads.windows(2).map(|pair| seconds(pair[1] - pair[0])).fold(0.0, f64::max);
        for segment in rendition.segments() {
            if longest <= 2.0 {
                // What outlasts the last cut may be as long as the longest GOP and a bit.
                prop_assert!(seconds(segment.duration) <= 6.0 + 1e-3);
            }
            let last = u64::from(segment.number) == u64::from(rendition.segment_count());
            if longest <= 2.0 && !last {
                prop_assert!(seconds(segment.duration) >= 2.0 - 1e-3);
            }
        }
    }

    #[test]
    fn packed_cmaf_indexes_to_the_same_samples(film in any_film()) {
        for rendition in film.presentation.renditions() {
            let id = rendition.id().as_str();
            let again = indexed(&film.cmaf(id).concat());
            let wanted = rendition.index().samples();
            prop_assert_eq!(again.samples().len(), wanted.len());
            for (found, wanted) in again.samples().iter().zip(wanted) {
                let wanted = Sample { offset: found.offset, ..*wanted };
                prop_assert_eq!(found, &wanted);
            }
        }
    }

    #[test]
    fn packed_streams_hold_every_unit_once_and_in_time(film in any_film()) {
        for picture in film.presentation.videos() {
            let segments = film.ts(picture.id().as_str());
            let sound = film.rendition("audio-und").0;
            for (number, bytes) in (1..).zip(&segments) {
                let plan = film.presentation.ts_segment(picture, number).unwrap();
                let own = plan.own.as_ref().map(|own| (&**picture.index(), own));
                let heard = plan.sound.as_ref().map(|heard| (&**sound.index(), heard));
                let bound = packager::ts::length_at_most(own, heard);
                prop_assert!(bytes.len() as u64 <= bound, "segment {}", number);
            }
            let stream = demux(&segments.concat());
            prop_assert!(stream.clocks.is_sorted());
            // As long as there are pictures; behind them a hole of the sound is one of the clock.
            let last = stream.video.last().unwrap().clock;
            let mut told = stream.clocks.windows(2).filter(|two| Some(two[1]) <= last);
            prop_assert!(told.all(|two| two[1] - two[0] <= LONGEST_PAUSE));
            let mezzanine = film.rendition(picture.id().as_str()).1;
            prop_assert_eq!(stream.video.len(), picture.index().samples().len());
            for (pes, sample) in stream.video.iter().zip(picture.index().samples()) {
                let place = usize::try_from(sample.offset).unwrap();
                let bytes = &mezzanine[place + 4..place + sample.size as usize];
                prop_assert_eq!(nal_units(&pes.data).last().copied(), Some(bytes));
                prop_assert!(pes.dts <= pes.pts);
            }
            let frames: usize = stream.audio.iter().map(|pes| adts_frames(&pes.data).len()).sum();
            prop_assert_eq!(frames, sound.index().samples().len());
        }
    }

    #[test]
    fn a_playlist_tells_where_each_of_its_segments_begins(film in any_film()) {
        for rendition in film.presentation.renditions() {
            let (told, begun) = (lengths(&film, rendition, Flavour::Cmaf), rendition.segments());
            let clock = f64::from(rendition.index().track().timescale);
            let mut end = 0.0;
            for (segment, length) in begun.zip(told) {
                if segment.number > 1 {
                    prop_assert!((end - segment.start as f64 / clock).abs() < 1e-4);
                }
                end += length;
            }
        }
        for picture in film.presentation.videos() {
            let told: f64 = lengths(&film, picture, Flavour::Ts).iter().sum();
            let sound = film.presentation.companion(picture).unwrap();
            let ends = [picture, sound].map(|track| {
                track.index().end() as f64 / f64::from(track.index().track().timescale)
            });
            prop_assert!((told - ends[0].max(ends[1])).abs() < 1e-4);
        }
    }

    #[test]
    fn indexes_survive_the_disk(film in any_film()) {
        for rendition in film.presentation.renditions() {
            let index = rendition.index();
            prop_assert_eq!(&Index::decode(&index.encode()).unwrap(), &**index);
        }
    }

    #[test]
    fn any_bytes_are_no_index_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Index::decode(&bytes).is_err());
        prop_assert!(packager::index::build(std::io::Cursor::new(&bytes)).is_err());
    }
}
