//! Uploads over HTTP: whole, resumed, and every way in which they are refused.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use catalog::videos::State;
use contracts::{id::VideoId, time::UnixSeconds};
use futures_util::{StreamExt as _, future::join_all, stream};
use house::{CHUNK, House, problem};
use reqwest::StatusCode;
use runtime::clock::{Clock as _, Fixed, System};
use serde_json::{Value, json};
use store::{Digest, layout};

/// Three chunks, the last a short one; no film, which is another test's matter.
fn bytes() -> Vec<u8> {
    (0..CHUNK * 2 + 777)
        .map(|at| (at * 7 / 3 % 251).to_le_bytes()[0])
        .collect()
}

async fn quiet() -> House {
    House::with(|config| config.workers = 0).await
}

async fn received(house: &House, upload: &str) -> Value {
    let answer = house
        .client
        .get(house.upload_url(upload, ""))
        .send()
        .await
        .unwrap();
    answer.json().await.unwrap()
}

async fn original(house: &House, video: &VideoId) -> Option<Vec<u8>> {
    let key = layout::original(video, "mp4").unwrap();
    house
        .store
        .read(&key)
        .await
        .unwrap()
        .map(|bytes| bytes.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_in_any_order_at_once_and_again_make_the_same_film() {
    any_order(&quiet().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_arrives_whole_where_the_catalogue_is_a_server_too() {
    let Some(address) = test_postgres::database() else {
        return;
    };
    let on_server = |config: &mut ingest::Config| {
        config.workers = 0;
        config.catalog = address.as_str().into();
    };
    any_order(&House::with(on_server).await).await;
}

async fn any_order(house: &House) {
    let bytes: Vec<u8> = bytes().repeat(5);
    let (upload, video) = house.begin(&bytes).await;
    let mut chunks: Vec<(u32, &[u8])> = (0..).zip(bytes.chunks(CHUNK)).collect();
    chunks.reverse();
    let twice = chunks.iter().chain(&chunks);
    let answers = join_all(twice.map(|(index, chunk)| house.put(&upload, *index, chunk))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status() == StatusCode::OK)
    );
    let again: Value = house
        .put(&upload, 0, &bytes[..CHUNK])
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(again["repeated"], true);
    let status = received(house, &upload).await;
    assert_eq!(status["received_bytes"], bytes.len());
    assert_eq!(status["received"].as_array().unwrap().len(), chunks.len());

    let done = house.complete(&upload).await;
    assert_eq!(done.status(), StatusCode::ACCEPTED);
    let done: Value = done.json().await.unwrap();
    assert_eq!(done["video_id"], video.as_str());
    let status = format!("http://127.0.0.1:8080/v1/videos/{video}/status");
    assert_eq!(done["status_url"], status, "the control plane tells it");
    assert_eq!(
        house.complete(&upload).await.status(),
        StatusCode::ACCEPTED,
        "again"
    );
    assert_eq!(original(house, &video).await.unwrap(), bytes);
    assert_eq!(received(house, &upload).await["state"], "complete");
    let video = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!(
        (video.state, video.title.as_str()),
        (State::Processing, "film")
    );
    let chunk = store::Key::parse(&format!("uploads/{upload}/chunk_0")).unwrap();
    let gone = house.store.size(&chunk).await.unwrap();
    assert_eq!(gone, None, "the chunks are in the original now");
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_again_is_accepted_with_the_same_digest_and_refused_with_another() {
    let mut house = quiet().await;
    let film = b"a film";
    let body = json!({"file_name": "film.mp4", "size_bytes": film.len()});
    let told: Value = house.initiate(body).await.json().await.unwrap();
    let upload = told["upload_id"].as_str().unwrap();
    house.put(upload, 0, film).await;
    let complete = async |house: &House, sha256: Option<Digest>| {
        let url = house.upload_url(upload, "/complete");
        let body = json!({"sha256": sha256.map(|digest| digest.to_string())});
        house.client.post(url).json(&body).send().await.unwrap()
    };
    let (same, other) = (Digest::of(film), Digest::of(b"another film"));
    for restart in [false, true] {
        if restart {
            house.restart().await;
        }
        for sha256 in [Some(same), None] {
            let answer = complete(&house, sha256).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{sha256:?}");
        }
        let refused = complete(&house, Some(other)).await;
        problem(refused, 409, "digests-differ").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_resumed_after_a_restart_under_the_other_prefix() {
    let mut house = quiet().await;
    let bytes = bytes();
    let (upload, video) = house.begin(&bytes).await;
    house.put(&upload, 1, &bytes[CHUNK..CHUNK * 2]).await;
    house.restart().await;
    assert_eq!(received(&house, &upload).await["received"], json!([1]));
    for (index, chunk) in [(0, &bytes[..CHUNK]), (2, &bytes[CHUNK * 2..])] {
        let base64 = STANDARD.encode(Digest::of(chunk).as_bytes());
        let url = house.url(&format!(
            "/api/v1/videos/upload/{upload}/chunk?index={index}"
        ));
        let put = house
            .client
            .put(url)
            .header("content-digest", format!("sha-256=:{base64}:"));
        assert_eq!(
            put.body(chunk.to_vec()).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
    assert_eq!(house.complete(&upload).await.status(), StatusCode::ACCEPTED);
    assert_eq!(original(&house, &video).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_chunk_is_refused_and_loses_nothing() {
    let house = quiet().await;
    let bytes = bytes();
    let (upload, video) = house.begin(&bytes).await;
    let (first, last) = (&bytes[..CHUNK], &bytes[CHUNK * 2..]);
    house.put(&upload, 0, first).await;
    let right = Digest::of(first).to_string();

    let wrong = house
        .put_as(&upload, "1", first, &Digest::of(b"else").to_string())
        .await;
    problem(wrong, 422, "wrong-digest").await;
    let other = house.put(&upload, 0, &bytes[1..=CHUNK]).await;
    problem(other, 409, "other-chunk").await;
    let repeat = house.put_as(&upload, "0", &bytes[1..=CHUNK], &right).await;
    problem(repeat, 422, "wrong-digest").await;
    for (index, chunk) in [(1, last), (1, &bytes[..=CHUNK]), (2, first), (2, &[])] {
        let told = problem(house.put(&upload, index, chunk).await, 422, "wrong-length").await;
        assert_eq!(
            told["expected_bytes"],
            if index == 2 { last.len() } else { CHUNK }
        );
    }
    for streamed in [CHUNK - 1, CHUNK + 1] {
        let frames = stream::iter(
            bytes[..streamed]
                .chunks(1000)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>(),
        );
        let body = reqwest::Body::wrap_stream(frames.map(Ok::<_, std::io::Error>));
        let url = house.upload_url(&upload, "/chunk?index=1");
        let put = house
            .client
            .put(url)
            .header("x-chunk-sha256", &right)
            .body(body);
        problem(put.send().await.unwrap(), 422, "wrong-length").await;
    }
    for index in ["3", "4294967295", "-1", "x", "", "99999999999"] {
        problem(
            house.put_as(&upload, index, first, &right).await,
            400,
            "wrong-index",
        )
        .await;
    }
    problem(
        house.put_as(&upload, "1", first, "abc").await,
        400,
        "digest-needed",
    )
    .await;
    let unsigned = house
        .client
        .put(house.upload_url(&upload, "/chunk?index=1"))
        .body(first.to_vec());
    problem(unsigned.send().await.unwrap(), 400, "digest-needed").await;

    let told = problem(house.complete(&upload).await, 409, "chunks-missing").await;
    assert_eq!(
        (&told["missing"], &told["missing_count"]),
        (&json!([1, 2]), &json!(2))
    );
    assert_eq!(received(&house, &upload).await["received"], json!([0]));
    assert!(original(&house, &video).await.is_none());
    house.put(&upload, 1, &bytes[CHUNK..CHUNK * 2]).await;
    house.put(&upload, 2, last).await;
    assert_eq!(house.complete(&upload).await.status(), StatusCode::ACCEPTED);
    assert_eq!(original(&house, &video).await.unwrap(), bytes);
    problem(house.put(&upload, 0, first).await, 409, "upload-complete").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_announced_as_a_film_is_refused_at_once() {
    let house = quiet().await;
    let fine = json!({"file_name": "a.mp4", "size_bytes": 1});
    for (change, status, kind) in [
        (json!({"size_bytes": 0}), 400, "empty-file"),
        (json!({"size_bytes": u64::MAX}), 400, "file-too-large"),
        (json!({"size_bytes": -1}), 400, "bad-request"),
        (json!({"file_name": "a.exe"}), 400, "unknown-format"),
        (json!({"content_type": "text/html"}), 400, "unknown-format"),
        (json!({"sha256": "abc"}), 400, "bad-request"),
        (json!({"privacy": "secret"}), 400, "bad-request"),
        (json!({"title": "x".repeat(201)}), 400, "bad-request"),
        (json!({"title": "x\u{7}"}), 400, "bad-request"),
    ] {
        let mut body = fine.clone();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        problem(house.initiate(body).await, status, kind).await;
    }
    let url = house.url("/v1/videos/upload/initiate");
    problem(
        house.client.post(&url).body("{").send().await.unwrap(),
        415,
        "not-json",
    )
    .await;
    let broken = house
        .client
        .post(&url)
        .header("content-type", "application/json");
    problem(broken.body("{").send().await.unwrap(), 400, "bad-request").await;
    let no_text = house.client.get(house.upload_url("%ff", ""));
    problem(no_text.send().await.unwrap(), 400, "bad-request").await;
    problem(
        house.client.put(&url).send().await.unwrap(),
        405,
        "method-not-allowed",
    )
    .await;
    problem(
        house.client.get(house.url("/v1/x")).send().await.unwrap(),
        404,
        "not-found",
    )
    .await;
    // Last, since the connection may end with it.
    let long = json!({"file_name": "a.mp4", "size_bytes": 1, "title": "x".repeat(100_000)});
    problem(house.initiate(long).await, 413, "too-large").await;
    let counts = house.catalog.videos.count().await.unwrap();
    assert!(counts.is_empty(), "no video was made: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn initiate_tells_everything_that_a_client_needs() {
    let house = House::with(|config| {
        config.workers = 0;
        config.public_base = "https://upload.example/".to_owned();
    })
    .await;
    let body = json!({"file_name": "a.MKV", "size_bytes": CHUNK * 3 + 1, "title": " My film ", "privacy": "unlisted"});
    let answer = house.initiate(body).await;
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let told: Value = answer.json().await.unwrap();
    let base = format!(
        "https://upload.example/v1/videos/upload/{}",
        told["upload_id"].as_str().unwrap()
    );
    assert_eq!(
        (told["status_url"].as_str().unwrap(), location.as_str()),
        (base.as_str(), base.as_str())
    );
    assert_eq!(told["chunk_url"], format!("{base}/chunk"));
    assert_eq!(told["complete_url"], format!("{base}/complete"));
    assert_eq!(
        (&told["chunk_count"], &told["chunk_size_bytes"]),
        (&json!(4), &json!(CHUNK))
    );
    assert!(told["expires_unix_s"].as_u64().unwrap() > System.now().0 + 86_000);
    let video = VideoId::parse(told["video_id"].as_str().unwrap()).unwrap();
    let video = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!(
        (video.title.as_str(), video.privacy.as_str()),
        ("My film", "unlisted")
    );
    let document = house
        .client
        .get(house.url("/v1/openapi.json"))
        .send()
        .await
        .unwrap();
    let document: Value = document.json().await.unwrap();
    for path in ["initiate", "{id}", "{id}/chunk", "{id}/complete"] {
        assert!(
            document["paths"][format!("/v1/videos/upload/{path}")].is_object(),
            "{path}"
        );
    }
    for (path, methods) in [
        ("subtitles", &["get"][..]),
        ("subtitles/{lang}", &["put", "delete"]),
    ] {
        let there = &document["paths"][format!("/v1/videos/{{id}}/{path}")];
        assert!(
            methods.iter().all(|method| there[method].is_object()),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_digest_is_needed_once_and_must_be_right() {
    let house = quiet().await;
    let bytes = bytes();
    let begin = |sha256: Option<Digest>| {
        let sha256 = sha256.map(|digest| digest.to_string());
        let body = json!({"file_name": "a.mp4", "size_bytes": bytes.len(), "sha256": sha256});
        let (house, bytes) = (&house, &bytes);
        async move {
            let told: Value = house.initiate(body).await.json().await.unwrap();
            let upload = told["upload_id"].as_str().unwrap().to_owned();
            for (index, chunk) in (0..).zip(bytes.chunks(CHUNK)) {
                house.put(&upload, index, chunk).await;
            }
            upload
        }
    };
    let complete = |upload: String, digest: Digest| {
        let url = house.upload_url(&upload, "/complete");
        house
            .client
            .post(url)
            .json(&json!({"sha256": digest.to_string()}))
            .send()
    };
    let (right, wrong) = (Digest::of(&bytes), Digest::of(b"else"));

    let upload = begin(None).await;
    problem(house.complete(&upload).await, 400, "whole-digest-needed").await;
    let answer = complete(upload.clone(), wrong).await.unwrap();
    problem(answer, 422, "wrong-whole-digest").await;
    assert_eq!(
        received(&house, &upload).await["received"],
        json!([0, 1, 2]),
        "kept"
    );
    assert_eq!(
        complete(upload, right).await.unwrap().status(),
        StatusCode::ACCEPTED
    );

    let upload = begin(Some(right)).await;
    problem(
        complete(upload.clone(), wrong).await.unwrap(),
        409,
        "digests-differ",
    )
    .await;
    assert_eq!(
        complete(upload, right).await.unwrap().status(),
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn what_completes_an_upload_and_is_too_long_for_that_is_a_problem_of_its_own() {
    let house = quiet().await;
    let (upload, _) = house.begin(&bytes()).await;
    let long = format!(r#"{{"sha256": "{}"}}"#, "a".repeat(70_000));
    let told = house.client.post(house.upload_url(&upload, "/complete"));
    problem(told.body(long).send().await.unwrap(), 413, "too-large").await;
    let told = house.client.post(house.upload_url(&upload, "/complete"));
    let odd = told.body(r#"{"sha256": 1.5}"#).send().await.unwrap();
    let told = problem(odd, 400, "bad-request").await;
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("sha256: "), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_the_store_spoilt_is_asked_for_again() {
    let house = quiet().await;
    let bytes = bytes();
    let (upload, video) = house.begin(&bytes).await;
    for (index, chunk) in (0..).zip(bytes.chunks(CHUNK)) {
        house.put(&upload, index, chunk).await;
    }
    let key = |index| store::Key::parse(&format!("uploads/{upload}/chunk_{index}")).unwrap();
    house
        .store
        .put(&key(1), vec![0; CHUNK].into())
        .await
        .unwrap();
    house.store.delete(&key(2)).await.unwrap();
    let told = problem(house.complete(&upload).await, 409, "chunks-missing").await;
    assert_eq!(told["missing"], json!([1, 2]));
    house.put(&upload, 1, &bytes[CHUNK..CHUNK * 2]).await;
    house.put(&upload, 2, &bytes[CHUNK * 2..]).await;
    assert_eq!(house.complete(&upload).await.status(), StatusCode::ACCEPTED);
    assert_eq!(original(&house, &video).await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_cancelled_and_expired_uploads_are_told_apart() {
    let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
    let house = House::at(|config| config.workers = 0, Arc::<Fixed>::clone(&clock)).await;
    let bytes = bytes();
    for id in ["nothing", "..", "a%2Fb", "%00"] {
        let url = |rest: &str| house.upload_url(id, rest);
        if id != ".." {
            problem(
                house.put(id, 0, &bytes[..CHUNK]).await,
                404,
                "upload-not-found",
            )
            .await;
            problem(house.complete(id).await, 404, "upload-not-found").await;
            problem(
                house.client.get(url("")).send().await.unwrap(),
                404,
                "upload-not-found",
            )
            .await;
            problem(
                house.client.delete(url("")).send().await.unwrap(),
                404,
                "upload-not-found",
            )
            .await;
        }
    }
    let (upload, video) = house.begin(&bytes).await;
    house.put(&upload, 0, &bytes[..CHUNK]).await;
    let cancel = || house.client.delete(house.upload_url(&upload, "")).send();
    assert_eq!(cancel().await.unwrap().status(), StatusCode::NO_CONTENT);
    problem(cancel().await.unwrap(), 404, "upload-not-found").await;
    problem(
        house.put(&upload, 0, &bytes[..CHUNK]).await,
        404,
        "upload-not-found",
    )
    .await;
    let failed = house.catalog.videos.find(&video).await.unwrap().unwrap();
    assert_eq!(failed.failure.as_deref(), Some("the upload was cancelled"));
    let key = store::Key::parse(&format!("uploads/{upload}/chunk_0")).unwrap();
    assert_eq!(house.store.size(&key).await.unwrap(), None);

    let (upload, _) = house.begin(&bytes).await;
    clock.advance(24 * 3600);
    problem(
        house.put(&upload, 0, &bytes[..CHUNK]).await,
        410,
        "upload-expired",
    )
    .await;
    problem(house.complete(&upload).await, 409 + 1, "upload-expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_finishes_is_given_up_and_its_chunks_are_removed() {
    let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
    let house = House::at(|config| config.workers = 0, Arc::<Fixed>::clone(&clock)).await;
    let bytes = bytes();
    let (upload, video) = house.begin(&bytes).await;
    house.put(&upload, 0, &bytes[..CHUNK]).await;
    clock.advance(25 * 3600);
    let failed = house.settled(&video).await;
    let reason = "the upload was not finished in time";
    assert_eq!(failed.failure.as_deref(), Some(reason));
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
    while !house.metrics().await.contains("{event=\"expired\"} 1") {
        looks.tick().await;
    }
    let key = store::Key::parse(&format!("uploads/{upload}/chunk_0")).unwrap();
    assert_eq!(house.store.size(&key).await.unwrap(), None);
    problem(house.complete(&upload).await, 404, "upload-not-found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_key_is_wanted_nothing_goes_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "correct horse battery\n").unwrap();
    let house = House::with(|config| {
        config.workers = 0;
        config.operator_key = file.display().to_string();
    })
    .await;
    let body = json!({"file_name": "a.mp4", "size_bytes": 5});
    problem(house.initiate(body.clone()).await, 401, "unauthorized").await;
    let url = house.url("/v1/videos/upload/initiate");
    let with = |key: &str| house.client.post(&url).bearer_auth(key).json(&body).send();
    problem(with("wrong").await.unwrap(), 403, "forbidden").await;
    let told: Value = with("correct horse battery")
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let upload = told["upload_id"].as_str().unwrap();
    let token = told["upload_token"].as_str().unwrap();
    let handed = house.client.get(house.upload_url(upload, ""));
    let handed = handed.bearer_auth(token).send().await.unwrap();
    assert_eq!(handed.status(), StatusCode::OK);
    problem(with(token).await.unwrap(), 403, "forbidden").await;
    problem(house.put(upload, 0, b"12345").await, 401, "unauthorized").await;
    problem(house.complete(upload).await, 401, "unauthorized").await;
    let bare = house.upload_url(upload, "");
    problem(
        house.client.get(&bare).send().await.unwrap(),
        401,
        "unauthorized",
    )
    .await;
    problem(
        house.client.delete(&bare).send().await.unwrap(),
        401,
        "unauthorized",
    )
    .await;
}
