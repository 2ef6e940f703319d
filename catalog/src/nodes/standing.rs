//! How far an order has come: from what nodes have said, to who still may serve what it purged.

use contracts::fleet::Kind;
use contracts::id::{FeedId, NodeId};
use contracts::time::UnixSeconds;

use super::{Node, Sighting};

/// Beyond what a node says of itself: the second that its words are dated by, and the moment until they are written.
const ROUNDING_S: u64 = 2;

/// For so long after a question a node counts as connected: answers are held back for less.
pub const CONNECTED_S: u64 = 40;

/// How far an order has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The nodes that have applied it.
    pub acked: Vec<NodeId>,
    /// Those that have not said so.
    pub pending: Vec<Pending>,
    /// What follows.
    pub state: State,
}

/// A node that has not said that it has applied an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its name.
    pub name: NodeId,
    /// What it is.
    pub kind: Kind,
    /// When it was last heard of.
    pub last_seen: UnixSeconds,
    /// By when it stops serving what it does not know to be purged, should it not be heard of again; `None`: never.
    pub stops: Option<UnixSeconds>,
}

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Some node may still serve what was purged.
    Pending,
    /// Not every node has said that it has applied it, and those that have not have stopped.
    Bounded,
    /// Every node has applied it.
    Complete,
}

impl Standing {
    /// Judges an order of a feed, by what nodes said last.
    #[must_use]
    pub fn of(seq: u64, feed: &FeedId, nodes: Vec<Node>, now: UnixSeconds) -> Self {
        // The number of another feed says nothing of this one's orders.
        let has = |last: &Sighting| last.feed.as_ref() == Some(feed) && last.applied >= seq;
        let (acked, pending): (Vec<Node>, Vec<Node>) =
            nodes.into_iter().partition(|node| has(&node.last));
        let pending: Vec<Pending> = pending.into_iter().map(|node| still(node.last)).collect();
        let stopped = |node: &Pending| node.stops.is_some_and(|stops| stops <= now);
        let state = match () {
            () if pending.is_empty() => State::Complete,
            () if pending.iter().all(stopped) => State::Bounded,
            () => State::Pending,
        };
        Self {
            acked: acked.into_iter().map(|node| node.last.name).collect(),
            pending,
            state,
        }
    }

    /// Whether every node that is connected has applied it.
    #[must_use]
    pub fn is_settled(&self, now: UnixSeconds) -> bool {
        let heard_of = |node: &Pending| now < node.last_seen.plus(CONNECTED_S);
        !self.pending.iter().any(heard_of)
    }

    /// By when the last of the nodes that are pending has stopped; `None` when one never does, or none is pending.
    #[must_use]
    pub fn bounded(&self) -> Option<UnixSeconds> {
        let stops: Option<Vec<UnixSeconds>> = self.pending.iter().map(|node| node.stops).collect();
        stops?.into_iter().max()
    }
}

impl State {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Bounded => "bounded",
            Self::Complete => "complete",
        }
    }
}

fn still(last: Sighting) -> Pending {
    let stops = last
        .stops_s
        .map(|span| last.at.plus(span.saturating_add(ROUNDING_S)));
    Pending {
        name: last.name,
        kind: last.kind,
        last_seen: last.at,
        stops,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, feed: &str, applied: u64, stops_s: Option<u64>) -> Node {
        let last = Sighting {
            name: NodeId::parse(name).unwrap(),
            kind: Kind::Edge,
            at: UnixSeconds(100),
            feed: FeedId::parse(feed).ok(),
            applied,
            stops_s,
        };
        Node {
            first_seen: UnixSeconds(0),
            last,
        }
    }

    fn at(now: u64, nodes: Vec<Node>) -> Standing {
        Standing::of(7, &FeedId::parse("f1").unwrap(), nodes, UnixSeconds(now))
    }

    #[test]
    fn an_order_is_complete_once_every_node_has_applied_it() {
        let standing = at(
            100,
            vec![node("a", "f1", 7, None), node("b", "f1", 9, Some(60))],
        );
        assert_eq!(
            (standing.state, standing.bounded()),
            (State::Complete, None)
        );
        assert_eq!(standing.acked.len(), 2);
        assert_eq!(at(100, vec![]).state, State::Complete);
    }

    #[test]
    fn what_a_node_has_applied_of_another_feed_does_not_count() {
        for (feed, applied) in [("f1", 6), ("f2", 9), ("", 9)] {
            let standing = at(100, vec![node("a", feed, applied, Some(60))]);
            assert_eq!(standing.state, State::Pending, "{feed} {applied}");
        }
    }

    #[test]
    fn an_order_is_bounded_once_the_last_of_those_that_are_away_has_stopped() {
        let nodes = || {
            vec![
                node("a", "f1", 6, Some(60)),
                node("b", "f1", 0, Some(90)),
                node("c", "f1", 7, None),
            ]
        };
        let standing = at(191, nodes());
        assert_eq!(
            (standing.state, standing.bounded()),
            (State::Pending, Some(UnixSeconds(192)))
        );
        assert_eq!(standing.pending.len(), 2);
        assert_eq!(at(192, nodes()).state, State::Bounded);
        // One that never stops leaves no bound.
        let mut nodes = nodes();
        nodes.push(node("d", "f1", 6, None));
        let standing = at(10_000, nodes);
        assert_eq!((standing.state, standing.bounded()), (State::Pending, None));
    }
}
