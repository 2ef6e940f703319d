//! What every adapter of [`Nodes`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::fleet::Kind;
use contracts::id::{FeedId, NodeId};
use contracts::time::UnixSeconds;

use super::{Node, Nodes, Sighting};
use crate::members::AHEAD_S;

/// Every promise, on a catalogue without nodes.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(nodes: &dyn Nodes) {
    what_a_node_said_last_is_what_is_known_of_it(nodes).await;
    a_node_that_nobody_heard_of_for_long_is_forgotten(nodes).await;
    what_was_said_by_a_clock_that_was_wrong_does_not_last(nodes).await;
}

fn seen(name: &str, at: u64, applied: u64) -> Sighting {
    Sighting {
        name: NodeId::parse(name).expect("a test's name is one"),
        kind: Kind::Edge,
        at: UnixSeconds(at),
        feed: None,
        applied,
        stops_s: None,
    }
}

async fn list(nodes: &dyn Nodes) -> Vec<Node> {
    nodes.list().await.expect("list")
}

async fn what_a_node_said_last_is_what_is_known_of_it(nodes: &dyn Nodes) {
    assert_eq!(list(nodes).await, []);
    nodes.note(&[]).await.expect("note nothing");
    let (two, one) = (seen("two", 100, 0), seen("one", 100, 7));
    nodes.note(&[two.clone(), one]).await.expect("note");
    let later = Sighting {
        kind: Kind::Shield,
        feed: FeedId::parse("f1").ok(),
        stops_s: Some(60),
        ..seen("one", 110, 5)
    };
    nodes
        .note(std::slice::from_ref(&later))
        .await
        .expect("note");
    let late = [seen("one", 109, 9), seen("two", 100, 0)];
    nodes.note(&late).await.expect("note");
    let known = |last: Sighting| Node {
        first_seen: UnixSeconds(100),
        last,
    };
    assert_eq!(list(nodes).await, [known(later), known(two)]);
}

async fn a_node_that_nobody_heard_of_for_long_is_forgotten(nodes: &dyn Nodes) {
    nodes.note(&[seen("late", 200, 1)]).await.expect("note");
    assert_eq!(nodes.forget(UnixSeconds(110)).await.expect("forget"), 1);
    let left: Vec<String> = list(nodes)
        .await
        .into_iter()
        .map(|node| node.last.name.to_string())
        .collect();
    assert_eq!(left, ["late", "one"]);
}

async fn what_was_said_by_a_clock_that_was_wrong_does_not_last(nodes: &dyn Nodes) {
    let said = async |at, applied| {
        nodes.note(&[seen("one", at, applied)]).await.expect("note");
        let listed = list(nodes).await;
        let one = listed.iter().find(|node| node.last.name.as_str() == "one");
        one.expect("it is listed").last.applied
    };
    assert_eq!(said(5000, 1).await, 1);
    assert_eq!(said(5000 - AHEAD_S, 2).await, 1, "it came late");
    assert_eq!(said(5000 - AHEAD_S - 1, 3).await, 3);
}
