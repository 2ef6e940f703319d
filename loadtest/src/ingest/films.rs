//! The films that are sent: one as encoders leave it unasked, one that can be shown as it comes, and a tiny one.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::packager::bake;

/// Where they lie.
pub(super) struct Films {
    /// Key pictures where the encoder wanted them: its ladder must be made before it can be watched.
    pub(super) plain: PathBuf,
    /// The same with a key picture every two seconds, which can be shown as it comes.
    pub(super) steady: PathBuf,
    /// Two seconds of little.
    pub(super) tiny: PathBuf,
    /// How long the first two are.
    pub(super) seconds: u64,
    /// What is in them, for people.
    pub(super) about: String,
}

/// Makes what is missing: 720p at 25 pictures a second, of a file's pictures in a loop or of test patterns.
pub(super) fn make(folder: &Path, pictures: Option<&Path>, seconds: u64) -> Result<Films> {
    std::fs::create_dir_all(folder)?;
    let (name, input, what) = match pictures {
        Some(file) => {
            let file = std::path::absolute(file)?;
            let shown = file.display();
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let input = format!("-stream_loop -1 -i IN:{shown}");
            (name.to_string(), input, format!("{name}, in a loop"))
        }
        None => {
            let input = "-f lavfi -i testsrc2=size=1280x720:rate=25,noise=alls=6:allf=t";
            ("patterns".to_owned(), input.to_owned(), PATTERNS.to_owned())
        }
    };
    let film = |kind: &str, keys: &str| {
        let file = format!("ingest-{name}-{seconds}s-{kind}.mp4");
        let arguments = format!(
            "{input} -f lavfi -i anoisesrc=r=48000:a=0.1:seed=7,aformat=channel_layouts=stereo \
             -map 0:v:0 -map 1:a -t {seconds} -vf scale=1280:720,setsar=1,fps=25,format=yuv420p \
             -c:v libx264 -preset veryfast -profile:v high -crf 20 -bf 2 -maxrate 6M -bufsize 12M {keys} \
             -c:a aac -b:a 128k -movflags +faststart"
        );
        bake(folder, &file, &arguments)?;
        Ok::<_, anyhow::Error>(folder.join(file))
    };
    let plain = film("plain", "")?;
    let steady = film(
        "steady",
        "-g 50 -keyint_min 50 -sc_threshold 0 -flags +cgop",
    )?;
    bake(folder, TINY.0, TINY.1)?;
    Ok(Films {
        plain,
        steady,
        tiny: folder.join(TINY.0),
        seconds,
        about: format!("{seconds} s of {what}, 1280x720 at 25, x264, AAC stereo"),
    })
}

const PATTERNS: &str = "test patterns with noise";
const TINY: (&str, &str) = (
    "ingest-tiny.mp4",
    "-f lavfi -i testsrc2=size=256x144:rate=25:duration=2 -c:v libx264 -preset ultrafast -movflags +faststart",
);
