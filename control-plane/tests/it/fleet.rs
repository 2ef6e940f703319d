//! Edges and shields: what they are told, and how far an order has come.

use std::time::Duration;

use contracts::asset::Privacy;
use contracts::feed::{Mode, Order, Page, Purge, Scope, Text};
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::callers::key;
use crate::house::{House, NOW, OPERATOR, json, problem};
use crate::people::{configured, somebody};

const HOP: &str = "a-credential-of-some-length";

/// A house with an operator key, accounts, and a fleet of which so many may wait.
async fn house(waiting: usize) -> House {
    let folder = tempfile::tempdir().unwrap();
    let hop = folder.path().join("hop");
    std::fs::write(&hop, HOP).unwrap();
    configured(None, |config| {
        config.fleet.hop_secrets = vec![hop.display().to_string()];
        config.fleet.waiting = waiting;
    })
    .await
}

async fn ask(house: &House, query: &str) -> Response {
    let request = house.request(Method::GET, &format!("/v1/fleet/feed?{query}"));
    let asked = request.header("millrace-hop", HOP).send();
    // Whoever is not woken waits for 25 s.
    timeout(Duration::from_secs(15), asked)
        .await
        .unwrap()
        .unwrap()
}

async fn page(house: &House, query: &str) -> Page {
    let answer = ask(house, query).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let text = answer.text().await.unwrap();
    Page::parse(text.as_bytes(), 0).unwrap_or_else(|_| unreachable!("{text}"))
}

/// The feed's id and the number of its newest order.
async fn head(house: &House) -> (String, u64) {
    let page = page(house, "after=0").await;
    (page.feed.unwrap().to_string(), page.head)
}

async fn purge(house: &House, wish: Value, token: &str) -> Response {
    let order = house.post("/v1/purge", &wish).bearer_auth(token);
    order.send().await.unwrap()
}

async fn state(house: &House, seq: u64) -> Value {
    let path = format!("/v1/purge/{seq}");
    let asked = house.request(Method::GET, &path).bearer_auth(OPERATOR);
    json(asked.send().await.unwrap(), 200).await
}

fn all() -> Order {
    Order::Purge(Purge {
        scope: Scope::All,
        mode: Mode::Hard,
        tenant: None,
    })
}

#[tokio::test]
async fn orders_are_for_nodes_that_show_their_credential() {
    let without = House::start().await;
    let none = without.get("/v1/fleet/feed?after=0").await;
    problem(none, 404, "not-found").await;
    let house = house(9).await;
    let wrong = house.request(Method::GET, "/v1/fleet/feed?after=0");
    let wrong = wrong
        .header("millrace-hop", "another")
        .send()
        .await
        .unwrap();
    problem(wrong, 403, "hop-refused").await;
    let bare = house.get("/v1/fleet/feed?after=0").await;
    problem(bare, 403, "hop-refused").await;
    for odd in [
        "after=x",
        "after=9007199254740992",
        "after=0&node=Edge",
        "after=0&kind=x",
    ] {
        problem(ask(&house, odd).await, 400, "bad-request").await;
    }
    let page = page(&house, "after=0").await;
    assert!(page.gap.is_some() && page.feed.is_some());
}

#[tokio::test]
async fn that_a_node_asked_outlives_the_process_that_answered() {
    let house = house(2).await;
    for (more, at) in [(1, NOW + 1), (30, NOW + 31)] {
        house.clock.advance(more);
        page(&house, "after=0&node=edge-1&stops_s=60").await;
        let known = house.catalog.nodes.list().await.unwrap();
        let known: Vec<_> = known.iter().map(|node| node.last.at.0).collect();
        assert_eq!(known, [at]);
    }
}

#[tokio::test]
async fn whoever_waits_is_told_at_once_here_and_soon_of_what_another_process_orders() {
    let house = house(9).await;
    let (_, head) = head(&house).await;
    let query = format!("after={head}&wait=25");
    let given = async {
        // It waits by then, or it is told without waiting.
        let wish = json!({"tag": "a:x", "mode": "soft"});
        json(purge(&house, wish, OPERATOR).await, 202).await
    };
    let (told, given) = tokio::join!(page(&house, &query), given);
    assert_eq!(Some(told.head), given["seq"].as_u64());
    assert_eq!(told.entries.len(), 1);
    let query = format!("after={}&wait=25", told.head);
    let elsewhere = async {
        let orders = [all()];
        house
            .catalog
            .feed
            .append(&orders, UnixSeconds(NOW))
            .await
            .unwrap()
    };
    let (told, seq) = tokio::join!(page(&house, &query), elsewhere);
    assert_eq!((told.head, &told.entries[0].order), (seq, &all()));
}

