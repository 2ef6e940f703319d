//! A film goes from the studio to its players, in Chromium: it is uploaded with a pause and a reload, watched before its
//! ladder is made, and whoever began then is not disturbed when it is.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::interval;

use crate::house::{House, Stage, root};

/// A minute and a half, of which players fetch a third ahead at most, as an editor exports it: it can be shown as it is.
/// At the speed to which the browser is slowed it takes some seconds.
fn film(stage: &Stage) -> PathBuf {
    let path = stage.path("long.mp4");
    let picture = "testsrc2=size=426x240:rate=25:duration=90,noise=alls=20:allf=t";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", picture])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:duration=90"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt"])
        .args(["yuv420p", "-g", "50", "-sc_threshold", "0"])
        .args(["-b:v", "200k", "-maxrate", "300k", "-bufsize", "300k"])
        .args(["-c:a", "aac", "-b:a", "48k"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    path
}

/// A browser that does what a script says, in steps.
struct Browser {
    node: Child,
    /// The steps that were taken.
    steps: BufReader<ChildStderr>,
}

impl Browser {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let mut node = Command::new("node")
            .arg(script)
            .args(arguments)
            .current_dir(root().join("web"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let steps = BufReader::new(node.stderr.take().unwrap());
        Self { node, steps }
    }

    fn player(house: &House, player: &str, path: &str, steps: &str) -> Self {
        let url = house.signed(0, path);
        let spki = house.fact("/spki");
        let wish = ["--player", player, "--url", &url, "--spki", spki];
        let time = ["--timeout", "120", "--patience", "60", "--steps", steps];
        Self::start("e2e/players.mjs", &[&wish[..], &time].concat())
    }

    /// Waits until a step is taken.
    fn has(&mut self, step: &str) {
        let mut line = String::new();
        while self.steps.read_line(&mut line).unwrap() > 0 && line.trim() != step {
            line.clear();
        }
    }

    /// What it saw, all of it well.
    fn saw(mut self) -> Value {
        let said = std::io::read_to_string(&mut self.steps).unwrap();
        let output = self.node.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{said}");
        let seen: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(seen["ok"], true, "{seen}");
        seen
    }
}

async fn told(house: &House, path: &str) -> Value {
    let url = format!("{}{path}", house.fact("/api"));
    let asked = house.http.get(url).send().await.unwrap();
    asked.json().await.unwrap()
}

/// The film that can be watched beside the house's own, as soon as there is one.
async fn listed(house: &House) -> String {
    let mut looks = interval(Duration::from_millis(50));
    loop {
        looks.tick().await;
        let films = told(house, "/v1/videos").await;
        let films = films["videos"].as_array().unwrap().iter();
        let id = |film: &Value| film["video_id"].as_str().unwrap().to_owned();
        let other = films.map(id).find(|id| id != house.video());
        if let Some(other) = other {
            return other;
        }
    }
}

/// The pictures that a manifest names.
async fn pictures(house: &House, film: &str) -> Vec<String> {
    let url = house.signed(0, &format!("/v/{film}/master.m3u8"));
    let text = house.http.get(url).send().await.unwrap().text().await;
    let text = text.unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split_once('/'));
    let mut names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn a_film_from_the_studio_is_watched_before_its_ladder_is_made_and_nobody_is_disturbed() {
    let stage = Stage::new();
    let house = stage.house();
    let path = film(&stage).display().to_string();
    let studio = format!("{}/studio", house.fact("/api"));
    let wish = ["--page", &studio, "--file", &path, "--speed", "500000"];
    let studio = Browser::start("e2e/studio.mjs", &wish);

    // It has come by now; its ladder waits until it is watched.
    let film = listed(&house).await;
    house.signal("ingest", "-STOP");
    let status = format!("/v1/videos/{film}/status");
    let now = told(&house, &status).await;
    assert_eq!(now["state"], "processing", "{now}");
    assert!(pictures(&house, &film).await.contains(&"source".to_owned()));
    let grow = format!("grow:{}{status}", house.fact("/api"));
    let steps = format!("play,{grow},ended");
    let at = |file: &str| format!("/v/{film}/{file}");
    let (hls, dash) = (at("master.m3u8"), at("manifest.mpd"));
    let mut viewers = [("hls.js", &hls), ("shaka", &dash)]
        .map(|(player, path)| Browser::player(&house, player, path, &steps));
    for viewer in &mut viewers {
        viewer.has("play");
    }
    house.signal("ingest", "-CONT");
    for viewer in viewers {
        let seen = viewer.saw();
        let grown = &seen["steps"][&grow];
        assert!(grown["at_s"].as_f64() > Some(5.0), "{seen}");
    }
    let uploaded = studio.saw();
    assert_eq!(uploaded["video"], film, "{uploaded}");
    assert_eq!(uploaded["early"], true, "{uploaded}");

    // Caches were told of the change.
    let mut looks = interval(Duration::from_millis(200));
    while pictures(&house, &film).await != ["144p", "source"] {
        looks.tick().await;
    }
    Browser::player(&house, "hls.js", &hls, "play,quality,ended").saw();
}
