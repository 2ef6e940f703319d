//! The film of the house: the user's, or one made with ffmpeg.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::state::{FILMS, State};
use crate::add;
use crate::api::Api;

/// Length of the test film in seconds.
const SAMPLE_SECONDS: u32 = 30;

/// Publishes the film, unless this house has published the same bytes before, and gives its id.
pub(crate) async fn published(
    api: &Api,
    state: &State,
    media: Option<&Path>,
) -> anyhow::Result<String> {
    let (path, title) = match media {
        Some(path) => (path.to_owned(), stem(path)),
        None => (sample(state).await?, "Test film".to_owned()),
    };
    let digest = digest(&path).await?;
    let mut known = known(state);
    // A house that was stopped while it encoded goes on with the same film.
    if let Some(video) = known.get(&digest)
        && add::wait_until_ready(api, video)
            .await
            .is_ok_and(|status| is(&status, "ready"))
    {
        return Ok(video.clone());
    }
    eprintln!("publishing {} …", path.display());
    let wish = add::Wish {
        title,
        privacy: "public".to_owned(),
        protected: false,
        channel: None,
        subtitles: Vec::new(),
        resume: None,
    };
    let video = add::upload(api, &path, &wish).await?;
    known.insert(digest, video.clone());
    std::fs::write(state.path(FILMS), serde_json::to_string_pretty(&known)?)
        .context("cannot note the film")?;
    let status = add::wait_until_ready(api, &video).await?;
    if !is(&status, "ready") {
        let reason = status.get("reason").and_then(Value::as_str);
        let reason = reason.unwrap_or("no reason was given");
        bail!("{} cannot be published: {reason}", path.display());
    }
    Ok(video)
}

/// Whether there is such a file: asked before anything is made for it.
pub(crate) fn look(path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot read the film {}", path.display());
    let file = std::fs::File::open(path).with_context(cannot)?;
    if !file.metadata().with_context(cannot)?.is_file() {
        bail!("{} is no file", path.display());
    }
    Ok(())
}

fn is(status: &Value, state: &str) -> bool {
    status.get("state").and_then(Value::as_str) == Some(state)
}

fn known(state: &State) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(state.path(FILMS)).unwrap_or_default();
    // A damaged note only costs publishing the film again.
    serde_json::from_str(&text).unwrap_or_default()
}

/// A film of moving test pictures with a tone, made once.
async fn sample(state: &State) -> anyhow::Result<PathBuf> {
    let path = state.path("sample.mp4");
    if path.exists() {
        return Ok(path);
    }
    eprintln!("making a test film of {SAMPLE_SECONDS} s …");
    let half = state.path("work/sample.mp4");
    let picture = format!("testsrc2=size=1920x1080:rate=30:duration={SAMPLE_SECONDS}");
    let sound =
        format!("sine=frequency=440:beep_factor=4:sample_rate=48000:duration={SAMPLE_SECONDS}");
    let status = tokio::process::Command::new("ffmpeg")
        .args([
            "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i",
            &sound,
        ])
        .args([
            "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "60",
        ])
        .args(["-c:a", "aac", "-b:a", "128k", "-shortest"])
        .arg(&half)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .context("cannot start ffmpeg; `cargo xtask setup` installs it")?;
    if !status.success() {
        bail!("ffmpeg could not make the test film ({status})");
    }
    std::fs::rename(&half, &path).context("cannot keep the test film")?;
    Ok(path)
}

/// Hashes on a thread of its own: Ctrl-C must be heard meanwhile.
async fn digest(path: &Path) -> anyhow::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || hash(&path)).await?
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = std::fs::File::open(path).with_context(cannot)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(cannot)?;
        match buffer.get(..read) {
            Some(part) if !part.is_empty() => hasher.update(part),
            _ => return Ok(hex::encode(hasher.finalize())),
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(
        || "untitled".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}
