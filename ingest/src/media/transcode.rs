//! One ffmpeg child turns a film, or a stretch of it, into its mezzanines: decoded once, every rung at
//! once.

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
use serde::{Deserialize, Serialize};

use super::{
    Refusal,
    blame::settle,
    child::{self, End, Limits, Task},
    ladder::{Ladder, Rung},
    length::Bound,
    level::{self, Level},
    probe::{self, Facts},
    progress::Progress,
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
    /// Which part of it is to be made.
    pub part: Part,
    /// The folder that takes the mezzanines, and nothing else of this film.
    pub folder: &'a Path,
}

/// Which part of a film one child makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All renditions, from the beginning to the end.
    Whole,
    /// The pictures of a stretch.
    Pictures(Stretch),
    /// The sounds.
    Sounds,
}

/// A stretch of a film, counted in pictures as they are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its first picture, which begins a group.
    pub first: u64,
    /// How many pictures it has; `None` for all that follow.
    pub frames: Option<u64>,
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
    /// The machine lacks what it has at other times.
    #[error("ffmpeg {0}")]
    Lacks(String),
    /// It took more than it may, for the film's sake or the machine's.
    #[error("ffmpeg {0}")]
    Strained(String, &'static str),
    /// The machine is at fault; trying again may help.
    #[error("ffmpeg cannot be run")]
    Io(#[from] io::Error),
}

impl Order<'_> {
    /// Lists the files that will be made: pictures from the smallest up, then sound.
    #[must_use]
    pub fn mezzanines(&self) -> Vec<Mezzanine> {
        let pictures = self.rungs().iter().map(|rung| Rendition {
            width: Some(rung.width),
            height: Some(rung.height),
            ..Rendition::new(rung.id.clone(), Kind::Video)
        });
        let sounds = self.sounds().iter().filter_map(sound);
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
        let peak_bits = self.ladder.rungs.iter().map(|rung| rung.peak_bits).max();
        let time = self.bound.time(limits.time);
        let limits = Limits {
            time,
            file_bytes: self.bound.file_bytes(peak_bits.unwrap_or(0).into()),
            ..limits
        };
        let mut progress = Progress::new(self.expected());
        let mut read = |bytes: &[u8]| {
            if let Some(thousandths) = progress.read(bytes) {
                on_progress(thousandths);
            }
        };
        let mut end = self.encode(None, ffmpeg, limits, &mut read).await?;
        if level::is_wanted(&end) {
            let level = Level::of(self.folder);
            let of = (self.source, self.facts);
            level.write(of, self.bound, ffmpeg, limits).await?;
            // Its time begins anew: that a sound changes near the end takes nothing from it.
            end = self.encode(Some(&level), ffmpeg, limits, &mut read).await?;
            tokio::fs::remove_file(level.file()).await?;
        }
        settle(end, limits)
    }

    async fn encode(
        &self,
        level: Option<&Level>,
        ffmpeg: &Path,
        limits: Limits,
        read: impl FnMut(&[u8]) + Send,
    ) -> io::Result<End> {
        let task = Task {
            program: ffmpeg,
            arguments: &self.arguments(level),
            folder: self.folder,
            reads: &[self.source],
        };
        child::run(task, limits, read).await
    }

    fn rungs(&self) -> &[Rung] {
        match self.part {
            Part::Whole | Part::Pictures(_) => &self.ladder.rungs,
            Part::Sounds => &[],
        }
    }

    fn sounds(&self) -> &[Sound] {
        match self.part {
            Part::Whole | Part::Sounds => &self.facts.sounds,
            Part::Pictures(_) => &[],
        }
    }

    /// How long the part is likely to become.
    fn expected(&self) -> Option<Duration> {
        let whole = self.facts.picture.announced.or(self.facts.announced);
        let Part::Pictures(Stretch { first, frames }) = self.part else {
            return whole;
        };
        let rate = self.ladder.rate;
        match frames {
            Some(frames) => Some(rate.time_of(frames)),
            None => whole.map(|whole| whole.saturating_sub(rate.time_of(first))),
        }
    }

    fn arguments(&self, level: Option<&Level>) -> Vec<OsString> {
        let mut list: Vec<OsString> = words(
            "-hide_banner -nostdin -y -v error -nostats -progress pipe:1 -max_error_rate 0.02",
        );
        list.extend(probe::input_limits());
        list.extend(self.seek());
        // A change on the way does not begin the filters anew: of pictures they stand it, of sounds they say so.
        if self.facts.picture.frame.is_some() {
            list.extend(words("-reinit_filter:v 0"));
        }
        list.extend(words("-reinit_filter:a 0"));
        list.extend(["-i".into(), self.source.into()]);
        if let Some(level) = level {
            list.extend(["-i".into(), level.file().into()]);
        }
        for graph in self.graphs(level) {
            list.extend(["-filter_complex".into(), graph.into()]);
        }
        let files = self.mezzanines();
        let mut files = files.iter().map(|mezzanine| mezzanine.file.clone());
        for (at, rung) in self.rungs().iter().enumerate() {
            list.extend(self.picture_arguments(at, rung));
            list.extend(self.end());
            list.extend(files.next().map(OsString::from));
        }
        for (at, sound) in self.sounds().iter().enumerate() {
            list.extend(self.sound_arguments(at, sound));
            list.extend(self.end());
            list.extend(files.next().map(OsString::from));
        }
        list
    }

    /// Begins to read at the last key picture that lies well before the stretch, and keeps the times
    /// of the whole: what is shown at the stretch's start is then known, however long it has stood.
    fn seek(&self) -> Vec<OsString> {
        match self.part {
            Part::Pictures(Stretch { first, .. }) if first > 0 => {
                let start = self.ladder.rate.time_of(first).saturating_sub(RUN_UP);
                let start = start.as_secs_f64();
                words(&format!(
                    "-copyts -start_at_zero -noaccurate_seek -ss {start:.3}"
                ))
            }
            _ => Vec::new(),
        }
    }

    /// Where each rendition ends at the latest.
    fn end(&self) -> Vec<OsString> {
        words(&format!("-t {:.3}", self.bound.output().as_secs_f64()))
    }

    /// Picture and sound are put on one clock that starts at 0: a late start is filled with the
    /// first picture or with silence, and gaps likewise. What ends before the other is filled up with silence, or with
    /// its last picture: players stand still where one of them is missing. Sound beyond the end is dropped before:
    /// the silence that leads to it is kept in memory.
    fn graphs(&self, level: Option<&Level>) -> Vec<String> {
        let rungs = self.rungs();
        let mut graphs = Vec::new();
        if !rungs.is_empty() {
            let mut graph = format!("{}split={}", self.picture(), rungs.len());
            for at in 0..rungs.len() {
                graph += &format!("[s{at}]");
            }
            for (at, Rung { width, height, .. }) in rungs.iter().enumerate() {
                graph += &format!(
                    ";[s{at}]scale={width}:{height}:flags=bicubic,setsar=1,format=yuv420p[v{at}]"
                );
            }
            graphs.push(graph);
        }
        let end = self.bound.output().as_secs_f64();
        let sounds = self.sounds().iter().enumerate();
        graphs.extend(sounds.map(|(at, sound)| {
            let from = match level {
                Some(_) => format!("1:{}", Level::stream(at)),
                None => format!("0:{}", sound.stream),
            };
            let fill = self.facts.filled(sound).map_or_else(String::new, |until| {
                let until = until.min(self.bound.output()).as_secs_f64();
                format!(",apad=whole_dur={until:.3}")
            });
            let filters = sound.filters();
            format!("[{from}]atrim=end={end:.3},aresample=48000:async=1:first_pts=0,{filters}{fill}[a{at}]")
        }));
        graphs
    }

    /// The picture's way to the rungs: its own rate, whole frames, common colours.
    fn picture(&self) -> String {
        let picture = &self.facts.picture;
        let (stream, rate) = (picture.stream, self.ladder.rate);
        let mut graph = format!("[0:{stream}]");
        if let Some(frame) = picture.frame {
            graph += &frame.filters();
        }
        if picture.cover {
            let end = picture.announced.unwrap_or_default().as_secs_f64();
            graph += &format!("loop=loop=-1:size=1,setpts=N/({rate})/TB,trim=end={end:.3},");
        }
        if picture.interlaced {
            // Of two fields one frame is made; frames that are whole are left alone.
            graph += "bwdif=mode=send_frame:deint=interlaced,";
        }
        graph += &self.grid();
        if let Some(Rung { width, height, .. }) = self.ladder.largest() {
            graph += &picture.colour.filters(*width, *height);
        }
        graph
    }

    /// Puts the pictures on the grid of the rate, which is the same for every stretch.
    fn grid(&self) -> String {
        let rate = self.ladder.rate;
        let Part::Pictures(Stretch { first, frames }) = self.part else {
            return format!("fps=fps={rate}:start_time=0,{}", self.hold());
        };
        // The grid is entered at a whole second that a picture falls on, where no clock rounds.
        let (second, skipped) = rate.whole_seconds_before(first);
        let end = frames.map_or_else(String::new, |frames| {
            format!(":end_frame={}", skipped + frames)
        });
        format!(
            "fps=fps={rate}:start_time={second},{}trim=start_frame={skipped}{end},setpts=PTS-STARTPTS,",
            self.hold()
        )
    }

    /// Shows the last picture until the sound ends.
    fn hold(&self) -> String {
        let after = self.facts.heard_after().as_secs_f64();
        if after <= 0.0 {
            return String::new();
        }
        format!("tpad=stop_mode=clone:stop_duration={after:.3},")
    }

    fn picture_arguments(&self, at: usize, rung: &Rung) -> Vec<OsString> {
        words(&format!(
            "-map [v{at}] {BARE} {} -fps_mode passthrough -video_track_timescale {} \
             {}+frag_keyframe -f mp4",
            rung.codec.arguments(rung, self.ladder.rate.gop_frames()),
            self.ladder.rate.timescale(),
            self.fragmented(),
        ))
    }

    fn sound_arguments(&self, at: usize, sound: &Sound) -> Vec<OsString> {
        words(&format!(
            "-map [a{at}] {BARE} -c:a aac -b:a {} {} -frag_duration 2000000 -f mp4",
            sound.bits(),
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

/// What a sound is published as.
pub(super) fn sound(sound: &Sound) -> Option<Rendition> {
    let language = sound.language.as_deref().unwrap_or("und");
    let id = match sound.turn {
        1 => format!("audio-{language}"),
        turn => format!("audio-{language}-{turn}"),
    };
    Some(Rendition {
        language: sound.language.clone(),
        label: sound.label.clone(),
        ..Rendition::new(RenditionId::parse(&id).ok()?, Kind::Audio)
    })
}

pub(super) fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// Nothing of the source's own labels and chapters.
pub(super) const BARE: &str = "-map_metadata -1 -map_chapters -1";
/// Fragments, whose edit list tells where presentation starts: reordered pictures and the sound
/// encoder's priming both come before 0.
pub(super) const FRAGMENTED: &str = "-use_editlist 1 -movflags +cmaf+delay_moov";
/// How far before a stretch reading begins: filters look back, and key pictures may be shown later than
/// pictures that follow them.
const RUN_UP: Duration = Duration::from_secs(2);
/// 64 800 fragments of four thirds of a second.
const LONGEST_INDEXED: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rate::Rate;

    #[test]
    fn every_rendition_ends_where_the_film_may_end_at_the_latest() {
        let rate = Rate::new(25, 1).unwrap();
        let mut facts = Facts::plain(426, 240, rate);
        facts.picture.announced = Some(Duration::from_secs(10));
        facts.sounds.push(Sound {
            stream: 1,
            channels: 1,
            language: None,
            turn: 1,
            label: None,
            ends: None,
            as_is: false,
        });
        let order = Order {
            source: Path::new("source"),
            facts: &facts,
            ladder: &Ladder::of(426, 240, rate),
            bound: Bound::of(&facts, Duration::from_secs(100)).unwrap(),
            part: Part::Whole,
            folder: Path::new("folder"),
        };
        let arguments = order.arguments(None);
        let ends: Vec<_> = arguments
            .windows(3)
            .filter(|three| three[2].to_string_lossy().ends_with(".mp4"))
            .collect();
        assert_eq!(ends.len(), 3);
        let all = ends.iter().all(|end| end[..2] == ["-t", "75.000"]);
        assert!(all, "{ends:?}");
        assert!(order.graphs(None)[1].starts_with("[0:1]atrim=end=75.000,"));
    }
}
