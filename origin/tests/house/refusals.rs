//! What is not served, and how that is said.

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, assert_problem, header};

#[tokio::test]
async fn unknown_films_renditions_and_segments_are_404_for_a_moment() {
    let house = House::start().await;
    for path in [
        "/v/nobody/master.m3u8",
        "/t/nobody/default.jpg",
        "/v/film_1/2160p/playlist.m3u8",
        "/v/film_1/2160p/init.mp4",
        "/v/film_1/90p/segment_4.m4s",
        "/v/film_1/90p/segment_999999999.ts",
        "/v/film_1/audio-de/segment_1.ts",
    ] {
        let response = house.get(path).await;
        let freshness = header(&response, "cache-control").to_owned();
        assert!(
            ["public, max-age=1", "public, max-age=2"].contains(&freshness.as_str()),
            "{path}"
        );
        assert!(
            header(&response, "surrogate-key").starts_with("a:"),
            "{path}"
        );
        assert_problem(response, 404, "not_found").await;
    }
}

#[tokio::test]
async fn addresses_of_another_shape_are_404() {
    let house = House::start().await;
    for path in [
        "/favicon.ico",
        "/v/film_1/90p/segment_01.ts",
        "/v/film_1/asset.json",
        "/v/film_1",
    ] {
        assert_problem(house.get(path).await, 404, "not_found").await;
    }
}

/// Sends a request line as it is, past every client's tidying.
async fn raw(house: &House, target: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(house.origin.listen)
        .await
        .unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: origin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn targets_outside_the_grammar_are_400() {
    let house = House::start().await;
    for target in [
        "/v/film_1/../film_1/master.m3u8",
        "/v//film_1/master.m3u8",
        "/v/film%5f1/master.m3u8",
        "/v/film_1/./master.m3u8",
        "/v/film_1/90p/segment_1.ts/",
        "/~m1.token/v/film_1/master.m3u8",
        "/",
    ] {
        let answer = raw(&house, target).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
        assert!(
            answer.contains("\"reason\":\"target\""),
            "{target}: {answer}"
        );
    }
}

#[tokio::test]
async fn methods_that_change_things_are_405() {
    let house = House::start().await;
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ] {
        let response = house.ask(method, "/v/film_1/master.m3u8", &[]).await;
        assert_eq!(header(&response, "allow"), "GET, HEAD");
        assert_problem(response, 405, "method").await;
    }
}

#[tokio::test]
async fn only_a_tier_with_the_credential_is_served_when_there_is_one() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "a long secret\n").unwrap();
    let file = secret.path().display().to_string();
    let house = House::with(|config| config.hop_secret = file).await;
    let path = "/v/film_1/master.m3u8";
    for shown in [
        None,
        Some(""),
        Some("a long secreT"),
        Some("a long secret2"),
        Some("a"),
    ] {
        let headers = shown.map(|shown| ("millrace-hop", shown));
        let response = house.ask(Method::GET, path, headers.as_slice()).await;
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_problem(response, 403, "hop").await;
    }
    let response = house
        .ask(Method::GET, path, &[("millrace-hop", "a long secret")])
        .await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "millrace-hop"), "");
}

#[tokio::test]
async fn a_credential_file_that_is_missing_or_empty_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    for file in [empty, folder.path().join("absent")] {
        let config = origin::config::Config {
            listen: "127.0.0.1:0".to_owned(),
            internal: "127.0.0.1:0".to_owned(),
            store: format!("file://{}", folder.path().display()),
            hop_secret: file.display().to_string(),
            ..Default::default()
        };
        let outcome = origin::start(config.check().unwrap()).await;
        assert!(matches!(outcome, Err(origin::Error::HopSecret { .. })));
    }
}
