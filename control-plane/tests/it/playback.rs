//! Playback sessions: beginning, repeating, living, ending.

use catalog::videos::Event;
use contracts::asset::Privacy;
use contracts::feed::Order;
use contracts::id::{SessionId, VideoId};
use contracts::revocation::{Revocation, Revoked};
use contracts::time::UnixSeconds;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, KEYS, NOW, OPERATOR, at_the_edge, json, mark, problem, split};

const START: &str = "/v1/playback/start";

async fn start(house: &House, video: &str) -> Value {
    let wish =
        json!({"video_id": video, "device": {"type": "tv"}, "drm": "widevine", "position_s": 4.5});
    json(house.post(START, &wish).send().await.unwrap(), 201).await
}

#[tokio::test]
async fn a_session_names_manifests_that_an_edge_admits_until_the_film_was_watched() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    let playback = start(&house, "film1").await;
    let session = playback["session_id"].as_str().unwrap();
    let expires = NOW + 11 + 4 * 3600;
    assert_eq!(playback["asset_id"], "film1");
    assert_eq!(playback["expires_at"], expires);
    assert_eq!(playback["manifest_url"], playback["manifests"]["hls"]);
    for (member, null) in [
        ("drm", true),
        ("telemetry", true),
        ("steering_url", false),
        ("subtitles", false),
    ] {
        let value = playback.get(member).unwrap();
        assert_eq!(value.is_null(), null, "{member}");
    }
    assert_eq!(playback["subtitles"], json!([]));
    for (member, file) in [
        ("hls", "master.m3u8"),
        ("hls_ts", "master_ts.m3u8"),
        ("dash", "manifest.mpd"),
    ] {
        let url = playback["manifests"][member].as_str().unwrap();
        let accepted = at_the_edge(KEYS, url, NOW).unwrap();
        assert_eq!(accepted.path, format!("/v/film1/{file}"));
        assert_eq!(accepted.session.unwrap().as_str(), mark(&playback));
        // What the manifest names relative to itself is admitted too, another film is not.
        let segment = url.replace(file, "720p/segment_1.m4s");
        assert!(at_the_edge(KEYS, &segment, expires - 1).is_ok());
        assert_eq!(at_the_edge(KEYS, &segment, expires), Err("expired"));
        let other = url.replace("/v/film1/", "/v/film2/");
        assert_eq!(at_the_edge(KEYS, &other, NOW), Err("path"));
    }
    let poster = playback["thumbnails"]["poster"].as_str().unwrap();
    assert_eq!(
        at_the_edge(KEYS, poster, NOW).unwrap().path,
        "/t/film1/default.jpg"
    );
    let id = SessionId::parse(session).unwrap();
    let kept = house.catalog.sessions.find(&id).await.unwrap().unwrap();
    assert_eq!(
        (kept.position_ms, kept.expires),
        (Some(4500), UnixSeconds(expires))
    );
}

#[tokio::test]
async fn the_other_edges_are_alternatives_and_a_film_keeps_its_edge() {
    let house = House::start().await;
    let mut firsts = std::collections::BTreeSet::new();
    for number in 0..12 {
        let id = format!("film{number}");
        house.film(&id, Privacy::Public).await;
        let (one, two) = (start(&house, &id).await, start(&house, &id).await);
        let base = |playback: &Value| split(playback["manifest_url"].as_str().unwrap()).0;
        assert_eq!(base(&one), base(&two));
        assert_ne!(one["session_id"], two["session_id"]);
        let others = one["alternatives"].as_array().unwrap();
        assert_eq!(others.len(), 1);
        let other = others[0]["manifests"]["dash"].as_str().unwrap();
        assert_ne!(split(other).0, base(&one));
        assert!(at_the_edge(KEYS, other, NOW).is_ok());
        firsts.insert(base(&one));
    }
    assert_eq!(firsts.len(), 2, "twelve films are on both edges");
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_session_and_another_body_is_refused() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    house.film("film2", Privacy::Public).await;
    let send = async |key: &str, wish: Value| {
        let request = house.post(START, &wish).header("idempotency-key", key);
        request.send().await.unwrap()
    };
    let first = json(send("k", json!({"video_id": "film1"})).await, 201).await;
    house.clock.advance(60);
    let again = json(send("k", json!({"video_id": "film1"})).await, 201).await;
    for member in ["session_id", "manifest_url", "expires_at", "heartbeat"] {
        assert_eq!(first[member], again[member], "{member}");
    }
    let other = send("k", json!({"video_id": "film2"})).await;
    problem(other, 422, "idempotency-key-reused").await;
    let another = json(send("l", json!({"video_id": "film1"})).await, 201).await;
    assert_ne!(first["session_id"], another["session_id"]);
    assert_eq!(house.counter("millrace_control_sessions_total").await, 2);
    let long = send(&"x".repeat(129), json!({"video_id": "film1"})).await;
    problem(long, 400, "bad-request").await;
}

#[tokio::test]
async fn a_key_of_somebody_who_is_not_known_is_nobody_else_s() {
    let house = House::with(|config, _| config.trusted_hops = vec!["127.0.0.0/8".into()]).await;
    house.film("film1", Privacy::Public).await;
    let send = async |from: &str| {
        let request = house.post(START, &json!({"video_id": "film1"}));
        let request = request.header("idempotency-key", "1");
        let sent = request.header("millrace-client-ip", from).send().await;
        json(sent.unwrap(), 201).await["session_id"].clone()
    };
    let first = send("198.51.100.7").await;
    assert_eq!(send("198.51.100.7").await, first);
    assert_ne!(send("198.51.100.8").await, first);
}

