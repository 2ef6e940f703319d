//! The program tables that open every segment (ISO/IEC 13818-1 §2.4.4).

use crate::{
    codec::aac,
    ts::{
        Input,
        access_unit::Carriage,
        metadata,
        packet::{Mux, Pid},
    },
};

/// Writes the association and the map, whose pictures are carried so. One packet each a segment, so the segment's number is their counter.
pub(super) fn write(
    mux: &mut Mux,
    input: &Input<'_>,
    pictures: Option<&Carriage>,
    sound: Option<&aac::Config>,
    clock_on_video: bool,
) {
    let counter = input.number.wrapping_sub(1);
    let [high, low] = PMT_PID.to_be_bytes();
    mux.table(0, &section(0x00, 0, &[0, 1, 0xe0 | high, low]), counter);

    let clock = if clock_on_video {
        Pid::Video
    } else {
        Pid::Audio
    };
    let [high, low] = clock.number().to_be_bytes();
    let tags = metadata::source(input).is_some();
    let mut map = vec![0xe0 | high, low];
    descriptors(&mut map, if tags { &metadata::POINTER } else { &[] });
    if let Some(pictures) = pictures {
        match (input.key, pictures.encrypted_type) {
            (Some(_), Some(kind)) => stream(&mut map, kind, Pid::Video, &private_data(*b"zavc")),
            _ => stream(&mut map, pictures.stream_type, Pid::Video, &[]),
        }
    }
    if let Some(sound) = sound {
        match input.key {
            Some(_) => stream(
                &mut map,
                STREAM_ENCRYPTED_ADTS,
                Pid::Audio,
                &audio_setup(sound),
            ),
            None => stream(&mut map, STREAM_ADTS, Pid::Audio, &[]),
        }
    }
    if tags {
        let told = &metadata::DESCRIPTOR;
        stream(&mut map, STREAM_METADATA, Pid::Metadata, told);
    }
    // Where sound outlasts its picture the clock moves to the sound, and the map changes (§2.4.4.9).
    let version = u8::from(input.video.is_some() && !clock_on_video);
    mux.table(PMT_PID, &section(0x02, version, &map), counter);
}

fn stream(map: &mut Vec<u8>, kind: u8, pid: Pid, told: &[u8]) {
    let [high, low] = pid.number().to_be_bytes();
    map.extend([kind, 0xe0 | high, low]);
    descriptors(map, told);
}

/// Writes descriptors behind their length, which is far below 256.
fn descriptors(map: &mut Vec<u8>, told: &[u8]) {
    map.extend([0xf0, u8::try_from(told.len()).unwrap_or(0)]);
    map.extend(told);
}

/// The private data indicator descriptor (§2.6.28) that names a format of encrypted samples.
fn private_data(format: [u8; 4]) -> Vec<u8> {
    [&[0x0f, 4], &format[..]].concat()
}

/// What a decoder of encrypted sound must know, for frames do not tell it: a private data indicator, and a
/// registration descriptor (§2.6.8) that holds Apple's audio setup information with the AudioSpecificConfig.
fn audio_setup(sound: &aac::Config) -> Vec<u8> {
    let mut out = private_data(*b"aacd");
    let specific = sound.specific();
    let length = |extra: usize| u8::try_from(specific.len() + extra).unwrap_or(0);
    let kind = match sound.object_type() {
        5 => b"zach",
        29 => b"zacp",
        _ => b"zaac",
    };
    out.extend([0x05, length(12)]);
    out.extend(b"apad");
    out.extend(kind);
    out.extend([0, 0, 1, length(0)]); // no priming is told, version 1
    out.extend(specific);
    out
}

/// A section of program 1 or stream 1, current, the only one of its table.
fn section(table: u8, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(5 + body.len() + 4).unwrap_or(0);
    let [high, low] = length.to_be_bytes();
    let mut out = vec![table, 0xb0 | high, low, 0, 1, 0xc1 | version << 1, 0, 0];
    out.extend(body);
    let crc = crc32_mpeg(&out);
    out.extend(crc.to_be_bytes());
    out
}

/// The CRC of annex A.
pub(super) fn crc32_mpeg(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 {
                crc << 1 ^ 0x04c1_1db7
            } else {
                crc << 1
            }
        })
    })
}

const PMT_PID: u16 = 0x1000;
const STREAM_ADTS: u8 = 0x0f;
/// Metadata in PES packets (§2.4.4.9).
const STREAM_METADATA: u8 = 0x15;
const STREAM_ENCRYPTED_ADTS: u8 = 0xcf;
