//! Sessions of those for whom an outside issuer vouches, and of whom nothing is kept here.

use contracts::asset::Privacy;
use reqwest::Method;
use serde_json::{Value, json};

use crate::callers::{Issuer, claims, ed25519, signed};
use crate::house::{House, OPERATOR, json, problem};

async fn beat(house: &House, playback: &Value) -> Value {
    let url = playback["heartbeat"]["url"].as_str().unwrap();
    let beat = house.request(Method::POST, url).send().await.unwrap();
    json(beat, 200).await
}

#[tokio::test]
async fn an_outside_issuer_s_operator_watches_on_when_the_session_is_renewed() {
    let (issuer, key) = (Issuer::start().await, ed25519(1));
    issuer.publish(&[("k1", &key)]);
    let token = signed("k1", &key, &claims());
    let house = issuer.house("operator").await;
    house.film("secret", Privacy::Private).await;
    let wish = house.post("/v1/playback/start", &json!({"video_id": "secret"}));
    let playback = json(wish.bearer_auth(&token).send().await.unwrap(), 201).await;
    // What was granted and taken back is nothing that an operator needs.
    let me = house.request(Method::GET, "/v1/users/me");
    let me = json(me.bearer_auth(&token).send().await.unwrap(), 200).await;
    let wish = json!({"user_id": me["user_id"], "video_id": "secret"});
    let grant = house.post("/v1/grants", &wish).bearer_auth(OPERATOR);
    let grant = json(grant.send().await.unwrap(), 201).await;
    let path = format!("/v1/grants/{}", grant["grant_id"].as_str().unwrap());
    let back = house.request(Method::DELETE, &path).bearer_auth(OPERATOR);
    assert_eq!(back.send().await.unwrap().status(), 204);
    house.clock.advance(4 * 3600);
    let renewed = beat(&house, &playback).await;
    assert_eq!(renewed["action"], "continue");
    assert!(renewed["manifest_url"].is_string(), "{renewed}");
}

#[tokio::test]
async fn an_outside_issuer_s_viewer_watches_a_private_film_by_a_grant_alone() {
    let (issuer, key) = (Issuer::start().await, ed25519(1));
    issuer.publish(&[("k1", &key)]);
    let token = signed("k1", &key, &claims());
    let house = issuer.house("viewer").await;
    house.film("secret", Privacy::Private).await;
    let wish = json!({"video_id": "secret"});
    let start = || house.post("/v1/playback/start", &wish).bearer_auth(&token);
    problem(start().send().await.unwrap(), 404, "video-not-found").await;
    let me = house.request(Method::GET, "/v1/users/me");
    let me = json(me.bearer_auth(&token).send().await.unwrap(), 200).await;
    let wish = json!({"user_id": me["user_id"], "video_id": "secret"});
    let grant = house.post("/v1/grants", &wish).bearer_auth(OPERATOR);
    let grant = json(grant.send().await.unwrap(), 201).await;
    let playback = json(start().send().await.unwrap(), 201).await;
    let path = format!("/v1/grants/{}", grant["grant_id"].as_str().unwrap());
    let back = house.request(Method::DELETE, &path).bearer_auth(OPERATOR);
    assert_eq!(back.send().await.unwrap().status(), 204);
    assert_eq!(beat(&house, &playback).await["reason"], "not_entitled");
}
