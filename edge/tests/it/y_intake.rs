//! Hours in which nothing is fetched, and a rate that what is fetched keeps to.

use std::time::Instant;

use bytes::Bytes;
use config::{ByteSize, Span};
use runtime::clock::System;
use tier::Protocol;
use tier::intake::Fill;

use crate::d_gate::films;
use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Gate, Origin, Reply, Step, path};

const ELSEWHERE: &str = "https://edge.example:8443";
/// What stands in the query of who was sent here.
const SENT: &str = "millrace-sent=1";

/// Hours that are closed now, and open half a day from now.
fn closed() -> Fill {
    let now = System.wall().duration_since(std::time::UNIX_EPOCH).unwrap();
    let hour = now.as_secs() / 3600 % 24;
    let (from, to) = ((hour + 12) % 24, (hour + 13) % 24);
    Fill {
        hours: vec![format!("{from:02}:00-{to:02}:00")],
        ..Fill::default()
    }
}

fn sent_elsewhere(fill: Fill) -> Fill {
    Fill {
        fallbacks: vec![ELSEWHERE.to_owned()],
        ..fill
    }
}

/// Has a running edge go by this.
fn set(house: &House, fill: &Fill) {
    let mut problems = config::Problems::default();
    let terms = fill.check(&mut problems);
    assert!(problems.into_vec().is_empty());
    house.edge.serving.node.intake.set(terms);
}

#[tokio::test]
async fn outside_its_hours_an_edge_gives_what_it_has_and_sends_viewers_elsewhere_for_the_rest() {
    let origin = Origin::start(|_| Reply::ok("a segment")).await;
    let house = House::with(&origin, |_| {}).await;
    let had = signed("/v/a/720p/segment_1.m4s");
    house.client(Protocol::H1).get(&had, &[]).await;
    set(&house, &sent_elsewhere(closed()));
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        for fields in [&[][..], &[("range", "bytes=2-")]] {
            let got = client.get(&had, fields).await;
            assert!(matches!(got.status, 200 | 206), "{protocol} {got:?}");
            let hit = got.field("cache-status");
            assert!(
                hit.starts_with("edge-1; hit; ttl=") && !hit.contains("detail"),
                "{hit}"
            );
        }
        for method in ["GET", "HEAD"] {
            let absent = signed("/v/a/720p/segment_2.m4s");
            let got = client.open(method, &absent, &[]).await.whole().await;
            assert_eq!(got.status, 307, "{protocol} {got:?}");
            assert_eq!(got.field("location"), format!("{ELSEWHERE}{absent}?{SENT}"));
            assert_eq!(got.field("cache-status"), "edge-1; detail=fill_hours");
            assert_eq!(got.field("cache-control"), "no-store");
            assert_eq!(got.field("access-control-allow-origin"), "*");
            assert!(got.field("retry-after").is_empty());
        }
    }
    assert_eq!(origin.requests(), 1);
    let page = house.page("/metrics").await;
    for line in [
        "millrace_tier_intake_withheld_total{reason=\"fill_hours\"} 6",
        "millrace_tier_refusals_total{reason=\"fill_hours\"} 6",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}");
    }
    set(&house, &Fill::default());
    let again = signed("/v/a/720p/segment_2.m4s");
    assert_eq!(
        house.client(Protocol::H3).get(&again, &[]).await.status,
        200
    );
}

