//! Keys that are replaced: a film's, and the one that all are sealed with.

use contracts::feed::{Order, Scope};
use contracts::id::VideoId;
use contracts::keys::{ContentKeys, System};
use contracts::time::UnixSeconds;
use control_plane::config::Config;
use reqwest::{Method, Response};
use runtime::clock::Fixed;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

use crate::drm::{HOP, keys, write};
use crate::house::{House, NOW, OPERATOR, json, problem};
use crate::licences::{ask, film_kids, house, refused};

const ROTATE: &str = "/v1/videos/film/keys/rotate";

async fn rotate(house: &House, wish: &Value) -> Response {
    house.post(ROTATE, wish).send().await.unwrap()
}

/// A licence token of a session that begins now.
async fn token(house: &House) -> String {
    let wish = json!({"video_id": "film", "drm": "clearkey"});
    let started = house.post("/v1/playback/start", &wish).send().await;
    let playback = json(started.unwrap(), 201).await;
    playback["drm"]["token"].as_str().unwrap().to_owned()
}

/// The numbers of the orders to forget the film, oldest first.
async fn purges(house: &House) -> Vec<u64> {
    let page = house.catalog.feed.after(0, UnixSeconds(NOW)).await.unwrap();
    let film = |order: &Order| {
        matches!(order, Order::Purge(purge)
            if matches!(&purge.scope, Scope::Prefix(folder) if folder.as_str() == "/v/film/"))
    };
    let entries = page.entries.iter();
    let entries = entries.filter(|entry| film(&entry.order));
    entries.map(|entry| entry.seq).collect()
}

/// How far the keys that an origin gets are told to be.
async fn told(house: &House) -> u64 {
    let request = house.request(Method::GET, "/v1/keys/film");
    let answer = request.header("millrace-hop", HOP).send().await.unwrap();
    let seq = answer.headers()["millrace-seq"].to_str().unwrap();
    seq.parse().unwrap()
}

#[tokio::test]
async fn new_keys_count_at_once_and_old_ones_for_a_while() {
    let house = house().await;
    let (old, old_kids) = (keys(&house, "film").await, film_kids(&house).await);
    let before = token(&house).await;
    let rotated = json(rotate(&house, &json!({"grace_s": 600})).await, 200).await;
    let (new, new_kids) = (keys(&house, "film").await, film_kids(&house).await);
    assert_eq!((new.set.to_string().as_str(), new.retired.len()), ("2", 1));
    assert_eq!(new.of_set(old.set).unwrap().periods, old.periods);
    let names: Vec<String> = new.periods[0]
        .keys
        .iter()
        .map(|key| key.kid.to_string())
        .collect();
    assert_eq!(rotated["key_ids"], json!(names));
    assert_eq!(rotated["set"], 2);
    assert_eq!(rotated["retired"], json!([{"set": 1, "until": NOW + 600}]));
    assert!(new_kids.iter().all(|kid| !old_kids.contains(kid)));
    // Who began before may meet either, as does who begins now.
    json(ask(&house, &before, &old_kids).await, 200).await;
    json(ask(&house, &before, &new_kids).await, 200).await;
    let after = token(&house).await;
    let both = [old_kids.clone(), new_kids.clone()].concat();
    let given = json(ask(&house, &after, &both).await, 200).await;
    assert_eq!(given["keys"].as_array().unwrap().len(), both.len());
    let purge = rotated["purge"].as_u64().unwrap();
    assert_eq!(purges(&house).await, [purge]);
    assert!(
        told(&house).await >= purge,
        "the keys are from after the purge"
    );
    house.clock.advance(600);
    let late = token(&house).await;
    refused(&house, &late, &old_kids, "keys").await;
    json(ask(&house, &late, &new_kids).await, 200).await;
    assert_eq!(keys(&house, "film").await.retired, []);
}

