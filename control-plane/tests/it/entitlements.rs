//! Who may watch what: privacy, grants and their windows, films' rules.

use contracts::asset::Privacy;
use contracts::id::{ChannelId, VideoId};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::callers::key;
use crate::house::{House, NOW, OPERATOR, json, mark, problem};
use crate::people::{house, on, somebody};

const START: &str = "/v1/playback/start";

async fn ask(house: &House, method: Method, path: &str, token: &str) -> Response {
    let request = house.request(method, path).bearer_auth(token);
    request.send().await.unwrap()
}

async fn send(house: &House, method: Method, path: &str, token: &str, body: Value) -> Response {
    let request = house.request(method, path).json(&body).bearer_auth(token);
    request.send().await.unwrap()
}

async fn start(house: &House, token: &str, film: &str) -> Response {
    send(house, Method::POST, START, token, json!({"video_id": film})).await
}

async fn id(house: &House, token: &str) -> Value {
    json(ask(house, Method::GET, "/v1/users/me", token).await, 200).await["user_id"].take()
}

async fn grant(house: &House, token: &str, wish: Value) -> Value {
    json(
        send(house, Method::POST, "/v1/grants", token, wish).await,
        201,
    )
    .await
}

async fn take_back(house: &House, token: &str, grant: &Value) -> Response {
    let path = format!("/v1/grants/{}", grant["grant_id"].as_str().unwrap());
    ask(house, Method::DELETE, &path, token).await
}

async fn beat(house: &House, playback: &Value) -> Value {
    let url = playback["heartbeat"]["url"].as_str().unwrap();
    json(house.post(url, &json!({})).send().await.unwrap(), 200).await
}

async fn rule(house: &House, token: &str, film: &str, audience: &str) -> Response {
    let path = format!("/v1/videos/{film}/rules");
    send(
        house,
        Method::PUT,
        &path,
        token,
        json!({"audience": audience}),
    )
    .await
}

/// A channel of somebody's with this film in it.
async fn channel(house: &House, token: &str, film: &str) -> String {
    let made = send(
        house,
        Method::POST,
        "/v1/channels",
        token,
        json!({"name": "Films"}),
    )
    .await;
    let channel = json(made, 201).await["channel_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (film, to) = (
        VideoId::parse(film).unwrap(),
        ChannelId::parse(&channel).unwrap(),
    );
    assert!(
        house
            .catalog
            .channels
            .put(&film, None, Some(&to))
            .await
            .unwrap()
    );
    channel
}

#[tokio::test]
async fn a_private_film_is_there_for_whom_it_was_granted_and_in_its_time() {
    for address in [None, test_postgres::database()] {
        let house = on(address.as_deref()).await;
        house.film("film", Privacy::Private).await;
        let (ann, ben) = (
            somebody(&house, "ann", "viewer").await,
            somebody(&house, "ben", "viewer").await,
        );
        for token in [&ann, &ben] {
            problem(start(&house, token, "film").await, 404, "video-not-found").await;
            let shown = ask(&house, Method::GET, "/v1/videos/film", token).await;
            problem(shown, 404, "video-not-found").await;
        }
        let wish = json!({"user_id": id(&house, &ann).await, "video_id": "film", "from": NOW + 100, "until": NOW + 500});
        let made = grant(&house, OPERATOR, wish).await;
        assert_eq!(
            (&made["site"], &made["until"]),
            (&json!(false), &json!(NOW + 500))
        );
        // She may know of it, and watch it later.
        json(ask(&house, Method::GET, "/v1/videos/film", &ann).await, 200).await;
        let early = problem(start(&house, &ann, "film").await, 403, "not_entitled").await;
        assert_eq!(early["from"], NOW + 100);
        problem(start(&house, &ben, "film").await, 404, "video-not-found").await;
        house.clock.advance(100);
        let playback = json(start(&house, &ann, "film").await, 201).await;
        assert_eq!(
            playback["expires_at"],
            NOW + 500,
            "no token outlives the grant"
        );
        house.clock.advance(400);
        let late = problem(start(&house, &ann, "film").await, 403, "not_entitled").await;
        assert!(late.get("from").is_none());
    }
}

