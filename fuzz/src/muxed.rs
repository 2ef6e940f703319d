//! A picture's transport stream segments with a sound inside them: both come out as they went in.

use std::sync::LazyLock;

use packager::{
    Rendition, Segment,
    codec::{Sound, aac},
    index::{File, Index, Media, Sample, Track},
    ts,
};

use super::{
    demux,
    packing::{MOST_SEGMENTS, access_unit, film_of, range, samples},
};

/// Packs the pictures of an index, which describes `file`, with a second and a half of sound.
pub fn check(index: &Index, file: &[u8]) {
    if !matches!(index.track().media, Media::Video(_)) || !ts::carries(index) {
        return;
    }
    let (sound, frames) = &*SOUND;
    let parts = [("any", index.clone()), ("audio-en", sound.clone())];
    let Some(film) = film_of(parts) else { return };
    let [picture, sound] = film.renditions() else {
        unreachable!("two renditions were given")
    };
    assert_eq!(film.companion(picture).map(Rendition::id), Some(sound.id()));
    let count = film.ts_segment_count(picture);
    for number in 1..=count.min(MOST_SEGMENTS as u32) {
        let plan = film.ts_segment(picture, number).expect("it is counted");
        let plans = [plan.own, plan.sound];
        segment(number, [(picture, file), (sound, frames)], &plans);
    }
}

fn segment(number: u32, tracks: [(&Rendition, &[u8]); 2], plans: &[Option<Segment>; 2]) {
    let [video, audio] = [0, 1].map(|at| {
        let (rendition, file) = tracks[at];
        let part = plans[at].as_ref().map(|segment| ts::Part {
            segment,
            mezzanine: &file[range(&segment.bytes)],
        });
        Some(ts::Stream {
            index: rendition.index(),
            part,
        })
    });
    let key = None;
    let Ok(packed) = ts::segment(&ts::Input {
        number,
        video,
        audio,
        key,
    }) else {
        return;
    };
    let stream = demux::demux(&packed);
    let wanted = |at: usize| {
        let (rendition, file) = tracks[at];
        let plan = plans[at].as_ref();
        plan.map_or_else(Vec::new, |plan| samples(rendition, plan, file))
    };
    let sounds: Vec<&[u8]> = stream.audio.iter().map(|pes| &*pes.data).collect();
    assert_eq!(demux::adts_frames(&sounds.concat()), wanted(1));
    let pictures = wanted(0);
    assert_eq!(stream.video.len(), pictures.len());
    let index = tracks[0].0.index();
    let first = plans[0].as_ref().map_or(0, |plan| plan.samples.start);
    for (at, (pes, sample)) in stream.video.iter().zip(pictures).enumerate() {
        let sync = index.samples()[first + at].sync;
        assert!(pes.data == access_unit(&index.track().media, sample, sync));
    }
}

/// Frames of AAC at 48 kHz and the bytes that they are of.
static SOUND: LazyLock<(Index, Vec<u8>)> = LazyLock::new(|| {
    let (mut samples, mut file): (Vec<Sample>, Vec<u8>) = (Vec::new(), Vec::new());
    for at in 0..70u32 {
        let size = 5 + at % 7 * 40;
        let start = file.len();
        file.extend((0..size).map(|byte| (byte ^ at) as u8));
        samples.push(Sample {
            offset: start as u64,
            dts: u64::from(at) * 1024,
            size,
            duration: 1024,
            cts: 0,
            crc: crc32c::crc32c(&file[start..]),
            sync: true,
        });
    }
    let config = aac::Config::parse(&[0x11, 0x90]).expect("stereo at 48 kHz");
    let track = Track {
        timescale: 48_000,
        media: Media::Audio(Sound::Aac(config)),
    };
    let identity = File {
        length: file.len() as u64,
        sha256: [1; 32],
    };
    let index = Index::new(track, samples, identity).expect("frames side by side");
    (index, file)
});
