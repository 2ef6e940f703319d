//! One ffmpeg child turns a film into its mezzanines: decoded once, every rung at once.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use contracts::{
    asset::{Kind, Rendition},
    id::RenditionId,
};

use super::{
    Refusal,
    child::{self, End, Limits},
    ladder::{Ladder, Rung},
    length::Bound,
    probe::{self, Facts},
    sound::Sound,
};

/// What is to be made of which file.
#[derive(Debug)]
pub struct Order<'a> {
    /// The publisher's file.
    pub source: &'a Path,
    /// What it is.
    pub facts: &'a Facts,
    /// The rungs for its picture.
    pub ladder: &'a Ladder,
    /// How long it may become.
    pub bound: Bound,
    /// The folder that takes the mezzanines, and nothing else of this film.
    pub folder: &'a Path,
}

/// One file to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mezzanine {
    /// What it carries.
    pub rendition: Rendition,
    /// Where it lies.
    pub file: PathBuf,
}

/// Why there are no mezzanines.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The film is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The machine is at fault; trying again may help.
    #[error("ffmpeg {0}")]
    Tool(String),
    /// The machine is at fault; trying again may help.
    #[error("ffmpeg cannot be run")]
    Io(#[from] io::Error),
}

impl Order<'_> {
    /// Lists the files that will be made: pictures from the smallest up, then sound.
    #[must_use]
    pub fn mezzanines(&self) -> Vec<Mezzanine> {
        let pictures = self.ladder.rungs.iter().map(|rung| Rendition {
            width: Some(rung.width),
            height: Some(rung.height),
            ..Rendition::new(rung.id.clone(), Kind::Video)
        });
        let sounds = self.facts.sounds.iter().filter_map(|sound| {
            Some(Rendition {
                language: sound.language.clone(),
                label: sound.label.clone(),
                ..Rendition::new(sound_id(sound)?, Kind::Audio)
            })
        });
        pictures
            .chain(sounds)
            .map(|rendition| Mezzanine {
                file: self.folder.join(format!("{}.mp4", rendition.id)),
                rendition,
            })
            .collect()
    }

    /// Makes them, telling how much of the film is done, in thousandths that only rise.
    ///
    /// # Errors
    /// [`Fault`] says whether the film or the machine is at fault.
    ///
    /// # Cancel safety
    /// Dropping the future kills the child; what it wrote is left in the folder.
    pub async fn run(
        &self,
        ffmpeg: &Path,
        limits: Limits,
        mut on_progress: impl FnMut(u16) + Send,
    ) -> Result<(), Fault> {
        let mut progress = Progress::new(self.facts.picture.announced.or(self.facts.announced));
        let arguments = self.arguments();
        let peak_bits = self.ladder.rungs.iter().map(|rung| rung.peak_bits).max();
        let limits = Limits {
            time: self.bound.time(limits.time),
            file_bytes: self.bound.file_bytes(peak_bits.unwrap_or(0).into()),
            ..limits
        };
        let end = child::run(ffmpeg, &arguments, self.folder, limits, |bytes| {
            if let Some(thousandths) = progress.read(bytes) {
                on_progress(thousandths);
            }
        });
        settle(end.await?, limits)
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut list: Vec<OsString> = words(
            "-hide_banner -nostdin -y -v error -nostats -progress pipe:1 -max_error_rate 0.02",
        );
        list.extend(probe::input_limits());
        list.extend(["-i".into(), self.source.into()]);
        list.extend(["-filter_complex".into(), self.graph().into()]);
        let files = self.mezzanines();
        let mut files = files.iter().map(|mezzanine| mezzanine.file.clone());
        for (at, rung) in self.ladder.rungs.iter().enumerate() {
            list.extend(self.picture_arguments(at, rung));
            list.extend(self.end());
            list.extend(files.next().map(OsString::from));
        }
        for (at, sound) in self.facts.sounds.iter().enumerate() {
            list.extend(self.sound_arguments(at, sound));
            list.extend(self.end());
            list.extend(files.next().map(OsString::from));
        }
        list
    }

    /// Where each rendition ends at the latest.
    fn end(&self) -> Vec<OsString> {
        words(&format!("-t {:.3}", self.bound.output().as_secs_f64()))
    }

    /// Picture and sound are put on one clock that starts at 0: a late start is filled with the
    /// first picture or with silence, and gaps likewise. Sound beyond the end is dropped before:
    /// the silence that leads to it is kept in memory.
    fn graph(&self) -> String {
        let rungs = &self.ladder.rungs;
        let mut graph = format!(
            "[0:{}]fps=fps={}:start_time=0,split={}",
            self.facts.picture.stream,
            self.ladder.rate,
            rungs.len()
        );
        for at in 0..rungs.len() {
            graph += &format!("[s{at}]");
        }
        for (at, Rung { width, height, .. }) in rungs.iter().enumerate() {
            graph += &format!(
                ";[s{at}]scale={width}:{height}:flags=bicubic,setsar=1,format=yuv420p[v{at}]"
            );
        }
        let end = self.bound.output().as_secs_f64();
        for (at, sound) in self.facts.sounds.iter().enumerate() {
            let layout = if sound.mono { "mono" } else { "stereo" };
            graph += &format!(
                ";[0:{}]atrim=end={end:.3},aresample=48000:async=1:first_pts=0,\
                 aformat=sample_fmts=fltp:channel_layouts={layout}[a{at}]",
                sound.stream
            );
        }
        graph
    }

    fn picture_arguments(&self, at: usize, rung: &Rung) -> Vec<OsString> {
        let (gop, peak) = (self.ladder.rate.gop_frames(), rung.peak_bits);
        words(&format!(
            "-map [v{at}] {BARE} -c:v libx264 -preset veryfast -profile:v high -crf 23 -bf 2 \
             -maxrate {peak} -bufsize {} -g {gop} -keyint_min {gop} -sc_threshold 0 -flags +cgop \
             -video_track_timescale {} {}+frag_keyframe -f mp4",
            u64::from(peak) * 2,
            self.ladder.rate.timescale(),
            self.fragmented(),
        ))
    }

    fn sound_arguments(&self, at: usize, sound: &Sound) -> Vec<OsString> {
        let bits = if sound.mono { 96_000 } else { 128_000 };
        words(&format!(
            "-map [a{at}] {BARE} -c:a aac -b:a {bits} {} -frag_duration 2000000 -f mp4",
            self.fragmented()
        ))
    }

    /// How a mezzanine is written. A segment index counts its references in 16 bits (ISO/IEC
    /// 14496-12 §8.16.3), and a fragment lasts two seconds, at odd rates four thirds of one: what may
    /// have more has none.
    fn fragmented(&self) -> String {
        let indexed = self.bound.output() <= LONGEST_INDEXED;
        let index = if indexed { "+global_sidx" } else { "" };
        format!("{FRAGMENTED}{index}")
    }
}

