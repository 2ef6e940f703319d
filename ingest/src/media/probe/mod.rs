//! What a publisher's file is: its streams, as ffprobe tells them.

use std::{ffi::OsString, fs::File, io, io::Read, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Refusal,
    blame::{TOO_HEAVY, TOO_LONG},
    child::{self, End, Limits, Task},
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
    /// The sound, the preferred first; empty for a silent film. Further tracks of one language are
    /// here where the file tells them apart by name.
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

/// Why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The machine is at fault.
    #[error("ffprobe {0}")]
    Tool(String),
    /// It took more than it may, for the film's sake or the machine's.
    #[error("ffprobe {0}")]
    Strained(String, &'static str),
    /// The machine is at fault.
    #[error("ffprobe cannot be run")]
    Io(#[from] io::Error),
}

/// Reads the facts of `file`, which lies in `folder`.
///
/// # Errors
/// [`Fault::Refused`] when no film can be made of it, else what failed on this machine.
pub async fn probe(
    ffprobe: &Path,
    file: &Path,
    folder: &Path,
    limits: Limits,
) -> Result<Facts, Fault> {
    let head = head(file)?;
    if head.is_empty() {
        return Err(Refusal::Empty.into());
    }
    let question = ["-show_format", "-show_streams", "-of", "json"].map(Into::into);
    match ask(ffprobe, file, folder, &question, limits).await? {
        Some(_) if locked::is_locked(&mut File::open(file)?).unwrap_or(false) => {
            Err(Refusal::Encrypted.into())
        }
        Some(told) => facts(&told.answer).map_err(|refusal| told.instead_of(refusal).into()),
        None if looks_like_film(&head) => Err(Refusal::Headless.into()),
        None => Err(Refusal::NotVideo.into()),
    }
}

/// Which of the first `count` pictures of a stream are key pictures, in the order of decoding.
///
/// # Errors
/// As [`probe`].
pub async fn key_pictures(
    ffprobe: &Path,
    file: &Path,
    folder: &Path,
    (stream, count): (u32, u32),
    limits: Limits,
) -> Result<Vec<bool>, Fault> {
    let question = [
        "-of".into(),
        "csv=p=0".into(),
        "-show_entries".into(),
        "packet=flags".into(),
        "-select_streams".into(),
        stream.to_string().into(),
        "-read_intervals".into(),
        format!("%+#{count}").into(),
    ];
    let lines = ask(ffprobe, file, folder, &question, limits).await?;
    lines
        .map(|lines| keys(&lines.answer))
        .ok_or_else(|| Refusal::Damaged.into())
}

/// What ffprobe says of a file.
struct Told {
    answer: Vec<u8>,
    complaints: String,
}

impl Told {
    /// A better reason than that one, where there is any in what it complains of: it gives no size of a picture that is
    /// too large for it.
    fn instead_of(&self, refusal: Refusal) -> Refusal {
        let size = self.complaints.lines().rev().find_map(|line| {
            let (_, rest) = line.split_once("Picture size ")?;
            let (width, height) = rest.strip_suffix(" is invalid")?.split_once('x')?;
            Some((width.parse().ok()?, height.parse().ok()?))
        });
        match (refusal, size) {
            (Refusal::Damaged, Some((width, height))) => Refusal::Dimensions { width, height },
            (refusal, _) => refusal,
        }
    }
}

/// What ffprobe says of a file when it is asked so; `None` when it cannot read it.
async fn ask(
    ffprobe: &Path,
    file: &Path,
    folder: &Path,
    question: &[OsString],
    limits: Limits,
) -> Result<Option<Told>, Fault> {
    let mut arguments: Vec<OsString> = vec!["-v".into(), "error".into()];
    arguments.extend_from_slice(question);
    arguments.extend(input_limits());
    arguments.extend([OsString::from("-i"), file.into()]);
    let mut answer = Vec::new();
    let task = Task {
        program: ffprobe,
        arguments: &arguments,
        folder,
        reads: &[file],
    };
    let end = child::run(task, limits, |bytes| {
        if answer.len() + bytes.len() <= MAX_ANSWER {
            answer.extend_from_slice(bytes);
        }
    });
    match end.await? {
        End::Done(complaints) => Ok(Some(Told { answer, complaints })),
        End::Failed(why) if why.contains("Cannot allocate memory") => Err(Fault::Strained(
            "had too little memory".to_owned(),
            TOO_HEAVY,
        )),
        // Of a file that it cannot read it says so.
        End::Failed(why) if why.is_empty() => Err(Fault::Tool(child::SILENT.to_owned())),
        End::Failed(_) => Ok(None),
        End::Killed(signal) => Err(Fault::Tool(format!("was killed by signal {signal}"))),
        End::TimedOut => {
            let what = format!("did not end within {:.0} s", limits.time.as_secs_f64());
            Err(Fault::Strained(what, TOO_LONG))
        }
    }
}

/// Reads one line a packet: `K_` for a key picture.
fn keys(lines: &[u8]) -> Vec<bool> {
    let lines = lines.split(|byte| *byte == b'\n');
    let told = lines.filter(|line| !line.is_empty());
    told.map(|line| line.first() == Some(&b'K')).collect()
}

/// What keeps a hostile file from naming other files or hosts: only local bytes, and no format
/// that is a list of other files.
pub(super) fn input_limits() -> Vec<OsString> {
    [
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        FORMATS,
    ]
    .map(Into::into)
    .into()
}

/// Turns ffprobe's JSON into facts.
fn facts(json: &[u8]) -> Result<Facts, Refusal> {
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

/// How a pixel is shown.
#[derive(Clone, Copy)]
enum Pixel {
    /// As wide as high, or nothing is told.
    Square,
    /// So wide, and so high.
    Shaped(u32, u32),
    /// As no format has it, which is a mistake.
    Absurd,
}

fn seconds(text: Option<&str>) -> Option<Duration> {
    let seconds: f64 = text?.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|length| !length.is_zero())
}

/// Matroska's `00:01:02.500000000`.
fn clock(text: Option<&str>) -> Option<Duration> {
    let mut fields = text?.split(':');
    let hours: f64 = fields.next()?.parse().ok()?;
    let minutes: f64 = fields.next()?.parse().ok()?;
    let rest: f64 = fields.next()?.parse().ok()?;
    seconds(Some(&(hours * 3600.0 + minutes * 60.0 + rest).to_string()))
}

fn head(file: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(file)?.take(16).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether the first bytes are those of a film, however damaged the rest.
fn looks_like_film(head: &[u8]) -> bool {
    let boxes: [&[u8]; 7] = [
        b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip",
    ];
    let at = |from, to| head.get(from..to).unwrap_or_default();
    boxes.contains(&at(4, 8))
        || at(0, 4) == [0x1a, 0x45, 0xdf, 0xa3]
        || at(0, 4) == *b"RIFF"
        || at(0, 3) == *b"FLV"
        || at(0, 4) == *b"OggS"
        || at(0, 4) == *b"fLaC"
        || at(0, 3) == *b"ID3"
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(default)]
    format_name: String,
    duration: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Stream {
    pub(super) index: u32,
    #[serde(default)]
    codec_type: String,
    #[serde(default)]
    pub(super) codec_name: String,
    profile: Option<String>,
    pix_fmt: Option<String>,
    sample_rate: Option<String>,
    #[serde(default)]
    level: i64,
    field_order: Option<String>,
    color_transfer: Option<String>,
    color_primaries: Option<String>,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    sample_aspect_ratio: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    pub(super) channels: u32,
    #[serde(default)]
    pub(super) disposition: Disposition,
    #[serde(default)]
    pub(super) tags: Tags,
    #[serde(default)]
    side_data_list: Vec<SideData>,
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

impl Stream {
    /// When it begins by the file's clock, in seconds.
    fn begins_s(&self) -> Option<f64> {
        self.start_time.as_deref()?.parse().ok()
    }

    /// When it ends, if it tells, for a film that begins then. Most files tell lengths. Matroska has a tag, which says
    /// when a stream ends by the file's clock; but that of mkvmerge, which comes with its name, says how long it is.
    fn ends(&self, film_s: f64) -> Option<Duration> {
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

    fn pixel(&self) -> Pixel {
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

    fn frame(&self) -> Option<Frame> {
        let pixel = match self.pixel() {
            _ if self.rotation() != 0 => return None,
            Pixel::Absurd => return None,
            Pixel::Square => 1.0,
            Pixel::Shaped(num, den) => f64::from(num) / f64::from(den),
        };
        Frame::of(self.width, self.height, pixel, self.pix_fmt.as_deref())
    }

    fn rotation(&self) -> i64 {
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
    fn is_plain_picture(&self) -> bool {
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
    pub(super) fn is_plain_sound(&self) -> bool {
        let rate = self.sample_rate.as_deref();
        self.codec_name == "aac"
            && self.profile.as_deref() == Some("LC")
            && (1..=2).contains(&self.channels)
            && matches!(rate, Some("44100" | "48000"))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Disposition {
    default: u8,
    attached_pic: u8,
    pub(super) forced: u8,
    comment: u8,
    visual_impaired: u8,
    descriptions: u8,
    hearing_impaired: u8,
}

impl Disposition {
    /// What a sound is for, where it is not for everybody.
    pub(super) fn purpose(&self) -> Option<String> {
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
pub(super) struct Tags {
    pub(super) language: Option<String>,
    rotate: Option<String>,
    pub(super) title: Option<String>,
    pub(super) handler_name: Option<String>,
    #[serde(rename = "DURATION")]
    duration: Option<String>,
    #[serde(rename = "_STATISTICS_WRITING_APP")]
    statistics: Option<String>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<i64>,
    dv_profile: Option<u8>,
}

/// ffmpeg's names of containers that have an index of their key pictures.
const INDEXED: [&str; 2] = ["mp4", "matroska"];
/// The most that is kept of what ffprobe says.
const MAX_ANSWER: usize = 4 << 20;
/// H.264's level 5.2: 2160p at 60.
const MAX_LEVEL: i64 = 52;
const MAX_SIDE: u32 = 16_384;
/// Twice as many as the largest pictures of televisions: each takes 4 bytes and more, several times over,
/// whatever the few bytes are of which it is made.
const MAX_PIXELS: u64 = 1 << 26;
/// ffmpeg's names of the containers that are taken; none of them refers to other files.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,mxf,h264,hevc,ivf,dv,nut,mp3,flac";

mod locked;
#[cfg(test)]
mod tests;
