//! What every adapter of [`Plays`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;

use super::{By, Figures, Fold, Hour, Plays, Remembered, Slot, Wanted};

/// Every promise, on a catalogue in which nothing was played.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(plays: Arc<dyn Plays>) {
    a_step_is_taken_once_and_whole(plays.as_ref()).await;
    a_session_that_was_written_meanwhile_undoes_the_step(plays.as_ref()).await;
    counts_are_put_together_as_asked(plays.as_ref()).await;
    what_is_not_needed_is_forgotten_and_views_stay(plays.as_ref()).await;
    errors_are_counted_by_their_codes(plays.as_ref()).await;
    of_many_who_take_the_same_step_at_once_one_does(plays).await;
}

const HOUR: u64 = 3600;

/// A group by its name, its sessions, and its classes of starts.
type Shown = (String, i64, Vec<(u16, i64)>);

fn video(id: &str) -> VideoId {
    VideoId::parse(id).expect("a test's id is one")
}

fn session(id: &str) -> SessionId {
    SessionId::parse(id).expect("a test's id is one")
}

fn slot(hour: u64, id: &str, edge: &str, isp: &str) -> Slot {
    Slot {
        hour_unix_s: hour * HOUR,
        video: video(id),
        edge: edge.to_owned(),
        isp: isp.to_owned(),
    }
}

fn figures(sessions: i64, views: i64, watch_ms: i64, class: u16) -> Figures {
    Figures {
        sessions,
        views,
        watch_ms,
        startup: BTreeMap::from([(class, sessions)]),
        ..Figures::default()
    }
}

fn step(log: &str, from: Option<u64>, to: u64) -> Fold {
    Fold {
        log: log.to_owned(),
        from,
        to,
        sessions: Vec::new(),
        figures: BTreeMap::new(),
    }
}

fn told(id: &str, version: u64, text: &str) -> Remembered {
    Remembered {
        session: session(id),
        version,
        until: UnixSeconds(1000),
        told: text.as_bytes().to_vec(),
    }
}

async fn taken(plays: &dyn Plays, step: &Fold) -> bool {
    plays.fold(step).await.expect("fold")
}

async fn position(plays: &dyn Plays, log: &str) -> Option<u64> {
    plays.position(log).await.expect("position")
}

async fn a_step_is_taken_once_and_whole(plays: &dyn Plays) {
    assert_eq!(position(plays, "one").await, None);
    let mut first = step("one", None, 10);
    first.sessions = vec![told("s1", 0, "a"), told("s2", 0, "b")];
    let place = slot(1, "film", "edge-1", "AS1");
    first
        .figures
        .insert(place.clone(), figures(2, 1, 60_000, 7));
    assert!(taken(plays, &first).await);
    assert!(!taken(plays, &first).await, "the position has moved");
    assert_eq!(position(plays, "one").await, Some(10));
    let mut second = step("one", Some(10), 20);
    second.figures.insert(place, figures(0, -1, 0, 7));
    second
        .figures
        .insert(slot(2, "film", "edge-1", "AS1"), figures(0, 1, 30_000, 7));
    assert!(!taken(plays, &step("one", Some(9), 20)).await);
    assert!(taken(plays, &second).await);
    let hour = |hour, views, watch_ms| Hour {
        hour_unix_s: hour * HOUR,
        views,
        watch_ms,
    };
    let hours = plays.hours(&video("film"), 0, 10 * HOUR).await;
    let expected = [hour(1, 0, 60_000), hour(2, 1, 30_000)];
    assert_eq!(hours.expect("hours"), expected);
    let hours = plays.hours(&video("film"), 2 * HOUR, 2 * HOUR).await;
    assert_eq!(hours.expect("hours"), []);
    assert_eq!(plays.views(&video("film")).await.expect("views"), 1);
    assert_eq!(plays.views(&video("other")).await.expect("views"), 0);
}

