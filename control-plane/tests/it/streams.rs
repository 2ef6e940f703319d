//! How many streams an account watches at once, and whose they are.

use std::collections::BTreeSet;

use catalog::sessions::Beat;
use contracts::asset::Privacy;
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::callers::key;
use crate::house::{House, NOW, OPERATOR, json, mark, problem};
use crate::licences;
use crate::people::{configured, somebody};

const START: &str = "/v1/playback/start";

/// A house with accounts that may watch so many streams, and a film in it.
async fn house(streams: u32, catalog: Option<&str>) -> House {
    let house = configured(catalog, |config| config.playback.streams = streams).await;
    house.film("film", Privacy::Public).await;
    house
}

async fn start(house: &House, token: &str, wish: Value) -> Response {
    let request = house.post(START, &wish).bearer_auth(token);
    request.send().await.unwrap()
}

async fn begins(house: &House, token: &str) -> Value {
    json(start(house, token, json!({"video_id": "film"})).await, 201).await
}

async fn refused(house: &House, token: &str) -> Value {
    let refused = start(house, token, json!({"video_id": "film"})).await;
    problem(refused, 409, "concurrency_limit").await
}

async fn beat(house: &House, playback: &Value, said: Value) -> Response {
    let url = playback["heartbeat"]["url"].as_str().unwrap();
    house.post(url, &said).send().await.unwrap()
}

async fn stop(house: &House, playback: &Value) {
    let session = playback["session_id"].as_str().unwrap();
    let stop = house.request(Method::DELETE, &format!("/v1/playback/{session}"));
    assert_eq!(stop.send().await.unwrap().status(), 204);
}

