//! Content keys: for origins, drawn once, and nobody's business else.

use std::collections::BTreeSet;
use std::path::Path;

use catalog::videos::Event;
use contracts::asset::Privacy;
use contracts::keys::{ContentKeys, RetiredKeys, System};
use reqwest::{Method, Response};
use serde_json::Value;
use tempfile::TempDir;

use crate::house::{House, json, problem};

pub(crate) const HOP: &str = "a-credential-of-the-tiers";

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A house that has content keys.
pub(crate) async fn house() -> House {
    House::with(|config, dir: &TempDir| {
        config.drm.key_encryption_key = vec![write(dir.path(), "kek", &"5a".repeat(32))];
        config.drm.systems = vec![System::Identity];
        config.drm.keys_secret = write(dir.path(), "hop", &format!("{HOP}\n"));
        config.fleet.hop_secrets = vec![config.drm.keys_secret.clone()];
    })
    .await
}

async fn ask(house: &House, video: &str, hop: &str) -> Response {
    let request = house.request(Method::GET, &format!("/v1/keys/{video}"));
    request.header("millrace-hop", hop).send().await.unwrap()
}

pub(crate) async fn keys(house: &House, video: &str) -> ContentKeys {
    let answer = ask(house, video, HOP).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_film_s_keys_are_drawn_once_and_sealed_in_the_catalogue() {
    let house = house().await;
    for film in ["one", "two"] {
        house.protected(film).await;
    }
    let drawn = keys(&house, "one").await;
    assert_eq!(drawn.video.as_str(), "one");
    assert_eq!(keys(&house, "one").await, drawn);
    assert_ne!(keys(&house, "two").await.periods, drawn.periods);
    let kept = house
        .catalog
        .keys
        .find(&drawn.video)
        .await
        .unwrap()
        .unwrap();
    for key in &drawn.periods[0].keys {
        let shown = kept.bytes.windows(16).any(|bytes| bytes == key.key.0);
        let hex = hex::encode(key.key.0);
        let written = kept.bytes.windows(32).any(|bytes| bytes == hex.as_bytes());
        assert!(!shown && !written);
    }
}

#[tokio::test]
async fn the_description_has_every_member_of_the_keys_and_no_other() {
    let house = house().await;
    house.protected("one").await;
    let mut drawn = keys(&house, "one").await;
    drawn.license_urls = [(System::Identity, "https://licences.example".to_owned())].into();
    drawn.set = drawn.set.next().unwrap();
    drawn.retired = vec![RetiredKeys {
        set: Default::default(),
        periods: drawn.periods.clone(),
    }];
    let drawn = serde_json::to_value(drawn).unwrap();
    let described = json(house.get("/v1/openapi.json").await, 200).await;
    let answers = &described["paths"]["/v1/keys/{video}"]["get"]["responses"];
    for status in ["200", "403", "404", "500", "503"] {
        assert!(answers[status].is_object(), "{answers}");
    }
    for (name, shown) in [
        ("ContentKeys", &drawn),
        ("RetiredKeys", &drawn["retired"][0]),
        ("KeyPeriod", &drawn["periods"][0]),
        ("ContentKey", &drawn["periods"][0]["keys"][0]),
    ] {
        let members = |value: &Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let schema = &described["components"]["schemas"][name]["properties"];
        assert_eq!(members(schema), members(shown), "{name}");
    }
}

#[tokio::test]
async fn keys_are_for_who_shows_the_credential_and_for_protected_films() {
    let house = house().await;
    house.protected("one").await;
    for hop in ["", "another", "a-credential-of-the-tiers2"] {
        problem(ask(&house, "one", hop).await, 403, "hop-refused").await;
    }
    assert_eq!(ask(&house, "none", HOP).await.status(), 404);
    house.film("clear", Privacy::Public).await;
    assert_eq!(ask(&house, "clear", HOP).await.status(), 404);
    assert_eq!(ask(&house, "no%20film", HOP).await.status(), 404);
}

#[tokio::test]
async fn no_keys_are_drawn_for_a_film_that_will_not_be() {
    let house = house().await;
    house.protected("one").await;
    let video = keys(&house, "one").await.video;
    let failed = Event::Failed {
        reason: "cancelled".to_owned(),
    };
    house.catalog.videos.advance(&video, failed).await.unwrap();
    house.catalog.keys.forget(&video).await.unwrap();
    problem(ask(&house, "one", HOP).await, 404, "video-not-found").await;
    assert_eq!(house.catalog.keys.find(&video).await.unwrap(), None);
}

#[tokio::test]
async fn without_a_key_encryption_key_there_are_no_content_keys() {
    let house = House::start().await;
    house.protected("one").await;
    assert_eq!(ask(&house, "one", HOP).await.status(), 404);
    assert_eq!(ask(&house, "one", "").await.status(), 404);
}