#[tokio::test]
async fn what_is_taken_back_ends_what_it_let_be_watched() {
    for address in [None, test_postgres::database()] {
        let house = on(address.as_deref()).await;
        for film in ["one", "two", "three"] {
            house.film(film, Privacy::Private).await;
        }
        house.film("open", Privacy::Public).await;
        let publisher = somebody(&house, "pub", "publisher").await;
        let ann = somebody(&house, "ann", "viewer").await;
        let user = id(&house, &ann).await;
        let channel = channel(&house, &publisher, "one").await;
        let whole = grant(
            &house,
            &publisher,
            json!({"user_id": user, "channel_id": channel}),
        )
        .await;
        let two = grant(
            &house,
            OPERATOR,
            json!({"user_id": user, "video_id": "two"}),
        )
        .await;
        let mut begun = Vec::new();
        for film in ["one", "two", "open"] {
            begun.push(json(start(&house, &ann, film).await, 201).await);
        }
        problem(start(&house, &ann, "three").await, 404, "video-not-found").await;
        assert_eq!(take_back(&house, &publisher, &whole).await.status(), 204);
        let actions = async || {
            let mut actions = Vec::new();
            for playback in &begun {
                let answer = beat(&house, playback).await;
                let why = answer["reason"].as_str().unwrap_or("lives").to_owned();
                actions.push(why);
            }
            actions
        };
        assert_eq!(actions().await, ["not_entitled", "lives", "lives"]);
        let told = house.revoked().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, mark(&begun[0]));
        problem(start(&house, &ann, "one").await, 404, "video-not-found").await;
        // Another grant for the same: taking one back takes nothing away.
        let all = grant(&house, OPERATOR, json!({"user_id": user, "site": true})).await;
        assert_eq!(take_back(&house, OPERATOR, &two).await.status(), 204);
        assert_eq!(actions().await, ["not_entitled", "lives", "lives"]);
        json(start(&house, &ann, "three").await, 201).await;
        assert_eq!(take_back(&house, OPERATOR, &all).await.status(), 204);
        assert_eq!(actions().await, ["not_entitled", "not_entitled", "lives"]);
        problem(
            take_back(&house, OPERATOR, &all).await,
            404,
            "grant-not-found",
        )
        .await;
    }
}

#[tokio::test]
async fn who_may_do_less_or_is_gone_watches_no_more_than_that() {
    for address in [None, test_postgres::database()] {
        let house = on(address.as_deref()).await;
        house.film("secret", Privacy::Private).await;
        house.film("open", Privacy::Public).await;
        let ann = somebody(&house, "ann", "operator").await;
        let user = id(&house, &ann).await;
        let user = format!("/v1/users/{}", user.as_str().unwrap());
        let secret = json(start(&house, &ann, "secret").await, 201).await;
        let open = json(start(&house, &ann, "open").await, 201).await;
        let actions = async || {
            let (secret, open) = (beat(&house, &secret).await, beat(&house, &open).await);
            [secret["action"].clone(), open["action"].clone()]
        };
        let role = async |role: &str| {
            let path = format!("{user}/role");
            let set = send(&house, Method::POST, &path, OPERATOR, json!({"role": role}));
            json(set.await, 200).await
        };
        role("operator").await;
        assert_eq!(actions().await, ["continue", "continue"]);
        role("viewer").await;
        assert_eq!(actions().await, ["stop", "continue"]);
        let granted = json!({"user_id": user.rsplit('/').next(), "site": true});
        grant(&house, OPERATOR, granted).await;
        let removed = ask(&house, Method::DELETE, &user, OPERATOR).await;
        assert_eq!(removed.status(), 204);
        let grants = ask(&house, Method::GET, "/v1/grants", OPERATOR).await;
        assert_eq!(json(grants, 200).await["grants"], json!([]));
        assert_eq!(actions().await, ["stop", "stop"]);
        let told: Vec<String> = house.revoked().await.into_iter().map(|one| one.0).collect();
        let begun = [&secret, &open].map(mark);
        assert_eq!(told, begun);
    }
}

