//! The initialization segment: what a decoder needs, and not a sample.

use crate::{
    codec::{Sound, aac},
    fmp4::{protected, write::Writer},
    index::{Index, Media, Video},
    protect::Track,
};

/// Writes the initialization segment of a track; of an encrypted one, with what its players must know. Whether the
/// codec can be encrypted at all is the question of [`Protection::covers`](crate::protect::Protection::covers).
#[must_use]
pub fn init(index: &Index, protection: Option<&Track<'_>>) -> Vec<u8> {
    let protection = protected::by_samples(protection);
    let mut out = Writer(Vec::with_capacity(1024));
    out.boxed(b"ftyp", |out| {
        out.bytes(b"cmfc");
        out.u32(0);
        out.bytes(b"cmfciso6iso9mp41");
    });
    out.boxed(b"moov", |out| {
        movie_header(out, index.track().timescale);
        track(out, index, protection);
        out.boxed(b"mvex", |out| {
            out.full(b"trex", 0, 0, |out| {
                out.u32(TRACK_ID);
                out.u32(1);
                out.zeros(12);
            });
        });
        if let Some(protection) = protection {
            protected::systems(out, protection);
        }
    });
    out.0
}

/// The one track of every segment.
pub(super) const TRACK_ID: u32 = 1;

fn movie_header(out: &mut Writer, timescale: u32) {
    out.full(b"mvhd", 0, 0, |out| {
        out.zeros(8);
        out.u32(timescale);
        out.u32(0); // the length is told by the fragments
        out.u32(1 << 16); // rate 1
        out.u16(1 << 8); // volume 1
        out.zeros(10);
        matrix(out);
        out.zeros(24);
        out.u32(TRACK_ID + 1);
    });
}

fn track(out: &mut Writer, index: &Index, protection: Option<&Track<'_>>) {
    let media = &index.track().media;
    out.boxed(b"trak", |out| {
        track_header(out, media);
        out.boxed(b"mdia", |out| {
            out.full(b"mdhd", 0, 0, |out| {
                out.zeros(8);
                out.u32(index.track().timescale);
                out.u32(0);
                out.u16(LANGUAGE_UND);
                out.u16(0);
            });
            handler(out, media);
            out.boxed(b"minf", |out| {
                match media {
                    Media::Video(_) => out.full(b"vmhd", 0, 1, |out| out.zeros(8)),
                    Media::Audio(_) => out.full(b"smhd", 0, 0, |out| out.zeros(4)),
                }
                out.boxed(b"dinf", |out| {
                    out.full(b"dref", 0, 0, |out| {
                        out.u32(1);
                        out.full(b"url ", 0, 1, |_| {}); // in this file
                    });
                });
                out.boxed(b"stbl", |out| sample_tables(out, media, protection));
            });
        });
    });
}

fn track_header(out: &mut Writer, media: &Media) {
    out.full(b"tkhd", 0, 3, |out| {
        out.zeros(8);
        out.u32(TRACK_ID);
        out.zeros(4 + 4 + 8 + 2);
        let alternate_group = matches!(media, Media::Audio(_));
        out.u16(u16::from(alternate_group));
        out.u16(if alternate_group { 1 << 8 } else { 0 });
        out.zeros(2);
        matrix(out);
        let (width, height) = match media {
            Media::Video(video) => (shown_width(video), u32::from(video.height) << 16),
            Media::Audio(_) => (0, 0),
        };
        out.u32(width);
        out.u32(height);
    });
}

/// Width in square pixels as 16.16; what does not fit is told by `pasp` alone.
fn shown_width(video: &Video) -> u32 {
    let width = u64::from(video.width) << 16;
    let (horizontal, vertical) = video.pixel_aspect.unwrap_or((1, 1));
    let shown = width * u64::from(horizontal) / u64::from(vertical).max(1);
    u32::try_from(shown).unwrap_or_else(|_| u32::from(video.width) << 16)
}

