//! The watch page in Chromium: both players play to the end, segments come over HTTP/3.

use std::process::Command;

use serde_json::Value;

use crate::house::{House, Stage, root};

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
fn hls_plays_to_the_end_over_http3() {
    let stage = Stage::new();
    let house = stage.house();
    watch(&house, house.fact("/watch"), "hls", "h3", &[]);
}

#[test]
fn hls_with_ts_segments_plays_to_the_end_over_http2() {
    let stage = Stage::new();
    let house = stage.house();
    watch(&house, house.fact("/watch"), "hls-ts", "h2", &[]);
}

#[test]
fn dash_plays_to_the_end_over_http3() {
    let stage = Stage::new();
    let house = stage.house();
    watch(&house, house.fact("/watch"), "dash", "h3", &[]);
}
