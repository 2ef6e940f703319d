//! Bad input gets its own answer, and nothing that is stored is lost by it.

use serde_json::{Value, json};

use crate::house::{House, Stage, millrace};

async fn post(house: &House, path: &str, body: Value) -> (u16, Value) {
    let url = if path.starts_with('/') {
        format!("{}{path}", house.fact("/ingest"))
    } else {
        path.to_owned()
    };
    let answer = house.http.post(url).json(&body).send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

fn is_problem(status: u16, problem: &Value) -> bool {
    (400..500).contains(&status) && problem["type"].is_string() && problem["detail"].is_string()
}

#[tokio::test]
async fn a_file_that_is_no_film_fails_with_a_reason_and_the_house_goes_on() {
    let stage = Stage::new();
    let house = stage.house();
    let whole = std::fs::read(stage.path("film.mp4")).unwrap();
    std::fs::write(stage.path("text.mp4"), "this is no film\n".repeat(100)).unwrap();
    std::fs::write(stage.path("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let api = house.fact("/api");
    let mut reasons = Vec::new();
    for name in ["text.mp4", "cut.mp4"] {
        let path = stage.path(name).display().to_string();
        let added = millrace(&["add", &path, "--wait", "--json", "--api", api]);
        let answer: Value = serde_json::from_slice(&added.stdout).unwrap();
        assert_eq!(answer["state"], "failed", "{name}: {answer}");
        assert!(!added.status.success());
        reasons.push(answer["reason"].as_str().unwrap().to_owned());
    }
    assert!(
        reasons.iter().all(|reason| reason.len() > 10),
        "{reasons:?}"
    );
    std::fs::write(stage.path("empty.mp4"), "").unwrap();
    let empty = millrace(&[
        "add",
        &stage.path("empty.mp4").display().to_string(),
        "--api",
        api,
    ]);
    assert!(!empty.status.success());
    assert!(String::from_utf8_lossy(&empty.stderr).contains("is empty"));
    // The worker lives: a good film goes through after the bad ones.
    let film = stage.path("film.mp4").display().to_string();
    let added = millrace(&["add", &film, "--wait", "--json", "--api", api]);
    assert!(
        added.status.success(),
        "{}",
        String::from_utf8_lossy(&added.stderr)
    );
    let played = millrace(&["play", house.fact("/hls"), "--insecure"]);
    assert!(
        played.status.success(),
        "what was there before is still there"
    );
}

#[tokio::test]
async fn a_chunk_that_does_not_fit_is_refused_and_the_upload_goes_on() {
    let stage = Stage::new();
    let house = stage.house();
    let film = std::fs::read(stage.path("film.mp4")).unwrap();
    let wish = json!({"file_name": "film.mp4", "size_bytes": film.len(), "title": "x"});
    let (status, upload) = post(&house, "/v1/videos/upload/initiate", wish).await;
    assert_eq!(status, 201, "{upload}");
    let url = upload["chunk_url"].as_str().unwrap();
    let digest = "0".repeat(64);
    for (index, body, digest, kind) in [
        ("0", film.clone(), digest.as_str(), "wrong-digest"),
        ("7", film.clone(), digest.as_str(), "wrong-index"),
        ("x", film.clone(), digest.as_str(), "wrong-index"),
        ("0", film[1..].to_vec(), digest.as_str(), "wrong-length"),
        ("0", film.clone(), "zz", "digest-needed"),
    ] {
        let request = house
            .http
            .put(format!("{url}?index={index}"))
            .header("x-chunk-sha256", digest);
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let problem: Value = answer.json().await.unwrap();
        assert!(
            is_problem(status, &problem),
            "{index} {digest}: {status} {problem}"
        );
        assert_eq!(problem["type"], format!("urn:millrace:{kind}"), "{problem}");
    }
    let complete = upload["complete_url"].as_str().unwrap();
    let whole = json!({"sha256": sha256(&stage.path("film.mp4"))});
    let (status, problem) = post(&house, complete, whole.clone()).await;
    assert_eq!(
        (status, &problem["missing"]),
        (409, &json!([0])),
        "{problem}"
    );
    // The right chunk is still taken, and the film is made.
    let digest = sha256(&stage.path("film.mp4"));
    let request = house
        .http
        .put(format!("{url}?index=0"))
        .header("x-chunk-sha256", digest);
    assert_eq!(request.body(film).send().await.unwrap().status(), 200);
    let (status, done) = post(&house, complete, whole).await;
    assert_eq!(status, 202, "{done}");
    assert_eq!(done["video_id"], upload["video_id"]);
}

fn sha256(path: &std::path::Path) -> String {
    let output = std::process::Command::new("sha256sum")
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn ids_that_do_not_exist_are_not_found() {
    let stage = Stage::new();
    let house = stage.house();
    let api = house.fact("/api");
    for path in [
        "/v1/videos/nothing",
        "/v1/videos/nothing/status",
        "/v1/nothing",
    ] {
        let answer = house.http.get(format!("{api}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert!(is_problem(404, &problem), "{path}: {problem}");
    }
    let wish = json!({"video_id": "nothing"});
    let (status, problem) = post(&house, &format!("{api}/v1/playback/start"), wish).await;
    assert_eq!(status, 404, "{problem}");
    let (status, problem) = post(&house, "/v1/videos/upload/nothing/complete", json!({})).await;
    assert_eq!(status, 404, "{problem}");
}
