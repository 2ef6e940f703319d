//! The plainest path: a miss, a hit, and what both say about themselves.

use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Origin, Reply};

#[tokio::test]
async fn a_second_play_does_not_reach_the_parent() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| Reply::ok("bytes of a segment")).await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        let first = client.get(&signed("/v/a/720p/segment_1.m4s"), &[]).await;
        assert_eq!(
            (first.status, &first.bytes()[..]),
            (200, &b"bytes of a segment"[..])
        );
        assert_eq!(first.field("cache-status"), "edge-1; fwd=miss; stored");
        let second = client.get(&signed("/v/a/720p/segment_1.m4s"), &[]).await;
        assert_eq!((second.status, second.bytes()), (200, first.bytes()));
        assert!(
            second
                .field("cache-status")
                .starts_with("edge-1; hit; ttl="),
            "{second:?}"
        );
        assert_eq!(origin.requests(), 1, "{protocol}");
        house.edge.stop().await;
    }
}
