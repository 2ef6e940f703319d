//! Nodes as routing knows them, at each look at the catalogue.

use std::net::IpAddr;

use catalog::members::{Beat, Newcomer};
use contracts::fleet::{Announce, Heartbeat};
use runtime::clock::Fixed;

use super::super::state::tests::member;
use super::*;
use crate::routing::{Film, Watcher};

fn names(routing: &Routing, address: &str, now: u64) -> Vec<String> {
    let film = Film {
        id: "film",
        protected: false,
        m2: true,
    };
    let watcher = Watcher {
        address: address.parse::<IpAddr>().unwrap(),
        draw: u64::MAX / 2,
        current: None,
    };
    let places = routing.places(film, watcher, UnixSeconds(now));
    places.into_iter().map(|place| place.name).collect()
}

async fn catalogue() -> catalog::Catalog {
    let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
    catalog::open("sqlite::memory:", clock).await.unwrap()
}

/// A partner's node of a closed network that has announced one.
async fn enrol(members: &dyn Members, name: &str, network: &str) {
    let like = member(name);
    let network = Network::parse(network).unwrap();
    let mut terms = like.terms;
    terms.prefixes = vec![network];
    terms.probe = false;
    let secret = catalog::SecretDigest::of(name);
    let join = catalog::members::Join {
        id: contracts::id::JoinId::parse(name).unwrap(),
        node: like.name,
        terms,
        created: UnixSeconds(1000),
        expires: UnixSeconds(2000),
        used: false,
    };
    members.invite(&join, &secret).await.unwrap();
    let newcomer = Newcomer {
        key: name.to_owned(),
        announce: Announce {
            prefixes: vec![network],
            ..like.announce
        },
        certificate_ends: UnixSeconds(9000),
    };
    let now = UnixSeconds(1000);
    members.enrol(&secret, &newcomer, now).await.unwrap();
}

async fn beat(members: &dyn Members, name: &str, at: u64, said: Heartbeat) {
    let beat = Beat {
        name: NodeId::parse(name).unwrap(),
        key: name.to_owned(),
        first: UnixSeconds(at),
        last: UnixSeconds(at),
        count: 1,
        said,
    };
    members.note(&[beat], 20).await.unwrap();
}

#[tokio::test]
async fn a_node_gets_the_viewers_of_its_network_while_it_is_heard() {
    let catalog = catalogue().await;
    let members = || Arc::clone(&catalog.members);
    let ours = crate::config::Edge {
        name: "ours".to_owned(),
        ..crate::config::Edge::default()
    };
    let routing = Routing::new(vec![ours], Prefixes::default());
    // Two control planes that see the same.
    let (one, two) = (
        Roster::new(members(), Duration::from_secs(20)),
        Roster::new(members(), Duration::from_secs(20)),
    );
    let other = Routing::new(Vec::new(), Prefixes::default());
    enrol(&*catalog.members, "isp-1", "192.0.2.0/24").await;
    let looked = async |now| {
        // Again: what a look has changed is seen by the next.
        for _ in 0..2 {
            one.look(&routing, UnixSeconds(now)).await.unwrap();
            two.look(&other, UnixSeconds(now)).await.unwrap();
        }
        let (near, far) = (
            names(&routing, "192.0.2.7", now),
            names(&routing, "198.51.100.7", now),
        );
        assert_eq!(far, ["ours"], "at {now}");
        let there = names(&other, "192.0.2.7", now).len();
        assert_eq!(there, near.len() - 1, "at {now}");
        near
    };
    assert_eq!(looked(1000).await, ["ours"]);
    for (at, near) in [
        (1000, vec!["ours"]),
        (1005, vec!["ours"]),
        (1010, vec!["isp-1", "ours"]),
        (1015, vec!["isp-1", "ours"]),
    ] {
        beat(&*catalog.members, "isp-1", at, Heartbeat::default()).await;
        assert_eq!(looked(at).await, near, "at {at}");
    }
    assert_eq!(looked(1035).await, ["isp-1", "ours"]);
    // A node that alone is known is tried even when it is silent, hence the other has it still.
    one.look(&routing, UnixSeconds(1036)).await.unwrap();
    assert_eq!(names(&routing, "192.0.2.7", 1036), ["ours"]);
    for (at, near) in [(1040, 1), (1045, 1), (1050, 2)] {
        beat(&*catalog.members, "isp-1", at, Heartbeat::default()).await;
        one.look(&routing, UnixSeconds(at)).await.unwrap();
        assert_eq!(names(&routing, "192.0.2.7", at).len(), near, "at {at}");
    }
    let leaving = Heartbeat {
        draining: true,
        ..Heartbeat::default()
    };
    beat(&*catalog.members, "isp-1", 1055, leaving).await;
    one.look(&routing, UnixSeconds(1055)).await.unwrap();
    assert_eq!(names(&routing, "192.0.2.7", 1055), ["ours"]);
}

#[tokio::test]
async fn a_node_that_is_overloaded_gives_up_viewers_to_the_next() {
    let catalog = catalogue().await;
    let roster = Roster::new(Arc::clone(&catalog.members), Duration::from_secs(20));
    let routing = Routing::new(Vec::new(), Prefixes::default());
    for name in ["isp-1", "isp-2"] {
        enrol(&*catalog.members, name, "192.0.2.0/24").await;
        for at in [1000, 1005, 1010] {
            beat(&*catalog.members, name, at, Heartbeat::default()).await;
        }
    }
    for _ in 0..2 {
        roster.look(&routing, UnixSeconds(1010)).await.unwrap();
    }
    let first = names(&routing, "192.0.2.7", 1010).swap_remove(0);
    let mut full = Heartbeat::default();
    // What `member` says that it can send.
    full.load.egress_bps = 1000;
    beat(&*catalog.members, &first, 1015, full).await;
    roster.look(&routing, UnixSeconds(1015)).await.unwrap();
    let after = names(&routing, "192.0.2.7", 1015);
    assert_eq!(after.len(), 2);
    assert_eq!(after[1], first, "it comes last and is still there");
}

#[test]
fn a_node_weighs_what_the_operator_says_or_what_it_can_send() {
    let mut node = member("isp-1");
    for (capacity, wanted) in [
        (0, 100),
        (1, 1),
        (10_000_000_000, 100),
        (100_000_000_000, 1000),
        (u64::MAX, 1000),
    ] {
        node.announce.capacity_bps = capacity;
        assert_eq!(weight(&node), wanted);
    }
    node.terms.weight = Some(7);
    assert_eq!(weight(&node), 7);
}