#[tokio::test]
async fn old_keys_last_as_long_as_tokens_unless_the_operator_ends_all_of_them() {
    let house = house().await;
    let old = film_kids(&house).await;
    let rotated = json(rotate(&house, &Value::Null).await, 200).await;
    // The film has ten seconds and a bit, and tokens outlive it by four hours.
    let until = NOW + 11 + 4 * 3600;
    assert_eq!(rotated["retired"], json!([{"set": 1, "until": until}]));
    let film = VideoId::parse("film").unwrap();
    let kept = async || house.catalog.keys.find(&film).await.unwrap().unwrap().bytes;
    let two_sets = kept().await.len();
    let rotated = json(rotate(&house, &json!({"grace_s": 0})).await, 200).await;
    assert!(kept().await.len() < two_sets, "the old keys are not kept");
    assert_eq!(
        (&rotated["set"], &rotated["retired"]),
        (&json!(3), &json!([]))
    );
    refused(&house, &token(&house).await, &old, "keys").await;
}

#[tokio::test]
async fn what_was_encrypted_with_old_keys_is_purged_when_they_end_whoever_is_there_then() {
    let house = house().await;
    json(rotate(&house, &json!({"grace_s": 600})).await, 200).await;
    house.clock.advance(600);
    let film = VideoId::parse("film").unwrap();
    let due = async || house.catalog.keys.find(&film).await.unwrap().unwrap().due;
    assert_eq!(due().await, Some(UnixSeconds(NOW + 600)));
    // Looking is the first thing that a control plane does.
    let second = another((&house.dir, &house.clock), &["kek"]).await;
    while due().await.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(purges(&house).await.len(), 2);
    second.stop().await;
}

#[tokio::test]
async fn only_operators_rotate_and_only_what_is_protected() {
    let house = House::with(|config, dir| {
        crate::licences::configure(config, dir);
        config.operator_key = write(dir.path(), "operator", OPERATOR);
    })
    .await;
    house.protected_film("film").await;
    problem(rotate(&house, &Value::Null).await, 401, "unauthorized").await;
    let reseal = house.post("/v1/vault/reseal", &Value::Null).send().await;
    problem(reseal.unwrap(), 401, "unauthorized").await;
    let ask = async |path: &str, body: Value| {
        let request = house.post(path, &body).bearer_auth(OPERATOR);
        request.send().await.unwrap()
    };
    problem(
        ask("/v1/videos/none/keys/rotate", Value::Null).await,
        404,
        "video-not-found",
    )
    .await;
    house
        .upload("clear", contracts::asset::Privacy::default())
        .await;
    problem(
        ask("/v1/videos/clear/keys/rotate", Value::Null).await,
        409,
        "not-protected",
    )
    .await;
    for wish in [
        json!({"grace_s": 2_592_001}),
        json!({"grace": 1}),
        json!({"grace_s": -1}),
        json!([]),
        json!([60]),
    ] {
        problem(ask(ROTATE, wish).await, 400, "bad-request").await;
    }
    for after in [json!({"after": "a b"}), json!([])] {
        problem(ask("/v1/vault/reseal", after).await, 400, "bad-request").await;
    }
}

#[tokio::test]
async fn rotations_that_come_at_once_each_count() {
    let house = house().await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..4 {
        asked.spawn(house.post(ROTATE, &Value::Null).send());
    }
    let mut sets = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let rotated = json(answer.unwrap().unwrap(), 200).await;
        sets.push(rotated["set"].as_u64().unwrap());
    }
    sets.sort();
    assert_eq!(sets, [2, 3, 4, 5]);
    assert_eq!(keys(&house, "film").await.retired.len(), 4);
}

#[tokio::test]
async fn the_document_for_packagers_has_the_new_keys() {
    let house = house().await;
    json(rotate(&house, &Value::Null).await, 200).await;
    let request = house.request(Method::GET, "/v1/videos/film/cpix");
    let document = request.header("millrace-hop", HOP).send().await.unwrap();
    let document = document.text().await.unwrap().replace('-', "");
    let ContentKeys {
        periods, retired, ..
    } = keys(&house, "film").await;
    let named = |kid: String| document.contains(&kid);
    assert!(periods[0].keys.iter().all(|key| named(key.kid.to_string())));
    let old = &retired[0].periods[0].keys;
    assert!(!old.iter().any(|key| named(key.kid.to_string())));
}

