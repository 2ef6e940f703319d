//! Sessions of those for whom an outside issuer vouches, and of whom nothing is kept here.

use config::Problem;
use contracts::asset::Privacy;
use control_plane::config::{Config, IssuerConfig};
use reqwest::Method;
use serde_json::{Value, json};

use crate::callers::{Issuer, claims, ed25519, signed};
use crate::house::{House, NOW, OPERATOR, json, problem};

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

async fn role(house: &House, token: &str) -> Value {
    let me = house.request(Method::GET, "/v1/users/me");
    let me = me.bearer_auth(token).send().await.unwrap();
    json(me, 200).await["role"].clone()
}

#[tokio::test]
async fn an_outside_issuer_s_tokens_tell_who_publishes_where_they_are_asked() {
    let (issuer, key) = (Issuer::start().await, ed25519(1));
    issuer.publish(&[("k1", &key)]);
    for (claim, said, wanted) in [
        ("role", json!({"role": "editor"}), "publisher"),
        ("role", json!({"role": "reader editor"}), "publisher"),
        ("role", json!({"role": ["reader", "editor"]}), "publisher"),
        ("role", json!({"role": ["reader", 7]}), "viewer"),
        ("role", json!({"role": "editors"}), "viewer"),
        ("role", json!({"role": {"editor": true}}), "viewer"),
        ("role", json!({"roles": "editor"}), "viewer"),
        (
            "https://x.example/r",
            json!({"https://x.example/r": ["editor"]}),
            "publisher",
        ),
        (
            "/realm/roles",
            json!({"realm": {"roles": ["editor"]}}),
            "publisher",
        ),
        ("/realm/roles", json!({"realm": ["editor"]}), "viewer"),
        ("sub", json!({"sub": "author"}), "publisher"),
        ("sub", json!({"sub": "reader"}), "viewer"),
    ] {
        let house = issuer
            .trusted(vec![IssuerConfig {
                role_claim: claim.into(),
                publishers: vec!["author".into(), "editor".into()],
                ..issuer.entry("millrace", "viewer")
            }])
            .await;
        let mut claims = claims();
        claims
            .as_object_mut()
            .unwrap()
            .extend(said.as_object().unwrap().clone());
        let token = signed("k1", &key, &claims);
        assert_eq!(role(&house, &token).await, wanted, "{claim}: {said}");
        let channel = house.post("/v1/channels", &json!({"name": "Films"}));
        let made = channel.bearer_auth(&token).send().await.unwrap();
        let publishes = wanted == "publisher";
        assert_eq!(made.status(), if publishes { 201 } else { 403 }, "{said}");
    }
}

#[tokio::test]
async fn one_issuer_may_have_an_audience_for_each_role() {
    let (issuer, key) = (Issuer::start().await, ed25519(1));
    issuer.publish(&[("k1", &key)]);
    let entries = vec![
        issuer.entry("players", "viewer"),
        issuer.entry("desk", "operator"),
    ];
    let house = issuer.trusted(entries).await;
    house.film("secret", Privacy::Private).await;
    let of = |audience: &str| {
        let mut claims = claims();
        claims["aud"] = json!(audience);
        signed("k1", &key, &claims)
    };
    let (player, desk) = (of("players"), of("desk"));
    assert_eq!(role(&house, &player).await, "viewer");
    assert_eq!(role(&house, &desk).await, "operator");
    let nobody = house
        .request(Method::GET, "/v1/users/me")
        .bearer_auth(of("other"));
    problem(nobody.send().await.unwrap(), 401, "unauthorized").await;
    // Who began as an operator watches on as one; who is a viewer by the other entry does not become one.
    let start = house.post("/v1/playback/start", &json!({"video_id": "secret"}));
    let playback = json(start.bearer_auth(&desk).send().await.unwrap(), 201).await;
    house.clock.advance(4 * 3600);
    assert!(beat(&house, &playback).await["manifest_url"].is_string());
    house.film("film", Privacy::Unlisted).await;
    let start = house.post("/v1/playback/start", &json!({"video_id": "film"}));
    let playback = json(start.bearer_auth(of_later(&key)).send().await.unwrap(), 201).await;
    let rules = house.request(Method::PUT, "/v1/videos/film/rules");
    let rules = rules
        .json(&json!({"audience": "granted"}))
        .bearer_auth(OPERATOR);
    json(rules.send().await.unwrap(), 200).await;
    house.clock.advance(4 * 3600);
    assert_eq!(beat(&house, &playback).await["reason"], "not_entitled");
}

/// A viewer's token that counts after the first renewal.
fn of_later(key: &jsonwebtoken::EncodingKey) -> String {
    let mut claims = claims();
    claims["aud"] = json!("players");
    claims["exp"] = json!(NOW + 6 * 3600);
    signed("k1", key, &claims)
}

#[test]
fn an_issuer_that_could_not_be_told_from_another_is_refused() {
    let faults = |issuers: Vec<IssuerConfig>| -> Vec<Problem> {
        let mut config = Config::default();
        config.accounts.issuers = issuers;
        let faults = config.check().err().unwrap_or_default().into_iter();
        faults
            .filter(|fault| fault.key.starts_with("accounts.issuers"))
            .collect()
    };
    let entry = |audience: &str| IssuerConfig {
        issuer: "https://id.example".into(),
        audience: audience.into(),
        jwks: "https://id.example/jwks.json".into(),
        role: "viewer".into(),
        role_claim: String::new(),
        publishers: Vec::new(),
    };
    assert_eq!(faults(vec![entry("a"), entry("b")]), []);
    let twice = faults(vec![entry("a"), entry("b"), entry("a")]);
    assert_eq!(twice[0].key, "accounts.issuers");
    let half = faults(vec![IssuerConfig {
        role_claim: "role".into(),
        ..entry("a")
    }]);
    assert_eq!(half[0].key, "accounts.issuers.role_claim");
    let nobody = faults(vec![IssuerConfig {
        role_claim: "role".into(),
        publishers: vec!["editor".into(), " ".into()],
        ..entry("a")
    }]);
    assert_eq!(nobody[0].key, "accounts.issuers.publishers");
}
