//! The promises of the memory of texts, as tests that any adapter runs against its real engine.

#![expect(
    clippy::unwrap_used,
    reason = "a broken promise ends the test that found it"
)]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use contracts::id::VideoId;
use futures_util::future::join_all;
use store::Digest;

use super::{Language, Text, Texts};

/// Runs every promise against two processes' views of one empty memory, and panics at the first
/// that is broken.
pub async fn all(one: Arc<dyn Texts>, other: Arc<dyn Texts>) {
    a_text_is_seen_when_its_change_is_committed(&*one, &*other).await;
    a_film_has_one_text_a_language(&*one).await;
    one_at_a_time_changes_a_film(one, other).await;
}

async fn a_text_is_seen_when_its_change_is_committed(one: &dyn Texts, other: &dyn Texts) {
    let film = video("seen");
    let text = text("en", Some("English"));
    for kept in [false, true] {
        let mut change = one.change(&film).await.unwrap();
        assert_eq!(change.film().await.unwrap(), None, "the catalogue has none");
        assert!(!change.put(&text).await.unwrap());
        let within = change.list().await.unwrap();
        assert_eq!(within, std::slice::from_ref(&text));
        assert_eq!(other.list(&film).await.unwrap(), []);
        if kept {
            change.commit().await.unwrap();
        }
    }
    assert_eq!(other.list(&film).await.unwrap(), [text]);
    assert_eq!(other.list(&video("unseen")).await.unwrap(), []);
}

async fn a_film_has_one_text_a_language(port: &dyn Texts) {
    let film = video("one");
    let (first, second) = (text("en", None), text("en", Some("better")));
    let mut change = port.change(&film).await.unwrap();
    assert!(!change.put(&first).await.unwrap());
    assert!(!change.put(&text("de", None)).await.unwrap());
    assert!(change.put(&second).await.unwrap());
    let all = change.list().await.unwrap();
    assert_eq!(all, [text("de", None), second.clone()]);
    let german = text("de", None).language;
    assert!(change.remove(&german).await.unwrap());
    assert!(!change.remove(&german).await.unwrap());
    change.commit().await.unwrap();
    assert_eq!(port.list(&film).await.unwrap(), [second]);
}

async fn one_at_a_time_changes_a_film(one: Arc<dyn Texts>, other: Arc<dyn Texts>) {
    let film = video("held");
    let holders = Arc::new(AtomicU32::new(0));
    let changes = (0..12_u8).map(|at| {
        let texts = if at % 2 == 0 { &one } else { &other };
        let (texts, film, holders) = (Arc::clone(texts), film.clone(), Arc::clone(&holders));
        tokio::spawn(async move {
            let mut change = texts.change(&film).await.unwrap();
            assert_eq!(
                holders.fetch_add(1, Ordering::SeqCst),
                0,
                "another holds it"
            );
            let tag = format!("a{}", char::from(b'a' + at));
            change.put(&text(&tag, None)).await.unwrap();
            tokio::task::yield_now().await;
            holders.fetch_sub(1, Ordering::SeqCst);
            change.commit().await.unwrap();
        })
    });
    for outcome in join_all(changes).await {
        outcome.unwrap();
    }
    assert_eq!(one.list(&film).await.unwrap().len(), 12);
}

fn video(id: &str) -> VideoId {
    VideoId::parse(id).unwrap()
}

fn text(tag: &str, label: Option<&str>) -> Text {
    Text {
        language: Language::parse(tag).unwrap(),
        label: label.map(str::to_owned),
        sha256: label.map(|label| Digest::of(label.as_bytes())),
    }
}
