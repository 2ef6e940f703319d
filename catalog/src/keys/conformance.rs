//! What every adapter of [`Keys`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::id::VideoId;
use contracts::time::UnixSeconds;

use super::{Keys, Sealed};

/// Every promise, on a catalogue that is empty.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(keys: &dyn Keys) {
    the_first_keys_of_a_film_stay(keys).await;
    a_film_s_keys_are_forgotten_alone(keys).await;
    keys_are_replaced_by_whoever_found_them_as_they_are(keys).await;
    films_are_found_by_what_their_keys_are_sealed_with(keys).await;
    films_are_found_when_their_keys_are_due(keys).await;
}

const NOW: UnixSeconds = UnixSeconds(100);

fn video(text: &str) -> VideoId {
    VideoId::parse(text).expect("a test's id is one")
}

fn sealed(bytes: &[u8]) -> Sealed {
    Sealed {
        bytes: bytes.to_vec(),
        by: None,
        due: None,
    }
}

fn texts(films: &[VideoId]) -> Vec<&str> {
    films.iter().map(VideoId::as_str).collect()
}

async fn the_first_keys_of_a_film_stay(keys: &dyn Keys) {
    let film = video("first");
    assert_eq!(keys.find(&film).await.expect("find"), None);
    let first = Sealed {
        by: Some("kek".to_owned()),
        due: Some(NOW),
        ..sealed(b"one\0\xff")
    };
    let kept = keys.keep(&film, &first, NOW).await.expect("keep");
    assert_eq!(kept, first);
    let kept = keys.keep(&film, &sealed(b"two"), NOW).await.expect("keep");
    assert_eq!(kept, first);
    assert_eq!(keys.find(&film).await.expect("find"), Some(first));
    keys.forget(&film).await.expect("forget");
}

async fn a_film_s_keys_are_forgotten_alone(keys: &dyn Keys) {
    for film in ["a", "b"] {
        let kept = keys.keep(&video(film), &sealed(film.as_bytes()), NOW).await;
        kept.expect("keep");
    }
    keys.forget(&video("a")).await.expect("forget");
    keys.forget(&video("a")).await.expect("forget again");
    assert_eq!(keys.find(&video("a")).await.expect("find"), None);
    let other = keys.find(&video("b")).await.expect("find");
    assert_eq!(other, Some(sealed(b"b")));
    keys.forget(&video("b")).await.expect("forget");
}

async fn keys_are_replaced_by_whoever_found_them_as_they_are(keys: &dyn Keys) {
    let film = video("replaced");
    let none = keys.replace(&film, b"one", &sealed(b"two")).await;
    assert!(!none.expect("replace nothing"));
    keys.keep(&film, &sealed(b"one"), NOW).await.expect("keep");
    let late = Sealed {
        by: Some("kek".to_owned()),
        due: Some(UnixSeconds(200)),
        ..sealed(b"two")
    };
    assert!(keys.replace(&film, b"one", &late).await.expect("replace"));
    let again = keys.replace(&film, b"one", &sealed(b"three")).await;
    assert!(!again.expect("replace what is gone"));
    assert_eq!(keys.find(&film).await.expect("find"), Some(late));
    keys.forget(&film).await.expect("forget");
}

async fn films_are_found_by_what_their_keys_are_sealed_with(keys: &dyn Keys) {
    for (film, by) in [("d", "old"), ("b", "new"), ("c", ""), ("a", "old")] {
        let by = Some(by.to_owned()).filter(|by| !by.is_empty());
        let sealed = Sealed { by, ..sealed(b"x") };
        let kept = keys.keep(&video(film), &sealed, NOW).await;
        kept.expect("keep");
    }
    let first = keys.sealed_otherwise("new", None, 2).await.expect("list");
    assert_eq!(texts(&first), ["a", "c"]);
    let rest = keys.sealed_otherwise("new", first.last(), 2).await;
    assert_eq!(texts(&rest.expect("list the rest")), ["d"]);
    for film in ["a", "b", "c", "d"] {
        keys.forget(&video(film)).await.expect("forget");
    }
}

async fn films_are_found_when_their_keys_are_due(keys: &dyn Keys) {
    for (film, due) in [
        ("never", None),
        ("later", Some(101)),
        ("now", Some(100)),
        ("long", Some(1)),
    ] {
        let due = due.map(UnixSeconds);
        let sealed = Sealed {
            due,
            ..sealed(b"x")
        };
        let kept = keys.keep(&video(film), &sealed, NOW).await;
        kept.expect("keep");
    }
    let due = keys.due(NOW, 9).await.expect("due");
    assert_eq!(texts(&due), ["long", "now"]);
    let due = keys.due(NOW, 1).await.expect("due");
    assert_eq!(texts(&due), ["long"]);
    for film in ["never", "later", "now", "long"] {
        keys.forget(&video(film)).await.expect("forget");
    }
}
