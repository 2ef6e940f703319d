//! What is kept, for how long, and how it is cut to size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tier::Protocol;

use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Origin, Reply};

const PATH: &str = "/v/a/720p/segment_1.m4s";

fn letters() -> Reply {
    Reply::ok("abcdefghij")
        .field("etag", "\"e1\"")
        .field("last-modified", "Sat, 21 Nov 2026 00:00:00 GMT")
}

#[tokio::test]
async fn ranges_and_conditions_are_answered_from_the_cache() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| letters()).await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        let target = signed(PATH);
        client.get(&target, &[]).await;

        let part = client.get(&target, &[("range", "bytes=2-5")]).await;
        assert_eq!(
            (part.status, &part.bytes()[..]),
            (206, &b"cdef"[..]),
            "{protocol}"
        );
        assert_eq!(part.field("content-range"), "bytes 2-5/10");
        let end = client.get(&target, &[("range", "bytes=-3")]).await;
        assert_eq!((end.status, &end.bytes()[..]), (206, &b"hij"[..]));

        let parts = client.get(&target, &[("range", "bytes=0-1,8-9")]).await;
        assert_eq!(parts.status, 206);
        assert!(
            parts
                .field("content-type")
                .starts_with("multipart/byteranges")
        );
        let text = String::from_utf8(parts.bytes().to_vec()).unwrap();
        assert!(
            text.contains("bytes 0-1/10") && text.contains("bytes 8-9/10"),
            "{text}"
        );

        let beyond = client.get(&target, &[("range", "bytes=10-")]).await;
        assert_eq!(
            (beyond.status, beyond.field("content-range")),
            (416, "bytes */10")
        );
        let same = client.get(&target, &[("if-none-match", "\"e1\"")]).await;
        assert_eq!((same.status, same.bytes().len()), (304, 0));
        let other = [("range", "bytes=0-0"), ("if-range", "\"e2\"")];
        assert_eq!(client.get(&target, &other).await.status, 200);

        let head = client.open("HEAD", &target, &[]).await.whole().await;
        assert_eq!((head.status, head.field("content-length")), (200, "10"));
        assert_eq!(head.bytes().len(), 0);
        assert_eq!(origin.requests(), 1, "{protocol}");
    }
}

#[tokio::test]
async fn a_head_request_on_a_cold_cache_fills_it() {
    for protocol in PROTOCOLS {
        let origin = Origin::start(|_| letters()).await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        let head = client.open("HEAD", &signed(PATH), &[]).await.whole().await;
        assert_eq!((head.status, head.bytes().len()), (200, 0));
        let got = client.get(&signed(PATH), &[]).await;
        assert_eq!(
            (&got.bytes()[..], origin.requests()),
            (&b"abcdefghij"[..], 1)
        );
    }
}

#[tokio::test]
async fn a_stale_object_is_served_while_it_is_refreshed() {
    for protocol in PROTOCOLS {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let origin = Origin::start(move |_| {
            let version = counted.fetch_add(1, Ordering::SeqCst);
            Reply::ok(format!("version {version}"))
                .field("cache-control", "max-age=0, stale-while-revalidate=600")
        })
        .await;
        let house = House::with(&origin, |_| {}).await;
        let client = house.client(protocol);
        let target = signed("/v/a/720p/playlist.m3u8");
        assert_eq!(&client.get(&target, &[]).await.bytes()[..], b"version 0");
        let stale = client.get(&target, &[]).await;
        assert_eq!(&stale.bytes()[..], b"version 0", "{protocol}");
        assert!(
            stale
                .field("cache-status")
                .starts_with("edge-1; hit; ttl=-"),
            "{stale:?}"
        );
        origin.until(2).await;
        // The refresh is stored a moment after the parent was asked for it.
        for _ in 0..500 {
            if client.get(&target, &[]).await.bytes()[..] != b"version 0"[..] {
                break;
            }
        }
        assert_ne!(
            &client.get(&target, &[]).await.bytes()[..],
            b"version 0",
            "{protocol}"
        );
        for head in origin.heads() {
            assert!(!head.contains('~'), "a refresh shows no token: {head}");
        }
    }
}

#[tokio::test]
async fn a_validated_object_is_served_again_and_its_body_not_sent() {
    let origin = Origin::start(|head| {
        let reply = letters().field("cache-control", "max-age=0");
        match head.to_ascii_lowercase().contains("if-none-match: \"e1\"") {
            true => Reply {
                status: 304,
                ..reply
            },
            false => reply,
        }
    })
    .await;
    let house = House::with(&origin, |_| {}).await;
    let client = house.client(Protocol::H2);
    client.get(&signed(PATH), &[]).await;
    let again = client.get(&signed(PATH), &[]).await;
    assert_eq!(
        (again.status, &again.bytes()[..]),
        (200, &b"abcdefghij"[..])
    );
    assert_eq!(
        again.field("cache-status"),
        "edge-1; fwd=stale; fwd-status=304"
    );
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn stale_bytes_answer_for_an_upstream_fault_only() {
    for (status, seen) in [(503, 200), (500, 200), (404, 404), (410, 410)] {
        let count = AtomicUsize::new(0);
        let origin = Origin::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::ok("good").field("cache-control", "max-age=0, stale-if-error=600"),
            _ => Reply::status(status, "bad"),
        })
        .await;
        let house = House::with(&origin, |_| {}).await;
        for protocol in PROTOCOLS {
            let client = house.client(protocol);
            client.get(&signed(PATH), &[]).await;
            assert_eq!(
                client.get(&signed(PATH), &[]).await.status,
                seen,
                "{status} {protocol}"
            );
        }
    }
}

