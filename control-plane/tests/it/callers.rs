//! Who calls: API keys, roles, tokens of outside issuers; and what each may do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use contracts::asset::Privacy;
use control_plane::config::IssuerConfig;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::house::{House, NOW, OPERATOR, json, problem};
use crate::people::{house, on, somebody};

async fn ask(house: &House, method: Method, path: &str, token: &str) -> Response {
    let request = house.request(method, path).bearer_auth(token);
    request.send().await.unwrap()
}

pub(crate) async fn key(house: &House, scopes: Value, more: Value) -> Value {
    let mut wish = json!({"name": "a backend", "scopes": scopes});
    if let Some(at) = more.as_u64() {
        wish["expires_at"] = at.into();
    }
    let made = house.post("/v1/api-keys", &wish).bearer_auth(OPERATOR);
    json(made.send().await.unwrap(), 201).await
}

#[tokio::test]
async fn an_api_key_opens_what_it_is_for_until_it_is_removed() {
    for address in [None, test_postgres::database()] {
        let house = on(address.as_deref()).await;
        house.film("secret1", Privacy::Private).await;
        let made = key(&house, json!(["status", "status"]), Value::Null).await;
        assert_eq!(made["scopes"], json!(["status"]));
        let status = made["secret"].as_str().unwrap();
        let playback = key(&house, json!(["playback"]), Value::Null).await;
        let playback = playback["secret"].as_str().unwrap();
        let film = "/v1/videos/secret1";
        json(ask(&house, Method::GET, "/v1/status", status).await, 200).await;
        let hidden = ask(&house, Method::GET, film, status).await;
        problem(hidden, 404, "video-not-found").await;
        json(ask(&house, Method::GET, film, playback).await, 200).await;
        let closed = ask(&house, Method::GET, "/v1/status", playback).await;
        problem(closed, 403, "forbidden").await;
        for path in ["/v1/users", "/v1/api-keys"] {
            let closed = ask(&house, Method::GET, path, status).await;
            problem(closed, 403, "forbidden").await;
        }
        let listed = ask(&house, Method::GET, "/v1/api-keys", OPERATOR).await;
        let listed = json(listed, 200).await;
        assert_eq!(listed["api_keys"].as_array().unwrap().len(), 2);
        assert!(
            !listed.to_string().contains("mk_"),
            "no secret is shown again"
        );
        let path = format!("/v1/api-keys/{}", made["api_key_id"].as_str().unwrap());
        let gone = ask(&house, Method::DELETE, &path, OPERATOR).await;
        assert_eq!(gone.status(), 204);
        let gone = ask(&house, Method::GET, "/v1/status", status).await;
        problem(gone, 401, "unauthorized").await;
        let gone = ask(&house, Method::DELETE, &path, OPERATOR).await;
        problem(gone, 404, "api-key-not-found").await;
    }
}

#[tokio::test]
async fn an_api_key_ends_and_has_a_rate() {
    let house = house().await;
    let made = key(&house, json!(["status"]), json!(NOW + 60)).await;
    let secret = made["secret"].as_str().unwrap();
    let mut answers = Vec::new();
    for _ in 0..201 {
        let answer = ask(&house, Method::GET, "/v1/status", secret).await;
        answers.push(answer.status().as_u16());
    }
    assert_eq!((answers[199], answers[200]), (200, 429));
    house.clock.advance(59);
    json(ask(&house, Method::GET, "/v1/status", secret).await, 200).await;
    house.clock.advance(1);
    let ended = ask(&house, Method::GET, "/v1/status", secret).await;
    problem(ended, 401, "unauthorized").await;
}

#[tokio::test]
async fn an_api_key_is_asked_for_with_words_that_mean_something() {
    let house = house().await;
    for wish in [
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["everything"]}),
        json!({"name": "", "scopes": ["status"]}),
        json!({"name": "x", "scopes": ["status"], "expires_at": NOW}),
    ] {
        let refused = house.post("/v1/api-keys", &wish).bearer_auth(OPERATOR);
        problem(refused.send().await.unwrap(), 400, "bad-request").await;
    }
    let nobody = house.post("/v1/api-keys", &json!({"name": "x", "scopes": ["status"]}));
    problem(nobody.send().await.unwrap(), 401, "unauthorized").await;
}

