//! What every adapter of [`Sessions`] promises.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a promise that is broken ends the test"
)]

use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;

use super::{NewSession, Repeat, Session, Sessions, Started};

/// Every promise, on a catalogue that is empty.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(sessions: &dyn Sessions) {
    a_session_lives_until_it_is_stopped(sessions).await;
    a_repeated_wish_gives_the_same_session_and_another_wish_none(sessions).await;
    a_key_is_free_again_when_its_session_is_over(sessions).await;
    equal_wishes_at_once_begin_one_session(sessions).await;
    only_living_sessions_are_counted_and_only_expired_ones_forgotten(sessions).await;
}

fn wish(key: &str, digest: &str) -> Option<Repeat> {
    Some(Repeat {
        key: key.into(),
        digest: digest.into(),
    })
}

fn id(text: &str) -> SessionId {
    SessionId::parse(text).expect("a test's id is one")
}

fn new(name: &str, repeat: Option<Repeat>) -> NewSession {
    NewSession {
        id: id(name),
        video: VideoId::parse("film").expect("a test's id is one"),
        started: UnixSeconds(100),
        expires: UnixSeconds(200),
        position_ms: None,
        repeat,
    }
}

async fn begin(sessions: &dyn Sessions, name: &str) -> Session {
    match sessions.start(new(name, None)).await.expect("start") {
        Started::New(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn a_session_lives_until_it_is_stopped(sessions: &dyn Sessions) {
    let begun = begin(sessions, "s1").await;
    assert_eq!(sessions.find(&id("s1")).await.expect("find"), Some(begun));
    let beat = sessions
        .beat(&id("s1"), Some(4000), UnixSeconds(130))
        .await
        .expect("beat")
        .expect("it lives");
    assert_eq!(
        (beat.last_beat, beat.position_ms),
        (UnixSeconds(130), Some(4000))
    );
    let beat = sessions
        .beat(&id("s1"), None, UnixSeconds(140))
        .await
        .expect("beat")
        .expect("it lives");
    assert_eq!(
        (beat.last_beat, beat.position_ms),
        (UnixSeconds(140), Some(4000))
    );
    assert!(
        sessions
            .stop(&id("s1"), UnixSeconds(150))
            .await
            .expect("stop")
    );
    assert!(
        sessions
            .stop(&id("s1"), UnixSeconds(160))
            .await
            .expect("stop again")
    );
    let late = sessions
        .beat(&id("s1"), None, UnixSeconds(170))
        .await
        .expect("beat")
        .expect("it was");
    assert_eq!(
        (late.stopped, late.last_beat),
        (Some(UnixSeconds(150)), UnixSeconds(140))
    );
    assert!(
        !sessions
            .stop(&id("absent"), UnixSeconds(1))
            .await
            .expect("stop")
    );
    assert_eq!(
        sessions
            .beat(&id("absent"), None, UnixSeconds(1))
            .await
            .expect("beat"),
        None
    );
}

async fn a_repeated_wish_gives_the_same_session_and_another_wish_none(sessions: &dyn Sessions) {
    let repeat = |digest: &str| wish("k", digest);
    let first = sessions.start(new("r1", repeat("d"))).await.expect("start");
    let Started::New(first) = first else {
        panic!("{first:?}")
    };
    assert_eq!(
        sessions.start(new("r2", repeat("d"))).await.expect("start"),
        Started::Same(first)
    );
    assert_eq!(
        sessions.start(new("r3", repeat("e"))).await.expect("start"),
        Started::Conflict
    );
    assert_eq!(sessions.find(&id("r2")).await.expect("find"), None);
}

async fn a_key_is_free_again_when_its_session_is_over(sessions: &dyn Sessions) {
    let first = new("f1", wish("free", "d"));
    sessions.start(first.clone()).await.expect("start");
    let later = |name: &str, started| NewSession {
        id: id(name),
        started: UnixSeconds(started),
        expires: UnixSeconds(started + 100),
        ..first.clone()
    };
    let within = sessions.start(later("f2", 199)).await.expect("start");
    assert!(matches!(within, Started::Same(session) if session.id == id("f1")));
    let after = sessions.start(later("f3", 200)).await.expect("start");
    assert!(matches!(after, Started::New(session) if session.id == id("f3")));
    sessions
        .stop(&id("f3"), UnixSeconds(210))
        .await
        .expect("stop");
    let stopped = sessions.start(later("f4", 220)).await.expect("start");
    assert!(matches!(stopped, Started::New(session) if session.id == id("f4")));
    assert!(sessions.find(&id("f1")).await.expect("find").is_some());
}

async fn equal_wishes_at_once_begin_one_session(sessions: &dyn Sessions) {
    let (one, two) = tokio::join!(
        sessions.start(new("e1", wish("equal", "d"))),
        sessions.start(new("e2", wish("equal", "d"))),
    );
    match (one.expect("start"), two.expect("start")) {
        (Started::New(new), Started::Same(same)) | (Started::Same(same), Started::New(new)) => {
            assert_eq!(new, same);
        }
        other => panic!("{other:?}"),
    }
}

async fn only_living_sessions_are_counted_and_only_expired_ones_forgotten(sessions: &dyn Sessions) {
    let far = |name: &str| NewSession {
        expires: UnixSeconds(9000),
        ..new(name, None)
    };
    for name in ["c1", "c2", "c3"] {
        sessions.start(far(name)).await.expect("start");
    }
    sessions
        .stop(&id("c3"), UnixSeconds(8000))
        .await
        .expect("stop");
    let count = async |now| sessions.count(UnixSeconds(now)).await.expect("count");
    assert_eq!((count(8999).await, count(9000).await), (2, 0));
    let forgotten = sessions.forget(UnixSeconds(9000)).await.expect("forget");
    assert!(forgotten >= 1, "the ones before are expired");
    assert!(sessions.find(&id("s1")).await.expect("find").is_none());
    assert!(sessions.find(&id("c1")).await.expect("find").is_some());
    assert_eq!(sessions.forget(UnixSeconds(9001)).await.expect("forget"), 3);
}
