//! What of a file's streams a film is made of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stream::{Pixel, Report, Stream, seconds};
use crate::media::{
    Refusal,
    colour::Colour,
    frame::Frame,
    rate::Rate,
    sound::{self, Sound},
    subtitles::{self, Inside},
};

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The picture.
    pub picture: Picture,
    /// The sound, the preferred first; empty for a silent film. Of one language there may be several.
    pub sounds: Vec<Sound>,
    /// The subtitles inside it that can be taken out.
    pub texts: Vec<Inside>,
    /// The length that the file as a whole announces.
    pub announced: Option<Duration>,
    /// Where the last of its sounds announces that it ends, where all of them do; from the film's start, as with the
    /// picture.
    #[serde(default)]
    pub heard: Option<Duration>,
    /// Whether its container tells where each key picture lies.
    pub indexed: bool,
}

/// The picture of a film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Which stream of the file it is.
    pub stream: u32,
    /// Width as shown: with square pixels, and turned upright.
    pub width: u32,
    /// Height as shown.
    pub height: u32,
    /// The rate at which to serve it.
    pub rate: Rate,
    /// Where the stream announces that it ends, from the film's start: it may begin after the sound.
    pub announced: Option<Duration>,
    /// Whether frames hold two fields of different moments.
    pub interlaced: bool,
    /// What colours it has.
    pub colour: Colour,
    /// Whether it is one picture for the whole film: the cover of a sound.
    pub cover: bool,
    /// What its pictures are brought to; `None` where ffmpeg turns them first, and for a cover.
    #[serde(default)]
    pub frame: Option<Frame>,
    /// Whether its coded form is one that every player takes: H.264 of 8 bits and 4:2:0, of whole frames,
    /// upright, in common colours, with square pixels.
    #[serde(default)]
    pub as_is: bool,
}

impl Facts {
    /// How long its picture and sounds should be together. What else is in a container, such as a subtitle that stays,
    /// counts only where they do not tell.
    #[must_use]
    pub fn expected(&self) -> Option<Duration> {
        let picture = self.picture.announced;
        match (picture, self.heard) {
            (Some(picture), Some(heard)) => Some(picture.max(heard)),
            (Some(picture), None) if self.sounds.is_empty() => Some(picture),
            _ => self.announced,
        }
    }

    /// For how long sound goes on after the last picture, as far as the file tells. The picture is shown so much longer.
    #[must_use]
    pub fn heard_after(&self) -> Duration {
        let both = self.heard.zip(self.picture.announced);
        let after = both.map_or(Duration::ZERO, |(heard, seen)| heard.saturating_sub(seen));
        if self.picture.cover || after < self.picture.rate.time_of(1) {
            return Duration::ZERO;
        }
        after
    }

    /// Whether what ends the film is a sound, and that one, as far as the file tells.
    #[must_use]
    pub fn is_last(&self, sound: &Sound) -> bool {
        !self.heard_after().is_zero() && sound.ends == self.heard
    }

    /// Up to where a sound is filled up with silence: to the film's end; but not what is to make that itself, so that it
    /// is seen where some of it is missing.
    #[must_use]
    pub fn filled(&self, sound: &Sound) -> Option<Duration> {
        let (heard, seen) = self.heard.zip(self.picture.announced)?;
        Some(if self.is_last(sound) {
            seen
        } else {
            seen.max(heard)
        })
    }
}

