//! Any parameter sets and NAL units as pictures: what is packed and encrypted of them is all of them, or an error.
//!
//! The first byte tells the codec and how many units are parameter sets; each unit stands behind its length in two
//! bytes, of which the highest bit ends a picture.

use packager::{
    codec::{Picture, avc, hevc},
    index::{File, Index, Media, Sample, Track, Video},
};

use super::packing;

/// Makes a file of the pictures and packs it.
pub fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let units = units(rest);
    let (sets, pictures) = units.split_at(units.len().min(usize::from(first >> 1 & 7)));
    let sets: Vec<&[u8]> = sets.iter().map(|(unit, _)| *unit).collect();
    let config = if first & 1 == 0 {
        avc::Config::parse(&avc_record(&sets)).map(Picture::Avc)
    } else {
        hevc::Config::parse(&hevc_record(&sets)).map(Picture::Hevc)
    };
    let Ok(config) = config else { return };
    let (samples, file) = samples(pictures);
    let video = Video {
        width: 160,
        height: 90,
        pixel_aspect: None,
        colour: None,
        config,
    };
    let track = Track {
        timescale: 25,
        media: Media::Video(video),
    };
    let length = file.len() as u64;
    if let Ok(index) = Index::new(track, samples, File { length, sha256: [0; 32] }) {
        packing::check(index, &file);
    }
}

/// Units, and whether a picture ends with each.
fn units(mut rest: &[u8]) -> Vec<(&[u8], bool)> {
    let mut units = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = u16::from_be_bytes(*length);
        let (unit, behind) = behind.split_at(behind.len().min(usize::from(length & 0x7fff)));
        units.push((unit, length >> 15 == 1));
        rest = behind;
    }
    units
}

/// The pictures side by side, a second sync sample in the middle.
fn samples(units: &[(&[u8], bool)]) -> (Vec<Sample>, Vec<u8>) {
    let (mut samples, mut file): (Vec<Sample>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut start = 0;
    for (at, (unit, ends)) in units.iter().enumerate() {
        file.extend((unit.len() as u32).to_be_bytes());
        file.extend(*unit);
        if !ends && at + 1 < units.len() {
            continue;
        }
        samples.push(Sample {
            offset: start as u64,
            dts: samples.len() as u64,
            size: (file.len() - start) as u32,
            duration: 1,
            cts: 0,
            crc: crc32c::crc32c(&file[start..]),
            sync: samples.len() % 8 == 0,
        });
        start = file.len();
    }
    (samples, file)
}

fn avc_record(sets: &[&[u8]]) -> Vec<u8> {
    let (sequences, pictures): (Vec<&[u8]>, Vec<&[u8]>) =
        sets.iter().partition(|set| avc::nal_type(set) == avc::NAL_SPS);
    let mut record = vec![1, 0x64, 0, 0x1f, 0xff, 0xe0 | sequences.len() as u8];
    sequences.iter().for_each(|set| with_length(&mut record, set));
    record.push(pictures.len() as u8);
    pictures.iter().for_each(|set| with_length(&mut record, set));
    record
}

fn hevc_record(sets: &[&[u8]]) -> Vec<u8> {
    let mut record = vec![1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 30];
    record.extend([0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f]);
    record.push(sets.len() as u8);
    for set in sets {
        record.extend([0x80 | hevc::nal_type(set), 0, 1]);
        with_length(&mut record, set);
    }
    record
}

fn with_length(out: &mut Vec<u8>, set: &[u8]) {
    out.extend((set.len() as u16).to_be_bytes());
    out.extend(set);
}
