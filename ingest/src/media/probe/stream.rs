//! A file's streams in ffprobe's words.

use std::time::Duration;

use serde::Deserialize;

use crate::media::frame::Frame;

#[derive(Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
    #[serde(default)]
    pub(super) format: Format,
}

#[derive(Deserialize, Default)]
pub(super) struct Format {
    #[serde(default)]
    pub(super) format_name: String,
    pub(super) duration: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::media) struct Stream {
    pub(in crate::media) index: u32,
    #[serde(default)]
    pub(super) codec_type: String,
    #[serde(default)]
    pub(in crate::media) codec_name: String,
    pub(super) profile: Option<String>,
    pub(super) pix_fmt: Option<String>,
    pub(super) sample_rate: Option<String>,
    #[serde(default)]
    pub(super) level: i64,
    pub(super) field_order: Option<String>,
    pub(super) color_transfer: Option<String>,
    pub(super) color_primaries: Option<String>,
    #[serde(default)]
    pub(super) width: u32,
    #[serde(default)]
    pub(super) height: u32,
    pub(super) sample_aspect_ratio: Option<String>,
    pub(super) r_frame_rate: Option<String>,
    pub(super) avg_frame_rate: Option<String>,
    pub(super) start_time: Option<String>,
    pub(super) duration: Option<String>,
    #[serde(default)]
    pub(in crate::media) channels: u32,
    #[serde(default)]
    pub(in crate::media) disposition: Disposition,
    #[serde(default)]
    pub(in crate::media) tags: Tags,
    #[serde(default)]
    pub(super) side_data_list: Vec<SideData>,
}

impl Stream {
    /// When it begins by the file's clock, in seconds.
    pub(super) fn begins_s(&self) -> Option<f64> {
        self.start_time.as_deref()?.parse().ok()
    }

    /// When it ends, if it tells, for a film that begins then. Most files tell lengths. Matroska has a tag, which says
    /// when a stream ends by the file's clock; but that of mkvmerge, which comes with its name, says how long it is.
    pub(super) fn ends(&self, film_s: f64) -> Option<Duration> {
        let late = self.begins_s().map_or(0.0, |begins| begins - film_s);
        let at = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        let after = |length: Duration| at(late.max(0.0) + length.as_secs_f64());
        let told =
            clock(self.tags.duration.as_deref()).and_then(|told| match self.tags.statistics {
                Some(_) => after(told),
                None => at(told.as_secs_f64() - film_s),
            });
        let guessed = seconds(self.duration.as_deref()).and_then(after);
        told.zip(guessed)
            .map(|(told, guessed)| told.min(guessed))
            .or(told)
            .or(guessed)
    }

    pub(super) fn pixel(&self) -> Pixel {
        let told = self.sample_aspect_ratio.as_deref();
        let told = told.and_then(|told| told.split_once(':'));
        let parsed = told.and_then(|(num, den)| Some((num.parse().ok()?, den.parse().ok()?)));
        let is_absurd = |side: u32, other: u32| u64::from(side) > u64::from(other) * 10;
        match parsed {
            None | Some((0, _) | (_, 0)) => Pixel::Square,
            Some((num, den)) if num == den => Pixel::Square,
            Some((num, den)) if is_absurd(num, den) || is_absurd(den, num) => Pixel::Absurd,
            Some((num, den)) => Pixel::Shaped(num, den),
        }
    }

    pub(super) fn frame(&self) -> Option<Frame> {
        let pixel = match self.pixel() {
            _ if self.rotation() != 0 => return None,
            Pixel::Absurd => return None,
            Pixel::Square => 1.0,
            Pixel::Shaped(num, den) => f64::from(num) / f64::from(den),
        };
        Frame::of(self.width, self.height, pixel, self.pix_fmt.as_deref())
    }

    pub(super) fn rotation(&self) -> i64 {
        let matrix = self.side_data_list.iter().find_map(|data| data.rotation);
        let tag = || {
            self.tags
                .rotate
                .as_deref()
                .and_then(|text| text.parse().ok())
        };
        matrix.or_else(tag).unwrap_or(0)
    }

    /// Whether every player decodes its pictures; how they are to be shown is another matter.
    pub(super) fn is_plain_picture(&self) -> bool {
        let is = |word: &Option<String>, known: &[&str]| {
            word.as_deref().is_some_and(|word| known.contains(&word))
        };
        self.codec_name == "h264"
            && is(&self.profile, &["Constrained Baseline", "Main", "High"])
            && is(&self.pix_fmt, &["yuv420p"])
            && is(&self.field_order, &["progressive"])
            && (1..=MAX_LEVEL).contains(&self.level)
            && self.width.is_multiple_of(2)
            && self.height.is_multiple_of(2)
    }

    /// Whether every player decodes its sound.
    pub(in crate::media) fn is_plain_sound(&self) -> bool {
        let rate = self.sample_rate.as_deref();
        self.codec_name == "aac"
            && self.profile.as_deref() == Some("LC")
            && (1..=2).contains(&self.channels)
            && matches!(rate, Some("44100" | "48000"))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(in crate::media) struct Disposition {
    pub(super) default: u8,
    pub(super) attached_pic: u8,
    pub(in crate::media) forced: u8,
    pub(super) comment: u8,
    pub(super) visual_impaired: u8,
    pub(super) descriptions: u8,
    pub(super) hearing_impaired: u8,
}

impl Disposition {
    /// What a sound is for, where it is not for everybody.
    pub(in crate::media) fn purpose(&self) -> Option<String> {
        let told = match self {
            Self { comment: 1, .. } => "Commentary",
            Self {
                visual_impaired: 1, ..
            }
            | Self {
                descriptions: 1, ..
            } => "Audio description",
            Self {
                hearing_impaired: 1,
                ..
            } => "For the hard of hearing",
            _ => return None,
        };
        Some(told.to_owned())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(in crate::media) struct Tags {
    pub(in crate::media) language: Option<String>,
    pub(super) rotate: Option<String>,
    pub(in crate::media) title: Option<String>,
    pub(in crate::media) handler_name: Option<String>,
    #[serde(rename = "DURATION")]
    pub(super) duration: Option<String>,
    #[serde(rename = "_STATISTICS_WRITING_APP")]
    pub(super) statistics: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct SideData {
    pub(super) rotation: Option<i64>,
    pub(super) dv_profile: Option<u8>,
}

/// How a pixel is shown.
#[derive(Clone, Copy)]
pub(super) enum Pixel {
    /// As wide as high, or nothing is told.
    Square,
    /// So wide, and so high.
    Shaped(u32, u32),
    /// As no format has it, which is a mistake.
    Absurd,
}

pub(super) fn seconds(text: Option<&str>) -> Option<Duration> {
    let seconds: f64 = text?.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|length| !length.is_zero())
}

/// Matroska's `00:01:02.500000000`.
pub(super) fn clock(text: Option<&str>) -> Option<Duration> {
    let mut fields = text?.split(':');
    let hours: f64 = fields.next()?.parse().ok()?;
    let minutes: f64 = fields.next()?.parse().ok()?;
    let rest: f64 = fields.next()?.parse().ok()?;
    seconds(Some(&(hours * 3600.0 + minutes * 60.0 + rest).to_string()))
}

/// H.264's level 5.2: 2160p at 60.
const MAX_LEVEL: i64 = 52;