#[tokio::test]
async fn stale_bytes_answer_when_the_parent_is_gone() {
    let origin = Origin::start(|_| {
        Reply::ok("good")
            .field("cache-control", "max-age=0, stale-if-error=600")
            .field("connection", "close")
    })
    .await;
    let house = House::with(&origin, |_| {}).await;
    let client = house.client(Protocol::H3);
    client.get(&signed(PATH), &[]).await;
    drop(origin);
    assert_eq!(&client.get(&signed(PATH), &[]).await.bytes()[..], b"good");
    let cold = client.get(&signed("/v/a/cold"), &[]).await;
    assert_eq!(cold.status, 502);
    assert_eq!(
        house
            .metric("millrace_tier_refusals_total{reason=\"unreachable\"}")
            .await,
        1
    );
}

#[tokio::test]
async fn an_upstream_error_is_passed_on_and_not_kept() {
    for status in [500, 502, 503, 504] {
        let origin = Origin::start(move |_| {
            Reply::status(status, "no").field("cache-control", "max-age=600")
        })
        .await;
        let house = House::with(&origin, |_| {}).await;
        for protocol in PROTOCOLS {
            let got = house.client(protocol).get(&signed(PATH), &[]).await;
            assert_eq!((got.status, &got.bytes()[..]), (status, &b"no"[..]));
        }
        assert_eq!(origin.requests(), 3);
    }
}

#[tokio::test]
async fn a_negative_answer_is_kept_as_long_as_the_parent_says() {
    for (control, asked) in [("max-age=600", 1), ("no-store", 3)] {
        let origin =
            Origin::start(move |_| Reply::status(404, "none").field("cache-control", control))
                .await;
        let house = House::with(&origin, |_| {}).await;
        for protocol in PROTOCOLS {
            let got = house.client(protocol).get(&signed(PATH), &[]).await;
            assert_eq!(got.status, 404, "{protocol}");
        }
        assert_eq!(origin.requests(), asked, "{control}");
    }
}

#[tokio::test]
async fn the_age_of_an_object_counts_from_its_origin() {
    let origin = Origin::start(|_| letters().field("age", "100")).await;
    let house = House::with(&origin, |_| {}).await;
    let client = house.client(Protocol::H1);
    for _ in 0..2 {
        let got = client.get(&signed(PATH), &[]).await;
        let age: u64 = got.field("age").parse().unwrap();
        assert!((100..110).contains(&age), "{got:?}");
    }
    let ttl = client.get(&signed(PATH), &[]).await;
    let ttl = ttl
        .field("cache-status")
        .rsplit_once('=')
        .unwrap()
        .1
        .to_owned();
    assert!((490..=500).contains(&ttl.parse::<u64>().unwrap()), "{ttl}");
}

#[tokio::test]
async fn an_object_beyond_the_limit_passes_through_whole() {
    for length in [Some(300_000), None] {
        let origin = Origin::start(move |_| Reply {
            length,
            ..Reply::ok(vec![7; 300_000])
        })
        .await;
        let house = House::with(&origin, |config| {
            config.cache.memory = config::ByteSize::mib(1);
            config.cache.max_object = config::ByteSize(200_000);
        })
        .await;
        let client = house.client(Protocol::H1);
        if length.is_some() {
            for _ in 0..2 {
                let got = client.get(&signed(PATH), &[]).await;
                assert_eq!((got.status, got.bytes().len()), (200, 300_000));
            }
            assert_eq!(origin.requests(), 2);
        } else {
            // The size shows only on the way; what was begun is then broken off, not cut short.
            assert!(client.get(&signed(PATH), &[]).await.body.is_err());
        }
        assert_eq!(house.metric("millrace_tier_cache_objects").await, 0);
    }
}

#[tokio::test]
async fn memory_stays_within_the_limit() {
    let origin = Origin::start(|_| Reply::ok(vec![7; 100_000])).await;
    let house = House::with(&origin, |config| {
        config.cache.memory = config::ByteSize::mib(1);
        config.cache.max_object = config::ByteSize(200_000);
    })
    .await;
    let client = house.client(Protocol::H1);
    for n in 0..30 {
        let got = client
            .get(&signed(&format!("/v/a/720p/segment_{n}.m4s")), &[])
            .await;
        assert_eq!(got.bytes().len(), 100_000);
        assert!(house.metric("millrace_tier_cache_bytes").await <= 1 << 20);
    }
    let kept = house.metric("millrace_tier_cache_objects").await;
    assert!((8..=10).contains(&kept), "{kept}");
    let last = client.get(&signed("/v/a/720p/segment_29.m4s"), &[]).await;
    assert!(last.field("cache-status").contains("; hit"), "{last:?}");
}