#[tokio::test]
async fn heartbeats_continue_a_session_until_it_is_stopped() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    let playback = start(&house, "film1").await;
    let beat = playback["heartbeat"]["url"].as_str().unwrap();
    assert_eq!(playback["heartbeat"]["every_s"], 30);
    let answer = house.post(beat, &json!({"position_s": 7, "state": "playing"}));
    let answer = json(answer.send().await.unwrap(), 200).await;
    assert_eq!(
        answer,
        json!({"action": "continue", "expires_at": playback["expires_at"]})
    );
    let empty = house.request(Method::POST, beat).send().await.unwrap();
    json(empty, 200).await;
    let odd = house.post(beat, &json!({"state": "flying"}));
    problem(odd.send().await.unwrap(), 400, "bad-request").await;
    let session = beat.strip_suffix("/heartbeat").unwrap();
    for _ in 0..2 {
        let stopped = house.request(Method::DELETE, session).send().await.unwrap();
        assert_eq!(stopped.status(), 204);
    }
    let late = house.post(beat, &json!({})).send().await.unwrap();
    assert_eq!(problem(late, 410, "session-over").await["action"], "stop");
}

#[tokio::test]
async fn of_a_session_that_is_stopped_the_edges_are_ordered_once_to_refuse_its_tokens() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    let playback = start(&house, "film1").await;
    let session = playback["session_id"].as_str().unwrap();
    for _ in 0..2 {
        let path = format!("/v1/playback/{session}");
        let stopped = house.request(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(stopped.status(), 204);
    }
    let over = start(&house, "film1").await;
    house.clock.advance(11 + 4 * 3600);
    let path = format!("/v1/playback/{}", over["session_id"].as_str().unwrap());
    let stopped = house.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(stopped.status(), 204);
    let page = house.catalog.feed.after(0, UnixSeconds(NOW)).await.unwrap();
    let what = Revoked::Session(SessionId::parse(session).unwrap().mark());
    let until = UnixSeconds(playback["expires_at"].as_u64().unwrap());
    let orders: Vec<Order> = page.entries.into_iter().map(|entry| entry.order).collect();
    assert_eq!(orders, [Order::Revoke(Revocation { what, until })]);
}

#[tokio::test]
async fn what_edges_and_logs_know_of_a_session_does_not_act_for_its_player() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    let playback = start(&house, "film1").await;
    let url = playback["manifest_url"].as_str().unwrap();
    let shown = at_the_edge(KEYS, url, NOW).unwrap().session.unwrap();
    assert!(!url.contains(playback["session_id"].as_str().unwrap()));
    for (method, path) in [
        (Method::DELETE, format!("/v1/playback/{shown}")),
        (Method::POST, format!("/v1/playback/{shown}/stop")),
        (Method::POST, format!("/v1/playback/{shown}/heartbeat")),
        (Method::GET, format!("/v1/steering/{shown}")),
        (Method::GET, format!("/v1/steering/{shown}/master.m3u8")),
    ] {
        let answer = house.request(method, &path).send().await.unwrap();
        problem(answer, 404, "session-not-found").await;
    }
    let beat = playback["heartbeat"]["url"].as_str().unwrap();
    let lives = house.request(Method::POST, beat).send().await.unwrap();
    assert_eq!(json(lives, 200).await["action"], "continue");
}

#[tokio::test]
async fn a_session_whose_token_has_ended_is_over() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    let playback = start(&house, "film1").await;
    let beat = playback["heartbeat"]["url"].as_str().unwrap();
    house.clock.advance(11 + 4 * 3600 - 91);
    let lives = json(house.post(beat, &json!({})).send().await.unwrap(), 200).await;
    assert_eq!(lives["expires_at"], playback["expires_at"]);
    house.clock.advance(91);
    problem(
        house.post(beat, &json!({})).send().await.unwrap(),
        410,
        "session-over",
    )
    .await;
}

#[tokio::test]
async fn a_page_that_is_closed_stops_its_session_by_a_post() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    let playback = start(&house, "film1").await;
    let beat = playback["heartbeat"]["url"].as_str().unwrap();
    let stop = beat.replace("/heartbeat", "/stop");
    for _ in 0..2 {
        let stopped = house.request(Method::POST, &stop).send().await.unwrap();
        assert_eq!(stopped.status(), 204);
    }
    let late = house.post(beat, &json!({})).send().await.unwrap();
    problem(late, 410, "session-over").await;
}

#[tokio::test]
async fn a_film_that_is_not_ready_says_how_far_it_is() {
    let house = House::start().await;
    house.upload("film1", Privacy::Public).await;
    let id = VideoId::parse("film1").unwrap();
    house
        .catalog
        .videos
        .advance(&id, Event::Uploaded)
        .await
        .unwrap();
    house.catalog.videos.progress(&id, 30).await.unwrap();
    let wish = json!({"video_id": "film1"});
    let refused = house.post(START, &wish).send().await.unwrap();
    let refused = problem(refused, 409, "video-not-ready").await;
    assert_eq!(
        (&refused["state"], &refused["progress"]),
        (&json!("processing"), &json!(30))
    );
    let refusals = r#"millrace_control_refusals_total{kind="video-not-ready"}"#;
    assert_eq!(house.counter(refusals).await, 1);
}

#[tokio::test]
async fn only_the_operator_starts_a_private_film() {
    let house = House::guarded().await;
    house.film("film1", Privacy::Private).await;
    house.film("film2", Privacy::Unlisted).await;
    let wish = json!({"video_id": "film1"});
    let nobody = house.post(START, &wish).send().await.unwrap();
    problem(nobody, 404, "video-not-found").await;
    let backend = house.post(START, &wish).bearer_auth(OPERATOR);
    json(backend.send().await.unwrap(), 201).await;
    start(&house, "film2").await;
}
