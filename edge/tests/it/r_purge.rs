//! Purges and revocations, as the feed orders them and as they are ordered by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tier::Protocol;
use tokio::net::TcpStream;

use crate::client::{Got, h1};
use crate::feed::Feed;
use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Gate, Origin, Reply, field, path};

/// Gives a new version at each request; all are films of the tag `a:film`, and those below `/v/other/` of none.
pub async fn origin() -> Origin {
    origin_with(|reply| reply).await
}

pub async fn origin_with(change: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Origin {
    let version = AtomicU64::new(0);
    Origin::start(move |head| {
        let version = version.fetch_add(1, Ordering::SeqCst) + 1;
        let reply = Reply::ok(format!("version {version}"));
        let tagged = !path(head).starts_with("/v/other/");
        change(if tagged {
            reply.field("surrogate-key", "k:x a:film")
        } else {
            reply
        })
    })
    .await
}

pub async fn edge(parent: String, feed: &Feed, name: &'static str) -> House {
    House::before(parent, |config| {
        config.name = name.to_owned();
        config.feed = feed.at(name);
    })
    .await
}

pub async fn shield(parent: String, feed: &Feed, name: &'static str) -> origin_shield::Running {
    let mut config = origin_shield::config::Config {
        name: name.to_owned(),
        parents: vec![parent],
        feed: feed.at(name),
        ..origin_shield::config::Config::default()
    };
    config.listen.plain = "127.0.0.1:0".to_owned();
    config.listen.internal = "127.0.0.1:0".to_owned();
    config.clients.drain = config::Span::millis(100);
    origin_shield::start(config.check().unwrap()).await.unwrap()
}

pub fn url(shield: &origin_shield::Running) -> String {
    format!("http://{}", shield.plain)
}

/// The version that a viewer gets, and how the edge came by it.
pub async fn version(house: &House, path: &str) -> (u64, String) {
    let got = house.client(Protocol::H1).get(&signed(path), &[]).await;
    let status = got.field("cache-status").to_owned();
    let own = status.rsplit(", ").next().unwrap().to_owned();
    (number(&got), own)
}

pub fn number(got: &Got) -> u64 {
    let text = got.body.clone().unwrap();
    let text = std::str::from_utf8(&text).unwrap();
    let number = text.strip_prefix("version ");
    assert!(number.is_some(), "{got:?}");
    number.unwrap().parse().unwrap()
}

pub fn tag(mode: &str) -> serde_json::Value {
    json!({"purge": "tag", "value": "a:film", "mode": mode})
}

#[tokio::test]
async fn a_hard_purge_reaches_what_is_cached_and_nothing_else() {
    let (origin, feed) = (origin().await, Feed::start().await);
    let house = edge(origin.url(), &feed, "edge-1").await;
    // Until it knows its feed it takes what it has for purged.
    feed.obeyed(json!({"purge": "tag", "value": "of-nothing"}), &["edge-1"])
        .await;
    for (order, path) in [
        (tag("hard"), "/v/film/a"),
        (json!({"purge": "url", "value": "/v/film/b"}), "/v/film/b"),
        (json!({"purge": "prefix", "value": "/v/film/"}), "/v/film/c"),
        (json!({"purge": "all"}), "/v/film/d"),
    ] {
        let (before, _) = version(&house, path).await;
        let (other, _) = version(&house, "/v/other/x").await;
        assert_eq!(version(&house, path).await.0, before, "cached");
        feed.obeyed(order.clone(), &["edge-1"]).await;
        for protocol in PROTOCOLS {
            let got = house.client(protocol).get(&signed(path), &[]).await;
            assert!(number(&got) > before, "{order} {protocol}");
            assert_eq!(got.field("millrace-seq"), "", "that is among tiers");
        }
        let everything = order["purge"] == "all";
        assert_eq!(
            version(&house, "/v/other/x").await.0 > other,
            everything,
            "{order}"
        );
    }
    assert_eq!(
        house
            .metric("millrace_tier_purged_total{mode=\"hard\"}")
            .await,
        5
    );
}

#[tokio::test]
async fn a_soft_purge_makes_stale_and_stale_is_served_as_the_origin_allows() {
    let origin =
        origin_with(|reply| reply.field("cache-control", "max-age=600, stale-while-revalidate=60"))
            .await;
    let feed = Feed::start().await;
    let house = edge(origin.url(), &feed, "edge-1").await;
    assert_eq!(version(&house, "/v/film/a").await.0, 1);
    feed.obeyed(tag("soft"), &["edge-1"]).await;
    assert_eq!(
        version(&house, "/v/film/a").await.0,
        1,
        "while it is refreshed"
    );
    origin.until(2).await;
    while version(&house, "/v/film/a").await.0 == 1 {}
    assert_eq!(origin.requests(), 2, "once");
}

#[tokio::test]
async fn a_soft_purge_has_what_is_cached_validated() {
    let origin = Origin::start(|head| {
        let known = field(head, "if-none-match").is_some();
        let reply = if known {
            Reply::status(304, "")
        } else {
            Reply::ok("version 1")
        };
        reply
            .field("etag", "\"1\"")
            .field("cache-control", "max-age=600")
            .field("surrogate-key", "a:film")
    })
    .await;
    let feed = Feed::start().await;
    let house = edge(origin.url(), &feed, "edge-1").await;
    version(&house, "/v/film/a").await;
    feed.obeyed(tag("soft"), &["edge-1"]).await;
    for _ in 0..3 {
        assert_eq!(version(&house, "/v/film/a").await.0, 1);
    }
    assert_eq!(
        origin.requests(),
        2,
        "validated once, it bears the new number"
    );
    feed.obeyed(tag("hard"), &["edge-1"]).await;
    version(&house, "/v/film/a").await;
    let heads = origin.heads();
    let conditional = |head: &String| field(head, "if-none-match").is_some();
    assert_eq!(
        heads.iter().map(conditional).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[tokio::test]
async fn an_object_whose_fetch_began_before_a_purge_is_not_served_after_it() {
    let gate = Gate::shut();
    let held = gate.clone();
    let (origin, feed) = (
        origin_with(move |reply| reply.held(&held)).await,
        Feed::start().await,
    );
    let house = Arc::new(edge(origin.url(), &feed, "edge-1").await);
    let early = tokio::spawn({
        let house = Arc::clone(&house);
        async move { version(&house, "/v/film/a").await.0 }
    });
    origin.until(1).await;
    feed.obeyed(tag("hard"), &["edge-1"]).await;
    gate.open();
    assert_eq!(early.await.unwrap(), 1, "it asked before");
    assert_eq!(version(&house, "/v/film/a").await.0, 2);
    assert_eq!(version(&house, "/v/film/a").await.0, 2);
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_viewer_that_joins_a_fetch_from_before_a_purge_gets_another() {
    let gate = Gate::shut();
    let held = gate.clone();
    let feed = Feed::start().await;
    let count = AtomicU64::new(0);
    let origin = Origin::start(move |_| {
        let version = count.fetch_add(1, Ordering::SeqCst) + 1;
        let text = format!("version {version}");
        let whole = vec![
            crate::origin::Step::Wait(held.clone()),
            crate::origin::Step::Send(text.clone().into()),
        ];
        let now = vec![crate::origin::Step::Send(text.clone().into())];
        Reply::steps(text.len(), if version == 1 { whole } else { now })
            .field("surrogate-key", "a:film")
    })
    .await;
    let house = edge(origin.url(), &feed, "edge-1").await;
    let client = house.client(Protocol::H2);
    // Its header is there, and its body is not.
    let early = client.open("GET", &signed("/v/film/a"), &[]).await;
    feed.obeyed(tag("hard"), &["edge-1"]).await;
    assert_eq!(version(&house, "/v/film/a").await.0, 2);
    gate.open();
    assert_eq!(number(&early.whole().await), 1);
    assert_eq!(version(&house, "/v/film/a").await.0, 2);
}

#[tokio::test]
async fn a_shield_that_is_behind_cannot_bring_back_what_was_purged() {
    let (origin, feed) = (origin().await, Feed::start().await);
    let shield = shield(origin.url(), &feed, "shield-1").await;
    let (knows, learns) = (
        edge(url(&shield), &feed, "edge-1").await,
        edge(url(&shield), &feed, "edge-2").await,
    );
    feed.obeyed(
        json!({"purge": "tag", "value": "a:none"}),
        &["shield-1", "edge-1", "edge-2"],
    )
    .await;
    assert_eq!(version(&knows, "/v/film/a").await.0, 1);
    feed.cut("shield-1");
    feed.obeyed(tag("hard"), &["edge-1", "edge-2"]).await;
    assert_eq!(
        version(&knows, "/v/film/a").await.0,
        2,
        "it asks for what is newer"
    );
    // The other never had it, so it learns from the answer that it bears the tag.
    let (got, _) = version(&learns, "/v/film/a").await;
    assert!(got >= 2, "{got}");
    assert_eq!(learns.metric("millrace_tier_parent_behind_total").await, 1);
    let asked = origin.requests();
    version(&learns, "/v/other/x").await;
    version(&knows, "/v/other/x").await;
    assert_eq!(
        origin.requests(),
        asked + 1,
        "what was not purged comes from the shield"
    );
    for house in [&knows, &learns] {
        let (_, status) = version(house, "/v/film/a").await;
        assert!(status.contains("; hit"), "it is kept: {status}");
    }
    feed.mend("shield-1");
    feed.until("shield-1", 20).await;
    version(&knows, "/v/film/b").await;
    let asked = origin.requests();
    version(&learns, "/v/film/b").await;
    assert_eq!(
        origin.requests(),
        asked,
        "the shield knows, and is believed again"
    );
    shield.stop().await;
}

#[tokio::test]
async fn a_shield_that_is_behind_fetches_once_for_all_who_know_more() {
    let gate = Gate::shut();
    let held = gate.clone();
    let (origin, feed) = (
        origin_with(move |reply| reply.held(&held)).await,
        Feed::start().await,
    );
    let shield = shield(origin.url(), &feed, "shield-1").await;
    feed.obeyed(tag("soft"), &["shield-1"]).await;
    feed.cut("shield-1");
    let purge = feed.order(tag("hard"));
    let child = |demand: u64| {
        let stream = TcpStream::connect(shield.plain);
        let head =
            format!("GET /v/film/a HTTP/1.1\r\nhost: a\r\nmillrace-min-seq: {demand}\r\n\r\n");
        async move {
            let stream = Box::pin(stream.await.unwrap());
            let got = h1(stream, head.as_bytes(), false).await.whole().await;
            let told = got.headers.get_all("millrace-seq").iter();
            let told: Vec<&str> = told.map(|told| told.to_str().unwrap()).collect();
            assert_eq!(told, [demand.to_string()]);
            assert_eq!(got.field("millrace-fetched-after"), "");
            number(&got)
        }
    };
    let children: Vec<_> = (0..20).map(|_| tokio::spawn(child(purge))).collect();
    origin.until(1).await;
    gate.open();
    for one in children {
        assert_eq!(one.await.unwrap(), 1);
    }
    assert_eq!(origin.requests(), 1);
    assert_eq!(child(purge + 1).await, 2, "that is newer still");
    // What children say counts among them. The shield goes by what it knew itself.
    feed.mend("shield-1");
    feed.until("shield-1", purge).await;
    assert_eq!(child(purge).await, 3);
    shield.stop().await;
}

#[tokio::test]
async fn a_purge_goes_through_a_chain_of_tiers_of_which_one_is_behind() {
    for late in ["none", "regional", "shield"] {
        let (origin, feed) = (origin().await, Feed::start().await);
        let shield_ = shield(origin.url(), &feed, "shield").await;
        let regional = shield(url(&shield_), &feed, "regional").await;
        let house = edge(url(&regional), &feed, "edge").await;
        let all = ["shield", "regional", "edge"];
        feed.obeyed(json!({"purge": "tag", "value": "a:none"}), &all)
            .await;
        let got = house
            .client(Protocol::H1)
            .get(&signed("/v/film/a"), &[])
            .await;
        let chain = "shield; fwd=miss; stored, regional; fwd=miss; stored, edge; fwd=miss; stored";
        assert_eq!((number(&got), got.field("cache-status")), (1, chain));
        feed.cut(late);
        let prompt: Vec<&str> = all.into_iter().filter(|node| *node != late).collect();
        feed.obeyed(tag("hard"), &prompt).await;
        assert_eq!(version(&house, "/v/film/a").await.0, 2, "{late} is late");
        assert_eq!(version(&house, "/v/film/a").await.0, 2);
        assert_eq!(origin.requests(), 2, "{late} is late");
        regional.stop().await;
        shield_.stop().await;
    }
}

#[tokio::test]
async fn what_a_cache_gives_that_follows_no_feed_does_not_pass_for_newer_than_a_purge() {
    let age = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&age);
    let origin = origin_with(move |reply| match told.load(Ordering::SeqCst) {
        0 => reply,
        age => reply.field("age", age.to_string()),
    })
    .await;
    let feed = Feed::start().await;
    let house = edge(origin.url(), &feed, "edge-1").await;
    feed.obeyed(tag("hard"), &["edge-1"]).await;
    age.store(3600, Ordering::SeqCst);
    for count in 1..3 {
        let (_, own) = version(&house, "/v/film/a").await;
        assert!(!own.contains("stored"), "{own}");
        let unnumbered = house.metric("millrace_tier_parent_unnumbered_total").await;
        assert_eq!(unnumbered, count);
    }
    let other = version(&house, "/v/other/x").await;
    assert!(
        other.1.contains("stored"),
        "no purge concerns it: {other:?}"
    );
    age.store(0, Ordering::SeqCst);
    let (fresh, own) = version(&house, "/v/film/a").await;
    assert!(own.contains("stored"), "{own}");
    assert_eq!(version(&house, "/v/film/a").await.0, fresh);
}

#[tokio::test]
async fn a_viewer_cannot_ask_past_the_cache() {
    let (origin, feed) = (origin().await, Feed::start().await);
    let house = edge(origin.url(), &feed, "edge-1").await;
    // Until it knows its feed it takes what it has for purged.
    feed.obeyed(json!({"purge": "tag", "value": "of-nothing"}), &["edge-1"])
        .await;
    for _ in 0..2 {
        let fields = [("millrace-min-seq", "9007199254740991")];
        let got = house
            .client(Protocol::H1)
            .get(&signed("/v/film/a"), &fields)
            .await;
        assert_eq!(number(&got), 1);
    }
    let head = origin.heads().pop().unwrap();
    assert_eq!(field(&head, "millrace-min-seq"), None, "{head}");
}
