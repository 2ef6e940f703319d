//! What players decode is what was stored, frame by frame, and sound keeps with the picture.

use std::path::Path;
use std::process::Command;

use crate::house::{House, Stage};

/// Whether a film has sound.
enum Sound {
    Wanted,
    None,
}

/// MD5 of every decoded video frame.
fn frames(input: &str) -> Vec<String> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-xerror"]);
    if input.starts_with("https") {
        ffmpeg.args(["-tls_verify", "0"]);
    }
    ffmpeg.args(["-i", input, "-map", "0:v:0", "-f", "framemd5", "-"]);
    let output = ffmpeg.output().unwrap();
    assert!(
        output.status.success(),
        "{input}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

/// The start of the first stream of a kind, in seconds.
fn start(input: &str, kind: &str) -> Option<f64> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error"]);
    if input.starts_with("https") {
        ffprobe.args(["-tls_verify", "0"]);
    }
    ffprobe.args([
        "-select_streams",
        kind,
        "-show_entries",
        "packet=pts_time",
        "-read_intervals",
        "%+#1",
    ]);
    let output = ffprobe.args(["-of", "csv=p=0", input]).output().unwrap();
    assert!(
        output.status.success(),
        "{input}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().next()?.trim_end_matches(',').parse().ok()
}

/// Fetches everything of one rendition and joins it, as a player does.
async fn joined(house: &House, rendition: &str, extension: &str, into: &Path) {
    let mut bytes = Vec::new();
    if extension == "m4s" {
        let init = house
            .http
            .get(house.at_edge(0, &format!("{rendition}/init.mp4")))
            .send()
            .await
            .unwrap();
        assert_eq!(init.status(), 200);
        bytes.extend(init.bytes().await.unwrap());
    }
    for number in 1.. {
        let url = house.at_edge(0, &format!("{rendition}/segment_{number}.{extension}"));
        let segment = house.http.get(url).send().await.unwrap();
        if segment.status() == 404 {
            assert!(number > 1);
            break;
        }
        assert_eq!(segment.status(), 200, "{rendition} {number}");
        bytes.extend(segment.bytes().await.unwrap());
    }
    std::fs::write(into, bytes).unwrap();
}

async fn every_rendition_decodes_to_its_mezzanine(stage: &Stage, frame_s: f64, sound: Sound) {
    let house = stage.house();
    for (rendition, mezzanine) in house.mezzanines() {
        if rendition.starts_with("audio") {
            continue;
        }
        let stored = frames(&mezzanine.display().to_string());
        assert!(stored.len() > 20, "{rendition}");
        for extension in ["m4s", "ts"] {
            let file = stage.path(&format!("{rendition}.{extension}"));
            joined(&house, &rendition, extension, &file).await;
            assert_eq!(
                frames(&file.display().to_string()),
                stored,
                "{rendition} {extension}"
            );
        }
    }
    for manifest in ["/hls", "/hls_ts", "/dash"] {
        let url = house.fact(manifest);
        let picture = start(url, "v:0").unwrap();
        match (start(url, "a:0"), &sound) {
            (Some(heard), Sound::Wanted) => {
                assert!(
                    (picture - heard).abs() <= frame_s,
                    "{manifest}: {picture} {heard}"
                );
            }
            (None, Sound::None) => {}
            (heard, _) => panic!("{manifest}: sound starts at {heard:?}"),
        }
    }
}

#[tokio::test]
async fn a_film_with_sound() {
    every_rendition_decodes_to_its_mezzanine(&Stage::new(), 0.04, Sound::Wanted).await;
}

#[tokio::test]
async fn a_silent_film_at_a_broken_frame_rate_and_an_odd_size() {
    let picture = "testsrc2=size=322x182:rate=30000/1001:duration=5";
    let stage = Stage::with(&["-f", "lavfi", "-i", picture], false);
    every_rendition_decodes_to_its_mezzanine(&stage, 0.034, Sound::None).await;
}

#[tokio::test]
async fn a_portrait_film_at_fifty_frames_a_second() {
    let picture = "testsrc2=size=180x320:rate=50:duration=6";
    let stage = Stage::with(&["-f", "lavfi", "-i", picture], true);
    every_rendition_decodes_to_its_mezzanine(&stage, 0.0214, Sound::Wanted).await;
}