#[tokio::test]
async fn publishers_grant_what_is_theirs_and_nothing_else() {
    let house = house().await;
    for film in ["mine", "other"] {
        house.film(film, Privacy::Private).await;
    }
    let publisher = somebody(&house, "pub", "publisher").await;
    let rival = somebody(&house, "riv", "publisher").await;
    let channel = channel(&house, &publisher, "mine").await;
    let made = grant(
        &house,
        &publisher,
        json!({"user_id": "x-somebody", "video_id": "mine"}),
    )
    .await;
    for (token, covers) in [
        (&publisher, json!({"video_id": "other"})),
        (&publisher, json!({"site": true})),
        (&rival, json!({"video_id": "mine"})),
        (&rival, json!({"channel_id": channel})),
    ] {
        let mut wish = covers;
        wish["user_id"] = json!("x-somebody");
        let refused = send(&house, Method::POST, "/v1/grants", token, wish).await;
        problem(refused, 403, "forbidden").await;
    }
    problem(
        take_back(&house, &rival, &made).await,
        404,
        "grant-not-found",
    )
    .await;
    let path = "/v1/grants?video_id=mine";
    let listed = json(ask(&house, Method::GET, path, &publisher).await, 200).await;
    assert_eq!(listed["grants"], json!([made]));
    problem(
        ask(&house, Method::GET, path, &rival).await,
        403,
        "forbidden",
    )
    .await;
    problem(
        ask(&house, Method::GET, "/v1/grants", &publisher).await,
        403,
        "forbidden",
    )
    .await;
    let viewer = somebody(&house, "ann", "viewer").await;
    problem(
        ask(&house, Method::GET, path, &viewer).await,
        403,
        "forbidden",
    )
    .await;
    problem(house.get(path).await, 401, "unauthorized").await;
    let refused = rule(&house, &rival, "mine", "granted").await;
    problem(refused, 404, "video-not-found").await;
    json(rule(&house, &publisher, "mine", "granted").await, 200).await;
    // Who owns the film watches it; it does not need its own leave.
    json(start(&house, &publisher, "mine").await, 201).await;
}

#[tokio::test]
async fn a_backend_grants_and_its_viewers_watch_what_was_granted() {
    let house = house().await;
    house.film("film", Privacy::Unlisted).await;
    json(rule(&house, OPERATOR, "film", "granted").await, 200).await;
    let made = key(&house, json!(["playback", "grants"]), Value::Null).await;
    let backend = made["secret"].as_str().unwrap();
    let wish = json!({"video_id": "film", "viewer": "customer 7"});
    let play = async || send(&house, Method::POST, START, backend, wish.clone()).await;
    problem(play().await, 403, "not_entitled").await;
    let granted = json!({"grant_id": "order-17", "viewer": "customer 7", "video_id": "film"});
    let first = grant(&house, backend, granted.clone()).await;
    house.clock.advance(5);
    assert_eq!(
        grant(&house, backend, granted.clone()).await,
        first,
        "the same again"
    );
    let mut other = granted;
    other["until"] = json!(NOW + 900);
    let other = send(&house, Method::POST, "/v1/grants", backend, other).await;
    problem(other, 409, "grant-exists").await;
    let listed = ask(
        &house,
        Method::GET,
        "/v1/grants?viewer=customer%207",
        backend,
    )
    .await;
    assert_eq!(json(listed, 200).await["grants"], json!([first]));
    let playback = json(play().await, 201).await;
    assert_eq!(beat(&house, &playback).await["action"], "continue");
    assert_eq!(take_back(&house, backend, &first).await.status(), 204);
    assert_eq!(beat(&house, &playback).await["reason"], "not_entitled");
    problem(play().await, 403, "not_entitled").await;
    // A backend that names nobody answers for itself, and its key is for what its scopes say.
    json(start(&house, backend, "film").await, 201).await;
    let player = key(&house, json!(["playback"]), Value::Null).await;
    let player = player["secret"].as_str().unwrap();
    problem(
        ask(&house, Method::GET, "/v1/grants", player).await,
        403,
        "forbidden",
    )
    .await;
}

