//! The watch page in Chromium: both players play to the end, segments come over HTTP/3.

use std::process::Command;

use serde_json::Value;

use crate::house::{House, Stage, root};
use crate::players::together;

/// Plays a film on its watch page to the end, and judges what was seen.
pub(crate) fn watch(house: &House, page: &str, format: &str, protocol: &str, more: &[&str]) {
    let edges: Vec<String> = house.facts["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            edge["https"]
                .as_str()
                .unwrap()
                .trim_start_matches("https://")
                .to_owned()
        })
        .collect();
    let output = Command::new("node")
        .arg("e2e/watch.mjs")
        .args(["--page", page, "--format", format, "--protocol", protocol])
        .args([
            "--edge",
            &edges.join(","),
            "--spki",
            house.fact("/spki"),
            "--until",
            "ended",
        ])
        .args(more)
        .current_dir(root().join("web"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{format} over {protocol}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let seen: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(seen["ok"], true, "{seen}");
}

#[test]
fn films_play_to_the_end_over_http3_and_http2() {
    let stage = Stage::new();
    let house = stage.house();
    let visits = [("hls", "h3"), ("hls-ts", "h2"), ("dash", "h3")];
    together(&visits, |(format, protocol)| {
        watch(&house, house.fact("/watch"), format, protocol, &[]);
    });
}

/// A film that is longer than the page fetches ahead, so that it is fetched while it plays.
fn long() -> (Stage, House) {
    let (picture, tone) = (
        "testsrc2=size=432x240:rate=25:duration=60",
        "sine=frequency=440:duration=60",
    );
    let inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone];
    let stage = Stage::with(&[&inputs[..], &["-c:a", "aac"]].concat(), false);
    let house = stage.house();
    (stage, house)
}

#[tokio::test]
async fn what_a_viewer_does_on_the_page_is_told_by_the_film_s_statistics() {
    let (_stage, house) = long();
    watch(&house, house.fact("/watch"), "hls", "h3", &["--visit"]);
    let url = format!("{}/v1/videos/{}/stats", house.fact("/api"), house.video());
    let mut look = tokio::time::interval(std::time::Duration::from_millis(100));
    let stats = loop {
        look.tick().await;
        let stats = house.http.get(&url).send().await.unwrap();
        let stats: Value = stats.json().await.unwrap();
        // The end, which is told last, makes it a view: until that is counted, the figures are of a film that runs. The
        // total is read first: what is read after it has been counted, too.
        if stats["views_total"] == 1 {
            break stats;
        }
    };
    let quality = &stats["quality"];
    for (member, wanted) in [
        ("sessions", 1),
        ("starts", 1),
        ("start_failures", 0),
        ("playback_failures", 0),
    ] {
        assert_eq!(quality[member], wanted, "{member}: {stats}");
    }
    assert_eq!(stats["views"], 1, "{stats}");
    // Who waits for what was jumped to waits willingly; a busy machine may make anybody wait once more.
    assert!(quality["rebuffers"].as_u64().unwrap() <= 1, "{stats}");
    assert!(quality["startup_ms"]["p50"].as_f64() > Some(0.0), "{stats}");
    // Two seconds, then the last quarter: not the pause, nor what was passed over.
    let watched = quality["watched_s"].as_f64().unwrap();
    assert!((10.0..30.0).contains(&watched), "{stats}");
}

#[test]
fn the_page_stops_when_it_is_told_to_and_says_why() {
    let stage = Stage::new();
    let house = stage.house();
    let visits = [("lease_lost", "hls"), ("not_entitled", "dash")];
    together(&visits, |(reason, format)| {
        let beat = format!(r#"{{"action":"stop","reason":"{reason}"}}"#);
        let told = ["--beat", &beat];
        watch(&house, house.fact("/watch"), format, "h2", &told);
    });
}

#[tokio::test]
async fn the_page_goes_on_under_another_token_without_a_stop() {
    let (_stage, house) = long();
    let wish = serde_json::json!({"video_id": house.video()});
    let start = format!("{}/v1/playback/start", house.fact("/api"));
    let other = house.http.post(start).json(&wish).send().await.unwrap();
    let other: Value = other.json().await.unwrap();
    let beat = serde_json::json!({"action": "continue", "manifests": other["manifests"]});
    let beat = beat.to_string();
    watch(
        &house,
        house.fact("/watch"),
        "hls",
        "h2",
        &["--beat", &beat],
    );
}