fn sound_id(sound: &Sound) -> Option<RenditionId> {
    let language = sound.language.as_deref().unwrap_or("und");
    let id = match sound.turn {
        1 => format!("audio-{language}"),
        turn => format!("audio-{language}-{turn}"),
    };
    RenditionId::parse(&id).ok()
}

pub(super) fn settle(end: End, limits: Limits) -> Result<(), Fault> {
    match end {
        End::Done => Ok(()),
        End::Failed(why) if why.lines().any(is_ours) => Err(Fault::Tool(why)),
        End::Failed(why) => {
            tracing::info!(ffmpeg = %why, "a film cannot be decoded");
            Err(Refusal::Damaged.into())
        }
        End::Killed(child::TOO_LARGE) => Err(Refusal::TooLarge {
            limit_bytes: limits.file_bytes,
        }
        .into()),
        End::Killed(signal) => Err(Fault::Tool(format!("was killed by signal {signal}"))),
        End::TimedOut => Err(Refusal::TooSlow { limit: limits.time }.into()),
    }
}

/// Whether a complaint of ffmpeg's is about the machine.
fn is_ours(line: &str) -> bool {
    OURS.iter().any(|ours| line.contains(ours))
        // A damaged film may be answered with this as well, but then it is not about what is written.
        || (line.contains("Input/output error")
            && WRITING.iter().any(|writing| line.contains(writing)))
}

/// Reads what `-progress` writes.
struct Progress {
    whole: Option<Duration>,
    line: Vec<u8>,
    thousandths: u16,
}

impl Progress {
    const fn new(whole: Option<Duration>) -> Self {
        Self {
            whole,
            line: Vec::new(),
            thousandths: 0,
        }
    }

    /// The progress after these bytes, if they moved it on.
    fn read(&mut self, bytes: &[u8]) -> Option<u16> {
        let before = self.thousandths;
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.take(&line);
            } else if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            }
        }
        (self.thousandths > before).then_some(self.thousandths)
    }

    fn take(&mut self, line: &[u8]) {
        let micros = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix("out_time_us="))
            .and_then(|value| value.trim().parse::<u128>().ok());
        let whole = self.whole.map_or(0, |whole| whole.as_micros());
        if let Some(thousandths) = micros.and_then(|micros| (micros * 1000).checked_div(whole)) {
            let thousandths = u16::try_from(thousandths.min(1000)).unwrap_or(1000);
            self.thousandths = self.thousandths.max(thousandths);
        }
    }
}

