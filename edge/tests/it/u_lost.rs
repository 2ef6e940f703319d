//! What a node does without its feed: after a restart, while the feed is lost, and where there is none.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use tier::Protocol;
use tier::purge::WhenLost;
use tokio::net::TcpStream;

use crate::client::{Got, h1};
use crate::feed::Feed;
use crate::house::{House, signed};
use crate::origin::{Gate, HANG_UP, Origin, Reply, path};
use crate::r_purge::{edge, origin, origin_with, tag, version};

#[tokio::test]
async fn a_node_goes_on_after_a_restart_where_it_was() {
    let (origin, feed) = (origin().await, Feed::start().await);
    let files = tempfile::tempdir().unwrap();
    let open = async |secret: &Path| {
        House::before(origin.url(), |config| {
            config.feed = feed.at("edge-1");
            config.feed.state_file = files.path().join("state");
            config.upstream.hop_secret_file = secret.to_owned();
        })
        .await
    };
    let secret = files.path().join("hop");
    std::fs::write(&secret, "the-credential-of-tiers").unwrap();
    let house = open(&secret).await;
    let seq = feed.obeyed(tag("hard"), &["edge-1"]).await;
    house.edge.stop().await;
    feed.forget();
    let house = open(&secret).await;
    feed.until("edge-1", seq).await;
    assert_eq!(feed.begun("edge-1"), Some(seq));
    assert_eq!(house.metric("millrace_tier_feed_seq").await, seq);
    assert_eq!(house.metric("millrace_tier_purge_keys").await, 1);
    let shown = feed.credentials();
    assert!(
        shown
            .iter()
            .all(|shown| shown.as_deref() == Some("the-credential-of-tiers"))
    );
}

#[tokio::test]
async fn revocations_come_to_the_gate() {
    let (origin, feed) = (origin().await, Feed::start().await);
    let house = edge(origin.url(), &feed, "edge-1").await;
    let until = crate::house::NOW + 3600;
    version(&house, "/v/film/a").await;
    let order = json!({"revoke": "path", "value": "/v/film/", "until": until});
    feed.obeyed(order, &["edge-1"]).await;
    let got = house
        .client(Protocol::H3)
        .get(&signed("/v/film/a"), &[])
        .await;
    assert_eq!(got.status, 403);
    assert_eq!(
        house
            .client(Protocol::H3)
            .get(&signed("/v/other/x"), &[])
            .await
            .status,
        200
    );
}

/// An edge whose feed has never answered.
async fn lost(origin: &Origin, when_lost: WhenLost) -> House {
    House::with(origin, |config| {
        config.feed.from = "file:/nowhere/feed".to_owned();
        config.feed.when_lost = when_lost;
    })
    .await
}

#[tokio::test]
async fn a_node_that_has_lost_its_feed_does_as_it_is_told() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let origin = origin_with(move |reply| Reply {
        status: if is_down.load(Ordering::SeqCst) {
            HANG_UP
        } else {
            200
        },
        ..reply
    })
    .await;
    let house = lost(&origin, WhenLost::Serve).await;
    let first = version(&house, "/v/film/a").await.0;
    assert_eq!(version(&house, "/v/film/a").await.0, first);

    let house = lost(&origin, WhenLost::Revalidate).await;
    let first = version(&house, "/v/film/a").await.0;
    assert_eq!(
        version(&house, "/v/film/a").await.0,
        first + 1,
        "asked again"
    );
    assert_eq!(house.metric("millrace_tier_feed_lost").await, 1);
    down.store(true, Ordering::SeqCst);
    let got = house
        .client(Protocol::H1)
        .get(&signed("/v/film/a"), &[])
        .await;
    assert_eq!(
        got.status, 502,
        "nobody is there to say that it is still so"
    );
    let health = house.page("/healthz").await;
    assert!(
        health.contains("no news of the feed yet; what is cached is validated on each use"),
        "{health}"
    );

    let house = lost(&self::origin().await, WhenLost::Refuse).await;
    let got = house
        .client(Protocol::H1)
        .get(&signed("/v/film/a"), &[])
        .await;
    assert_eq!(got.status, 503);
}

