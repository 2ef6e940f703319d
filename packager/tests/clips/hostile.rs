//! Indexes that are well formed and ask for more than any film needs: refused before anything is allocated for them.

use std::time::{Duration, Instant};

use packager::{
    Error,
    codec::{Picture, avc},
    index::{Index, Media, Sample},
    ts,
};

use crate::films::{clip, indexed, try_present};

/// The index of a clip with other samples, which lie side by side, and with another configuration.
fn made(
    count: u32,
    size: u32,
    change: impl Fn(u32, &mut Sample),
    config: Option<Picture>,
) -> Index {
    let index = indexed(&clip("film.54p.mp4"));
    let mut track = index.track().clone();
    if let (Media::Video(video), Some(config)) = (&mut track.media, config) {
        video.config = config;
    }
    let samples = (0..count).map(|at| {
        let mut sample = Sample {
            offset: u64::from(at) * u64::from(size),
            dts: at.into(),
            size,
            duration: 1,
            cts: 0,
            crc: 0,
            sync: true,
        };
        change(at, &mut sample);
        sample
    });
    let mut file = *index.file();
    file.length = u64::from(count) * u64::from(size);
    Index::new(track, samples.collect(), file).unwrap()
}

fn refused(index: Index) -> &'static str {
    match try_present(index) {
        Err(Error::Presentation(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn gops_that_are_shown_at_once_or_backwards_are_refused() {
    let together = |at: u32, sample: &mut Sample| sample.cts = 200_000 - at.cast_signed();
    let began = Instant::now();
    let why = refused(made(200_000, 6, together, None));
    assert!(why.contains("GOPs"), "{why}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "each was compared with each"
    );
    let backwards = |at: u32, sample: &mut Sample| sample.cts = 40 - 2 * at.cast_signed();
    assert!(refused(made(20, 6, backwards, None)).contains("GOPs"));
}

#[test]
fn a_segment_of_hundreds_of_thousands_of_samples_is_refused() {
    let single = |at: u32, sample: &mut Sample| sample.sync = at == 0;
    assert!(try_present(made(1 << 18, 6, single, None)).is_ok());
    let why = refused(made((1 << 18) + 1, 6, single, None));
    assert!(why.contains("262144"), "{why}");
}

#[test]
fn a_transport_stream_is_not_filled_with_parameter_sets() {
    let set = |kind: u8| [&[0, 0x78, kind], &[0x55; 0x77][..]].concat();
    let sets = |kind: u8, count: usize| set(kind).repeat(count);
    let head = [1, 0x64, 0, 0x1f, 0xff, 0xe1];
    let record = [&head[..], &set(0x67), &[250], &sets(0x68, 250)].concat();
    let config = || avc::Config::parse(&record).map(Picture::Avc).ok();
    let segment = |count| {
        let film = try_present(made(count, 5, |_, _| (), config())).unwrap();
        let rendition = &film.renditions()[0];
        let plan = rendition.segment(1).unwrap();
        ts::segment(&ts::Input {
            number: 1,
            video: Some(ts::Stream {
                index: rendition.index(),
                part: Some(ts::Part {
                    segment: &plan,
                    mezzanine: &vec![0; 5 * plan.samples.len()],
                }),
            }),
            audio: None,
            key: None,
        })
    };
    // 100 pictures of 30 KB of sets each would fit: what is wrong with them is that they are not those of the index.
    assert!(matches!(segment(100), Err(Error::Mismatch { sample: 0 })));
    assert!(matches!(segment(4000), Err(Error::Unsupported(why)) if why.contains("96 MiB")));
}
