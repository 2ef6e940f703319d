//! What players will ask for next is there before they do.

use std::time::Duration;

use crate::client::Got;
use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Origin, Reply, path};

async fn house(at_once: usize) -> (House, Origin) {
    let origin = Origin::start(|_| Reply::ok("x")).await;
    let house = House::with(&origin, |config| config.prefetch.at_once = at_once).await;
    (house, origin)
}

async fn get(house: &House, protocol: tier::Protocol, path: &str, fields: &[(&str, &str)]) -> Got {
    house.client(protocol).get(&signed(path), fields).await
}

fn hit(got: &Got) -> bool {
    got.field("cache-status").starts_with("edge-1; hit")
}

#[tokio::test]
async fn the_next_segment_is_fetched_once_a_player_has_this_one() {
    for protocol in PROTOCOLS {
        let (house, origin) = house(4).await;
        get(&house, protocol, "/v/a/720p/segment_1.m4s", &[]).await;
        origin.until(2).await;
        let head = origin.heads().pop().unwrap();
        assert_eq!(path(&head), "/v/a/720p/segment_2.m4s", "{protocol}");
        assert!(!head.contains('~'), "no token goes to a parent");
        get(&house, protocol, "/v/a/720p/segment_2.m4s", &[]).await;
        origin.until(3).await;
        let seen: Vec<String> = origin
            .heads()
            .iter()
            .map(|head| path(head).to_owned())
            .collect();
        assert_eq!(
            seen[2], "/v/a/720p/segment_3.m4s",
            "and so on, of what was there as well"
        );
        assert!(
            origin.heads().iter().all(|head| !head.contains("range:")),
            "whole"
        );
    }
}

#[tokio::test]
async fn a_player_says_what_it_will_ask_for_next() {
    let (house, origin) = house(4).await;
    let protocol = tier::Protocol::H2;
    let cmcd = [("cmcd-request", "bl=100,nor=\"segment_9.m4s\"")];
    get(&house, protocol, "/v/a/720p/segment_1.m4s", &cmcd).await;
    origin.until(2).await;
    get(
        &house,
        protocol,
        "/v/a/720p/segment_20.m4s?CMCD=nor%3D%22segment_30.m4s%22",
        &[],
    )
    .await;
    origin.until(4).await;
    // What lies elsewhere is not fetched for whoever may not have it.
    let elsewhere = [("cmcd-request", "nor=\"../1080p/segment_41.m4s\"")];
    get(&house, protocol, "/v/a/720p/segment_40.m4s", &elsewhere).await;
    origin.until(6).await;
    let ahead: Vec<String> = origin
        .heads()
        .iter()
        .map(|head| path(head).to_owned())
        .collect();
    assert_eq!(ahead[1], "/v/a/720p/segment_9.m4s");
    assert_eq!(ahead[3], "/v/a/720p/segment_30.m4s");
    assert_eq!(ahead[5], "/v/a/720p/segment_41.m4s");
    let begun = "millrace_tier_prefetches_total{outcome=\"begun\"}";
    assert_eq!(house.metric(begun).await, 3);
}

#[tokio::test]
async fn what_is_fetched_ahead_is_served_from_the_cache() {
    let (house, origin) = house(4).await;
    let protocol = tier::Protocol::H3;
    get(&house, protocol, "/v/a/720p/segment_1.m4s", &[]).await;
    origin.until(2).await;
    let until_hit =
        async { while !hit(&get(&house, protocol, "/v/a/720p/segment_2.m4s", &[]).await) {} };
    tokio::time::timeout(Duration::from_secs(20), until_hit)
        .await
        .unwrap();
    let twice = origin.heads();
    let twice = twice
        .iter()
        .filter(|head| path(head) == "/v/a/720p/segment_2.m4s");
    assert_eq!(twice.count(), 1);
}

#[tokio::test]
async fn whoever_asks_for_a_header_is_not_going_to_watch() {
    for protocol in PROTOCOLS {
        let (house, origin) = house(4).await;
        let target = signed("/v/a/720p/segment_1.m4s");
        let head = house.client(protocol).open("HEAD", &target, &[]).await;
        assert_eq!(head.whole().await.status, 200);
        get(&house, protocol, "/v/a/720p/segment_5.m4s", &[]).await;
        origin.until(3).await;
        let begun = "millrace_tier_prefetches_total{outcome=\"begun\"}";
        assert_eq!(house.metric(begun).await, 1, "{protocol}");
    }
}

#[tokio::test]
async fn whoever_takes_a_few_bytes_is_not_going_to_watch_either() {
    let long = vec![b'x'; 100_000];
    let origin = Origin::start(move |_| Reply::ok(long.clone())).await;
    for protocol in PROTOCOLS {
        let house = House::with(&origin, |config| config.prefetch.at_once = 4).await;
        let before = origin.requests();
        for (path, range) in [
            ("/v/a/720p/segment_1.m4s", "bytes=0-0"),
            ("/v/a/720p/segment_5.m4s", "bytes=0-49999"),
        ] {
            let got = get(&house, protocol, path, &[("range", range)]).await;
            assert_eq!(got.status, 206);
        }
        origin.until(before + 3).await;
        let begun = "millrace_tier_prefetches_total{outcome=\"begun\"}";
        assert_eq!(house.metric(begun).await, 1, "{protocol}");
    }
}

#[tokio::test]
async fn nothing_is_fetched_ahead_unless_it_is_wanted() {
    let (house, origin) = house(0).await;
    for n in 1..5 {
        let target = format!("/v/a/720p/segment_{n}.m4s");
        get(&house, tier::Protocol::H1, &target, &[]).await;
    }
    assert_eq!(origin.requests(), 4);
}