#[tokio::test]
async fn segments_are_served_for_longer_than_playlists_when_the_feed_is_lost() {
    let versions = AtomicU64::new(0);
    let origin = Origin::start(move |head| {
        let version = versions.fetch_add(1, Ordering::SeqCst) + 1;
        let control = match path(head) {
            "/v/film/segment" => "max-age=600, immutable",
            _ => "max-age=600",
        };
        Reply::ok(format!("version {version}")).field("cache-control", control)
    })
    .await;
    let feed = Feed::start().await;
    let house = House::with(&origin, |config| {
        config.feed = feed.at("edge-1");
        config.feed.wait = config::Span::seconds(0);
        config.feed.every = config::Span::millis(100);
        config.feed.lease = config::Span::seconds(1);
    })
    .await;
    feed.obeyed(tag("hard"), &["edge-1"]).await;
    version(&house, "/v/film/segment").await;
    version(&house, "/v/film/list").await;
    drop(feed);
    let lost = async { while house.metric("millrace_tier_feed_lost").await == 0 {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), lost)
        .await
        .unwrap();
    assert_eq!(version(&house, "/v/film/segment").await.0, 1);
    assert_eq!(version(&house, "/v/film/list").await.0, 3, "asked again");
}

#[tokio::test]
async fn who_reaches_neither_feed_nor_parent_serves_on_for_a_while_and_then_stops() {
    let down = Arc::new(AtomicBool::new(false));
    for (lease_immutable, status) in [(600, 200), (1, 502)] {
        let is_down = Arc::clone(&down);
        down.store(false, Ordering::SeqCst);
        let origin = origin_with(move |reply| match is_down.load(Ordering::SeqCst) {
            true => Reply::status(HANG_UP, ""),
            false => reply,
        })
        .await;
        let feed = Feed::start().await;
        let house = House::with(&origin, |config| {
            config.feed = feed.at("edge-1");
            config.feed.wait = config::Span::seconds(0);
            config.feed.every = config::Span::millis(100);
            config.feed.lease = config::Span::seconds(1);
            config.feed.lease_immutable = config::Span::seconds(lease_immutable);
        })
        .await;
        feed.obeyed(tag("hard"), &["edge-1"]).await;
        version(&house, "/v/film/a").await;
        drop(feed);
        down.store(true, Ordering::SeqCst);
        let lost = async { while house.metric("millrace_tier_feed_lost").await == 0 {} };
        tokio::time::timeout(std::time::Duration::from_secs(20), lost)
            .await
            .unwrap();
        for protocol in crate::house::PROTOCOLS {
            let got = house.client(protocol).get(&signed("/v/film/a"), &[]).await;
            assert_eq!(got.status, status, "{protocol}, {lease_immutable} s");
        }
    }
}

#[tokio::test]
async fn those_who_wait_for_one_validation_do_not_each_begin_their_own() {
    for is_changed in [true, false] {
        let gate = Gate::shut();
        let held = gate.clone();
        let count = AtomicU64::new(0);
        let origin = origin_with(move |reply| {
            let reply = reply.field("etag", "\"a\"");
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => reply,
                _ if is_changed => reply.held(&held),
                _ => Reply {
                    status: 304,
                    ..reply.held(&held)
                },
            }
        })
        .await;
        let house = Arc::new(lost(&origin, WhenLost::Revalidate).await);
        version(&house, "/v/film/a").await;
        let many: Vec<_> = (0..20)
            .map(|_| {
                let house = Arc::clone(&house);
                tokio::spawn(async move { version(&house, "/v/film/a").await.0 })
            })
            .collect();
        origin.until(2).await;
        gate.open();
        for one in many {
            one.await.unwrap();
        }
        // Those who come when it is over begin another.
        assert!(origin.requests() < 10, "{}", origin.requests());
    }
}

async fn by_hand(house: &House, kind: &str, body: &str) -> Got {
    let stream = TcpStream::connect(house.edge.internal).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST /purge HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    h1(Box::pin(stream), head.as_bytes(), false)
        .await
        .whole()
        .await
}

