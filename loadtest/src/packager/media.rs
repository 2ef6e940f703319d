//! The films of the bench: made once by ffmpeg, kept, and made again when their recipe changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The mezzanines of a film by the names of their renditions, pictures from the smallest, then sound.
#[derive(Clone, Debug)]
pub(crate) struct Film {
    /// The film's id.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) about: &'static str,
    /// Rendition and file.
    pub(crate) files: Vec<(&'static str, PathBuf)>,
}

/// The films that are measured.
#[derive(Clone, Debug)]
pub(crate) struct Films {
    /// A minute in three sizes.
    pub(crate) short: Film,
    /// Two hours in one.
    pub(crate) long: Film,
}

/// A file and the arguments that make it; `IN:` marks one of the files made before.
struct Recipe {
    file: &'static str,
    arguments: &'static str,
}

/// Makes what is missing.
///
/// # Errors
/// When ffmpeg is missing or fails.
pub(crate) fn make(folder: &Path) -> Result<Films> {
    fs::create_dir_all(folder).context("cannot make the folder for films")?;
    for recipe in &RECIPES {
        bake(folder, recipe.file, recipe.arguments)?;
    }
    let files = |pairs: &[(&'static str, &str)]| {
        let path = |(name, file): &(&'static str, &str)| (*name, folder.join(file));
        pairs.iter().map(path).collect()
    };
    Ok(Films {
        short: Film {
            name: "short",
            about: "60 s, 30 fps, GOPs of 2 s, x264 1080p of 5 Mbit/s with 720p and 360p, AAC of 128 kbit/s",
            files: files(&[
                ("360p", "short-360p.mp4"),
                ("720p", "short-720p.mp4"),
                ("1080p", "short-1080p.mp4"),
                ("audio-und", "short-audio.mp4"),
            ]),
        },
        long: Film {
            name: "long",
            about: "2 h, 30 fps, GOPs of 2 s, x264 360p of 0.87 Mbit/s, AAC of 128 kbit/s",
            files: files(&[("360p", "long-360p.mp4"), ("audio-und", "long-audio.mp4")]),
        },
    })
}

/// Makes a file of these arguments, unless it was made of the same before.
pub(crate) fn bake(folder: &Path, name: &str, recipe: &str) -> Result<()> {
    let file = folder.join(name);
    let note = folder.join(format!("{name}.recipe"));
    if file.exists() && fs::read_to_string(&note).is_ok_and(|made| made == recipe) {
        return Ok(());
    }
    eprintln!("making {name} …");
    let _ = fs::remove_file(&note);
    let arguments = recipe.split_whitespace();
    let arguments = arguments.map(|word| match word.strip_prefix("IN:") {
        Some(made) => folder.join(made).into_os_string(),
        None => word.into(),
    });
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-y", "-v", "error"])
        .args(arguments)
        .arg(&file)
        .stdin(Stdio::null())
        .status()
        .context("cannot start ffmpeg")?;
    if !status.success() {
        bail!("ffmpeg could not make {name} ({status})");
    }
    fs::write(&note, recipe).context("cannot note how a film was made")
}

/// A picture of ingest's kind: the same encoder, preset, GOPs and fragments, but a fixed rate. The noise keeps it up.
macro_rules! picture {
    ($size:literal, $rate:literal, $buffer:literal) => {
        concat!(
            "-f lavfi -i testsrc2=size=", $size, ":rate=30:duration=60,noise=alls=12:allf=t,format=yuv420p ",
            "-c:v libx264 -preset veryfast -profile:v high -b:v ", $rate, " -maxrate ", $rate, " -bufsize ", $buffer,
            " -bf 2 -g 60 -keyint_min 60 -sc_threshold 0 -flags +cgop -video_track_timescale 30000 ",
            "-use_editlist 1 -movflags +cmaf+delay_moov+frag_keyframe -f mp4"
        )
    };
}

const RECIPES: [Recipe; 6] = [
    Recipe {
        file: "short-1080p.mp4",
        arguments: picture!("1920x1080", "5M", "10M"),
    },
    Recipe {
        file: "short-720p.mp4",
        arguments: picture!("1280x720", "2500k", "5M"),
    },
    Recipe {
        file: "short-360p.mp4",
        arguments: picture!("640x360", "870k", "1740k"),
    },
    Recipe {
        file: "short-audio.mp4",
        arguments: "-f lavfi -i anoisesrc=r=48000:d=60:a=0.3:seed=7,aformat=channel_layouts=stereo -c:a aac -b:a 128k \
                    -use_editlist 1 -movflags +cmaf+delay_moov -frag_duration 2000000 -f mp4",
    },
    Recipe {
        file: "long-360p.mp4",
        arguments: "-stream_loop 119 -i IN:short-360p.mp4 -c copy -video_track_timescale 30000 \
                    -use_editlist 1 -movflags +cmaf+delay_moov+frag_keyframe -f mp4",
    },
    Recipe {
        file: "long-audio.mp4",
        arguments: "-stream_loop 119 -i IN:short-audio.mp4 -c copy \
                    -use_editlist 1 -movflags +cmaf+delay_moov -frag_duration 2000000 -f mp4",
    },
];
