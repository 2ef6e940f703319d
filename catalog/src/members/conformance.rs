//! What every adapter of [`Members`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use std::sync::Arc;

use contracts::fleet::{Announce, Heartbeat, Network, Origin};
use contracts::id::{JoinId, NodeId};
use contracts::time::UnixSeconds;

use super::{Beat, Change, Join, Member, Members, Newcomer, Terms};
use crate::digest::SecretDigest;
use crate::error::Error;

/// Every promise, on a catalogue without nodes that have enrolled.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(members: Arc<dyn Members>) {
    a_join_is_known_by_its_secret_until_it_expires_or_is_taken_back(&*members).await;
    a_secret_counts_for_one_key(&*members).await;
    joins_that_are_left_lapse_when_their_node_enrols(&*members).await;
    of_two_who_enrol_at_once_with_one_secret_one_does(&members).await;
    a_node_gives_way_to_one_of_its_name_that_enrols_later(&*members).await;
    a_node_changes_by_its_own_words_and_by_an_operator_s(&*members).await;
    a_node_that_moves_is_to_be_found_to_serve_anew(&*members).await;
    heartbeats_count_until_a_silence(&*members).await;
    a_dismissed_node_stays_so_until_it_is_forgotten(&*members).await;
}

const NOW: UnixSeconds = UnixSeconds(1000);

fn node(name: &str) -> NodeId {
    NodeId::parse(name).expect("a test's name is one")
}

fn digest(secret: &str) -> SecretDigest {
    SecretDigest::of(secret)
}

fn join(id: &str, name: &str) -> Join {
    let network = |text| Network::parse(text).expect("a test's network is one");
    Join {
        id: JoinId::parse(id).expect("a test's id is one"),
        node: node(name),
        terms: Terms {
            site: "isp-1".to_owned(),
            region: "north".to_owned(),
            prefixes: vec![network("192.0.2.0/24"), network("2001:db8::/32")],
            weight: None,
            priority: 0,
            partner: true,
            protected: false,
            probe: true,
        },
        created: UnixSeconds(900),
        expires: UnixSeconds(2000),
        used: false,
    }
}

fn newcomer(key: &str) -> Newcomer {
    Newcomer {
        key: key.to_owned(),
        announce: Announce {
            base: Origin::parse("https://edge.isp.example").expect("a test's base is one"),
            plain: None,
            prefixes: Vec::new(),
            capacity_bps: 10_000_000_000,
            withholds: false,
            version: "1".to_owned(),
        },
        certificate_ends: UnixSeconds(5000),
    }
}

async fn invited(members: &dyn Members, id: &str, name: &str) {
    let invited = members.invite(&join(id, name), &digest(id)).await;
    invited.expect("invite");
}

async fn enrolled(members: &dyn Members, secret: &str, key: &str) -> Option<Member> {
    let enrolled = members.enrol(&digest(secret), &newcomer(key), NOW).await;
    enrolled.expect("enrol")
}

async fn found(members: &dyn Members, name: &str) -> Member {
    let found = members.find(&node(name)).await.expect("find");
    found.expect("there is such a node")
}

async fn activate(members: &dyn Members, name: &str, now: u64) {
    let revision = found(members, name).await.revision;
    let (name, now) = (node(name), UnixSeconds(now));
    let activated = members.activate(&name, revision, now).await;
    activated.expect("activate");
}

async fn joins_that_are_left_lapse_when_their_node_enrols(members: &dyn Members) {
    for id in ["left-1", "left-2"] {
        invited(members, id, "left").await;
    }
    assert!(enrolled(members, "left-2", "ours").await.is_some());
    assert_eq!(enrolled(members, "left-1", "finder").await, None);
    assert_eq!(found(members, "left").await.key, "ours");
}

async fn a_join_is_known_by_its_secret_until_it_expires_or_is_taken_back(members: &dyn Members) {
    let (one, two) = (join("j1", "a-1"), join("j2", "a-2"));
    members.invite(&one, &digest("j1")).await.expect("invite");
    members.invite(&two, &digest("j2")).await.expect("invite");
    for (id, secret) in [("j1", "new"), ("new", "j1")] {
        let again = members.invite(&join(id, "a-3"), &digest(secret)).await;
        assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    }
    let find = async |secret, now| {
        let found = members.join(&digest(secret), UnixSeconds(now)).await;
        found.expect("join")
    };
    assert_eq!(find("j1", 1999).await.as_ref(), Some(&one));
    assert_eq!(find("j1", 2000).await, None);
    assert_eq!(find("j3", 1000).await, None);
    assert_eq!(members.joins(NOW).await.expect("joins"), [one, two.clone()]);
    assert!(members.withdraw(&two.id).await.expect("withdraw"));
    assert!(!members.withdraw(&two.id).await.expect("withdraw again"));
    assert_eq!(enrolled(members, "j2", "k").await, None);
    let late = UnixSeconds(2000);
    let late = members.enrol(&digest("j1"), &newcomer("k"), late).await;
    assert_eq!(late.expect("enrol"), None);
}

