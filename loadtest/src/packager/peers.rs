//! Other people's packagers over the same film in the same run, and figures of one that cannot be installed so.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use contracts::id::RenditionId;
use serde::Serialize;

use crate::machine::{Cores, children_time, version};
use crate::maths::{Figure, count, ratio};
use crate::packager::publish::Ready;

/// A packager that packs a whole film in one go.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) program: &'static str,
    pub(crate) what: &'static str,
    /// Processor time a segment of picture and sound in µs, the start of the process included.
    pub(crate) segment_us: Figure,
    /// MB/s of one core, of what goes in.
    pub(crate) mb_s: f64,
}

/// What was measured of others, and who was missing.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Peers {
    pub(crate) lines: Vec<Line>,
    pub(crate) missing: Vec<String>,
}

/// A figure of nginx-vod-module that stands in the project's notes: not of this run, not of this machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Recorded {
    pub(crate) what: &'static str,
    pub(crate) cpu_us: f64,
    /// The film and the short name of what the origin serves instead.
    pub(crate) film: &'static str,
    pub(crate) ours: &'static str,
}

/// One way to call a program; `VIDEO` and `AUDIO` stand for the mezzanines.
struct Call {
    what: &'static str,
    arguments: &'static str,
}

/// Runs ffmpeg, and shaka-packager if it is there.
pub(crate) fn run(film: &Ready, folder: &Path, shaka: Option<&Path>, cores: Cores) -> Peers {
    let mut peers = Peers::default();
    let bench = Bench {
        film,
        folder: &folder.join("peers"),
        cores,
    };
    bench.all(
        &mut peers,
        "ffmpeg -c copy",
        Path::new("ffmpeg"),
        "-version",
        &FFMPEG,
    );
    match shaka {
        Some(program) => bench.all(&mut peers, "shaka-packager", program, "--version", &SHAKA),
        None => peers
            .missing
            .push("shaka-packager: it is missing".to_owned()),
    }
    peers
}

struct Bench<'a> {
    film: &'a Ready,
    folder: &'a Path,
    cores: Cores,
}

impl Bench<'_> {
    fn all(
        &self,
        peers: &mut Peers,
        name: &'static str,
        program: &Path,
        asked: &str,
        calls: &[Call],
    ) {
        if version(program, asked).is_none() {
            peers.missing.push(format!("{name}: it is missing"));
            return;
        }
        for call in calls {
            eprintln!("{name}: {}", call.what);
            match self.measure(name, program, call) {
                Ok(line) => peers.lines.push(line),
                // Whatever ails another program is no reason to lose what was measured.
                Err(error) => peers.missing.push(format!("{name}: {error:#}")),
            }
        }
    }

    fn measure(&self, name: &'static str, program: &Path, call: &Call) -> Result<Line> {
        let picture = self
            .film
            .presentation
            .videos()
            .last()
            .context("no picture")?;
        let sound = self.film.presentation.audios().next().context("no sound")?;
        let segments = count(usize::try_from(picture.segment_count())?);
        let length = picture.index().file().length + sound.index().file().length;
        let file = |id: &RenditionId| {
            let found = self.film.tracks.iter().find(|track| track.id == *id);
            found.map_or_else(String::new, |track| track.file.display().to_string())
        };
        let (video, audio) = (file(picture.id()), file(sound.id()));
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let before = children_time()?;
            for _ in 0..RUNS {
                self.once(program, call, &[("VIDEO", &video), ("AUDIO", &audio)])?;
            }
            let used = children_time()? - before;
            rounds.push(used.as_secs_f64() * 1e6 / count(RUNS) / segments);
        }
        let segment_us = Figure::of(rounds).context("no round was measured")?;
        Ok(Line {
            program: name,
            what: call.what,
            mb_s: ratio(
                count(usize::try_from(length)?),
                segment_us.median * segments,
            ),
            segment_us,
        })
    }

    fn once(&self, program: &Path, call: &Call, words: &[(&str, &str)]) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(self.folder)?;
        }
        fs::create_dir_all(self.folder)?;
        let arguments = call.arguments.split_whitespace().map(|word| {
            let replaced = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
            words.iter().fold(word.to_owned(), replaced)
        });
        let program = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let output = self.cores.start(&mut command)?.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} failed ({}): {}", call.what, output.status, said.trim());
        }
        Ok(())
    }
}

