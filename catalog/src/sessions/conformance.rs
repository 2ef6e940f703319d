//! What every adapter of [`Sessions`] promises.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a promise that is broken ends the test"
)]

use std::sync::Arc;

use contracts::id::{SessionId, UserId, VideoId};
use contracts::time::UnixSeconds;
use tokio::task::JoinSet;

use super::{Beat, Cut, Ending, NewSession, Repeat, Seat, Session, Sessions, Started, Watched};

/// Every promise, on a catalogue that is empty.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(shared: Arc<dyn Sessions>) {
    let sessions = shared.as_ref();
    a_session_lives_until_it_is_stopped(sessions).await;
    of_what_is_revoked_edges_are_told_once(sessions).await;
    a_repeated_wish_gives_the_same_session_and_another_wish_none(sessions).await;
    a_key_is_free_again_when_its_session_is_over(sessions).await;
    equal_wishes_at_once_begin_one_session(sessions).await;
    an_account_has_as_many_streams_as_it_may(sessions).await;
    however_many_begin_at_once_no_more_get_a_stream(Arc::clone(&shared)).await;
    a_limit_of_its_own_counts_instead_of_everybody_s(sessions).await;
    a_lost_lease_ends_a_limited_session_and_no_other(sessions).await;
    late_heartbeats_do_not_move_the_position_back(sessions).await;
    an_end_is_put_off_and_never_put_forward(sessions).await;
    an_account_s_sessions_of_some_films_are_cut(sessions).await;
    what_ended_early_is_told_once(sessions).await;
    a_film_s_sessions_end_and_edges_are_not_told_of_each(sessions).await;
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

fn film(text: &str) -> VideoId {
    VideoId::parse(text).expect("a test's id is one")
}

fn user(text: &str) -> UserId {
    UserId::parse(text).expect("a test's id is one")
}

/// A session of an account that may have three streams.
fn of(account: &str, name: &str) -> NewSession {
    NewSession {
        seat: Some(Seat {
            account: user(account),
            limit: Some(3),
        }),
        device: Some(format!("device of {name}")),
        revocable: true,
        ..new(name, None)
    }
}

async fn full(sessions: &dyn Sessions, new: NewSession) -> Vec<Session> {
    match sessions.start(new).await.expect("start") {
        Started::Full(streams) => streams,
        other => panic!("{other:?}"),
    }
}

async fn starts(sessions: &dyn Sessions, new: NewSession) {
    let started = sessions.start(new).await.expect("start");
    assert!(matches!(started, Started::New(_)), "{started:?}");
}

async fn stop(sessions: &dyn Sessions, name: &str, now: u64) -> Option<Session> {
    let (id, now) = (id(name), UnixSeconds(now));
    let stopped = sessions.stop(&id, Ending::Stopped, now).await;
    stopped.expect("stop")
}

/// A heartbeat that prolongs the lease by some seconds.
async fn beat(
    sessions: &dyn Sessions,
    name: &str,
    beat: Beat,
    now: u64,
    more: u64,
) -> Option<Session> {
    let (now, lease) = (UnixSeconds(now), UnixSeconds(now + more));
    let session = sessions.beat(&id(name), beat, now, lease).await;
    session.expect("beat")
}

const fn at(position_ms: u64) -> Beat {
    Beat {
        position_ms: Some(position_ms),
        seq: None,
    }
}

