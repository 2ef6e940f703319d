//! What the caches are for: one fill for everybody, and nothing asked twice.

use tokio::task::JoinSet;

use crate::house::{Stage, millrace};

const ORIGIN: &str = "millrace_origin_requests_total";

#[tokio::test(flavor = "multi_thread")]
async fn fifty_cold_requests_for_one_segment_reach_the_origin_once() {
    let stage = Stage::new();
    let house = stage.house();
    let rendition = house.mezzanines().remove(0).0;
    let before = house.counter("origin", ORIGIN, "segment").await;
    let mut asked = JoinSet::new();
    for number in 0..50 {
        // Each on a connection of its own, half of them at each edge.
        let client = runtime::http::client()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        let url = house.at_edge(number % 2, &format!("{rendition}/segment_1.m4s"));
        asked.spawn(async move {
            let answer = client.get(url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.bytes().await.unwrap()
        });
    }
    let bodies = asked.join_all().await;
    assert!(!bodies[0].is_empty() && bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(
        house.counter("origin", ORIGIN, "segment").await - before,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_play_does_not_reach_the_origin() {
    let stage = Stage::new();
    let house = stage.house();
    let play = || {
        for manifest in ["/hls", "/dash"] {
            let played = millrace(&["play", house.fact(manifest), "--insecure", "--json"]);
            assert!(
                played.status.success(),
                "{}",
                String::from_utf8_lossy(&played.stdout)
            );
        }
    };
    play();
    let between = house.counter("origin", ORIGIN, "").await;
    assert!(between > 0.0);
    play();
    assert_eq!(house.counter("origin", ORIGIN, "").await, between);
}

#[tokio::test]
async fn each_tier_tells_whether_it_had_the_object() {
    let stage = Stage::new();
    let house = stage.house();
    let url = house.at_edge(0, "master.m3u8");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let answer = house.http.get(&url).send().await.unwrap();
        let headers = answer.headers();
        let members = headers
            .get_all("cache-status")
            .iter()
            .map(|value| value.to_str().unwrap());
        seen.push(members.collect::<Vec<_>>().join(", "));
        assert!(
            headers
                .keys()
                .all(|name| !name.as_str().starts_with("millrace-"))
        );
        assert!(!headers.contains_key("surrogate-key"));
    }
    assert!(
        seen[0].contains("edge-1; fwd=") && seen[0].contains("shield"),
        "{seen:?}"
    );
    assert!(seen[1].contains("edge-1; hit"), "{seen:?}");
}