#[tokio::test]
async fn keys_that_do_not_open_keep_no_others_from_ending() {
    let house = house().await;
    json(rotate(&house, &json!({"grace_s": 600})).await, 200).await;
    house.running.stop().await;
    house.clock.advance(600);
    write(house.dir.path(), "new", &"a5".repeat(32));
    let film = VideoId::parse("film").unwrap();
    let due = async || house.catalog.keys.find(&film).await.unwrap().unwrap().due;
    // One that cannot open them looks at them later.
    let shut = another((&house.dir, &house.clock), &["new"]).await;
    while due().await != Some(UnixSeconds(NOW + 1200)) {
        tokio::task::yield_now().await;
    }
    shut.stop().await;
    house.clock.advance(600);
    let opens = another((&house.dir, &house.clock), &["new", "kek"]).await;
    while due().await.is_some() {
        tokio::task::yield_now().await;
    }
    opens.stop().await;
}

/// Another control plane over the same catalogue, with these key-encryption keys.
async fn another((dir, clock): (&TempDir, &Arc<Fixed>), keks: &[&str]) -> control_plane::Running {
    let path = |name: &&str| dir.path().join(name).display().to_string();
    let mut config = Config {
        listen: "127.0.0.1:0".into(),
        internal: "127.0.0.1:0".into(),
        catalog: format!("sqlite://{}", path(&"catalog.db")).into(),
        keys: path(&"keys.json"),
        ..Config::default()
    };
    config.drm.key_encryption_key = keks.iter().map(path).collect();
    config.drm.systems = vec![System::Identity, System::ClearKey];
    config.drm.keys_secret = path(&"hop");
    let clock = Arc::<Fixed>::clone(clock);
    control_plane::start(config.check().unwrap(), clock)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_key_encryption_key_is_replaced_while_films_play() {
    let house = house().await;
    for film in ["a", "b", "c"] {
        house.protected_film(film).await;
    }
    let mut films = Vec::new();
    for film in ["a", "b", "c", "film"] {
        films.push(keys(&house, film).await);
    }
    let licence = token(&house).await;
    let kids = film_kids(&house).await;
    write(house.dir.path(), "new", &"a5".repeat(32));
    let at =
        |running: &control_plane::Running, path: &str| format!("http://{}{path}", running.listen);
    // First it opens, then it seals.
    let both = another((&house.dir, &house.clock), &["new", "kek"]).await;
    let wanted = json!({"kids": kids});
    let asked = house.post(&at(&both, "/v1/drm/clearkey/license"), &wanted);
    json(asked.bearer_auth(&licence).send().await.unwrap(), 200).await;
    let reseal = async |after: Value| {
        let asked = house.post(&at(&both, "/v1/vault/reseal"), &after);
        json(asked.send().await.unwrap(), 200).await
    };
    // From where it stopped, and again from the beginning.
    assert_eq!(reseal(json!({"after": "b"})).await["resealed"], 2);
    assert_eq!(reseal(Value::Null).await["resealed"], 2);
    assert_eq!(
        reseal(Value::Null).await,
        json!({"resealed": 0, "shut": []})
    );
    both.stop().await;
    let after = another((&house.dir, &house.clock), &["new"]).await;
    for film in films {
        let asked = house.request(
            Method::GET,
            &at(&after, &format!("/v1/keys/{}", film.video)),
        );
        let asked = asked.header("millrace-hop", HOP).send().await.unwrap();
        let found: ContentKeys = asked.json().await.unwrap();
        assert_eq!(found, film);
    }
    // What is sealed with a key that nobody has any more is named, and left as it is.
    let shut = rotate(&house, &Value::Null).await;
    let said = problem(shut, 500, "keys-shut").await;
    assert!(
        said["detail"]
            .as_str()
            .unwrap()
            .contains("drm.key_encryption_key")
    );
    after.stop().await;
}
