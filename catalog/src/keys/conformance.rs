//! What every adapter of [`Keys`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::id::VideoId;
use contracts::time::UnixSeconds;

use super::Keys;

/// Every promise, on a catalogue that is empty.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(keys: &dyn Keys) {
    the_first_keys_of_a_film_stay(keys).await;
    a_film_s_keys_are_forgotten_alone(keys).await;
}

const NOW: UnixSeconds = UnixSeconds(100);

fn video(text: &str) -> VideoId {
    VideoId::parse(text).expect("a test's id is one")
}

async fn the_first_keys_of_a_film_stay(keys: &dyn Keys) {
    let film = video("first");
    assert_eq!(keys.find(&film).await.expect("find"), None);
    let kept = keys.keep(&film, b"one\0\xff", NOW).await.expect("keep");
    assert_eq!(kept, b"one\0\xff");
    let kept = keys.keep(&film, b"two", NOW).await.expect("keep");
    assert_eq!(kept, b"one\0\xff");
    let found = keys.find(&film).await.expect("find");
    assert_eq!(found.as_deref(), Some(&b"one\0\xff"[..]));
}

async fn a_film_s_keys_are_forgotten_alone(keys: &dyn Keys) {
    for film in ["a", "b"] {
        let kept = keys.keep(&video(film), film.as_bytes(), NOW).await;
        kept.expect("keep");
    }
    keys.forget(&video("a")).await.expect("forget");
    keys.forget(&video("a")).await.expect("forget again");
    assert_eq!(keys.find(&video("a")).await.expect("find"), None);
    let other = keys.find(&video("b")).await.expect("find");
    assert_eq!(other.as_deref(), Some(&b"b"[..]));
}