async fn a_secret_counts_for_one_key(members: &dyn Members) {
    let first = enrolled(members, "j1", "k1").await.expect("enrolled");
    assert_eq!((first.name.as_str(), first.key.as_str()), ("a-1", "k1"));
    assert_eq!(first.terms, join("j1", "a-1").terms);
    assert_eq!((first.activated, first.dismissed), (None, None));
    assert_eq!(first.certificate_ends, UnixSeconds(5000));
    assert_eq!(enrolled(members, "j1", "k2").await, None);
    // Its answer was lost, and it asks again.
    let again = enrolled(members, "j1", "k1").await.expect("enrolled");
    assert_eq!(again, first);
    let joins = members.joins(NOW).await.expect("joins");
    assert!(joins.iter().all(|join| join.used));
}

async fn of_two_who_enrol_at_once_with_one_secret_one_does(members: &Arc<dyn Members>) {
    invited(&**members, "j4", "twice").await;
    let enrol = |key: &'static str| {
        let members = Arc::clone(members);
        tokio::spawn(async move { enrolled(&*members, "j4", key).await })
    };
    let (one, two) = (enrol("k3"), enrol("k4"));
    let one = one.await.expect("the first ends");
    let two = two.await.expect("the second ends");
    assert!(one.is_some() != two.is_some(), "{one:?} {two:?}");
}

async fn a_node_gives_way_to_one_of_its_name_that_enrols_later(members: &dyn Members) {
    let name = node("a-1");
    activate(members, "a-1", 1100).await;
    let ends = UnixSeconds(9000);
    assert!(members.certify(&name, "k1", ends).await.expect("certify"));
    invited(members, "j5", "a-1").await;
    let next = enrolled(members, "j5", "k5").await.expect("enrolled");
    assert_eq!((next.key.as_str(), next.activated), ("k5", None));
    assert_eq!(
        next.certificate_ends, ends,
        "the old key's certificate counts"
    );
    let before = enrolled(members, "j1", "k1").await;
    assert_eq!(before, None, "the old key has no node any more");
    let announce = newcomer("k1").announce;
    assert!(
        !members
            .announce(&name, "k1", &announce)
            .await
            .expect("announce")
    );
    assert!(!members.certify(&name, "k1", ends).await.expect("certify"));
}

async fn a_node_changes_by_its_own_words_and_by_an_operator_s(members: &dyn Members) {
    let name = node("a-1");
    let before = found(members, "a-1").await;
    let announce = Announce {
        version: "2".to_owned(),
        ..newcomer("k5").announce
    };
    assert!(
        members
            .announce(&name, "k5", &announce)
            .await
            .expect("announce")
    );
    let stale = members.activate(&name, before.revision, NOW).await;
    stale.expect("activate as it was");
    assert_eq!(found(members, "a-1").await.activated, None);
    activate(members, "a-1", 1200).await;
    activate(members, "a-1", 1300).await;
    let wish = Change {
        drain: Some(true),
        weight: Some(7),
        priority: None,
    };
    let changed = members.change(&name, &wish).await.expect("change");
    let after = found(members, "a-1").await;
    assert_eq!(changed.map(|changed| changed.drain), Some(true));
    assert_eq!((after.drain, after.terms.weight), (true, Some(7)));
    assert_eq!(after.activated, Some(UnixSeconds(1200)));
    assert_eq!(after.announce, announce);
    assert!(after.revision > before.revision);
    let undo = Change {
        drain: Some(false),
        ..Change::default()
    };
    members.change(&name, &undo).await.expect("change");
    let after = found(members, "a-1").await;
    assert_eq!((after.drain, after.terms.weight), (false, Some(7)));
    let nobody = members.change(&node("nobody"), &undo).await;
    assert_eq!(nobody.expect("change"), None);
}