#[tokio::test]
async fn credentials_that_do_not_count_are_refused_everywhere_and_not_for_ever() {
    let house = house().await;
    house.film("film1", Privacy::Public).await;
    json(house.get("/v1/videos/film1").await, 200).await;
    for shown in [
        "x",
        "mk_x",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30.",
        OPERATOR.get(1..).unwrap(),
    ] {
        let refused = ask(&house, Method::GET, "/v1/videos/film1", shown).await;
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
        problem(refused, 401, "unauthorized").await;
    }
    let mut last = 0;
    for _ in 0..60 {
        last = ask(&house, Method::GET, "/v1/videos/film1", "mk_guess")
            .await
            .status()
            .as_u16();
    }
    assert_eq!(last, 429);
    json(
        ask(&house, Method::GET, "/v1/videos/film1", OPERATOR).await,
        200,
    )
    .await;
}

#[tokio::test]
async fn a_publisher_has_channels_and_sees_the_films_in_them() {
    let house = house().await;
    house.film("secret1", Privacy::Private).await;
    let (ann, ben) = (
        somebody(&house, "ann", "publisher").await,
        somebody(&house, "ben", "publisher").await,
    );
    let viewer = somebody(&house, "cat", "viewer").await;
    let create = async |token: &str| {
        let wish = house.post("/v1/channels", &json!({"name": "Films"}));
        wish.bearer_auth(token).send().await.unwrap()
    };
    problem(create(&viewer).await, 403, "forbidden").await;
    let channel = json(create(&ann).await, 201).await;
    let shown = format!("/v1/channels/{}", channel["channel_id"].as_str().unwrap());
    assert_eq!(json(house.get(&shown).await, 200).await, channel);
    let own = async |token: &str| {
        let asked = ask(&house, Method::GET, "/v1/channels", token).await;
        json(asked, 200).await["channels"].clone()
    };
    assert_eq!(own(&ann).await, json!([channel]));
    assert_eq!(own(&ben).await, json!([]), "others' are not listed");
    let asked = ask(&house, Method::GET, "/v1/channels", OPERATOR).await;
    problem(asked, 403, "account-needed").await;
    let put = async |token: &str, place: Value| {
        let request = house.request(Method::PUT, "/v1/videos/secret1/channel");
        let request = request.json(&json!({"channel_id": place}));
        request.bearer_auth(token).send().await.unwrap()
    };
    let sees = async |token: &str| {
        let film = ask(&house, Method::GET, "/v1/videos/secret1", token).await;
        film.status() == 200
    };
    problem(
        put(&ann, channel["channel_id"].clone()).await,
        404,
        "video-not-found",
    )
    .await;
    assert!(!sees(&ann).await);
    let placed = put(OPERATOR, channel["channel_id"].clone()).await;
    assert_eq!(placed.status(), 204);
    let nothing = house.request(Method::PUT, "/v1/videos/secret1/channel");
    let nothing = nothing.json(&json!({})).bearer_auth(OPERATOR);
    problem(nothing.send().await.unwrap(), 400, "bad-request").await;
    assert!(sees(&ann).await && !sees(&ben).await && !sees(&viewer).await);
    let told = async |token: &str| {
        let events = json(ask(&house, Method::GET, "/v1/events", token).await, 200).await;
        events["events"].as_array().unwrap().len()
    };
    assert_eq!((told(&ann).await, told(&ben).await), (1, 0));
    let refused = ask(&house, Method::GET, "/v1/events", &viewer).await;
    problem(refused, 403, "forbidden").await;
    let other = json(create(&ben).await, 201).await["channel_id"].clone();
    problem(put(&ann, other.clone()).await, 403, "forbidden").await;
    problem(put(&ben, other).await, 404, "video-not-found").await;
    problem(put(&ann, json!("absent")).await, 404, "channel-not-found").await;
    assert_eq!(put(&ann, Value::Null).await.status(), 204);
    assert!(!sees(&ann).await);
}

#[tokio::test]
async fn where_everybody_here_is_the_operator_what_is_shown_must_count() {
    let house = House::start().await;
    json(house.get("/v1/api-keys").await, 200).await;
    for shown in ["Bearer of-nobody", "Bearer ", "Basic YTpi", "what"] {
        let request = house.request(Method::GET, "/v1/api-keys");
        let request = request.header("authorization", shown);
        problem(request.send().await.unwrap(), 401, "unauthorized").await;
    }
}