#[tokio::test]
async fn who_is_nobody_that_is_known_may_not_watch_what_must_be_granted() {
    let house = house().await;
    house.film("unlisted", Privacy::Unlisted).await;
    house.film("public", Privacy::Public).await;
    json(
        house
            .post(START, &json!({"video_id": "unlisted"}))
            .send()
            .await
            .unwrap(),
        201,
    )
    .await;
    json(rule(&house, OPERATOR, "unlisted", "granted").await, 200).await;
    let nobody = house.post(START, &json!({"video_id": "unlisted"}));
    problem(nobody.send().await.unwrap(), 403, "not_entitled").await;
    let logical = house.get("/v/unlisted/master.m3u8").await;
    problem(logical, 403, "not_entitled").await;
    // A public film may be had without any token: a rule would say what does not hold.
    problem(
        rule(&house, OPERATOR, "public", "granted").await,
        409,
        "film-is-public",
    )
    .await;
    problem(
        rule(&house, OPERATOR, "public", "nobody").await,
        400,
        "bad-request",
    )
    .await;
    let ann = somebody(&house, "ann", "viewer").await;
    problem(
        rule(&house, &ann, "public", "everybody").await,
        403,
        "forbidden",
    )
    .await;
    let wish = json!({"user_id": id(&house, &ann).await, "video_id": "unlisted"});
    grant(&house, OPERATOR, wish).await;
    json(start(&house, &ann, "unlisted").await, 201).await;
    // What may be taken back is a session's: a logical address has none.
    let logical = ask(&house, Method::GET, "/v/unlisted/master.m3u8", &ann).await;
    problem(logical, 403, "session-needed").await;
    let logical = ask(&house, Method::GET, "/v/public/master.m3u8", &ann).await;
    assert_eq!(logical.status(), 302);
}

#[tokio::test]
async fn a_grant_is_wished_with_words_that_mean_something() {
    let house = house().await;
    for wish in [
        json!({"user_id": "ann"}),
        json!({"video_id": "film"}),
        json!({"user_id": "ann", "viewer": "ann", "video_id": "film"}),
        json!({"user_id": "ann", "video_id": "film", "site": true}),
        json!({"user_id": "a b", "video_id": "film"}),
        json!({"user_id": "ann", "video_id": "../film"}),
        json!({"user_id": "ann", "video_id": "film", "from": 5, "until": 5}),
        json!({"user_id": "ann", "video_id": "film", "until": u64::MAX}),
        json!({"user_id": "ann", "video_id": "film", "from": u64::MAX}),
        json!({"user_id": "ann", "video_id": "film", "grant_id": "a/b"}),
        json!({"user_id": "ann", "video_id": "film", "site": "yes"}),
    ] {
        let refused = send(&house, Method::POST, "/v1/grants", OPERATOR, wish.clone()).await;
        assert_eq!(refused.status(), 400, "{wish}");
        problem(refused, 400, "bad-request").await;
    }
    let listed = json(ask(&house, Method::GET, "/v1/grants", OPERATOR).await, 200).await;
    assert_eq!(listed, json!({"grants": []}));
}

#[tokio::test]
async fn a_grant_is_for_what_is_there() {
    let house = house().await;
    house.film("film", Privacy::Private).await;
    house.film("gone", Privacy::Private).await;
    let gone = ask(&house, Method::DELETE, "/v1/videos/gone", OPERATOR).await;
    json(gone, 200).await;
    for (covers, kind) in [
        (
            json!({"user_id": "ann", "video_id": "film"}),
            "user-not-found",
        ),
        (
            json!({"user_id": "x-ann", "video_id": "absent"}),
            "video-not-found",
        ),
        (
            json!({"viewer": "ann", "video_id": "gone"}),
            "video-not-found",
        ),
        (
            json!({"viewer": "ann", "channel_id": "absent"}),
            "channel-not-found",
        ),
        (json!({"user_id": "ann", "site": true}), "user-not-found"),
    ] {
        let refused = send(&house, Method::POST, "/v1/grants", OPERATOR, covers).await;
        problem(refused, 404, kind).await;
    }
    let wish = json!({"grant_id": "order-1", "viewer": "ann", "video_id": "film"});
    let made = grant(&house, OPERATOR, wish.clone()).await;
    let gone = ask(&house, Method::DELETE, "/v1/videos/film", OPERATOR).await;
    json(gone, 200).await;
    // Who sends it again is told that it was made.
    assert_eq!(grant(&house, OPERATOR, wish).await, made);
}