#[tokio::test]
async fn those_beyond_the_number_that_may_wait_are_answered_at_once() {
    let house = house(1).await;
    let (_, head) = head(&house).await;
    let query = format!("after={head}&wait=25");
    let both = async {
        tokio::select! {
            one = page(&house, &query) => one,
            other = page(&house, &query) => other,
        }
    };
    let answered = both.await;
    assert_eq!((answered.head, answered.entries.len()), (head, 0));
}

#[tokio::test]
async fn who_waits_does_not_hold_up_the_end() {
    let house = house(9).await;
    let (_, head) = head(&house).await;
    let path = format!("/v1/fleet/feed?after={head}&wait=25&node=edge-1");
    let waiting = house
        .request(Method::GET, &path)
        .header("millrace-hop", HOP);
    let House {
        running, catalog, ..
    } = house;
    let stopping = async {
        while catalog.nodes.list().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        running.stop().await;
    };
    let both = async { tokio::join!(waiting.send(), stopping) };
    let (answered, ()) = timeout(Duration::from_secs(15), both).await.unwrap();
    assert_eq!(answered.unwrap().status(), 200);
}

#[tokio::test]
async fn a_purge_is_pending_until_every_node_has_applied_it_or_has_stopped_by_itself() {
    let house = house(9).await;
    let (feed, before) = head(&house).await;
    let says = async |node: &str, applied: u64| {
        page(&house, &format!("after={applied}&feed={feed}&{node}")).await
    };
    let (edge, shield) = (
        "node=edge-1&kind=edge&stops_s=60",
        "node=shield-1&kind=shield&stops_s=30",
    );
    says(edge, before).await;
    says(shield, before).await;
    let given = json(purge(&house, json!({"all": true}), OPERATOR).await, 202).await;
    let seq = given["seq"].as_u64().unwrap();
    assert!(
        given["state_url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/v1/purge/{seq}"))
    );
    let told = state(&house, seq).await;
    assert_eq!(
        (&told["state"], &told["bounded_at"]),
        (&json!("pending"), &json!(NOW + 62))
    );
    assert_eq!(
        told["pending"][1],
        json!({"name": "shield-1", "kind": "shield", "last_seen_at": NOW, "stops_at": NOW + 32})
    );
    says(edge, seq).await;
    let told = state(&house, seq).await;
    assert_eq!(
        (&told["state"], &told["acked"]),
        (&json!("pending"), &json!(["edge-1"]))
    );
    house.clock.advance(32);
    let told = state(&house, seq).await;
    assert_eq!(
        (&told["state"], &told["pending"][0]["name"]),
        (&json!("bounded"), &json!("shield-1"))
    );
    says(shield, seq).await;
    let told = state(&house, seq).await;
    assert_eq!(
        (&told["state"], &told["bounded_at"]),
        (&json!("complete"), &Value::Null)
    );
    // One that follows another feed, or serves on for ever, leaves no end.
    page(&house, &format!("after={seq}&feed=f9&node=edge-9")).await;
    let told = state(&house, seq).await;
    assert_eq!(
        (&told["state"], &told["pending"][0]["stops_at"]),
        (&json!("pending"), &Value::Null)
    );
    let path = format!("/v1/purge/{}", seq + 1);
    let absent = house.request(Method::GET, &path).bearer_auth(OPERATOR);
    problem(absent.send().await.unwrap(), 404, "purge-not-found").await;
}

#[tokio::test]
async fn operators_purge_anything_and_publishers_their_own_films() {
    let house = house(9).await;
    house.film("mine", Privacy::Public).await;
    house.film("theirs", Privacy::Public).await;
    let ann = somebody(&house, "ann", "publisher").await;
    let viewer = somebody(&house, "ben", "viewer").await;
    let channel = house
        .post("/v1/channels", &json!({"name": "Films"}))
        .bearer_auth(&ann);
    let channel = json(channel.send().await.unwrap(), 201).await;
    let put = house
        .request(Method::PUT, "/v1/videos/mine/channel")
        .bearer_auth(OPERATOR);
    let put = put
        .json(&json!({"channel_id": channel["channel_id"]}))
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), 204);
    let backend = key(&house, json!(["purge"]), Value::Null).await;
    let backend = backend["secret"].as_str().unwrap();
    let stranger = key(&house, json!(["videos"]), Value::Null).await;
    let stranger = stranger["secret"].as_str().unwrap();
    let own = json(purge(&house, json!({"video": "mine"}), &ann).await, 202).await;
    let path = format!("/v1/purge/{}", own["seq"]);
    for (token, status) in [
        (ann.as_str(), 200),
        (backend, 200),
        (viewer.as_str(), 403),
        (stranger, 403),
    ] {
        let asked = house
            .request(Method::GET, &path)
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status(), status);
    }
    for (wish, token) in [
        (json!({"video": "theirs"}), ann.as_str()),
        (json!({"video": "absent"}), &ann),
        (json!({"tag": "a:mine"}), &ann),
        (json!({"all": true}), &ann),
        (json!({"video": "mine"}), &viewer),
        (json!({"video": "mine"}), stranger),
    ] {
        problem(purge(&house, wish, token).await, 403, "forbidden").await;
    }
    let nobody = house
        .post("/v1/purge", &json!({"all": true}))
        .send()
        .await
        .unwrap();
    problem(nobody, 401, "unauthorized").await;
    for wish in [
        json!({}),
        json!({"all": false}),
        json!({"tag": "a", "url": "/v/a"}),
        json!({"tag": "two words"}),
        json!({"url": "v/a"}),
        json!({"prefix": "/v/a"}),
        json!({"video": "../a"}),
        json!({"all": true, "mode": "gently"}),
        json!({"country": "XX"}),
    ] {
        problem(purge(&house, wish, backend).await, 400, "bad-request").await;
    }
    for wish in [
        json!({"url": "//site.example/a?b"}),
        json!({"prefix": "/v/a/"}),
        json!({"tag": "a:absent"}),
    ] {
        json(purge(&house, wish, backend).await, 202).await;
    }
}

