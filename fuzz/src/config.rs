//! Any bytes as a decoder configuration: a record that is kept as it is and heads every kind of segment, or an error.
//!
//! The first byte tells the codec.

use packager::{
    Error,
    codec::{Picture, Sound, aac, av1, avc, hevc, opus, vp9},
    index::{File, Index, Media, Sample, Track, Video},
};

use super::packing;

/// Parses a configuration and packs a film that bears it.
pub fn check(data: &[u8]) {
    let Some((codec, record)) = data.split_first() else {
        return;
    };
    let Ok(media) = media(codec % 6, record) else {
        return;
    };
    match &media {
        Media::Video(video) => assert_eq!(video.config.record(), record),
        Media::Audio(Sound::Aac(config)) => assert_eq!(config.specific(), record),
        Media::Audio(Sound::Opus(config)) => assert_eq!(config.record(), record),
    }
    let track = Track {
        timescale: 25,
        media,
    };
    // RFC 6381 §3.2: nothing that would need quoting beyond the quotes of an attribute.
    let codec = track.codec();
    assert!(!codec.is_empty() && codec.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'));
    let file = [0, 0, 0, 1, 0x65];
    let sample = Sample {
        offset: 0,
        dts: 0,
        size: 5,
        duration: 1,
        cts: 0,
        crc: crc32c::crc32c(&file),
        sync: true,
    };
    let identity = File {
        length: 5,
        sha256: [0; 32],
    };
    let index = Index::new(track, vec![sample], identity).expect("one sample");
    let again = Index::decode(&index.encode());
    assert_eq!(again.expect("what was encoded is well formed"), index);
    packing::check(index, &file);
}

fn media(codec: u8, record: &[u8]) -> Result<Media, Error> {
    let config = match codec {
        0 => avc::Config::parse(record).map(Picture::Avc)?,
        1 => hevc::Config::parse(record).map(Picture::Hevc)?,
        2 => av1::Config::parse(record).map(Picture::Av1)?,
        3 => vp9::Config::parse(record).map(Picture::Vp9)?,
        4 => return aac::Config::parse(record).map(|config| Media::Audio(Sound::Aac(config))),
        _ => return opus::Config::parse(record).map(|config| Media::Audio(Sound::Opus(config))),
    };
    Ok(Media::Video(Video {
        width: 160,
        height: 90,
        pixel_aspect: None,
        colour: Some(b"nclx\0\x01\0\x01\0\x01\0".to_vec()),
        config,
    }))
}
