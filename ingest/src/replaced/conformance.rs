//! The promises of the memory of replaced generations, as tests that any adapter runs against its real engine.

#![expect(
    clippy::unwrap_used,
    reason = "a broken promise ends the test that found it"
)]

use contracts::{
    id::{Generation, VideoId},
    time::UnixSeconds,
};

use super::{Replaced, Replacements};

/// Runs every promise against `port`, which is empty, and panics at the first that is broken.
pub async fn all(port: &dyn Replacements) {
    what_is_noted_is_remembered_once(port).await;
    those_are_listed_that_are_due(port).await;
    of_two_who_change_one_at_once_one_does(port).await;
}

async fn what_is_noted_is_remembered_once(port: &dyn Replacements) {
    let (film, other) = (video("noted"), video("other"));
    for generation in [2, 1, 2] {
        port.note(&film, Generation(generation)).await.unwrap();
    }
    assert_eq!(
        port.of(&film).await.unwrap(),
        [Generation(1), Generation(2)]
    );
    assert_eq!(port.of(&other).await.unwrap(), []);
    for found in port.due(UnixSeconds(0), 9).await.unwrap() {
        assert_eq!(
            (found.due, found.since, found.purge),
            (UnixSeconds(0), None, None)
        );
        port.forget(&found).await.unwrap();
    }
    assert_eq!(port.of(&film).await.unwrap(), []);
}

async fn those_are_listed_that_are_due(port: &dyn Replacements) {
    let film = video("due");
    for (generation, due) in [(1, 30), (2, 10), (3, 20)] {
        port.note(&film, Generation(generation)).await.unwrap();
        let before = &port.due(UnixSeconds(0), 9).await.unwrap().remove(0);
        let after = Replaced {
            due: UnixSeconds(due),
            since: Some(UnixSeconds(5)),
            purge: Some(1_700_000_000_000),
            ..before.clone()
        };
        assert!(port.advance(before, &after).await.unwrap());
        let kept = port.due(UnixSeconds(due), 9).await.unwrap();
        assert!(kept.contains(&after), "{kept:?}");
        // Noted again, it stays as far as it is.
        port.note(&film, Generation(generation)).await.unwrap();
    }
    let listed = async |now, limit| -> Vec<u32> {
        let due = port.due(UnixSeconds(now), limit).await.unwrap();
        due.iter().map(|found| found.generation.0).collect()
    };
    assert_eq!(listed(9, 9).await, [0; 0]);
    assert_eq!(listed(20, 9).await, [2, 3]);
    assert_eq!(listed(99, 2).await, [2, 3]);
    for found in port.due(UnixSeconds(99), 9).await.unwrap() {
        port.forget(&found).await.unwrap();
    }
}

async fn of_two_who_change_one_at_once_one_does(port: &dyn Replacements) {
    port.note(&video("both"), Generation(1)).await.unwrap();
    let found = port.due(UnixSeconds(0), 9).await.unwrap().remove(0);
    let later = |due| Replaced {
        due: UnixSeconds(due),
        ..found.clone()
    };
    assert!(port.advance(&found, &later(7)).await.unwrap());
    assert!(!port.advance(&found, &later(8)).await.unwrap());
    port.forget(&found).await.unwrap();
    assert_eq!(port.due(UnixSeconds(9), 9).await.unwrap(), [later(7)]);
    port.forget(&later(7)).await.unwrap();
    assert_eq!(port.due(UnixSeconds(9), 9).await.unwrap(), []);
}

fn video(name: &str) -> VideoId {
    VideoId::parse(&format!("video-{name}")).unwrap()
}
