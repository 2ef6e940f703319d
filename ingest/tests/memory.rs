//! What uploads take of memory: nothing that grows with them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use bytes::Bytes;
use config::ByteSize;
use futures_util::stream;
use house::House;
use reqwest::{Body, StatusCode};
use serde_json::{Value, json};
use store::Digest;

const MIB: usize = 1 << 20;
/// In one chunk.
const FILM: usize = 24 * MIB;
/// What buffers, connections and the client itself may take.
const MOST: u64 = 8 << 20;

/// The most memory that this process has had, in bytes. Each test is a process of its own.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() << 10
}

/// A film, of which no more is held than what is being sent.
fn film() -> Body {
    let frame = Bytes::from(vec![7; MIB]);
    let frames = (0..FILM / MIB).map(move |_| Ok::<_, std::io::Error>(frame.clone()));
    Body::wrap_stream(stream::iter(frames))
}

fn digest() -> String {
    use sha2::{Digest as _, Sha256};
    let frame = vec![7; MIB];
    let mut hasher = Sha256::new();
    (0..FILM / MIB).for_each(|_| hasher.update(&frame));
    Digest::from_bytes(hasher.finalize().into()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_comes_in_and_is_joined_in_less_memory_than_it_is_long() {
    let house = House::with(|config| {
        config.workers = 0;
        config.chunk = ByteSize(FILM as u64);
        config.max_film = ByteSize(FILM as u64);
    });
    let (house, whole) = (house.await, digest());
    let wish = json!({"file_name": "film.mp4", "size_bytes": FILM, "sha256": whole});
    let begun: Value = house.initiate(wish).await.json().await.unwrap();
    assert_eq!(begun["chunk_count"], 1);
    let upload = begun["upload_id"].as_str().unwrap();
    let before = peak();

    let url = house.upload_url(upload, "/chunk?index=0");
    let sent = house.client.put(url).header("x-chunk-sha256", whole);
    let sent = sent.body(film()).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::OK);
    let url = house.upload_url(upload, "/complete");
    let joined = house.client.post(url).send().await.unwrap();
    assert_eq!(joined.status(), StatusCode::ACCEPTED);

    // The same in one request.
    let tus = house.client.post(house.url("/v1/videos/upload/tus"));
    let begun = tus
        .header("tus-resumable", "1.0.0")
        .header("upload-length", FILM)
        .header("upload-metadata", "filename ZmlsbS5tcDQ=")
        .send();
    let begun = begun.await.unwrap();
    let url = begun.headers()["location"].to_str().unwrap();
    let sent = house.client.patch(url).body(film());
    let sent = sent
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", 0)
        .header("content-type", "application/offset+octet-stream")
        .send();
    let sent = sent.await.unwrap();
    assert_eq!(sent.headers()["upload-offset"], FILM.to_string());

    let taken = peak() - before;
    assert!(taken < MOST, "{taken} bytes for films of {FILM}");
}
