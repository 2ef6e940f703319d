//! Uploads into an S3 server: whose parts clients PUT straight there, and over tus.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::sync::Arc;

use catalog::videos::{Event, State};
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use house::{CHUNK, House, clients, film, paper::Paper, tool};
use reqwest::{Method, StatusCode};
use runtime::clock::{Clock as _, Fixed};
use serde_json::{Value, json};
use store::{Digest, layout};
use test_s3::Server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};

const PART: usize = 8 << 20;

/// A film in two parts.
fn long() -> Vec<u8> {
    with_rest(PART + 1000)
}

/// A film that a box of so many bytes, which nobody reads, makes longer.
fn with_rest(length: usize) -> Vec<u8> {
    let mut film = film(
        "-f lavfi -i testsrc2=s=256x144:r=25:d=1 -c:v libx264 -preset ultrafast",
        "a.mp4",
    );
    film.extend(u32::try_from(length).unwrap().to_be_bytes());
    film.extend(b"free");
    film.resize(film.len() + length - 8, 7);
    film
}

/// Begins an upload straight to the store.
async fn begin(house: &House, size: usize) -> Value {
    let body = json!({"file_name": "film.mp4", "size_bytes": size, "direct": true});
    let answer = house.initiate(body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    answer.json().await.unwrap()
}

async fn status(house: &House, upload: &Value) -> Value {
    let url = upload["status_url"].as_str().unwrap();
    let answer = house.client.get(url).send().await.unwrap();
    answer.json().await.unwrap()
}

async fn put(house: &House, part: &Value, bytes: &[u8]) -> StatusCode {
    let url = part["url"].as_str().unwrap();
    let sent = house.client.put(url).body(bytes.to_vec());
    sent.send().await.unwrap().status()
}

/// PUTs the first chunk to ingest, as clients do that look for an answer when all is sent and not before; returns it.
async fn put_through(house: &House, id: &str, bytes: &[u8]) -> String {
    let url = reqwest::Url::parse(&house.upload_url(id, "/chunk?index=0")).unwrap();
    let address = url.socket_addrs(|| None).unwrap()[0];
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT {}?index=0 HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\nx-chunk-sha256: {}\r\nconnection: close\r\n\r\n",
        url.path(),
        bytes.len(),
        Digest::of(bytes),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn complete(house: &House, upload: &Value, film: &[u8]) -> (StatusCode, Value) {
    let url = upload["complete_url"].as_str().unwrap();
    let body = json!({"sha256": Digest::of(film).to_string()});
    let answer = house.client.post(url).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Waits until the server has nothing that is under way; the time limit is the test runner's.
async fn nothing_under_way(server: &Server) {
    while server.under_way() != (0, 0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_went_straight_to_the_store_become_a_film() {
    let server = Server::start();
    let house = House::with(|config| config.store = server.store()).await;
    let film = long();
    let upload = begin(&house, film.len()).await;
    let parts = upload["parts"].as_array().unwrap();
    assert_eq!(
        (&upload["chunk_size_bytes"], &upload["chunk_count"]),
        (&json!(PART), &json!(2))
    );
    assert_eq!((parts.len(), &parts[1]["index"]), (2, &json!(1)));

    let (refused, problem) = complete(&house, &upload, &film).await;
    assert_eq!(
        (refused, &problem["missing"]),
        (StatusCode::CONFLICT, &json!([0, 1]))
    );
    assert_eq!(put(&house, &parts[1], &film[PART..]).await, 200);
    // A part that is not as long as it should be has not arrived.
    assert_eq!(put(&house, &parts[0], b"short").await, 200);
    let seen = status(&house, &upload).await;
    assert_eq!(seen["received"], json!([1]));
    assert_eq!(seen["received_bytes"], json!(film.len() - PART));
    let (refused, problem) = complete(&house, &upload, &film).await;
    assert_eq!(
        (refused, &problem["missing"]),
        (StatusCode::CONFLICT, &json!([0]))
    );
    // The bytes of such an upload do not go through ingest.
    let id = upload["upload_id"].as_str().unwrap();
    let through = put_through(&house, id, &film[..PART]).await;
    assert!(through.starts_with("HTTP/1.1 409 "), "{through}");
    assert!(
        through.contains("urn:millrace:parts-go-to-the-store"),
        "{through}"
    );
    // Whoever comes back later finds where to go on.
    let again = &seen["parts"].as_array().unwrap()[0];
    assert_eq!(again["index"], json!(0));
    assert_eq!(put(&house, again, &film[..PART]).await, 200);

    let (refused, _) = complete(&house, &upload, b"another film").await;
    assert_eq!(refused, StatusCode::UNPROCESSABLE_ENTITY);
    let seen = status(&house, &upload).await;
    assert_eq!(seen["received"], json!([0, 1]));
    for _ in 0..2 {
        let (taken, answer) = complete(&house, &upload, &film).await;
        assert_eq!(taken, StatusCode::ACCEPTED, "{answer}");
    }
    nothing_under_way(&server).await;
    let video = VideoId::parse(upload["video_id"].as_str().unwrap()).unwrap();
    let video = house.settled(&video).await;
    assert_eq!(video.state, State::Ready, "{:?}", video.failure);
    assert!(house.asset(&video.id).await.is_some());
}

/// What boto3 says of a bucket.
async fn boto3(server: &Server, bucket: &str, told: &[&str]) -> Option<Value> {
    let mut command = Command::new(tool("boto3")?);
    command
        .arg(clients().join("bucket.py"))
        .arg(server.url())
        .arg(server.key())
        .arg(bucket)
        .args(told)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let said = command.kill_on_drop(true).output().await.unwrap();
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{complaint}");
    Some(serde_json::from_slice(&said.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_finds_parts_that_went_straight_adds_one_and_reads_the_film() {
    let server = Server::start();
    let bucket = server.bucket();
    let store = server.store_in(&bucket, &server.key());
    let house = House::with(|config| config.store = store).await;
    let film = long();
    let upload = begin(&house, film.len()).await;
    let video = VideoId::parse(upload["video_id"].as_str().unwrap()).unwrap();
    let original = layout::original(&video, "mp4").unwrap();
    let object = format!("house/{original}");
    let parts = upload["parts"].as_array().unwrap();
    assert_eq!(put(&house, &parts[1], &film[PART..]).await, 200);

    let first = house.folder.path().join("first");
    std::fs::write(&first, &film[..PART]).unwrap();
    let url = reqwest::Url::parse(parts[0]["url"].as_str().unwrap()).unwrap();
    let name = url.query_pairs().find(|(key, _)| key == "uploadId");
    let (name, first) = (name.unwrap().1, first.to_str().unwrap());
    let sent = boto3(&server, &bucket, &["part", &object, &name, first]).await;
    let Some(sent) = sent else { return };
    let rest = film.len() - PART;
    assert_eq!(sent["before"], json!({"2": rest}));
    assert_eq!(sent["after"], json!({"1": PART, "2": rest}));
    let seen = status(&house, &upload).await;
    assert_eq!(seen["received"], json!([0, 1]));
    let (taken, answer) = complete(&house, &upload, &film).await;
    assert_eq!(taken, StatusCode::ACCEPTED, "{answer}");
    let video = house.settled(&video).await;
    assert_eq!(video.state, State::Ready, "{:?}", video.failure);

    let looked = boto3(&server, &bucket, &["look", "house/", &object]).await;
    let looked = looked.unwrap();
    assert_eq!(looked["size"], json!(film.len()));
    assert_eq!(looked["sha256"], Digest::of(&film).to_string());
    let keys: Vec<&str> = looked["keys"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_str)
        .collect();
    let asset = format!("house/{}", layout::asset(&video.id));
    assert!(
        keys.contains(&&*asset) && keys.contains(&&*object),
        "{keys:?}"
    );
    let left = |part: &str| keys.iter().any(|key| key.starts_with(part));
    assert!(
        !left("house/uploads/") && !left("house/pieces/"),
        "{keys:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_given_up_leaves_nothing_in_the_store() {
    let server = Server::start();
    let clock = Arc::new(Fixed::at(UnixSeconds(1_000_000)));
    let same = Arc::clone(&clock);
    let house = House::at(|config| config.store = server.store(), same).await;
    let upload = begin(&house, PART + 1).await;
    assert_eq!(put(&house, &upload["parts"][1], b"x").await, 200);
    assert_eq!(server.under_way(), (1, 1));
    let url = upload["status_url"].as_str().unwrap();
    let gone = house.client.delete(url).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.under_way(), (0, 0));
    assert!(
        put(&house, &upload["parts"][1], b"x")
            .await
            .is_client_error()
    );

    let late = begin(&house, PART + 1).await;
    assert_eq!(put(&house, &late["parts"][1], b"x").await, 200);
    clock.advance(house.config.upload_ttl.0.as_secs() + 600);
    assert!(clock.now().0 > late["expires_unix_s"].as_u64().unwrap());
    nothing_under_way(&server).await;
    // Put together, and never promised to be a film.
    let whole = begin(&house, 1).await;
    assert_eq!(put(&house, &whole["parts"][0], b"x").await, 200);
    let (refused, _) = complete(&house, &whole, b"y").await;
    assert_eq!(refused, StatusCode::UNPROCESSABLE_ENTITY);
    let video = VideoId::parse(whole["video_id"].as_str().unwrap()).unwrap();
    let original = layout::original(&video, "mp4").unwrap();
    assert_eq!(house.store.size(&original).await.unwrap(), Some(1));
    clock.advance(house.config.upload_ttl.0.as_secs() + 600);
    while house.store.size(&original).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_takes_nothing_more_of_a_film_that_was_taken_away() {
    let server = Server::start();
    let house = House::with(|config| config.store = server.store()).await;
    let upload = begin(&house, PART + 1).await;
    assert_eq!(put(&house, &upload["parts"][1], b"x").await, 200);
    let video = VideoId::parse(upload["video_id"].as_str().unwrap()).unwrap();
    let videos = &house.catalog.videos;
    videos.advance(&video, Event::Deleted).await.unwrap();
    nothing_under_way(&server).await;
    let late = put(&house, &upload["parts"][1], b"x").await;
    assert_eq!(late, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_begin_at_the_store_leaves_nothing() {
    let server = Server::start();
    let bucket = server.bucket();
    let store = server.store_in(&bucket, &server.key());
    let house = House::with(|config| config.store = store).await;
    std::fs::remove_dir_all(server.root().join(bucket)).unwrap();
    let body = json!({"file_name": "film.mp4", "size_bytes": 1, "direct": true});
    let answer = house.initiate(body).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(house.catalog.videos.count().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_take_parts_gets_them_through_ingest() {
    let house = House::new().await;
    let upload = begin(&house, 3).await;
    assert_eq!(upload["parts"], Value::Null);
    let id = upload["upload_id"].as_str().unwrap();
    assert_eq!(house.put(id, 0, b"abc").await.status(), StatusCode::OK);
    let (taken, _) = complete(&house, &upload, b"abc").await;
    assert_eq!(taken, StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_comes_over_tus_into_a_bucket() {
    let server = Server::start();
    let house = House::with(|config| config.store = server.store()).await;
    let film = with_rest(4 * CHUNK);
    let ask = |method, url: &str| {
        let request = house.client.request(method, url);
        request.header("tus-resumable", "1.0.0")
    };
    let begin = ask(Method::POST, &house.url("/v1/videos/upload/tus"))
        .header("upload-length", film.len())
        .header("upload-metadata", "filename ZmlsbS5tcDQ=");
    let begun = begin.send().await.unwrap();
    assert_eq!(begun.status(), StatusCode::CREATED);
    let field = |name: &str| begun.headers()[name].to_str().unwrap().to_owned();
    let address = field("location");
    let video = VideoId::parse(&field("x-video-id")).unwrap();
    // A little, more than a piece, and the rest.
    let ends = [1000, 2 * CHUNK + 5, film.len()];
    for (from, until) in [0].into_iter().chain(ends).zip(ends) {
        let sent = ask(Method::PATCH, &address)
            .header("upload-offset", from)
            .header("content-type", "application/offset+octet-stream")
            .body(film[from..until].to_vec());
        let sent = sent.send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::NO_CONTENT);
        assert_eq!(sent.headers()["upload-offset"], until.to_string().as_str());
    }
    let video = house.settled(&video).await;
    assert_eq!(video.state, State::Ready, "{:?}", video.failure);
    let original = layout::original(&video.id, "mp4").unwrap();
    let whole = house.store.digest(&original).await.unwrap().unwrap();
    assert_eq!(whole.sha256, Digest::of(&film));
    nothing_under_way(&server).await;
}

#[tokio::test]
async fn an_address_at_which_anybody_may_put_a_part_is_in_no_log() {
    let (paper, _guard) = Paper::begin();
    let server = Server::start();
    let house = House::with(|config| {
        config.store = server.store();
        config.workers = 0;
    })
    .await;
    let film = vec![7; PART + 1];
    let upload = begin(&house, film.len()).await;
    for (part, bytes) in [(0, &film[..PART]), (1, &film[PART..])] {
        assert_eq!(put(&house, &upload["parts"][part], bytes).await, 200);
    }
    let token = upload["upload_token"].as_str().unwrap();
    let url = upload["status_url"].as_str().unwrap();
    let handed = house.client.get(url).bearer_auth(token).send().await;
    let seen: Value = handed.unwrap().json().await.unwrap();
    let (taken, answer) = complete(&house, &upload, &film).await;
    assert_eq!(taken, StatusCode::ACCEPTED, "{answer}");
    let log = paper.read();
    let id = upload["upload_id"].as_str().unwrap();
    assert!(log.contains(id), "uploads are logged: {log}");
    assert_eq!(seen["received"], json!([0, 1]));
    let signed = upload["parts"].as_array().unwrap().iter();
    let signatures = signed.map(|part| {
        let url = part["url"].as_str().unwrap();
        url.split_once("X-Amz-Signature=").unwrap().1
    });
    for secret in signatures.chain(["X-Amz-Signature=", test_s3::SECRET, &token[4..]]) {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}