fn matrix(out: &mut Writer) {
    for value in [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30] {
        out.u32(value);
    }
}

fn handler(out: &mut Writer, media: &Media) {
    let (kind, name) = match media {
        Media::Video(_) => (b"vide", &b"video\0"[..]),
        Media::Audio(_) => (b"soun", &b"audio\0"[..]),
    };
    out.full(b"hdlr", 0, 0, |out| {
        out.u32(0);
        out.bytes(kind);
        out.zeros(12);
        out.bytes(name);
    });
}

fn sample_tables(out: &mut Writer, media: &Media, protection: Option<&Track<'_>>) {
    out.full(b"stsd", 0, 0, |out| {
        out.u32(1);
        match media {
            Media::Video(video) => visual_entry(out, video, protection),
            Media::Audio(sound) => audio_entry(out, sound, protection),
        }
    });
    out.full(b"stts", 0, 0, |out| out.u32(0));
    out.full(b"stsc", 0, 0, |out| out.u32(0));
    out.full(b"stsz", 0, 0, |out| out.zeros(8));
    out.full(b"stco", 0, 0, |out| out.u32(0));
}

fn visual_entry(out: &mut Writer, video: &Video, protection: Option<&Track<'_>>) {
    let kind = protection.map_or_else(|| video.config.entry(), |_| *b"encv");
    out.boxed(&kind, |out| {
        out.zeros(6);
        out.u16(1); // data reference
        out.zeros(16);
        out.u16(video.width);
        out.u16(video.height);
        out.u32(72 << 16);
        out.u32(72 << 16);
        out.u32(0);
        out.u16(1); // one picture a sample
        out.zeros(32);
        out.u16(24);
        out.u16(u16::MAX);
        out.boxed(&video.config.config_box(), |out| {
            out.bytes(video.config.record());
        });
        if let Some(colour) = &video.colour {
            out.boxed(b"colr", |out| out.bytes(colour));
        }
        if let Some((horizontal, vertical)) = video.pixel_aspect {
            out.boxed(b"pasp", |out| {
                out.u32(horizontal);
                out.u32(vertical);
            });
        }
        if let Some(protection) = protection {
            protected::information(out, &video.config.entry(), protection);
        }
    });
}

fn audio_entry(out: &mut Writer, sound: &Sound, protection: Option<&Track<'_>>) {
    let kind = protection.map_or_else(|| sound.entry(), |_| *b"enca");
    out.boxed(&kind, |out| {
        out.zeros(6);
        out.u16(1); // data reference
        out.zeros(8);
        out.u16(sound.channels());
        out.u16(16);
        out.zeros(4);
        // Rates that 16.16 cannot hold are told by the configuration alone.
        out.u32(u16::try_from(sound.sample_rate()).map_or(0, |rate| u32::from(rate) << 16));
        match sound {
            Sound::Aac(config) => elementary_stream(out, config),
            Sound::Opus(config) => out.boxed(&sound.config_box(), |out| {
                out.bytes(config.record());
            }),
        }
        if let Some(protection) = protection {
            protected::information(out, &sound.entry(), protection);
        }
    });
}

/// The `esds` box (ISO/IEC 14496-14 §6.7.2).
fn elementary_stream(out: &mut Writer, config: &aac::Config) {
    out.full(b"esds", 0, 0, |out| {
        out.descriptor(0x03, |out| {
            out.u16(0);
            out.u8(0);
            out.descriptor(0x04, |out| {
                out.u8(0x40); // MPEG-4 audio
                out.u8(0x15); // an audio stream
                out.zeros(11);
                out.descriptor(0x05, |out| out.bytes(config.specific()));
            });
            out.descriptor(0x06, |out| out.u8(0x02));
        });
    });
}

/// "und" in three groups of five bits (ISO/IEC 14496-12 §8.4.2).
const LANGUAGE_UND: u16 = 0x55c4;