#[tokio::test]
async fn a_slip_is_not_taken_for_a_purge_and_a_film_that_is_gone_may_still_be_in_caches() {
    let house = house(9).await;
    house.film("film1", Privacy::Public).await;
    let slip = purge(&house, json!({"video": "absent"}), OPERATOR).await;
    problem(slip, 404, "video-not-found").await;
    let gone = house.request(Method::DELETE, "/v1/videos/film1");
    json(gone.bearer_auth(OPERATOR).send().await.unwrap(), 200).await;
    json(
        purge(&house, json!({"video": "film1"}), OPERATOR).await,
        202,
    )
    .await;
}

#[tokio::test]
async fn a_film_that_is_taken_away_is_gone_for_everybody_and_names_who_has_not_heard() {
    let house = house(9).await;
    house.film("film1", Privacy::Public).await;
    let started = house.post("/v1/playback/start", &json!({"video_id": "film1"}));
    let started = json(started.send().await.unwrap(), 201).await;
    let (feed, before) = head(&house).await;
    page(
        &house,
        &format!("after={before}&feed={feed}&node=away&stops_s=9"),
    )
    .await;
    house.clock.advance(60);
    page(
        &house,
        &format!("after={before}&feed={feed}&node=edge-1&stops_s=9"),
    )
    .await;
    let remove = |token: &str| {
        house
            .request(Method::DELETE, "/v1/videos/film1")
            .bearer_auth(token)
            .send()
    };
    let viewer = somebody(&house, "ben", "viewer").await;
    problem(remove(&viewer).await.unwrap(), 403, "forbidden").await;
    // The edge that is connected applies the orders as they come.
    let follows = async {
        let told = page(
            &house,
            &format!("after={before}&wait=25&feed={feed}&node=edge-1&stops_s=9"),
        )
        .await;
        page(
            &house,
            &format!("after={}&feed={feed}&node=edge-1&stops_s=9", told.head),
        )
        .await;
        told
    };
    let (told, removed) = tokio::join!(follows, remove(OPERATOR));
    let removed = json(removed.unwrap(), 200).await;
    assert_eq!(removed["purge"]["acked"], json!(["edge-1"]));
    assert_eq!(removed["purge"]["pending"][0]["name"], "away");
    assert_eq!(removed["purge"]["state"], "bounded");
    let orders = serde_json::to_value(&told.entries).unwrap();
    let until = NOW + 60 + 11 + 4 * 3600;
    for (at, path) in ["/v/film1/", "/t/film1/", "/s/film1/"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(orders[at]["value"], path);
        assert_eq!(orders[at]["until"], until);
    }
    let tag = Scope::Tag(Text::parse("a:film1").unwrap());
    let all_of_it = Purge {
        scope: tag,
        mode: Mode::Hard,
        tenant: None,
    };
    assert_eq!(told.entries[3].order, Order::Purge(all_of_it));
    problem(house.get("/v1/videos/film1").await, 404, "video-not-found").await;
    problem(
        house.get("/v/film1/master.m3u8").await,
        404,
        "video-not-found",
    )
    .await;
    let beat = house.post(started["heartbeat"]["url"].as_str().unwrap(), &json!({}));
    problem(beat.send().await.unwrap(), 410, "session-over").await;
    let film = house
        .catalog
        .videos
        .find(&VideoId::parse("film1").unwrap())
        .await
        .unwrap();
    assert_eq!(film.unwrap().state.as_str(), "deleted");
}