/// Turns ffprobe's JSON into facts.
pub(super) fn facts(json: &[u8]) -> Result<Facts, Refusal> {
    let report: Report = serde_json::from_slice(json).map_err(|_| Refusal::Damaged)?;
    let of = |kind: &str, attached: u8| {
        let mut streams: Vec<&Stream> = report
            .streams
            .iter()
            .filter(|stream| {
                stream.codec_type == kind && stream.disposition.attached_pic == attached
            })
            .collect();
        streams.sort_by_key(|stream| stream.disposition.default == 0);
        streams
    };
    let (pictures, heard) = (of("video", 0), of("audio", 0));
    let mut sounds = sound::choose(&heard);
    let stream_of = |sound: &Sound| heard.iter().find(|stream| stream.index == sound.stream);
    let kept = sounds.iter().filter_map(stream_of);
    let begins = pictures
        .iter()
        .take(1)
        .chain(kept)
        .filter_map(|stream| stream.begins_s());
    let film_s = begins.reduce(f64::min).unwrap_or_default();
    for sound in &mut sounds {
        sound.ends = stream_of(sound).and_then(|stream| stream.ends(film_s));
    }
    let heard: Option<Vec<Duration>> = sounds.iter().map(|sound| sound.ends).collect();
    let announced = seconds(report.format.duration.as_deref());
    let picture = match (pictures.first(), of("video", 1).first(), announced) {
        (Some(stream), _, _) => picture(stream, film_s)?,
        _ if sounds.is_empty() => return Err(Refusal::NoPicture),
        (None, Some(cover), Some(_)) => Picture {
            rate: Rate::STILL,
            announced,
            cover: true,
            frame: None,
            ..picture(cover, film_s)?
        },
        _ => return Err(Refusal::SoundOnly),
    };
    Ok(Facts {
        picture,
        sounds,
        texts: subtitles::choose(&of("subtitle", 0)),
        announced,
        heard: heard.and_then(|ends| ends.into_iter().max()),
        indexed: INDEXED
            .iter()
            .any(|name| report.format.format_name.split(',').any(|of| of == *name)),
    })
}

fn picture(stream: &Stream, film_s: f64) -> Result<Picture, Refusal> {
    let (width, height) = (stream.width, stream.height);
    if width == 0 || height == 0 {
        return Err(Refusal::Damaged);
    }
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(Refusal::Dimensions { width, height });
    }
    let (width, height) = square(width, height, stream.pixel());
    if stream
        .side_data_list
        .iter()
        .any(|data| data.dv_profile == Some(5))
    {
        return Err(Refusal::DolbyVision);
    }
    let turned = stream.rotation().rem_euclid(180) == 90;
    let (width, height) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    let rate = |text: &Option<String>| text.as_deref().and_then(Rate::parse);
    let colour = Colour::of(
        stream.color_transfer.as_deref(),
        stream.color_primaries.as_deref(),
    );
    let as_coded = (width, height) == (stream.width, stream.height) && stream.rotation() == 0;
    Ok(Picture {
        stream: stream.index,
        width,
        height,
        rate: Rate::served(rate(&stream.r_frame_rate), rate(&stream.avg_frame_rate)),
        announced: stream.ends(film_s),
        interlaced: matches!(
            stream.field_order.as_deref(),
            Some("tt" | "bb" | "tb" | "bt")
        ),
        colour,
        cover: false,
        frame: stream.frame(),
        as_is: as_coded && colour == Colour::Plain && stream.is_plain_picture(),
    })
}

/// The size with square pixels: the side that is too short is stretched.
fn square(width: u32, height: u32, pixel: Pixel) -> (u32, u32) {
    let stretch = |side: u32, by: u32, of: u32| {
        let (by, of) = (u64::from(by), u64::from(of));
        let stretched = (u64::from(side) * by + of / 2) / of;
        u32::try_from(stretched).map_or(MAX_SIDE, |side| side.min(MAX_SIDE))
    };
    match pixel {
        Pixel::Shaped(num, den) if num > den => (stretch(width, num, den), height),
        Pixel::Shaped(num, den) => (width, stretch(height, den, num)),
        Pixel::Square | Pixel::Absurd => (width, height),
    }
}

#[cfg(test)]
impl Facts {
    /// A film without sound of which nothing special is to be told.
    pub(crate) fn plain(width: u32, height: u32, rate: Rate) -> Self {
        Self {
            picture: Picture {
                stream: 0,
                width,
                height,
                rate,
                announced: None,
                interlaced: false,
                colour: Colour::Plain,
                cover: false,
                frame: None,
                as_is: false,
            },
            sounds: Vec::new(),
            texts: Vec::new(),
            announced: None,
            heard: None,
            indexed: false,
        }
    }
}

/// ffmpeg's names of containers that have an index of their key pictures.
const INDEXED: [&str; 2] = ["mp4", "matroska"];
const MAX_SIDE: u32 = 16_384;
/// Twice as many as the largest pictures of televisions: each takes 4 bytes and more, several times over,
/// whatever the few bytes are of which it is made.
const MAX_PIXELS: u64 = 1 << 26;