/// An outside issuer: its key set behind a URL, and what it signs.
pub(crate) struct Issuer {
    url: String,
    set: Arc<Mutex<Value>>,
    asked: Arc<AtomicU32>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let set = Arc::new(Mutex::new(json!({"keys": []})));
        let asked = Arc::new(AtomicU32::new(0));
        let (served, count) = (Arc::clone(&set), Arc::clone(&asked));
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let set = served.lock().unwrap().to_string();
            async move { set }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let router = Router::new().route("/jwks", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, set, asked }
    }

    pub(crate) fn publish(&self, keys: &[(&str, &EncodingKey)]) {
        let keys = keys.iter().map(|(kid, key)| {
            let mut jwk = Jwk::from_encoding_key(key, Algorithm::EdDSA).unwrap();
            jwk.common.key_id = Some((*kid).to_owned());
            serde_json::to_value(jwk).unwrap()
        });
        *self.set.lock().unwrap() = json!({"keys": keys.collect::<Vec<_>>()});
    }

    pub(crate) async fn house(&self, role: &str) -> House {
        self.trusted(vec![self.entry("millrace", role)]).await
    }

    /// What a configuration says of it.
    pub(crate) fn entry(&self, audience: &str, role: &str) -> IssuerConfig {
        IssuerConfig {
            issuer: "https://id.example".into(),
            audience: audience.into(),
            jwks: self.url.clone(),
            role: role.into(),
            role_claim: String::new(),
            publishers: Vec::new(),
        }
    }

    pub(crate) async fn trusted(&self, entries: Vec<IssuerConfig>) -> House {
        House::with(|config, dir| {
            let key = dir.path().join("operator.key");
            std::fs::write(&key, OPERATOR).unwrap();
            config.operator_key = key.display().to_string();
            config.accounts.issuers = entries;
        })
        .await
    }
}

/// An Ed25519 key after PKCS #8 (RFC 8410 §7).
pub(crate) fn ed25519(seed: u8) -> EncodingKey {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend([seed; 32]);
    EncodingKey::from_ed_der(&der)
}

pub(crate) fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": ["other", "millrace"], "sub": "user|7", "exp": NOW + 300})
}