#[tokio::test]
async fn a_film_that_was_taken_away_may_be_taken_away_again_and_one_that_never_was_may_not() {
    let house = house(9).await;
    house.film("film1", Privacy::Private).await;
    let path = "/v1/videos/film1";
    let backend = key(&house, json!(["remove"]), Value::Null).await;
    let viewer = somebody(&house, "ben", "viewer").await;
    let hidden = house.request(Method::DELETE, path).bearer_auth(&viewer);
    problem(hidden.send().await.unwrap(), 404, "video-not-found").await;
    let mut last = 0;
    for _ in 0..2 {
        let remove = house.request(Method::DELETE, path);
        let removed = remove.bearer_auth(backend["secret"].as_str().unwrap());
        let removed = json(removed.send().await.unwrap(), 200).await;
        assert_eq!(removed["purge"]["state"], "complete");
        let seq = removed["purge"]["seq"].as_u64().unwrap();
        assert!(seq > last);
        last = seq;
    }
    let absent = house
        .request(Method::DELETE, "/v1/videos/absent")
        .bearer_auth(OPERATOR);
    problem(absent.send().await.unwrap(), 404, "video-not-found").await;
}

#[tokio::test]
async fn a_purge_is_on_behalf_of_the_tenant_that_an_operator_names() {
    let house = house(9).await;
    let of = |tenant: &str| json!({"url": "//site.example/a", "tenant": tenant});
    json(purge(&house, of("x"), OPERATOR).await, 202).await;
    let page = page(&house, "after=0").await;
    let last = page.entries.last().unwrap();
    let Order::Purge(ordered) = &last.order else {
        unreachable!("{last:?}");
    };
    assert_eq!(ordered.tenant.as_ref().unwrap().as_str(), "x");
    problem(purge(&house, of("a b"), OPERATOR).await, 400, "bad-request").await;
}

#[tokio::test]
async fn a_publisher_orders_so_many_purges_a_minute() {
    let house = house(9).await;
    house.film("film1", Privacy::Public).await;
    let ann = somebody(&house, "ann", "publisher").await;
    let channel = house.post("/v1/channels", &json!({"name": "ann's"}));
    let channel = json(channel.bearer_auth(&ann).send().await.unwrap(), 201).await;
    let put = house.request(Method::PUT, "/v1/videos/film1/channel");
    let put = put.json(&json!({"channel_id": channel["channel_id"]}));
    let put = put.bearer_auth(OPERATOR).send().await.unwrap();
    assert_eq!(put.status(), 204);
    let wish = json!({"video": "film1"});
    let order = async |who: &str| {
        let ordered = house.post("/v1/purge", &wish).bearer_auth(who).send();
        ordered.await.unwrap()
    };
    for _ in 0..60 {
        json(order(&ann).await, 202).await;
    }
    problem(order(&ann).await, 429, "too-many-requests").await;
    json(order(OPERATOR).await, 202).await;
    house.clock.advance(1);
    json(order(&ann).await, 202).await;
}

#[tokio::test]
async fn a_feed_that_is_renewed_has_every_node_take_everything_for_purged() {
    let house = house(9).await;
    let (feed, _) = head(&house).await;
    let given = json(purge(&house, json!({"all": true}), OPERATOR).await, 202).await;
    let seq = given["seq"].as_u64().unwrap();
    let renew = |token: &str| {
        house
            .request(Method::POST, "/v1/fleet/feed/renew")
            .bearer_auth(token)
            .send()
    };
    let backend = key(&house, json!(["purge"]), Value::Null).await;
    let refused = renew(backend["secret"].as_str().unwrap()).await.unwrap();
    problem(refused, 403, "forbidden").await;
    let renewed = json(renew(OPERATOR).await.unwrap(), 200).await;
    let page = page(&house, &format!("after={seq}&feed={feed}&wait=25")).await;
    assert_ne!(page.feed.unwrap().as_str(), feed);
    assert_eq!(page.gap.map(|gap| gap.through), renewed["begins"].as_u64());
}

#[tokio::test]
async fn the_metrics_tell_how_far_each_node_is() {
    let house = house(9).await;
    let (feed, before) = head(&house).await;
    page(&house, &format!("after={before}&feed={feed}&node=edge-1")).await;
    json(purge(&house, json!({"all": true}), OPERATOR).await, 202).await;
    let lag = || house.counter("millrace_control_node_lag_orders{node=\"edge-1\"}");
    // They are counted every few seconds.
    let counted = async {
        while lag().await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), counted).await.unwrap();
    assert_eq!(lag().await, 1);
    assert_eq!(house.counter("millrace_control_nodes ").await, 1);
}
