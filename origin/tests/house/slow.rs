//! Peers who do not read, and reads that nobody waits for any more: what they hold is bounded, and comes back.

use std::time::Duration;

use config::{ByteSize, Span};
use contracts::{asset::Thumbs, id::Generation};
use origin::config::Config;
use reqwest::Method;
use store::layout;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::house::{FILM, House, assert_problem, video};

const SHEET: &str = "/v/film_1/thumbs/sheet_1.jpg";
const SEGMENT: &str = "/v/film_1/90p/segment_1.m4s";

/// Publishes the film with one sheet of thumbnails of so many bytes.
async fn publish_sheet(house: &House, bytes: u32) {
    let key = layout::sheet(&video(FILM), Generation(1), 1);
    let sheet = vec![0xff; usize::try_from(bytes).unwrap()];
    house.store.put(&key, sheet.into()).await.unwrap();
    let thumbs = Thumbs {
        width: 160,
        height: 90,
        columns: 2,
        rows: 2,
        interval_ms: 1000,
        tiles: 4,
        sheet_bytes: vec![bytes],
    };
    house
        .publish_with(FILM, 1, |asset| asset.thumbs = Some(thumbs))
        .await;
}

/// Little memory, for which one waits far longer than a peer may be deaf.
fn little(config: &mut Config) {
    config.pack_memory = ByteSize::mib(1);
    config.pack_wait = Span::seconds(60);
    config.write_timeout = Span::millis(100);
}

#[tokio::test]
async fn who_does_not_read_its_answer_loses_it_and_the_next_is_served() {
    let house = House::with(little).await;
    // More than the system takes in between.
    publish_sheet(&house, 48 << 20).await;
    let mut deaf = TcpStream::connect(house.origin.listen).await.unwrap();
    let request = format!("GET {SHEET} HTTP/1.1\r\nhost: origin\r\n\r\n");
    deaf.write_all(request.as_bytes()).await.unwrap();
    // The answer has begun, so all the memory is taken.
    deaf.readable().await.unwrap();
    house.bytes(SEGMENT).await;
}

#[tokio::test]
async fn who_keeps_the_window_of_an_answer_shut_loses_it_and_the_next_is_served() {
    let house = House::with(little).await;
    publish_sheet(&house, 1 << 20).await;
    let stream = TcpStream::connect(house.origin.listen).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let builder = builder.initial_window_size(0);
    let (mut client, connection) = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(house.url(SHEET)).body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    house.bytes(SEGMENT).await;
    // It is cut, though it reads whatever comes.
    connection.await.unwrap().ok();
    assert!(answer.into_body().data().await.unwrap().is_err());
}

#[tokio::test]
async fn a_long_answer_over_h2_to_who_reads_it_is_whole() {
    let house = House::with(|config| config.write_timeout = Span::seconds(20)).await;
    publish_sheet(&house, 20 << 20).await;
    let h2 = runtime::http::client().http2_prior_knowledge().build();
    let request = h2.unwrap().get(house.url(SHEET));
    let body = request.send().await.unwrap().bytes().await.unwrap();
    assert_eq!(body.len(), 20 << 20);
}

#[tokio::test]
async fn who_asks_nothing_over_a_connection_is_closed() {
    let house = House::start().await;
    let mut silent = TcpStream::connect(house.origin.listen).await.unwrap();
    silent.write_all(b"PRI * HT").await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(60), silent.readable());
    closed.await.unwrap().unwrap();
    assert_eq!(silent.try_read(&mut [0; 16]).unwrap_or_default(), 0);
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_any_more_keeps_its_memory() {
    let (house, gated) = House::gated("sheet_", |config| {
        config.pack_memory = ByteSize::mib(1);
        config.pack_wait = Span::millis(1);
        config.read_timeout = Span::millis(300);
    })
    .await;
    publish_sheet(&house, 1 << 20).await;
    house.bytes("/v/film_1/master.m3u8").await;
    gated.shut();
    assert_problem(house.get(SHEET).await, 504, "too_slow").await;
    gated.hung(1).await;
    assert_problem(house.get(SEGMENT).await, 503, "busy").await;
    gated.open();
    gated.hung(0).await;
    while house.get(SEGMENT).await.status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_long_film_is_loaded_while_a_body_is_sent_and_keeps_nobody_waiting() {
    let (house, gated) = House::gated("sheet_", |config| {
        config.pack_memory = ByteSize::mib(1);
        config.pack_wait = Span::seconds(2);
        config.read_timeout = Span::seconds(60);
    })
    .await;
    publish_sheet(&house, 300 << 10).await;
    let cue = "00:00:01.000 --> 00:00:02.000\nmany\n\n";
    let long = format!("WEBVTT\n\n{}", cue.repeat(16_000));
    let text = house.put_text("long", "text-en", &long).await;
    house
        .publish_with("long", 1, |asset| asset.renditions.push(text))
        .await;
    gated.shut();
    let body = tokio::spawn(house.client.get(house.url(SHEET)).send());
    gated.hung(1).await;
    house.bytes("/v/long/master.m3u8").await;
    house.bytes(SEGMENT).await;
    gated.open();
    assert_eq!(body.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_refusal_of_head_has_the_fields_of_get_and_no_body() {
    let house = House::start().await;
    let h2 = runtime::http::client().http2_prior_knowledge();
    for client in [house.client.clone(), h2.build().unwrap()] {
        for (path, status) in [
            ("/v/nobody/master.m3u8", 404),
            ("/v//film_1/master.m3u8", 400),
        ] {
            let url = house.url(path);
            let asked = client.get(&url).send().await.unwrap();
            let length = asked.headers()["content-length"].clone();
            let sent = house.counter("millrace_origin_sent_bytes_total").await;
            let answer = client.request(Method::HEAD, &url).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()["content-length"], length, "{path}");
            assert!(answer.bytes().await.unwrap().is_empty(), "{path}");
            let now = house.counter("millrace_origin_sent_bytes_total").await;
            assert_eq!(now, sent, "{path}");
        }
    }
}