async fn a_session_that_was_written_meanwhile_undoes_the_step(plays: &dyn Plays) {
    let ids = [session("s2"), session("s1"), session("nobody")];
    let known = plays.remembered(&ids).await.expect("remembered");
    assert_eq!(known, [told("s1", 1, "a"), told("s2", 1, "b")]);
    assert_eq!(plays.remembered(&[]).await.expect("remembered"), []);
    for version in [0, 2] {
        let mut late = step("two", None, 5);
        late.sessions = vec![told("s1", 1, "x"), told("s2", version, "x")];
        late.figures
            .insert(slot(1, "film", "edge-1", "AS1"), figures(9, 9, 9, 9));
        assert!(!taken(plays, &late).await);
    }
    assert_eq!(position(plays, "two").await, None);
    let known = plays.remembered(&ids).await.expect("remembered");
    assert_eq!(known, [told("s1", 1, "a"), told("s2", 1, "b")]);
    let mut good = step("two", None, 5);
    good.sessions = vec![told("s2", 1, "c")];
    assert!(taken(plays, &good).await);
    let known = plays.remembered(&ids).await.expect("remembered");
    assert_eq!(known, [told("s1", 1, "a"), told("s2", 2, "c")]);
    assert_eq!(plays.views(&video("film")).await.expect("views"), 1);
}

async fn counts_are_put_together_as_asked(plays: &dyn Plays) {
    let mut more = step("one", Some(20), 30);
    let insert = |(hour, id, edge, isp), sessions, class| {
        more.figures
            .insert(slot(hour, id, edge, isp), figures(sessions, 0, 10, class));
    };
    let mut insert = insert;
    insert((5, "a", "edge-1", "AS1"), 3, 4);
    insert((5, "a", "edge-2", "AS2"), 2, 5);
    insert((6, "b", "edge-2", "AS1"), 4, 4);
    insert((9, "a", "edge-1", "AS1"), 100, 1);
    let back = slot(5, "a", "edge-3", "AS3");
    more.figures.insert(back.clone(), figures(1, 0, 10, 4));
    assert!(taken(plays, &more).await);
    let mut taken_back = step("one", Some(30), 40);
    taken_back.figures.insert(back, figures(-1, 0, -10, 0));
    let startup = taken_back.figures.values_mut().next().expect("one");
    startup.startup = BTreeMap::from([(4, -1)]);
    assert!(taken(plays, &taken_back).await);
    let within = Wanted {
        from_unix_s: 5 * HOUR,
        to_unix_s: 9 * HOUR,
        ..Wanted::default()
    };
    let groups = async |by, of: &Wanted, limit| -> Vec<Shown> {
        let groups = plays.groups(by, of, limit).await.expect("groups");
        let shown = |(name, figures): (String, Figures)| {
            (
                name,
                figures.sessions,
                figures.startup.into_iter().collect(),
            )
        };
        groups.into_iter().map(shown).collect()
    };
    let group = |name: &str, sessions, startup: &[(u16, i64)]| {
        (name.to_owned(), sessions, startup.to_vec())
    };
    let all = groups(By::Nothing, &within, 10).await;
    assert_eq!(all, [group("", 9, &[(4, 7), (5, 2)])]);
    let edges = groups(By::Edge, &within, 10).await;
    let edge_2 = group("edge-2", 6, &[(4, 4), (5, 2)]);
    assert_eq!(edges, [edge_2.clone(), group("edge-1", 3, &[(4, 3)])]);
    assert_eq!(groups(By::Edge, &within, 1).await, [edge_2]);
    let hours = groups(By::Hour, &within, 10).await;
    let expected = [
        group("18000", 5, &[(4, 3), (5, 2)]),
        group("21600", 4, &[(4, 4)]),
    ];
    assert_eq!(hours, expected);
    let of_film = Wanted {
        video: Some(video("a")),
        ..within.clone()
    };
    let isps = groups(By::Isp, &of_film, 10).await;
    let expected = [group("AS1", 3, &[(4, 3)]), group("AS2", 2, &[(5, 2)])];
    assert_eq!(isps, expected);
    let of_both = Wanted {
        edge: Some("edge-2".into()),
        isp: Some("AS1".into()),
        ..within
    };
    let videos = groups(By::Video, &of_both, 10).await;
    assert_eq!(videos, [group("b", 4, &[(4, 4)])]);
    let none = Wanted::default();
    assert_eq!(groups(By::Nothing, &none, 10).await, []);
}