pub(crate) fn signed(kid: &str, key: &EncodingKey, claims: &Value) -> String {
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

async fn me(house: &House, token: &str) -> Response {
    ask(house, Method::GET, "/v1/users/me", token).await
}

#[tokio::test]
async fn a_token_of_an_outside_issuer_counts_and_names_the_same_user_each_time() {
    let issuer = Issuer::start().await;
    let key = ed25519(1);
    issuer.publish(&[("k1", &key)]);
    let house = issuer.house("operator").await;
    let shown = json(me(&house, &signed("k1", &key, &claims())).await, 200).await;
    assert_eq!(shown["role"], "operator");
    assert!(shown["user_id"].as_str().unwrap().starts_with("x-"));
    let mut later = claims();
    later["exp"] = json!(NOW + 900);
    let again = json(me(&house, &signed("k1", &key, &later)).await, 200).await;
    assert_eq!(again["user_id"], shown["user_id"]);
    later["sub"] = json!("user|8");
    let other = json(me(&house, &signed("k1", &key, &later)).await, 200).await;
    assert_ne!(other["user_id"], shown["user_id"]);
    assert_eq!(
        issuer.asked.load(Ordering::SeqCst),
        1,
        "keys are remembered"
    );
    json(
        ask(
            &house,
            Method::GET,
            "/v1/status",
            &signed("k1", &key, &later),
        )
        .await,
        200,
    )
    .await;
}

#[tokio::test]
async fn a_token_that_says_anything_else_than_it_must_does_not_count() {
    let issuer = Issuer::start().await;
    let (key, other) = (ed25519(1), ed25519(2));
    issuer.publish(&[("k1", &key)]);
    let house = issuer.house("viewer").await;
    for (name, value) in [
        ("iss", json!("https://other.example")),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("exp", json!(NOW - 31)),
        ("exp", Value::Null),
        ("exp", json!("soon")),
        ("nbf", json!(NOW + 31)),
    ] {
        let mut claims = claims();
        claims[name] = value;
        let refused = me(&house, &signed("k1", &key, &claims)).await;
        assert_eq!(refused.status(), 401, "{claims}");
    }
    for token in [
        signed("k1", &other, &claims()),
        signed("k2", &key, &claims()),
    ] {
        problem(me(&house, &token).await, 401, "unauthorized").await;
    }
    // The public key as the secret of an HMAC, which a verifier that trusts `alg` would take.
    let public = issuer.set.lock().unwrap()["keys"][0]["x"]
        .as_str()
        .unwrap()
        .to_owned();
    let header = Header {
        kid: Some("k1".to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let secret = EncodingKey::from_secret(&B64.decode(public).unwrap());
    let confused = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    problem(me(&house, &confused).await, 401, "unauthorized").await;
}

#[tokio::test]
async fn an_issuer_may_change_its_keys_and_be_away_for_a_day() {
    let issuer = Issuer::start().await;
    let (old, new) = (ed25519(1), ed25519(2));
    issuer.publish(&[("k1", &old)]);
    let house = issuer.house("viewer").await;
    let mut claims = claims();
    claims["exp"] = json!(NOW + 1_000_000);
    let (with_old, with_new) = (signed("k1", &old, &claims), signed("k2", &new, &claims));
    let status = async |token: &str| me(&house, token).await.status().as_u16();
    assert_eq!(status(&with_old).await, 200);
    issuer.publish(&[("k2", &new)]);
    assert_eq!(status(&with_new).await, 401, "it was asked just now");
    house.clock.advance(30);
    assert_eq!(status(&with_new).await, 200);
    assert_eq!(status(&with_old).await, 401);
    let asked = issuer.asked.load(Ordering::SeqCst);
    assert_eq!(asked, 2, "unknown names do not ask each time");
    *issuer.set.lock().unwrap() = json!("broken");
    house.clock.advance(86_399);
    assert_eq!(status(&with_new).await, 200);
    house.clock.advance(31);
    assert_eq!(status(&with_new).await, 401, "a day without news");
    issuer.publish(&[("k2", &new)]);
    house.clock.advance(30);
    assert_eq!(status(&with_new).await, 200);
}

#[tokio::test]
async fn an_issuer_that_sends_without_end_is_not_listened_to() {
    let issuer = Issuer::start().await;
    let key = ed25519(1);
    issuer.publish(&[("k1", &key)]);
    issuer.set.lock().unwrap()["more"] = json!("x".repeat(300_000));
    let house = issuer.house("viewer").await;
    let refused = me(&house, &signed("k1", &key, &claims())).await;
    problem(refused, 401, "unauthorized").await;
}

#[tokio::test]
async fn an_issuer_s_keys_may_be_in_a_file_which_is_looked_at_at_the_start() {
    let issuer = Issuer::start().await;
    let key = ed25519(1);
    issuer.publish(&[("k1", &key)]);
    let set = issuer.set.lock().unwrap().to_string();
    let mut checked = None;
    let house = House::with(|config, dir| {
        let file = dir.path().join("jwks.json");
        config.accounts.issuers = vec![IssuerConfig {
            issuer: "https://id.example".into(),
            audience: "millrace".into(),
            jwks: format!("file://{}", file.display()),
            role: "publisher".into(),
            role_claim: String::new(),
            publishers: Vec::new(),
        }];
        checked = control_plane::inspect(&config.clone().check().unwrap()).err();
        std::fs::write(file, set).unwrap();
    })
    .await;
    let problems = checked.unwrap();
    assert_eq!(problems[0].key, "accounts.issuers");
    let shown = json(me(&house, &signed("k1", &key, &claims())).await, 200).await;
    assert_eq!(shown["role"], "publisher");
}

#[tokio::test]
async fn who_comes_through_a_proxy_is_no_operator_for_coming_from_the_proxy_s_machine() {
    let trusting = House::with(|config, _| config.trusted_hops = vec!["127.0.0.0/8".into()]).await;
    for open in [trusting, House::with(|_, _| {}).await] {
        json(open.get("/v1/status").await, 200).await;
        for said in ["198.51.100.7", "::ffff:198.51.100.7", "2001:db8::1", "?"] {
            for shown in [None, Some("what does not count")] {
                let mut asked = open.request(Method::GET, "/v1/status");
                asked = asked.header("millrace-client-ip", said);
                if let Some(shown) = shown {
                    asked = asked.bearer_auth(shown);
                }
                let answer = asked.send().await.unwrap();
                problem(answer, 401, "unauthorized").await;
            }
        }
    }
    let public = House::with(|config, dir| {
        let key = dir.path().join("token.key");
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        config.accounts.token_keys = vec![key.display().to_string()];
        config.public_base = "https://api.example".into();
    })
    .await;
    problem(public.get("/v1/status").await, 401, "unauthorized").await;
    let told = public.running.first_operator.as_deref();
    assert!(told.is_some_and(|invitation| invitation.starts_with("minv_")));
}

#[tokio::test]
async fn what_is_told_to_one_caller_is_kept_for_no_other() {
    let house = house().await;
    house.film("film", Privacy::Public).await;
    let ann = somebody(&house, "ann", "viewer").await;
    for path in ["/v1/users/me", "/v1/videos/film", "/v1/users/me/streams"] {
        let told = ask(&house, Method::GET, path, &ann).await;
        assert_eq!(told.headers()["cache-control"], "no-store", "{path}");
        json(told, 200).await;
    }
}
