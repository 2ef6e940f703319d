//! Four players in Chromium: what a film offers is chosen, and judged by what is then decoded; and a protected film
//! plays with its keys in every way that the player knows.

use contracts::keys::ContentKeys;
use serde_json::Value;

use crate::house::{House, Stage};
use crate::players::{player, seen, together};

/// A film, and the `KID:KEY` pairs that a licence server of the test gives out.
struct Film {
    id: String,
    keys: Vec<String>,
}

impl Film {
    /// For players that fetch keys by themselves, and are told of no licence server.
    fn without_keys(&self) -> Self {
        let (id, keys) = (self.id.clone(), vec![]);
        Self { id, keys }
    }
}

/// A player, a manifest of a film, and the steps that are taken with it.
type Wish<'a> = (&'a str, &'a Film, &'a str, &'a str);

/// Takes the steps, each of which must hold, and gives what was seen at each.
fn take(house: &House, wishes: &[Wish<'_>]) -> Vec<Value> {
    together(wishes, |(name, film, manifest, steps)| {
        let url = house.signed(0, &format!("/v/{}/{manifest}", film.id));
        let mut player = player(house, name, &url, steps);
        for key in &film.keys {
            player.args(["--clearkey", key]);
        }
        let mut seen = seen(player);
        assert_eq!(seen["ok"], true, "{name} with {manifest}: {seen}");
        seen["steps"].take()
    })
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
fn clear(house: &House, stage: &Stage) -> Film {
    let subtitles = format!("en={}", stage.path("lines.srt").display());
    let id = house.add(&stage.path("film.mp4"), &["--subtitles", &subtitles]);
    Film { id, keys: vec![] }
}

/// The film, protected, with its keys as the origin gets them.
async fn protected(house: &House, stage: &Stage) -> Film {
    let id = house.add(&stage.path("film.mp4"), &["--protected"]);
    let keys: ContentKeys = house.content_keys(&id).await;
    let pairs = keys.periods.iter().flat_map(|period| &period.keys);
    let pairs = pairs.map(|key| {
        let value: String = key.key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{value}", key.kid)
    });
    let keys = pairs.collect();
    Film { id, keys }
}

const HLS_JS: &str =
    "play,quality,pitch:fr,text:en,sprites:thumbs/sprite.vtt,iframes,seek:21,ended";
const HLS_JS_TS: &str = "play,quality,text:en,sprites:thumbs/sprite.vtt,iframes,seek:21,ended";
const SHAKA: &str = "play,quality,pitch:fr,text:en,thumbnails,iframes,seek:21,ended";
const CHOICES: &str = "play,quality,pitch:fr,text:en,thumbnails,seek:21,ended";
const VIDEO_JS: &str = "play,quality,pitch:fr,text:en,seek:21,ended";
/// Without what has nothing to do with keys.
const LOCKED: &str = "play,quality,pitch:fr,seek:21,ended";
/// With a key that the player fetches by itself.
const BRIEF: &str = "play,quality,seek:21,ended";

#[tokio::test]
async fn players_play_what_a_film_offers_in_the_clear_and_with_keys() {
    let (stage, choices) = (Stage::new(), Stage::with_choices());
    let house = stage.house();
    let clear = clear(&house, &choices);
    let locked = protected(&house, &choices).await;
    let bare = locked.without_keys();
    let wishes = [
        ("hls.js", &clear, "master.m3u8", HLS_JS),
        ("shaka", &clear, "master.m3u8", SHAKA),
        ("shaka", &clear, "manifest.mpd", CHOICES),
        ("dash.js", &clear, "manifest.mpd", CHOICES),
        ("video.js", &clear, "master.m3u8", VIDEO_JS),
        ("hls.js", &clear, "master_ts.m3u8", HLS_JS_TS),
        ("hls.js", &bare, "master_ts.m3u8", BRIEF),
        ("hls.js", &bare, "@sampleaes/master_ts.m3u8", BRIEF),
        ("hls.js", &bare, "@aes128/master.m3u8", BRIEF),
        ("hls.js", &locked, "@clearkey/master.m3u8", LOCKED),
        ("hls.js", &locked, "@cenc,clearkey/master.m3u8", LOCKED),
        (
            "video.js",
            &bare,
            "@aes128/master.m3u8",
            "play,seek:21,ended",
        ),
        ("shaka", &bare, "@identity/master.m3u8", LOCKED),
        ("shaka", &bare, "@cenc,identity/master.m3u8", LOCKED),
        ("shaka", &locked, "manifest.mpd", LOCKED),
        ("shaka", &locked, "@cenc,2s/manifest.mpd", LOCKED),
        ("dash.js", &locked, "manifest.mpd", LOCKED),
        ("dash.js", &locked, "@cenc,2s/manifest.mpd", LOCKED),
    ];
    let seen = take(&house, &wishes);
    for steps in &seen[..5] {
        choices_hold(steps);
    }
}