#[tokio::test]
async fn a_connection_is_kept_when_its_viewer_is_sent_elsewhere() {
    let origin = Origin::start(|_| Reply::ok("a")).await;
    let house = House::with(&origin, |config| config.fill = sent_elsewhere(closed())).await;
    let mut stream = house.client(Protocol::H1).tls("http/1.1").await;
    for n in 0..3 {
        let text = format!(
            "GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n",
            signed(&format!("/v/a/{n}"))
        );
        tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes())
            .await
            .unwrap();
        let head = crate::w_at_hand::answer(&mut stream).await.0;
        assert!(head.starts_with("HTTP/1.1 307 "), "{head}");
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn of_two_edges_that_send_to_each_other_the_second_says_when_to_come_again() {
    let origin = Origin::start(|_| Reply::ok("a")).await;
    let house = House::with(&origin, |config| config.fill = sent_elsewhere(closed())).await;
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        let mut at = signed(&format!("/v/a/{protocol}?CMCD=a"));
        let first = client.get(&at, &[]).await;
        assert_eq!(first.status, 307);
        // The other one is as this one.
        at = first.field("location").replacen(ELSEWHERE, "", 1);
        let second = client.get(&at, &[]).await;
        assert_eq!((second.status, second.field("location")), (503, ""));
        assert!(!second.field("retry-after").is_empty());
    }
    assert_eq!(origin.requests(), 0);
    // Once there is something to give, it is the same object as ever.
    set(&house, &Fill::default());
    let own = signed("/v/a/1");
    for (target, requests) in [(format!("{own}?{SENT}"), 1), (own, 1)] {
        for protocol in PROTOCOLS {
            assert_eq!(house.client(protocol).get(&target, &[]).await.status, 200);
            assert_eq!(origin.requests(), requests, "{protocol} {target}");
        }
    }
}

#[tokio::test]
async fn a_site_hears_nothing_of_it_that_a_viewer_was_sent_here() {
    let origin = Origin::start(|_| Reply::ok("a").field("cache-control", "max-age=60")).await;
    let house = House::with(&origin, |config| config.serve = edge::config::Serve::Site).await;
    for (target, requests) in [
        ("/list?n=1&millrace-sent=1", 1),
        ("/list?n=1", 1),
        ("/bare?millrace-sent=1", 2),
        ("/bare", 2),
    ] {
        let got = house.client(Protocol::H2).get(target, &[]).await;
        assert_eq!((got.status, origin.requests()), (200, requests), "{target}");
    }
    assert!(
        origin
            .heads()
            .iter()
            .all(|head| !head.contains("millrace-sent"))
    );
}

