//! Keys: rotation without a restart, a damaged file, and none at all.

use contracts::asset::Privacy;
use contracts::id::SessionId;
use contracts::time::UnixSeconds;
use reqwest::Method;
use serde_json::json;

use crate::house::{House, KEYS, NOW, OPERATOR, at_the_edge, json, problem};

async fn manifest(house: &House) -> String {
    let wish = json!({"video_id": "film1"});
    let started = house
        .post("/v1/playback/start", &wish)
        .send()
        .await
        .unwrap();
    let playback = json(started, 201).await;
    playback["manifest_url"].as_str().unwrap().to_owned()
}

/// Replaces the keyring as a careful operator does, and gives it a time that differs.
fn replace(house: &House, text: &str, seconds: u64) {
    let path = house.dir.path().join("keys.json");
    let file = std::fs::File::create(path.with_extension("new")).unwrap();
    std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW + seconds);
    file.set_modified(time).unwrap();
    std::fs::rename(path.with_extension("new"), path).unwrap();
}

#[tokio::test]
async fn a_new_key_signs_within_a_second_of_being_in_the_file_and_a_damaged_file_changes_nothing() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    assert!(manifest(&house).await.contains("/~m1.k1."));
    let both = KEYS.replace(
        r#"{"keyring":["#,
        r#"{"keyring":[{"kid":"k2","ver":"m1","key_hex":"ffffffffffffffffffffffffffffffff","scope":["/v/"],"nbf":1,"exp":4102444800},"#,
    );
    replace(&house, &both, 1);
    // The file is not looked at for each token.
    assert!(manifest(&house).await.contains("/~m1.k1."));
    house.clock.advance(1);
    let url = manifest(&house).await;
    assert!(url.contains("/~m1.k2."), "{url}");
    assert!(at_the_edge(&both, &url, NOW).is_ok());
    replace(&house, "{", 2);
    house.clock.advance(1);
    assert!(manifest(&house).await.contains("/~m1.k2."));
}

#[tokio::test]
async fn a_poster_has_an_address_whichever_kind_of_key_signs() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    // As nodes that enrol need it, younger than the other: all tokens are made with it.
    let both = KEYS.replace(
        r#"{"keyring":["#,
        r#"{"keyring":[{"kid":"p1","ver":"m2","seed_hex":"4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c","scope":["/v/","/t/"],"nbf":1,"exp":4102444800},"#,
    );
    replace(&house, &both, 1);
    // The file may have been looked at in this second already.
    house.clock.advance(1);
    let list = json(house.get("/v1/videos").await, 200).await;
    let poster = list["videos"][0]["poster"].as_str().unwrap();
    assert!(poster.contains("/~m2.p1."), "{poster}");
    let admitted = at_the_edge(&both, poster, NOW).unwrap();
    assert_eq!(admitted.path, "/t/film1/default.jpg");
}

#[tokio::test]
async fn without_a_key_nothing_plays_and_the_answer_says_so() {
    let house = House::with(|config, _| config.keys.clear()).await;
    house.film("film1", Privacy::Public).await;
    let wish = json!({"video_id": "film1"});
    let refused = house
        .post("/v1/playback/start", &wish)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.headers()["retry-after"], "5");
    let refused = problem(refused, 503, "unavailable").await;
    assert!(refused["detail"].as_str().unwrap().contains("keyring"));
    let list = json(house.get("/v1/videos").await, 200).await;
    assert!(list["videos"][0]["poster"].is_null());
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_stops_the_start_and_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("operator.key");
    let settings = || {
        let config = control_plane::config::Config {
            listen: "127.0.0.1:0".into(),
            internal: "127.0.0.1:0".into(),
            catalog: "sqlite::memory:".into(),
            operator_key: path.display().to_string(),
            ..Default::default()
        };
        config.check().unwrap()
    };
    let start = async || {
        let clock = runtime::clock::Fixed::at(UnixSeconds(NOW));
        let started = control_plane::start(settings(), std::sync::Arc::new(clock)).await;
        started.err().unwrap().to_string()
    };
    assert!(start().await.contains("operator.key"));
    std::fs::write(&path, "tooshort").unwrap();
    let error = start().await;
    assert!(
        error.contains("operator.key") && !error.contains("tooshort"),
        "{error}"
    );
}

#[tokio::test]
async fn sessions_of_yesterday_are_forgotten() {
    let house = House::with(|config, _| config.heartbeat = config::Span::seconds(5)).await;
    house.film("film1", Privacy::Public).await;
    let wish = json!({"video_id": "film1"});
    let started = house
        .post("/v1/playback/start", &wish)
        .send()
        .await
        .unwrap();
    let id = json(started, 201).await["session_id"]
        .as_str()
        .unwrap()
        .to_owned();
    house.clock.advance(3 * 86_400);
    let id = SessionId::parse(&id).unwrap();
    assert!(house.catalog.sessions.find(&id).await.unwrap().is_some());
    // The sweep is the first thing that a control plane does; it shares the catalogue's file.
    let address = format!("sqlite://{}", house.dir.path().join("catalog.db").display());
    let config = control_plane::config::Config {
        listen: "127.0.0.1:0".into(),
        internal: "127.0.0.1:0".into(),
        catalog: address.into(),
        ..Default::default()
    };
    let clock = std::sync::Arc::clone(&house.clock);
    let second = control_plane::start(config.check().unwrap(), clock)
        .await
        .unwrap();
    while house.catalog.sessions.find(&id).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    second.stop().await;
    house.running.stop().await;
}

#[tokio::test]
async fn only_the_operator_sees_the_site() {
    let house = House::guarded().await;
    problem(house.get("/v1/status").await, 401, "unauthorized").await;
    for (name, key, status) in [
        ("Bearer", OPERATOR, 200),
        ("bearer", OPERATOR, 200),
        ("Basic", OPERATOR, 401),
        ("Bearer", "an-operator-key-of-some-lengtH", 401),
        ("Bearer", "", 401),
    ] {
        let request = house.request(Method::GET, "/v1/status");
        let request = request.header("authorization", format!("{name} {key}"));
        assert_eq!(
            request.send().await.unwrap().status(),
            status,
            "{name} {key}"
        );
    }
}
