//! Any bytes as `asset.json`: an asset that reads back as itself and whose thumbnails are announced, or an error.

use std::time::Duration;

use contracts::asset::Asset;
use packager::{
    text::webvtt,
    thumbs,
};

/// Reads `data` and writes what players are told of its thumbnails.
pub fn check(data: &[u8]) {
    let Ok(asset) = serde_json::from_slice::<Asset>(data) else {
        return;
    };
    let again = serde_json::to_vec(&asset).expect("an asset is JSON");
    assert_eq!(serde_json::from_slice::<Asset>(&again).expect("its own text"), asset);
    let Some(told) = &asset.thumbs else { return };
    let film = Duration::from_millis(asset.duration_ms);
    let _ = thumbs::facts(told, film);
    let playlist = thumbs::playlist(told, film);
    let sheets = playlist.lines().filter(|line| line.starts_with("sheet_"));
    assert!(sheets.count() <= told.sheet_bytes.len());
    let sprite = thumbs::vtt(told, film, "");
    let cues = webvtt::parse(sprite.as_bytes()).expect("a sprite is WebVTT");
    assert!(cues.cues().iter().all(|cue| cue.end <= film));
}