async fn a_node_that_moves_is_to_be_found_to_serve_anew(members: &dyn Members) {
    let name = node("a-1");
    let announces = async |announce: &Announce| {
        let noted = members.announce(&name, "k5", announce).await;
        assert!(noted.expect("announce"));
        found(members, "a-1").await.activated
    };
    let mut announce = found(members, "a-1").await.announce;
    announce.capacity_bps += 1;
    assert_eq!(announces(&announce).await, Some(UnixSeconds(1200)));
    let origin = |text| Origin::parse(text).expect("a test's base is one");
    announce.base = origin("https://moved.isp.example");
    assert_eq!(announces(&announce).await, None);
    activate(members, "a-1", 1300).await;
    announce.plain = Some(origin("http://moved.isp.example"));
    assert_eq!(announces(&announce).await, None);
    activate(members, "a-1", 1300).await;
    assert_eq!(announces(&announce).await, Some(UnixSeconds(1300)));
}

fn beat(name: &str, first: u64, last: u64, count: u64) -> Beat {
    Beat {
        name: node(name),
        key: "k5".to_owned(),
        first: UnixSeconds(first),
        last: UnixSeconds(last),
        count,
        said: Heartbeat {
            applied: last,
            ..Heartbeat::default()
        },
    }
}

async fn heartbeats_count_until_a_silence(members: &dyn Members) {
    let pulse = async || {
        let pulses = members.pulses().await.expect("pulses");
        let ours = pulses.into_iter().find(|(name, ..)| *name == node("a-1"));
        let (_, revision, pulse) = ours.expect("the node is among them");
        assert_eq!(revision, found(members, "a-1").await.revision);
        pulse.map(|pulse| (pulse.last.0, pulse.beats, pulse.said.applied))
    };
    assert_eq!(pulse().await, None);
    members.note(&[], 20).await.expect("note nothing");
    for (first, last, count, expected) in [
        (1000, 1000, 1, (1000, 1, 1000)),
        (1005, 1010, 2, (1010, 3, 1010)),
        // Of another control plane, written down later.
        (1007, 1007, 1, (1010, 4, 1010)),
        (1030, 1030, 1, (1030, 5, 1030)),
        (1051, 1056, 2, (1056, 2, 1056)),
        // Of one whose clock is wrong, and then of one whose clock is right.
        (9000, 9000, 1, (9000, 1, 9000)),
        (1060, 1060, 1, (1060, 1, 1060)),
        (1120, 1120, 1, (1120, 1, 1120)),
        (1060, 1060, 1, (1120, 2, 1120)),
    ] {
        let beats = [beat("a-1", first, last, count), beat("nobody", 1, 1, 1)];
        members.note(&beats, 20).await.expect("note");
        assert_eq!(pulse().await, Some(expected), "at {last}");
    }
    let former = Beat {
        key: "k1".to_owned(),
        ..beat("a-1", 1121, 1121, 1)
    };
    members.note(&[former], 20).await.expect("note");
    assert_eq!(pulse().await, Some((1120, 2, 1120)), "it is another's");
}

async fn a_dismissed_node_stays_so_until_it_is_forgotten(members: &dyn Members) {
    let name = node("a-1");
    invited(members, "j6", "a-1").await;
    let dismissed = members.dismiss(&name, UnixSeconds(1400)).await;
    let dismissed = dismissed.expect("dismiss").expect("there is one");
    assert_eq!(dismissed.dismissed, Some(UnixSeconds(1400)));
    let again = members.dismiss(&name, UnixSeconds(1500)).await;
    assert_eq!(again.expect("dismiss"), Some(dismissed));
    let nobody = members.dismiss(&node("nobody"), NOW).await;
    assert_eq!(nobody.expect("dismiss"), None);
    // Neither what it had nor what was handed out before lets it back.
    assert_eq!(enrolled(members, "j5", "k5").await, None);
    assert_eq!(enrolled(members, "j6", "k6").await, None);
    let announce = newcomer("k5").announce;
    assert!(
        !members
            .announce(&name, "k5", &announce)
            .await
            .expect("announce")
    );
    let drain = Change::default();
    assert_eq!(members.change(&name, &drain).await.expect("change"), None);
    let invited_anew = members.invite(&join("j7", "a-1"), &digest("j7")).await;
    assert!(matches!(invited_anew, Err(Error::Exists { .. })));
    let forget = async |limit| {
        let forgotten = members.forget(UnixSeconds(2000), UnixSeconds(limit)).await;
        forgotten.expect("forget");
        let names = members.list().await.expect("list");
        let names: Vec<String> = names.into_iter().map(|one| one.name.to_string()).collect();
        names
    };
    assert_eq!(forget(9000).await, ["a-1", "left", "twice"]);
    assert_eq!(forget(9001).await, ["left", "twice"]);
    assert_eq!(members.joins(NOW).await.expect("joins"), []);
    invited(members, "j8", "a-1").await;
}
