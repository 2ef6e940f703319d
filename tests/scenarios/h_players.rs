//! Three players in Chromium: what a film offers is chosen, and judged by what is then decoded; and a protected film
//! plays with its keys in every way that the player knows.

use std::process::Command;

use contracts::keys::ContentKeys;
use serde_json::Value;

use crate::house::{House, Stage, root};

/// A film in a house, and a player.
struct Seat<'a> {
    house: &'a House,
    player: &'a str,
    film: &'a str,
    /// `KID:KEY` pairs that a licence server of the test gives out.
    keys: &'a [String],
}

impl Seat<'_> {
    /// Takes the steps, each of which must hold, and gives what was seen at each.
    fn take(&self, manifest: &str, steps: &str) -> Value {
        let Self {
            house,
            player,
            film,
            keys,
        } = self;
        let mut driver = Command::new("node");
        driver
            .arg("e2e/players.mjs")
            .args(["--player", player])
            .args(["--url", &house.signed(0, &format!("/v/{film}/{manifest}"))])
            .args(["--spki", house.fact("/spki"), "--steps", steps])
            .args(["--timeout", "150", "--patience", "25"])
            .current_dir(root().join("web"));
        for key in *keys {
            driver.args(["--clearkey", key]);
        }
        let output = driver.output().unwrap();
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

/// The film with its subtitles, in the clear.
fn clear(house: &House, stage: &Stage) -> String {
    let subtitles = format!("en={}", stage.path("lines.srt").display());
    house.add(&stage.path("film.mp4"), &["--subtitles", &subtitles])
}

/// The film, protected, with its keys as the origin gets them.
async fn protected(house: &House, stage: &Stage) -> (String, Vec<String>) {
    let film = house.add(&stage.path("film.mp4"), &["--protected"]);
    let keys: ContentKeys = house.content_keys(&film).await;
    let pairs = keys.periods.iter().flat_map(|period| &period.keys);
    let pairs = pairs.map(|key| {
        let value: String = key.key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{value}", key.kid)
    });
    (film, pairs.collect())
}

const CHOICES: &str = "play,quality,pitch:fr,text:en,thumbnails,seek:21,ended";
/// Without what has nothing to do with keys.
const LOCKED: &str = "play,quality,pitch:fr,seek:21,ended";

#[tokio::test]
async fn hls_js_plays_what_a_film_offers_in_the_clear_and_with_keys() {
    let stage = Stage::with_choices();
    let house = stage.house();
    let film = clear(&house, &stage);
    let mut seat = Seat {
        house: &house,
        player: "hls.js",
        film: &film,
        keys: &[],
    };
    let steps = "play,quality,pitch:fr,text:en,sprites:thumbs/sprite.vtt,iframes,seek:21,ended";
    choices_hold(&seat.take("master.m3u8", steps));
    let steps = "play,quality,text:en,sprites:thumbs/sprite.vtt,iframes,seek:21,ended";
    seat.take("master_ts.m3u8", steps);
    let (film, keys) = protected(&house, &stage).await;
    seat.film = &film;
    for manifest in [
        "master_ts.m3u8",
        "@sampleaes/master_ts.m3u8",
        "@aes128/master.m3u8",
    ] {
        seat.take(manifest, "play,quality,seek:21,ended");
    }
    seat.keys = &keys;
    for manifest in ["@clearkey/master.m3u8", "@cenc,clearkey/master.m3u8"] {
        seat.take(manifest, LOCKED);
    }
}

#[tokio::test]
async fn shaka_player_plays_what_a_film_offers_in_the_clear_and_with_keys() {
    let stage = Stage::with_choices();
    let house = stage.house();
    let film = clear(&house, &stage);
    let mut seat = Seat {
        house: &house,
        player: "shaka",
        film: &film,
        keys: &[],
    };
    let steps = "play,quality,pitch:fr,text:en,thumbnails,iframes,seek:21,ended";
    choices_hold(&seat.take("master.m3u8", steps));
    choices_hold(&seat.take("manifest.mpd", CHOICES));
    let (film, keys) = protected(&house, &stage).await;
    seat.film = &film;
    for manifest in ["@identity/master.m3u8", "@cenc,identity/master.m3u8"] {
        seat.take(manifest, LOCKED);
    }
    seat.keys = &keys;
    for manifest in ["manifest.mpd", "@cenc,2s/manifest.mpd"] {
        seat.take(manifest, LOCKED);
    }
}

#[tokio::test]
async fn dash_js_plays_what_a_film_offers_in_the_clear_and_with_keys() {
    let stage = Stage::with_choices();
    let house = stage.house();
    let film = clear(&house, &stage);
    let mut seat = Seat {
        house: &house,
        player: "dash.js",
        film: &film,
        keys: &[],
    };
    choices_hold(&seat.take("manifest.mpd", CHOICES));
    let (film, keys) = protected(&house, &stage).await;
    seat.film = &film;
    seat.keys = &keys;
    for manifest in ["manifest.mpd", "@cenc,2s/manifest.mpd"] {
        seat.take(manifest, LOCKED);
    }
}