#[tokio::test]
async fn where_nobody_else_is_known_a_viewer_hears_when_to_come_again() {
    let origin = Origin::start(|_| Reply::ok("a")).await;
    for protocol in PROTOCOLS {
        let house = House::with(&origin, |config| config.fill = closed()).await;
        let got = house.client(protocol).get(&signed("/v/a/1"), &[]).await;
        assert_eq!(
            (got.status, got.field("cache-status")),
            (503, "edge-1; detail=fill_hours")
        );
        let wait: u64 = got.field("retry-after").parse().unwrap();
        assert!((10 * 3600..=12 * 3600).contains(&wait), "{wait}");
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn what_is_stale_answers_as_far_as_it_may() {
    let origin = Origin::start(|head| {
        let allowed = match path(head) {
            "/v/a/error" => "max-age=5, stale-if-error=600",
            "/v/a/meanwhile" => "max-age=5, stale-while-revalidate=600",
            _ => "max-age=5",
        };
        Reply::ok("old")
            .field("age", "10")
            .field("cache-control", allowed)
    })
    .await;
    let house = House::with(&origin, |_| {}).await;
    let client = house.client(Protocol::H2);
    for path in ["/v/a/error", "/v/a/meanwhile", "/v/a/neither"] {
        assert_eq!(client.get(&signed(path), &[]).await.status, 200);
    }
    set(&house, &sent_elsewhere(closed()));
    for (path, status) in [
        ("/v/a/error", 200),
        ("/v/a/meanwhile", 200),
        ("/v/a/neither", 307),
    ] {
        for protocol in PROTOCOLS {
            let got = house.client(protocol).get(&signed(path), &[]).await;
            assert_eq!(got.status, status, "{path} {protocol} {got:?}");
            if status == 200 {
                assert_eq!(&got.bytes()[..], b"old");
                assert!(
                    got.field("cache-status").starts_with("edge-1; hit; ttl=-"),
                    "{got:?}"
                );
            }
            let why = got.field("cache-status").ends_with("; detail=fill_hours");
            assert_eq!(why, path != "/v/a/meanwhile", "{got:?}");
        }
    }
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn nobody_asks_a_parent_whether_a_film_is_public_outside_the_hours() {
    let origin = films().await;
    let house = House::open(&origin).await;
    let client = house.client(Protocol::H3);
    assert_eq!(client.get("/v/p/x", &[]).await.status, 200);
    set(&house, &sent_elsewhere(closed()));
    assert_eq!(client.get("/v/p/x", &[]).await.status, 200);
    let got = client.get("/v/p/y", &[]).await;
    assert_eq!(
        (got.status, got.field("location")),
        (307, "https://edge.example:8443/v/p/y?millrace-sent=1")
    );
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn what_would_change_something_is_not_passed_on_either() {
    let origin = Origin::start(|_| Reply::ok("done")).await;
    let house = House::with(&origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.fill = sent_elsewhere(closed());
    })
    .await;
    for protocol in PROTOCOLS {
        let client = house.client(protocol);
        let got = client
            .send("POST", "/order?n=1", &[], "one")
            .await
            .whole()
            .await;
        assert_eq!(
            (got.status, got.field("location")),
            (307, "https://edge.example:8443/order?n=1&millrace-sent=1")
        );
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn whatever_viewers_speak_what_is_fetched_keeps_to_the_rate() {
    const LENGTH: usize = 300_000;
    const RATE: u64 = 512 << 10;
    let origin = Origin::start(|_| Reply::ok(vec![7; LENGTH])).await;
    let house = House::with(&origin, |config| {
        config.fill.rate = ByteSize(RATE);
        config.fill.longest_wait = Span::seconds(30);
    })
    .await;
    let begun = Instant::now();
    let tasks = PROTOCOLS.map(|protocol| {
        let client = house.client(protocol);
        tokio::spawn(async move { client.get(&signed(&format!("/v/a/{protocol}")), &[]).await })
    });
    for task in tasks {
        assert_eq!(task.await.unwrap().bytes().len(), LENGTH);
    }
    // The last piece of each is not waited for, and a twentieth of a second is given beforehand.
    let least = (3 * (LENGTH - 65_536)) as f64 / RATE as f64 - 0.05;
    assert!(
        begun.elapsed().as_secs_f64() >= least,
        "{:?}",
        begun.elapsed()
    );
    let counted = house.metric("millrace_tier_intake_bytes_total").await;
    let bodies = 3 * LENGTH as u64;
    assert!(
        (bodies + 3 * 50..bodies + 3 * 1000).contains(&counted),
        "{counted}"
    );
    assert_eq!(
        house.metric("millrace_tier_upstream_bytes_total").await,
        bodies
    );
    // What is there is given as fast as ever.
    let begun = Instant::now();
    for protocol in PROTOCOLS {
        let target = signed(&format!("/v/a/{protocol}"));
        for _ in 0..3 {
            assert_eq!(
                house
                    .client(Protocol::H1)
                    .get(&target, &[])
                    .await
                    .bytes()
                    .len(),
                LENGTH
            );
        }
    }
    let fetched = 9.0 * LENGTH as f64 / RATE as f64;
    assert!(
        begun.elapsed().as_secs_f64() < fetched,
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn who_would_wait_too_long_for_the_rate_is_sent_elsewhere() {
    let gate = Gate::shut();
    let inner = gate.clone();
    let half = Bytes::from(vec![7; 1000]);
    let origin = Origin::start(move |_| {
        let steps = vec![
            Step::Send(half.clone()),
            Step::Wait(inner.clone()),
            Step::Send(half.clone()),
        ];
        Reply::steps(2000, steps)
    })
    .await;
    let house = House::with(&origin, |config| {
        config.fill = sent_elsewhere(Fill {
            rate: ByteSize(64 << 10),
            longest_wait: Span::millis(500),
            ..Fill::default()
        });
    })
    .await;
    let first = house
        .client(Protocol::H1)
        .open("GET", &signed("/v/a/1"), &[])
        .await;
    assert_eq!(first.status, 200);
    let other = house.client(Protocol::H2).get(&signed("/v/a/2"), &[]).await;
    assert_eq!(
        (other.status, other.field("cache-status")),
        (307, "edge-1; detail=fill_rate")
    );
    let same = house
        .client(Protocol::H3)
        .open("GET", &signed("/v/a/1"), &[])
        .await;
    assert_eq!(same.status, 200, "another one's fill is no fill of its own");
    gate.open();
    for answer in [first, same] {
        assert_eq!(answer.whole().await.bytes().len(), 2000);
    }
    assert_eq!(origin.requests(), 1);
    let next = house.client(Protocol::H2).get(&signed("/v/a/2"), &[]).await;
    assert_eq!(next.status, 200);
}
