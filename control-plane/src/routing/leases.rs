//! The leases of edges that follow the feed, as the catalogue has them from whatever control plane they asked.

use std::sync::Arc;
use std::time::Duration;

use catalog::nodes::Nodes;
use runtime::shutdown::Shutdown;
use tokio::time::MissedTickBehavior;

use crate::routing::Routing;
use crate::routing::rank::Condition;

/// How often it is looked who was heard of.
const LOOK: Duration = Duration::from_secs(5);
/// Beyond what a node says of itself: words are dated by the second and written down a moment later.
const ROUNDING_S: u64 = 10;

/// Keeps the leases of edges up to date, until shutdown.
pub(crate) async fn follow(nodes: Arc<dyn Nodes>, routing: Arc<Routing>, mut shutdown: Shutdown) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = looks.tick() => look(&*nodes, &routing).await,
        }
    }
}

/// Edges are known by the names that they give themselves; one that says nothing of a lease has none.
async fn look(nodes: &dyn Nodes, routing: &Routing) {
    let nodes = match nodes.list().await {
        Ok(nodes) => nodes,
        Err(error) => return tracing::warn!("the edges' leases stay as they were: {error}"),
    };
    let news = nodes.iter().map(|node| {
        let last = &node.last;
        let span = last.stops_s.map(|span| span.saturating_add(ROUNDING_S));
        let lease = span.map(|span| last.at.plus(span));
        let change = move |condition: &mut Condition| condition.lease = lease;
        (last.name.as_str(), change)
    });
    routing.tell_all(news);
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use contracts::fleet::Kind;
    use contracts::id::NodeId;
    use contracts::time::UnixSeconds;
    use runtime::clock::Fixed;

    use catalog::nodes::Sighting;

    use super::*;
    use crate::routing::config::Edge;
    use crate::routing::prefixes::Prefixes;
    use crate::routing::{Film, Watcher};

    #[tokio::test]
    async fn an_edge_that_was_not_heard_of_for_its_lease_is_left_until_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        let address: catalog::Address = format!("sqlite://{}", path.display()).into();
        let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
        let catalog = catalog::open(&address, clock).await.unwrap();
        let named = |name: &str| Edge {
            name: name.to_owned(),
            ..Edge::default()
        };
        let routing = Routing::new(vec![named("follows"), named("apart")], Prefixes::default());
        let count = |now| {
            let film = Film {
                id: "film",
                protected: false,
                m2: false,
            };
            let watcher = Watcher {
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                draw: 0,
                current: None,
            };
            routing.places(film, watcher, UnixSeconds(now)).len()
        };
        let heard = |at, stops_s| Sighting {
            name: NodeId::parse("follows").unwrap(),
            kind: Kind::Edge,
            at: UnixSeconds(at),
            feed: None,
            applied: 0,
            stops_s,
        };
        for (at, stops_s, [alive, over]) in [
            (1000, Some(60), [1069, 1070]),
            (1060, Some(60), [1129, 1130]),
        ] {
            catalog.nodes.note(&[heard(at, stops_s)]).await.unwrap();
            look(&*catalog.nodes, &routing).await;
            assert_eq!((count(alive), count(over)), (2, 1), "heard at {at}");
        }
        catalog.nodes.note(&[heard(1061, None)]).await.unwrap();
        look(&*catalog.nodes, &routing).await;
        assert_eq!(count(u64::MAX), 2, "without a lease it may always serve");
    }
}