pub(super) fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// Nothing of the source's own labels and chapters.
const BARE: &str = "-map_metadata -1 -map_chapters -1";
/// Fragments, whose edit list tells where presentation starts: reordered pictures and the sound
/// encoder's priming both come before 0.
const FRAGMENTED: &str = "-use_editlist 1 -movflags +cmaf+delay_moov";
/// 64 800 fragments of four thirds of a second.
const LONGEST_INDEXED: Duration = Duration::from_secs(24 * 3600);
const MAX_LINE: usize = 256;
/// What ffmpeg says when the machine, not the film, is at fault.
const OURS: [&str; 7] = [
    "Cannot allocate memory",
    "No space left on device",
    "Permission denied",
    "Resource temporarily unavailable",
    "Unknown encoder",
    "Too many open files",
    "Read-only file system",
];
/// What it says when it speaks of a file that it writes.
const WRITING: [&str; 6] = [
    "[out#",
    "opening output",
    "to the muxer",
    "muxing a packet",
    "write_frame",
    "writing trailer",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{probe::Picture, rate::Rate};

    #[test]
    fn progress_rises_through_broken_lines_and_never_falls() {
        let mut progress = Progress::new(Some(Duration::from_secs(10)));
        assert_eq!(progress.read(b"frame=1\nout_time_us=N/A\nout_ti"), None);
        assert_eq!(progress.read(b"me_us=2500000\n"), Some(250));
        assert_eq!(progress.read(b"out_time_us=100\n"), None);
        assert_eq!(progress.read(b"out_time_us=99000000\n"), Some(1000));
        let mut unknown = Progress::new(None);
        assert_eq!(unknown.read(b"out_time_us=99000000\n"), None);
    }

    #[test]
    fn every_rendition_ends_where_the_film_may_end_at_the_latest() {
        let rate = Rate::new(25, 1).unwrap();
        let facts = Facts {
            picture: Picture {
                stream: 0,
                width: 426,
                height: 240,
                rate,
                announced: Some(Duration::from_secs(10)),
            },
            sounds: vec![Sound {
                stream: 1,
                mono: true,
                language: None,
                turn: 1,
                label: None,
            }],
            announced: None,
        };
        let order = Order {
            source: Path::new("source"),
            facts: &facts,
            ladder: &Ladder::of(426, 240, rate),
            bound: Bound::of(&facts, Duration::from_secs(100)).unwrap(),
            folder: Path::new("folder"),
        };
        let arguments = order.arguments();
        let ends: Vec<_> = arguments
            .windows(3)
            .filter(|three| three[2].to_string_lossy().ends_with(".mp4"))
            .collect();
        assert_eq!(ends.len(), 3);
        for end in ends {
            assert_eq!(end[..2], ["-t", "75.000"], "{end:?}");
        }
        assert!(order.graph().contains("[0:1]atrim=end=75.000,"));
    }

    fn settled(why: &str) -> Result<(), Fault> {
        let limits = Limits {
            time: Duration::ZERO,
            memory_bytes: 0,
            file_bytes: 7,
        };
        match why {
            "" => settle(End::Killed(child::TOO_LARGE), limits),
            why => settle(End::Failed(why.to_owned()), limits),
        }
    }

    #[test]
    fn what_this_machine_lacks_is_not_blamed_on_the_film() {
        for ours in [
            "[vost#0:0 @ 0x1] Unknown encoder 'libx264'\nError opening output file a.mp4.",
            "pipe: Too many open files",
            "[out#0/mp4 @ 0x1] Error opening output a.mp4: Read-only file system",
            "[mp4 @ 0x1] x\nError submitting a packet to the muxer: Input/output error",
            "[out#1/mp4 @ 0x1] Error writing trailer: Input/output error",
        ] {
            assert!(matches!(settled(ours), Err(Fault::Tool(_))), "{ours}");
        }
        for films in [
            "source: Input/output error",
            "[in#0 @ 0x1] Error during demuxing: Input/output error\n[out#0/mp4 @ 0x1] nothing",
            "Invalid data found when processing input",
        ] {
            let refused = matches!(settled(films), Err(Fault::Refused(Refusal::Damaged)));
            assert!(refused, "{films}");
        }
        let refused = Refusal::TooLarge { limit_bytes: 7 };
        assert!(matches!(settled(""), Err(Fault::Refused(told)) if told == refused));
    }
}