async fn backend(house: &House) -> String {
    let made = key(house, json!(["playback"]), Value::Null).await;
    made["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn over_the_limit_an_account_is_told_what_it_watches() {
    let house = house(2, None).await;
    let ann = somebody(&house, "ann", "viewer").await;
    let tv = json!({"video_id": "film", "device": {"type": "tv", "name": "Living\n room"}});
    let first = json(start(&house, &ann, tv).await, 201).await;
    assert_eq!(first["heartbeat"]["lease_s"], 90);
    house.clock.advance(5);
    let second = begins(&house, &ann).await;
    let told = refused(&house, &ann).await;
    let stream = |playback: &Value, device: Value, since: u64| {
        let id = &playback["session_id"];
        json!({"session_id": id, "video_id": "film", "device": device, "since_unix_s": since})
    };
    let active = json!([
        stream(&first, json!("Living room"), NOW),
        stream(&second, Value::Null, NOW + 5)
    ]);
    assert_eq!(told["active"], active);
    assert!(!told.to_string().contains("/~"), "no token is told");
    // Another account has its own, and who is nobody has no limit.
    let ben = somebody(&house, "ben", "viewer").await;
    begins(&house, &ben).await;
    for _ in 0..3 {
        let nobody = house.post(START, &json!({"video_id": "film"}));
        json(nobody.send().await.unwrap(), 201).await;
    }
    let mine = house.request(Method::GET, "/v1/users/me/streams");
    let mine = json(mine.bearer_auth(&ann).send().await.unwrap(), 200).await;
    assert_eq!(
        mine,
        json!({"limit": 2, "own_limit": null, "active": active})
    );
    stop(&house, &first).await;
    begins(&house, &ann).await;
    refused(&house, &ann).await;
}

#[tokio::test]
async fn a_lost_lease_sets_a_stream_free_and_ends_its_session() {
    let house = house(1, None).await;
    let ann = somebody(&house, "ann", "viewer").await;
    let first = begins(&house, &ann).await;
    house.clock.advance(60);
    let lives = json(beat(&house, &first, json!({"position_s": 60})).await, 200).await;
    assert_eq!(lives["action"], "continue");
    house.clock.advance(89);
    refused(&house, &ann).await;
    house.clock.advance(1);
    let second = begins(&house, &ann).await;
    let late = json(beat(&house, &first, json!({})).await, 200).await;
    assert_eq!(
        (&late["action"], &late["reason"]),
        (&json!("stop"), &json!("lease_lost"))
    );
    let lives = json(beat(&house, &second, json!({})).await, 200).await;
    assert_eq!(lives["action"], "continue");
    // Nobody else came: the heartbeat itself finds that it is late.
    house.clock.advance(90);
    let late = json(beat(&house, &second, json!({})).await, 200).await;
    assert_eq!(late["reason"], "lease_lost");
}

#[tokio::test]
async fn who_could_not_be_heard_because_there_was_no_control_plane_has_lost_no_lease() {
    let first = house(1, None).await;
    let ann = somebody(&first, "ann", "viewer").await;
    let playback = begins(&first, &ann).await;
    first.running.stop().await;
    let session = SessionId::parse(playback["session_id"].as_str().unwrap()).unwrap();
    let (long_ago, past) = (UnixSeconds(NOW - 200), UnixSeconds(NOW - 110));
    let sessions = &first.catalog.sessions;
    let beaten = sessions
        .beat(&session, Beat::default(), long_ago, past)
        .await;
    assert_eq!(beaten.unwrap().unwrap().ended, None);
    let address = format!("sqlite://{}", first.dir.path().join("catalog.db").display());
    let second = configured(Some(&address), |config| config.playback.streams = 1).await;
    let path = format!("/v1/playback/{session}/heartbeat");
    let lives = json(second.post(&path, &json!({})).send().await.unwrap(), 200).await;
    assert_eq!(lives["action"], "continue");
}

#[tokio::test]
async fn without_a_limit_nobody_needs_heartbeats() {
    let house = house(0, None).await;
    let ann = somebody(&house, "ann", "viewer").await;
    let first = begins(&house, &ann).await;
    for _ in 0..5 {
        begins(&house, &ann).await;
    }
    house.clock.advance(3600);
    let lives = json(beat(&house, &first, json!({})).await, 200).await;
    assert_eq!(lives["action"], "continue");
}

#[tokio::test]
async fn fifty_who_start_at_once_at_two_control_planes_get_three_streams() {
    for address in [None, test_postgres::database()] {
        let one = house(3, address.as_deref()).await;
        let two = match &address {
            Some(address) => {
                let address = Some(address.as_str());
                Some(configured(address, |config| config.playback.streams = 3).await)
            }
            None => None,
        };
        let secret = backend(&one).await;
        let mut starts = JoinSet::new();
        for number in 0..50 {
            let there = two.as_ref().filter(|_| number % 2 == 0);
            let wish = json!({"video_id": "film", "viewer": "customer 7"});
            let request = there.unwrap_or(&one).post(START, &wish);
            starts.spawn(request.bearer_auth(&secret).send());
        }
        let mut statuses = Vec::new();
        while let Some(answer) = starts.join_next().await {
            statuses.push(answer.unwrap().unwrap().status().as_u16());
        }
        let count = |status| statuses.iter().filter(|have| **have == status).count();
        assert_eq!((count(201), count(409)), (3, 47), "{statuses:?}");
    }
}

#[tokio::test]
async fn a_backend_s_viewers_are_told_apart() {
    let house = house(1, None).await;
    let secret = backend(&house).await;
    let wish = |viewer: &str| json!({"video_id": "film", "viewer": viewer});
    for viewer in ["customer 7", "customer 8"] {
        json(start(&house, &secret, wish(viewer)).await, 201).await;
        let again = start(&house, &secret, wish(viewer)).await;
        problem(again, 409, "concurrency_limit").await;
    }
    // For whom it names nobody, no limit counts.
    for _ in 0..3 {
        begins(&house, &secret).await;
    }
    let status = key(&house, json!(["status"]), Value::Null).await;
    let status = status["secret"].as_str().unwrap();
    let ann = somebody(&house, "ann", "viewer").await;
    for token in [status, &ann] {
        for member in ["viewer", "viewer_ip"] {
            let wish = json!({"video_id": "film", member: "192.0.2.1"});
            problem(start(&house, token, wish).await, 403, "forbidden").await;
        }
    }
    let nobody = house.post(START, &wish("customer 7")).send().await.unwrap();
    problem(nobody, 401, "unauthorized").await;
    let empty = start(&house, &secret, wish("")).await;
    problem(empty, 400, "bad-request").await;
}

#[tokio::test]
async fn an_account_may_have_a_limit_of_its_own() {
    let house = house(1, None).await;
    let ann = somebody(&house, "ann", "viewer").await;
    let me = house.request(Method::GET, "/v1/users/me");
    let me = json(me.bearer_auth(&ann).send().await.unwrap(), 200).await;
    let path = format!("/v1/users/{}/streams", me["user_id"].as_str().unwrap());
    let set = async |token: &str, limit: Value| {
        let body = json!({ "limit": limit });
        let put = house.request(Method::PUT, &path).json(&body);
        put.bearer_auth(token).send().await.unwrap()
    };
    problem(set(&ann, json!(5)).await, 403, "forbidden").await;
    let told = json(set(OPERATOR, json!(2)).await, 200).await;
    assert_eq!(told, json!({"limit": 2, "own_limit": 2, "active": []}));
    begins(&house, &ann).await;
    begins(&house, &ann).await;
    refused(&house, &ann).await;
    let told = json(set(OPERATOR, json!(0)).await, 200).await;
    assert_eq!(
        (&told["limit"], &told["own_limit"]),
        (&Value::Null, &json!(0))
    );
    begins(&house, &ann).await;
    let told = json(set(OPERATOR, Value::Null).await, 200).await;
    assert_eq!(
        (&told["limit"], &told["own_limit"]),
        (&json!(1), &Value::Null)
    );
    refused(&house, &ann).await;
    problem(set(OPERATOR, json!(1001)).await, 400, "bad-request").await;
    for (id, status) in [("nobody", 404), ("x-later", 200), ("v-later", 200)] {
        let path = format!("/v1/users/{id}/streams");
        let put = house.request(Method::PUT, &path).json(&json!({"limit": 3}));
        let put = put.bearer_auth(OPERATOR).send().await.unwrap();
        assert_eq!(put.status(), status, "{id}");
        let asked = house.request(Method::GET, &path).bearer_auth(OPERATOR);
        assert_eq!(asked.send().await.unwrap().status(), status, "{id}");
    }
    let ben = somebody(&house, "ben", "viewer").await;
    for (token, wanted) in [(&ann, 200), (&ben, 403)] {
        let show = house.request(Method::GET, &path).bearer_auth(token);
        assert_eq!(show.send().await.unwrap().status(), wanted);
    }
}

#[tokio::test]
async fn two_accounts_may_have_the_same_idempotency_key() {
    let house = house(1, None).await;
    let mut sessions = BTreeSet::new();
    for name in ["ann", "ben"] {
        let token = somebody(&house, name, "viewer").await;
        for _ in 0..2 {
            let wish = house.post(START, &json!({"video_id": "film"}));
            let wish = wish.bearer_auth(&token).header("idempotency-key", "k");
            let playback = json(wish.send().await.unwrap(), 201).await;
            sessions.insert(playback["session_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(sessions.len(), 2);
}

#[tokio::test]
async fn a_late_heartbeat_does_not_move_the_position_back() {
    let house = house(0, None).await;
    let ann = somebody(&house, "ann", "viewer").await;
    let playback = begins(&house, &ann).await;
    for (seq, position) in [(1, 10), (3, 30), (2, 20)] {
        let said = json!({"seq": seq, "position_s": position, "state": "playing"});
        json(beat(&house, &playback, said).await, 200).await;
    }
    let id = SessionId::parse(playback["session_id"].as_str().unwrap()).unwrap();
    let session = house.catalog.sessions.find(&id).await.unwrap().unwrap();
    assert_eq!(session.position_ms, Some(30_000));
}

#[tokio::test]
async fn over_the_limit_there_is_no_licence() {
    let house = licences::with(|config| config.playback.streams = 1).await;
    let wish = json!({"video_id": "film", "drm": "clearkey", "viewer": "customer 7"});
    let start = async || house.post(START, &wish).send().await.unwrap();
    let first = json(start().await, 201).await;
    let kids = licences::film_kids(&house).await;
    let token = |playback: &Value| playback["drm"]["token"].as_str().unwrap().to_owned();
    json(licences::ask(&house, &token(&first), &kids).await, 200).await;
    let refused = problem(start().await, 409, "concurrency_limit").await;
    assert!(refused.get("drm").is_none());
    // Its lease is lost and another took its place: its token gives no licence any more.
    house.clock.advance(90);
    let second = json(start().await, 201).await;
    licences::refused(&house, &token(&first), &kids, "session-over").await;
    json(licences::ask(&house, &token(&second), &kids).await, 200).await;
}

#[tokio::test]
async fn edges_are_told_once_of_what_ended_before_its_token() {
    let house = house(1, None).await;
    let ann = somebody(&house, "ann", "viewer").await;
    let lost = begins(&house, &ann).await;
    house.clock.advance(90);
    let second = begins(&house, &ann).await;
    let nobody = house.post(START, &json!({"video_id": "film"}));
    let nobody = json(nobody.send().await.unwrap(), 201).await;
    assert_eq!(house.revoked().await.len(), 0);
    for playback in [&nobody, &second, &second] {
        stop(&house, playback).await;
    }
    let told = house.revoked().await;
    let mut wanted = Vec::new();
    for playback in [&lost, &second] {
        wanted.push((mark(playback), playback["expires_at"].as_u64().unwrap()));
    }
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn edges_are_told_of_any_session_that_an_operator_ends() {
    let house = house(1, None).await;
    let mut wanted = Vec::new();
    for was_stopped in [false, true] {
        let nobody = house.post(START, &json!({"video_id": "film"}));
        let nobody = json(nobody.send().await.unwrap(), 201).await;
        if was_stopped {
            stop(&house, &nobody).await;
        }
        let stop = format!("/v1/playback/{}", nobody["session_id"].as_str().unwrap());
        for credential in ["of nobody", OPERATOR, OPERATOR] {
            let stopped = house
                .request(Method::DELETE, &stop)
                .bearer_auth(credential)
                .send()
                .await;
            assert_eq!(stopped.unwrap().status(), 204, "{credential}");
            if credential != OPERATOR {
                assert_eq!(house.revoked().await, wanted);
            }
        }
        wanted.push((mark(&nobody), nobody["expires_at"].as_u64().unwrap()));
        assert_eq!(house.revoked().await, wanted);
    }
}

#[tokio::test]
async fn an_account_that_begins_without_end_is_told_to_wait() {
    let house = house(0, None).await;
    let (ann, ben) = (
        somebody(&house, "ann", "viewer").await,
        somebody(&house, "ben", "viewer").await,
    );
    for _ in 0..120 {
        let absent = start(&house, &ann, json!({"video_id": "absent"})).await;
        assert_eq!(absent.status(), 404);
    }
    let refused = start(&house, &ann, json!({"video_id": "film"})).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    problem(refused, 429, "too-many-requests").await;
    begins(&house, &ben).await;
    house.clock.advance(1);
    begins(&house, &ann).await;
}

#[tokio::test]
async fn a_player_that_beats_without_end_is_told_to_wait() {
    let house = house(0, None).await;
    let ann = somebody(&house, "ann", "viewer").await;
    let (hasty, calm) = (begins(&house, &ann).await, begins(&house, &ann).await);
    for _ in 0..60 {
        json(beat(&house, &hasty, json!({})).await, 200).await;
    }
    let refused = beat(&house, &hasty, json!({})).await;
    problem(refused, 429, "too-many-requests").await;
    json(beat(&house, &calm, json!({})).await, 200).await;
}