#[tokio::test]
async fn in_front_of_a_site_a_purge_reaches_an_address_however_it_is_spelt() {
    let origin = Origin::start(|_| Reply::ok("x").field("cache-control", "max-age=600")).await;
    let house = House::with(&origin, |config| {
        config.serve = edge::config::Serve::Site;
        config.listen.plain = "127.0.0.1:0".to_owned();
    })
    .await;
    let get = async |host: &str, target: &str| {
        let stream = TcpStream::connect(house.edge.plain.unwrap()).await.unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let got = h1(Box::pin(stream), head.as_bytes(), false)
            .await
            .whole()
            .await;
        assert_eq!(got.status, 200, "{host} {target}");
        got.field("cache-status").contains("; hit")
    };
    let spelt = [
        ("h", "/a/b"),
        ("H", "/a/b?q"),
        ("h:80", "/a/b"),
        ("h:443", "/a/b"),
        ("h.", "/a/b"),
        ("h", "/x/../a/b"),
        ("h", "/a//b"),
        ("h", "/a/./%62"),
        ("h", "/%2e%2e/a/b"),
    ];
    for value in ["//h/a/b", "//H:443/x/%2E./%61/b"] {
        for (host, target) in spelt.into_iter().chain([("h", "/a/c")]) {
            get(host, target).await;
            assert!(get(host, target).await, "{host} {target}");
        }
        let order = json!({"purge": "url", "value": value}).to_string();
        assert_eq!(
            by_hand(&house, "application/json", &order).await.status,
            200
        );
        for (host, target) in spelt {
            assert!(!get(host, target).await, "{value}: {host} {target}");
        }
        assert!(get("h", "/a/c").await, "{value}");
    }
}

#[tokio::test]
async fn without_a_feed_purges_are_ordered_by_hand() {
    let origin = origin().await;
    let house = House::with(&origin, |_| {}).await;
    assert_eq!(version(&house, "/v/film/a").await.0, 1);
    let got = by_hand(
        &house,
        "application/json",
        r#"{"purge":"tag","value":"a:film"}"#,
    )
    .await;
    assert_eq!(got.status, 200, "{got:?}");
    for _ in 0..2 {
        assert_eq!(version(&house, "/v/film/a").await.0, 2);
    }
    let form = by_hand(&house, "text/plain", r#"{"purge":"all"}"#).await;
    assert_eq!(
        form.status, 415,
        "no page in a browser can order it: {form:?}"
    );
    let nonsense = by_hand(
        &house,
        "application/json",
        r#"{"purge":"prefix","value":"x"}"#,
    )
    .await;
    assert_eq!(nonsense.status, 422, "{nonsense:?}");

    let feed = Feed::start().await;
    let house = edge(origin.url(), &feed, "edge-1").await;
    let refused = by_hand(&house, "application/json", r#"{"purge":"all"}"#).await;
    assert_eq!(refused.status, 409, "{refused:?}");
}

/// Waits until a node has heard of its feed.
async fn follows(house: &House) {
    while !house
        .page("/metrics")
        .await
        .contains("millrace_tier_feed_lost 0")
    {}
}

#[tokio::test]
async fn what_was_purged_while_a_node_was_away_is_not_on_its_disk_when_it_returns() {
    let (origin, feed) = (origin().await, Feed::start().await);
    let disk = tempfile::tempdir().unwrap();
    std::fs::create_dir(disk.path().join("cache")).unwrap();
    let written = async |house: &House, objects: u64| {
        let folder = disk.path().join("cache");
        let figure = "millrace_tier_disk_written_objects_total";
        let line = format!("{figure}{{disk=\"{}\"}}", folder.display());
        while house.metric(&line).await < objects {}
    };
    let open = async || {
        House::before(origin.url(), |config| {
            config.feed = feed.at("edge-1");
            config.feed.state_file = disk.path().join("orders");
            config.cache.memory = config::ByteSize::mib(8);
            config.cache.max_object = config::ByteSize::mib(2);
            config.cache.disk.segment = config::ByteSize::mib(4);
            config.cache.disk.queue = config::ByteSize::mib(2);
            config.cache.disk.directories = vec![tier::settings::Directory {
                path: disk.path().join("cache"),
                size: config::ByteSize::mib(64),
            }];
        })
        .await
    };
    let house = open().await;
    let none = feed
        .obeyed(json!({"purge": "tag", "value": "a:none"}), &["edge-1"])
        .await;
    let film = version(&house, "/v/film/a").await.0;
    let other = version(&house, "/v/other/x").await.0;
    written(&house, 2).await;
    house.edge.stop().await;

    let house = open().await;
    follows(&house).await;
    for (path, before) in [("/v/film/a", film), ("/v/other/x", other)] {
        let (got, status) = version(&house, path).await;
        assert_eq!(got, before, "it was on the disk: {status}");
    }
    house.edge.stop().await;

    feed.order(tag("hard"));
    let house = open().await;
    // Whether it has heard of the purge yet or not.
    assert!(version(&house, "/v/film/a").await.0 > other);
    follows(&house).await;
    assert_eq!(house.metric("millrace_tier_feed_seq").await, none + 10);
    let (got, status) = version(&house, "/v/other/x").await;
    assert_eq!(got, other, "{status}");
}