fn new(name: &str, repeat: Option<Repeat>) -> NewSession {
    NewSession {
        id: id(name),
        video: film("film"),
        seat: None,
        device: None,
        started: UnixSeconds(100),
        expires: UnixSeconds(200),
        lease: UnixSeconds(190),
        position_ms: None,
        terms: Some("some words".into()),
        revocable: false,
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
    assert_eq!(begun.terms.as_deref(), Some("some words"));
    assert_eq!(sessions.find(&id("s1")).await.expect("find"), Some(begun));
    let beat = async |name, said, now| beat(sessions, name, said, now, 50).await;
    let lives = beat("s1", at(4000), 130).await.expect("it lives");
    assert_eq!(
        (lives.last_beat, lives.lease, lives.position_ms),
        (UnixSeconds(130), UnixSeconds(180), Some(4000))
    );
    // Nothing is lost with the lease of a session that counts against no limit.
    let lives = beat("s1", Beat::default(), 185).await.expect("it lives");
    assert_eq!(
        (lives.last_beat, lives.position_ms),
        (UnixSeconds(185), Some(4000))
    );
    assert!(lives.lives(UnixSeconds(199)) && !lives.lives(UnixSeconds(200)));
    for now in [190, 191] {
        let stopped = stop(sessions, "s1", now).await.expect("it was");
        assert_eq!(stopped.ended, Some((UnixSeconds(190), Ending::Stopped)));
    }
    let late = beat("s1", at(9000), 195).await.expect("it was");
    assert!(!late.lives(UnixSeconds(195)));
    assert_eq!(
        (late.last_beat, late.position_ms),
        (UnixSeconds(185), Some(4000))
    );
    assert_eq!(stop(sessions, "absent", 1).await, None);
    assert_eq!(beat("absent", Beat::default(), 1).await, None);
}

async fn of_what_is_revoked_edges_are_told_once(sessions: &dyn Sessions) {
    let untold = async || {
        let untold = sessions.untold(UnixSeconds(150), 9).await.expect("untold");
        let ids = untold.into_iter().map(|session| session.id);
        ids.filter(|known| *known == id("revoked"))
            .collect::<Vec<_>>()
    };
    let revoke = async |now| sessions.revoke(&id("revoked"), UnixSeconds(now)).await;
    begin(sessions, "revoked").await;
    revoke(110).await.expect("revoke");
    assert_eq!(untold().await, [], "it lives");
    stop(sessions, "revoked", 120).await.expect("it was");
    assert_eq!(untold().await, [], "nobody in particular began it");
    revoke(200).await.expect("revoke");
    assert_eq!(untold().await, [], "its token counts no more");
    revoke(130).await.expect("revoke");
    let told = untold().await;
    assert_eq!(told, [id("revoked")]);
    sessions.told(&told).await.expect("told");
    revoke(140).await.expect("revoke");
    assert_eq!(untold().await, [], "they were told");
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
    stop(sessions, "f3", 210).await;
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

async fn an_account_has_as_many_streams_as_it_may(sessions: &dyn Sessions) {
    for name in ["a1", "a2", "a3"] {
        starts(sessions, of("ann", name)).await;
    }
    let streams = full(sessions, of("ann", "a4")).await;
    let told: Vec<_> = streams.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(told, ["a1", "a2", "a3"]);
    assert_eq!(
        streams.first().and_then(|one| one.device.as_deref()),
        Some("device of a1")
    );
    assert_eq!(sessions.find(&id("a4")).await.expect("find"), None);
    starts(sessions, of("ben", "b1")).await;
    stop(sessions, "a2", 110).await;
    starts(sessions, of("ann", "a5")).await;
    full(sessions, of("ann", "a6")).await;
    // The same wish is one stream.
    let mut again = of("ben", "b2");
    again.repeat = wish("ben/k", "d");
    starts(sessions, again.clone()).await;
    starts(sessions, of("ben", "b3")).await;
    again.id = id("b4");
    let same = sessions.start(again).await.expect("start");
    assert!(matches!(same, Started::Same(session) if session.id == id("b2")));
    let count = async |account, now| {
        let streams = sessions.streams(&user(account), UnixSeconds(now)).await;
        streams.expect("streams").len()
    };
    assert_eq!((count("ben", 189).await, count("ben", 190).await), (3, 0));
}

async fn however_many_begin_at_once_no_more_get_a_stream(sessions: Arc<dyn Sessions>) {
    let mut starts = JoinSet::new();
    for number in 0..50 {
        let sessions = Arc::clone(&sessions);
        starts.spawn(async move { sessions.start(of("dan", &format!("d{number}"))).await });
    }
    let (mut new, mut refused) = (0, 0);
    while let Some(started) = starts.join_next().await {
        match started.expect("a start ends").expect("start") {
            Started::New(_) => new += 1,
            Started::Full(streams) => {
                assert_eq!(streams.len(), 3);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, refused), (3, 47));
}

async fn a_limit_of_its_own_counts_instead_of_everybody_s(sessions: &dyn Sessions) {
    let eve = user("eve");
    let set = async |limit| sessions.set_limit(&eve, limit).await.expect("set");
    assert_eq!(sessions.limit(&eve).await.expect("limit"), None);
    set(Some(1)).await;
    assert_eq!(sessions.limit(&eve).await.expect("limit"), Some(1));
    starts(sessions, of("eve", "v1")).await;
    full(sessions, of("eve", "v2")).await;
    set(Some(0)).await;
    for name in ["v3", "v4", "v5"] {
        starts(sessions, of("eve", name)).await;
    }
    set(None).await;
    assert_eq!(full(sessions, of("eve", "v6")).await.len(), 4);
}

async fn a_lost_lease_ends_a_limited_session_and_no_other(sessions: &dyn Sessions) {
    for name in ["l1", "l2", "l3"] {
        starts(sessions, of("lea", name)).await;
    }
    let free = NewSession {
        seat: Some(Seat {
            account: user("lou"),
            limit: None,
        }),
        ..of("lou", "l4")
    };
    starts(sessions, free).await;
    let beat = async |name, now| beat(sessions, name, Beat::default(), now, 9).await;
    assert!(
        beat("l1", 189)
            .await
            .is_some_and(|one| one.lives(UnixSeconds(190)))
    );
    let lost = beat("l2", 190).await.expect("it was");
    assert_eq!(lost.ended, Some((UnixSeconds(190), Ending::LeaseLost)));
    let other = beat("l4", 191).await.expect("it was");
    assert!(other.lives(UnixSeconds(191)));
    // Who comes next finds its place, and l3 gets it back no more.
    let later = |name| NewSession {
        started: UnixSeconds(192),
        lease: UnixSeconds(199),
        ..of("lea", name)
    };
    starts(sessions, later("l5")).await;
    starts(sessions, later("l6")).await;
    full(sessions, later("l7")).await;
    let lost = sessions
        .find(&id("l3"))
        .await
        .expect("find")
        .expect("it was");
    assert_eq!(lost.ended, Some((UnixSeconds(192), Ending::LeaseLost)));
    sessions.excuse(UnixSeconds(199)).await.expect("excuse");
    assert_eq!(sessions.lapse(UnixSeconds(198)).await.expect("lapse"), 0);
    assert!(sessions.lapse(UnixSeconds(199)).await.expect("lapse") >= 1);
    assert_eq!(sessions.lapse(UnixSeconds(199)).await.expect("lapse"), 0);
    let lapsed = sessions
        .find(&id("l1"))
        .await
        .expect("find")
        .expect("it was");
    assert_eq!(lapsed.ended, Some((UnixSeconds(199), Ending::LeaseLost)));
}

async fn late_heartbeats_do_not_move_the_position_back(sessions: &dyn Sessions) {
    begin(sessions, "q1").await;
    let said = async |position_ms, seq| {
        let session = beat(sessions, "q1", Beat { position_ms, seq }, 110, 50).await;
        session.and_then(|session| session.position_ms)
    };
    assert_eq!(said(Some(1000), Some(1)).await, Some(1000));
    assert_eq!(said(Some(3000), Some(3)).await, Some(3000));
    assert_eq!(said(Some(2000), Some(2)).await, Some(3000));
    assert_eq!(said(Some(9000), Some(3)).await, Some(3000));
    assert_eq!(said(None, Some(5)).await, Some(3000));
    assert_eq!(said(Some(4000), Some(4)).await, Some(3000));
    // Seeking back is no late heartbeat.
    assert_eq!(said(Some(500), Some(6)).await, Some(500));
    assert_eq!(said(Some(700), None).await, Some(700));
}

async fn an_end_is_put_off_and_never_put_forward(sessions: &dyn Sessions) {
    begin(sessions, "p1").await;
    let prolong = async |to, now| {
        let id = id("p1");
        let prolonged = sessions.prolong(&id, UnixSeconds(to), UnixSeconds(now));
        let prolonged = prolonged.await.expect("prolong");
        assert_eq!(sessions.find(&id).await.expect("find"), prolonged);
        prolonged.map(|session| (session.expires.0, session.lives(UnixSeconds(now))))
    };
    assert_eq!(prolong(300, 199).await, Some((300, true)));
    assert_eq!(prolong(250, 200).await, Some((300, true)));
    assert_eq!(prolong(400, 300).await, Some((300, false)), "it is over");
    // Who wants to prolong what another ended meanwhile is told so.
    stop(sessions, "p1", 250).await;
    assert_eq!(prolong(400, 250).await, Some((300, false)));
    let absent = id("absent");
    let absent = sessions.prolong(&absent, UnixSeconds(2), UnixSeconds(1));
    assert_eq!(absent.await.expect("prolong"), None);
}

async fn an_account_s_sessions_of_some_films_are_cut(sessions: &dyn Sessions) {
    let other = |name| NewSession {
        video: film("other"),
        terms: Some("terms".into()),
        ..of("gus", name)
    };
    starts(sessions, of("gus", "g1")).await;
    starts(sessions, other("g2")).await;
    starts(sessions, other("g4")).await;
    starts(sessions, of("gil", "g3")).await;
    let watched = async |now| {
        let watched = sessions.watched(&user("gus"), UnixSeconds(now)).await;
        let told = |one: Watched| (one.video, one.terms);
        let told = watched.expect("watched").into_iter().map(told);
        told.collect::<Vec<_>>()
    };
    let of = |video, terms: &str| (film(video), Some(terms.to_owned()));
    let (one, other) = (of("film", "some words"), of("other", "terms"));
    assert_eq!(watched(110).await, [one, other.clone()]);
    let cut = Cut {
        account: user("gus"),
        videos: vec![film("film"), film("third")],
        why: Ending::NotEntitled,
    };
    for count in [1, 0] {
        let ended = sessions.cut(&cut, UnixSeconds(120)).await.expect("cut");
        assert_eq!(ended, count);
    }
    let ended = async |name| {
        sessions
            .find(&id(name))
            .await
            .expect("find")
            .and_then(|one| one.ended)
    };
    assert_eq!(
        ended("g1").await,
        Some((UnixSeconds(120), Ending::NotEntitled))
    );
    assert_eq!((ended("g2").await, ended("g3").await), (None, None));
    assert_eq!(watched(130).await, [other]);
}

async fn what_ended_early_is_told_once(sessions: &dyn Sessions) {
    let names = async |now, limit| {
        let untold = sessions
            .untold(UnixSeconds(now), limit)
            .await
            .expect("untold");
        untold
            .into_iter()
            .map(|session| session.id)
            .collect::<Vec<_>>()
    };
    let before = names(100, 1000).await;
    sessions.told(&before).await.expect("told");
    sessions.told(&[]).await.expect("told of none");
    begin(sessions, "u0").await;
    starts(sessions, of("una", "u1")).await;
    starts(sessions, of("una", "u2")).await;
    assert_eq!(names(110, 9).await, []);
    for (name, now) in [("u0", 120), ("u2", 121), ("u1", 122)] {
        stop(sessions, name, now).await;
    }
    assert_eq!(names(199, 9).await, [id("u2"), id("u1")]);
    assert_eq!(names(199, 1).await, [id("u2")]);
    assert_eq!(names(200, 9).await, [], "its token is over");
    sessions.told(&[id("u2")]).await.expect("told");
    assert_eq!(names(130, 9).await, [id("u1")]);
    sessions.told(&[id("u1")]).await.expect("told");
}

async fn a_film_s_sessions_end_and_edges_are_not_told_of_each(sessions: &dyn Sessions) {
    let of_film = |name: &str, film_id: &str| NewSession {
        video: film(film_id),
        repeat: wish(name, "d"),
        ..of("kim", name)
    };
    starts(sessions, of_film("k1", "gone")).await;
    starts(sessions, of_film("k2", "gone")).await;
    starts(sessions, of_film("k3", "stays")).await;
    stop(sessions, "k1", 110).await;
    let end_all = async |now| {
        let ended = sessions.end_all(&film("gone"), UnixSeconds(now)).await;
        ended.expect("end")
    };
    assert_eq!((end_all(120).await, end_all(121).await), (1, 0));
    let found = sessions.find(&id("k2")).await.expect("find");
    let ended = found.and_then(|session| session.ended);
    assert_eq!(ended, Some((UnixSeconds(120), Ending::Stopped)));
    let untold = sessions.untold(UnixSeconds(130), 9).await.expect("untold");
    let untold: Vec<_> = untold.into_iter().map(|session| session.id).collect();
    assert_eq!(untold, [id("k1")], "which ended before its film");
    sessions.told(&untold).await.expect("told");
    // Their streams and their keys are free.
    let again = NewSession {
        repeat: wish("k2", "d"),
        ..of_film("k4", "stays")
    };
    starts(sessions, again).await;
    starts(sessions, of_film("k5", "stays")).await;
    full(sessions, of_film("k6", "stays")).await;
}

async fn only_living_sessions_are_counted_and_only_expired_ones_forgotten(sessions: &dyn Sessions) {
    let far = |name: &str| NewSession {
        expires: UnixSeconds(9000),
        ..new(name, None)
    };
    for name in ["c1", "c2", "c3"] {
        sessions.start(far(name)).await.expect("start");
    }
    stop(sessions, "c3", 8000).await;
    let count = async |now| sessions.count(UnixSeconds(now)).await.expect("count");
    assert_eq!((count(8999).await, count(9000).await), (2, 0));
    let forgotten = sessions.forget(UnixSeconds(9000)).await.expect("forget");
    assert!(forgotten >= 1, "the ones before are expired");
    assert!(sessions.find(&id("s1")).await.expect("find").is_none());
    assert!(sessions.find(&id("c1")).await.expect("find").is_some());
    assert_eq!(sessions.forget(UnixSeconds(9001)).await.expect("forget"), 3);
}
