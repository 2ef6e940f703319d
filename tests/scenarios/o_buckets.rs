//! A house whose store is a bucket: films go in, come out, and leave nothing.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;
use test_s3::{SECRET, Server};

use crate::house::{Stage, millrace};

/// Every object below a folder of the server.
fn objects(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(objects(&path)),
            path => found.push(path.display().to_string()),
        }
    }
    found
}

#[tokio::test]
async fn a_film_is_uploaded_to_made_in_and_played_from_a_bucket() {
    let server = Server::start();
    let bucket = server.bucket();
    let store = server.store_in(&bucket, &server.key());
    let stage = Stage::new();
    let house = stage.house_with(&["--store", &store]);
    let inside = server.root().join(&bucket).join("house");
    let has = |part: &str| objects(&inside).iter().any(|key| key.contains(part));
    assert!(has("/encoded/") && has("asset.json") && has("/originals/"));
    assert!(
        !has("/uploads/") && !has("/pieces/"),
        "they were cleared up"
    );
    assert_eq!(server.under_way(), (0, 0));
    let kept = objects(&house.dir().join("store"));
    assert!(kept.is_empty(), "all is in the bucket: {kept:?}");

    for manifest in ["/hls", "/hls_ts", "/dash"] {
        let played = millrace(&["play", house.fact(manifest), "--insecure"]);
        let told = String::from_utf8_lossy(&played.stderr);
        assert!(played.status.success(), "{manifest}: {told}");
    }

    let api = house.fact("/api");
    let film = format!("{api}/v1/videos/{}", house.video());
    let removed = house.http.request(Method::DELETE, &film).send().await;
    assert_eq!(removed.unwrap().status(), 200);
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(200));
    while !objects(&inside).is_empty() {
        looks.tick().await;
    }
    house.hides([SECRET, "X-Amz-Signature", "AWS4-HMAC-SHA256"]);
    let status = house.http.get(&film).send().await.unwrap();
    let status: Value = status.json().await.unwrap();
    assert_ne!(status["state"], "ready", "{status}");
}