async fn what_is_not_needed_is_forgotten_and_views_stay(plays: &dyn Plays) {
    let forgotten = plays.forget(UnixSeconds(1000), UnixSeconds(6 * HOUR)).await;
    assert_eq!(forgotten.expect("forget"), 0);
    let forgotten = plays.forget(UnixSeconds(1001), UnixSeconds(6 * HOUR)).await;
    assert_eq!(forgotten.expect("forget"), 2);
    let all = Wanted {
        to_unix_s: 100 * HOUR,
        ..Wanted::default()
    };
    let left = plays.groups(By::Hour, &all, 10).await.expect("groups");
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["32400", "21600"]);
    assert_eq!(plays.views(&video("film")).await.expect("views"), 1);
}

async fn errors_are_counted_by_their_codes(plays: &dyn Plays) {
    let met = |codes: &[(&str, i64)]| Figures {
        sessions: 1,
        errors: codes.iter().map(|(_, count)| count).sum(),
        codes: codes
            .iter()
            .map(|(code, count)| ((*code).to_owned(), *count))
            .collect(),
        ..Figures::default()
    };
    let mut first = step("codes", None, 10);
    for (edge, codes) in [("e1", [("a", 2), ("b", 1)]), ("e2", [("a", 5), ("c", 4)])] {
        let place = slot(200, "film", edge, "AS1");
        first.figures.insert(place, met(&codes));
    }
    assert!(taken(plays, &first).await);
    let mut second = step("codes", Some(10), 20);
    let mut back = Figures::default();
    back.add(&met(&[("b", 1)]), -1);
    back.add(&met(&[("a", 1)]), 1);
    second.figures.insert(slot(200, "film", "e1", "AS1"), back);
    assert!(taken(plays, &second).await);
    let wanted = Wanted {
        from_unix_s: 200 * HOUR,
        to_unix_s: 201 * HOUR,
        ..Wanted::default()
    };
    let groups = async |by| plays.groups(by, &wanted, 10).await.expect("groups");
    let all = groups(By::Nothing).await;
    let mut sum = met(&[("a", 8), ("c", 4)]);
    sum.sessions = 2;
    assert_eq!(all, [(String::new(), sum)]);
    let edges = groups(By::Edge).await;
    let edge = |name: &str, codes: &[_]| (name.to_owned(), met(codes));
    let expected = [edge("e1", &[("a", 3)]), edge("e2", &[("a", 5), ("c", 4)])];
    assert_eq!(edges, expected);
    let later = UnixSeconds(300 * HOUR);
    plays.forget(UnixSeconds(0), later).await.expect("forget");
    assert_eq!(groups(By::Nothing).await, []);
}

async fn of_many_who_take_the_same_step_at_once_one_does(plays: Arc<dyn Plays>) {
    let mut takers = Vec::new();
    for _ in 0..8 {
        let plays = Arc::clone(&plays);
        let mut same = step("three", None, 5);
        same.sessions = vec![told("s3", 0, "a")];
        same.figures
            .insert(slot(1, "raced", "edge-1", "AS1"), figures(1, 1, 1, 1));
        takers.push(tokio::spawn(async move { plays.fold(&same).await }));
    }
    let mut count = 0;
    for taker in takers {
        let took = taker.await.expect("no panic").expect("fold");
        count += usize::from(took);
    }
    assert_eq!(count, 1);
    assert_eq!(plays.views(&video("raced")).await.expect("views"), 1);
}