/// Runs between two readings of the clock, whose steps are 10 ms.
const RUNS: usize = 5;
const ROUNDS: usize = 3;

macro_rules! ffmpeg {
    ($rest:literal) => {
        concat!(
            "-hide_banner -nostdin -y -v error -i VIDEO -i AUDIO -map 0:v -map 1:a -c copy ",
            $rest
        )
    };
}

const FFMPEG: [Call; 3] = [
    Call {
        what: "HLS, TS",
        arguments: ffmpeg!("-f hls -hls_time 4 -hls_playlist_type vod out.m3u8"),
    },
    Call {
        what: "HLS, fMP4",
        arguments: ffmpeg!(
            "-f hls -hls_time 4 -hls_playlist_type vod -hls_segment_type fmp4 out.m3u8"
        ),
    },
    Call {
        what: "DASH",
        arguments: ffmpeg!("-f dash -seg_duration 4 out.mpd"),
    },
];

macro_rules! shaka {
    ($($rest:literal),*) => {
        concat!(
            "in=VIDEO,stream=video,init_segment=v/init.mp4,segment_template=v/$Number$.m4s ",
            "in=AUDIO,stream=audio,init_segment=a/init.mp4,segment_template=a/$Number$.m4s ",
            "--segment_duration 4 --mpd_output out.mpd --quiet",
            $($rest),*
        )
    };
}

macro_rules! encrypted {
    ($scheme:literal) => {
        shaka!(
            " --enable_raw_key_encryption --clear_lead 0 --protection_scheme ",
            $scheme,
            " --keys label=:key_id=4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b:key=6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d"
        )
    };
}

const SHAKA: [Call; 4] = [
    Call {
        what: "fMP4, clear",
        arguments: shaka!(),
    },
    Call {
        what: "TS, clear",
        arguments: "in=VIDEO,stream=video,segment_template=v/$Number$.ts in=AUDIO,stream=audio,segment_template=a/$Number$.ts \
                    --segment_duration 4 --hls_master_playlist_output out.m3u8 --quiet",
    },
    Call {
        what: "fMP4, cenc",
        arguments: encrypted!("cenc"),
    },
    Call {
        what: "fMP4, cbcs",
        arguments: encrypted!("cbcs"),
    },
];

const fn recorded(
    what: &'static str,
    cpu_us: f64,
    film: &'static str,
    ours: &'static str,
) -> Recorded {
    Recorded {
        what,
        cpu_us,
        film,
        ours,
    }
}

/// nginx 1.24.0 with nginx-vod-module 26f0687: processor time a request, media like the bench's in the page cache.
pub(crate) const NGINX_VOD: [Recorded; 15] = [
    recorded("HLS fMP4 (v+a), 1080p", 980.0, "short", "fMP4"),
    recorded("DASH (v), 1080p", 1170.0, "short", "fMP4"),
    recorded("HLS TS (v+a), 1080p", 1730.0, "short", "TS"),
    recorded("DASH cenc (v), 1080p", 3150.0, "locked", "cenc"),
    recorded(
        "HLS fMP4 SAMPLE-AES-CTR (v), 1080p",
        3570.0,
        "locked",
        "cenc",
    ),
    recorded("HLS fMP4 AES-128, 1080p", 3040.0, "locked", "fMP4 AES-128"),
    recorded("HLS TS AES-128, 1080p", 2720.0, "locked", "TS AES-128"),
    recorded("HLS master of 3", 18.0, "short", "master"),
    recorded("HLS media playlist", 9.0, "short", "playlist"),
    recorded("DASH MPD", 18.0, "short", "mpd"),
    recorded("2 h: HLS fMP4, 500 KB", 1060.0, "long", "fMP4"),
    recorded("2 h: DASH (v), 500 KB", 860.0, "long", "fMP4"),
    recorded("2 h: HLS TS, 500 KB", 830.0, "long", "TS"),
    recorded("2 h: HLS media playlist", 550.0, "long", "playlist"),
    recorded("2 h: HLS media playlist, TS", 550.0, "long", "playlist TS"),
];
