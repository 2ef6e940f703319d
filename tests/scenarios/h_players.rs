//! Three players in Chromium: what a film offers is chosen, and judged by what is then decoded.

use std::process::Command;

use serde_json::Value;

use crate::house::{House, Stage, root};

/// Takes the steps in a player, each of which must hold, and gives what was seen at each.
fn take(house: &House, player: &str, manifest: &str, steps: &str) -> Value {
    let output = Command::new("node")
        .arg("e2e/players.mjs")
        .args(["--player", player, "--url", &house.at_edge(0, manifest)])
        .args(["--spki", house.fact("/spki"), "--steps", steps])
        .args(["--timeout", "150", "--patience", "25"])
        .current_dir(root().join("web"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{player} with {manifest}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut seen: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(seen["ok"], true, "{seen}");
    seen["steps"].take()
}

/// What both formats offer, whatever the player: the second tone is heard, and lines come in time.
fn choices_hold(steps: &Value) {
    let heard = |pointer: &str, hz: f64| {
        let pitch = steps.pointer(pointer).and_then(Value::as_f64);
        assert!(pitch.is_some_and(|p| (p - hz).abs() < 20.0), "{steps}");
    };
    heard("/pitch:fr/from/pitch_hz", 440.0);
    heard("/pitch:fr/to/pitch_hz", 880.0);
    let cue = &steps["text:en"]["cues"][0];
    let start_s = cue["start_s"].as_f64().unwrap();
    let line = (start_s / 2.0).round();
    assert!((start_s - line * 2.0).abs() < 0.1, "{steps}");
    assert_eq!(cue["text"], format!("line {line}"), "{steps}");
}

#[test]
fn hls_js_changes_quality_and_language_and_shows_text_thumbnails_and_i_frames() {
    let stage = Stage::with_choices();
    let steps = "play,quality,pitch:fr,text:en,sprites:thumbs/sprite.vtt,iframes,seek:9,ended";
    choices_hold(&take(&stage.house(), "hls.js", "master.m3u8", steps));
}

#[test]
fn hls_js_does_so_with_ts_segments() {
    let stage = Stage::with_choices();
    let steps = "play,quality,text:en,sprites:thumbs/sprite.vtt,iframes,seek:9,ended";
    take(&stage.house(), "hls.js", "master_ts.m3u8", steps);
}

#[test]
fn shaka_player_does_so_with_hls_and_with_dash() {
    let stage = Stage::with_choices();
    let house = stage.house();
    let steps = "play,quality,pitch:fr,text:en,thumbnails,iframes,seek:9,ended";
    choices_hold(&take(&house, "shaka", "master.m3u8", steps));
    let steps = "play,quality,pitch:fr,text:en,thumbnails,seek:9,ended";
    choices_hold(&take(&house, "shaka", "manifest.mpd", steps));
}

#[test]
fn dash_js_does_so() {
    let stage = Stage::with_choices();
    let steps = "play,quality,pitch:fr,text:en,thumbnails,seek:9,ended";
    choices_hold(&take(&stage.house(), "dash.js", "manifest.mpd", steps));
}
