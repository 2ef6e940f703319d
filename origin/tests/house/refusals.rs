//! What is not served, and how that is said.

use contracts::asset::Privacy;
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
    std::fs::write(secret.path(), "a long secret of tiers\n").unwrap();
    let file = secret.path().display().to_string();
    let house = House::with(|config| config.hop_secret = file).await;
    let path = "/v/film_1/master.m3u8";
    for shown in [
        None,
        Some(""),
        Some("a long secret of tierS"),
        Some("a long secret of tiers2"),
        Some("a"),
    ] {
        let headers = shown.map(|shown| ("millrace-hop", shown));
        let response = house.ask(Method::GET, path, headers.as_slice()).await;
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_problem(response, 403, "hop").await;
    }
    let response = house
        .ask(
            Method::GET,
            path,
            &[("millrace-hop", "a long secret of tiers")],
        )
        .await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "millrace-hop"), "");
}

#[tokio::test]
async fn a_credential_file_that_is_missing_or_can_be_guessed_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, short) = (folder.path().join("empty"), folder.path().join("short"));
    std::fs::write(&empty, "\n").unwrap();
    std::fs::write(&short, "fifteen letters\n").unwrap();
    for file in [empty, short, folder.path().join("absent")] {
        let config = origin::config::Config {
            listen: "127.0.0.1:0".to_owned(),
            internal: "127.0.0.1:0".to_owned(),
            store: format!("file://{}", folder.path().display()),
            hop_secret: file.display().to_string(),
            ..Default::default()
        };
        let outcome = origin::start(config.check().unwrap()).await;
        assert!(matches!(outcome, Err(origin::Error::Secret(_))));
    }
}

#[tokio::test]
async fn a_304_over_h2_says_nothing_of_the_length() {
    let house = House::start().await;
    let path = "/v/film_1/90p/segment_1.m4s";
    let tag = house.tag(path).await;
    let h2 = runtime::http::client().http2_prior_knowledge();
    for client in [house.client.clone(), h2.build().unwrap()] {
        let request = client.get(house.url(path)).header("if-none-match", &tag);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 304);
        assert_eq!(header(&response, "content-length"), "");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_504_and_bad_health() {
    let (house, gated) = House::gated("thumbnails/", |config| {
        config.read_timeout = config::Span::millis(50);
    })
    .await;
    gated.shut();
    let slow = "millrace_origin_faults_total{reason=\"too_slow\"}";
    assert_problem(house.get("/t/film_1/default.jpg").await, 504, "too_slow").await;
    assert_eq!(house.counter(slow).await, 1.0);
    let health = format!("http://{}/healthz", house.origin.internal);
    let health = house.client.get(&health).send().await.unwrap();
    assert_eq!(health.status(), 503);
}

#[tokio::test]
async fn while_every_read_hangs_what_is_in_memory_is_answered_and_afterwards_all_is_well() {
    let (house, gated) = House::gated(".mp4", |config| {
        config.read_timeout = config::Span::millis(500);
        config.asset_ttl = config::Span::seconds(60);
    })
    .await;
    house.publish("other", 1, Privacy::Public).await;
    let lists = ["/v/film_1/master.m3u8", "/v/other/90p/playlist.m3u8"];
    for list in lists {
        house.bytes(list).await;
    }
    gated.shut();
    // As many reads as there are places, and a few who wait for one.
    let asked = (0..PLACES + 4).map(|at| {
        let path = format!("/v/film_1/90p/segment_{}.m4s", at % 3 + 1);
        tokio::spawn(house.client.get(house.url(&path)).send())
    });
    let asked: Vec<_> = asked.collect();
    gated.hung(PLACES).await;
    for list in lists {
        house.bytes(list).await;
    }
    for answer in asked {
        assert_problem(answer.await.unwrap().unwrap(), 504, "too_slow").await;
    }
    let slow = "millrace_origin_faults_total{reason=\"too_slow\"}";
    assert_eq!(house.counter(slow).await, (PLACES + 4) as f64);
    // Nobody waits for them any more, and yet they hold their places.
    gated.hung(PLACES).await;
    let segment = "/v/other/90p/segment_1.m4s";
    assert_problem(house.get(segment).await, 504, "too_slow").await;
    gated.open();
    house.bytes(segment).await;
    let health = format!("http://{}/healthz", house.origin.internal);
    let health = house.client.get(&health).send().await.unwrap();
    assert_eq!(health.status(), 200);
}

/// Reads that may be under way.
const PLACES: usize = 64;

#[tokio::test]
async fn a_film_that_outweighs_the_memory_for_indexes_is_served_and_told() {
    let house = House::with(|config| config.index_memory = config::ByteSize::mib(1)).await;
    let oversized = "millrace_origin_oversized_films_total";
    house.bytes("/v/film_1/master.m3u8").await;
    assert_eq!(house.counter(oversized).await, 0.0);
    // Twice a text's length is counted: 600 KiB of one cue after another outweigh a MiB.
    let cue = "00:00:01.000 --> 00:00:02.000\nmany\n\n";
    let long = format!("WEBVTT\n\n{}", cue.repeat(16_000));
    let text = house.put_text("heavy", "text-en", &long).await;
    house
        .publish_with("heavy", 1, |asset| asset.renditions.push(text))
        .await;
    house.bytes("/v/heavy/90p/segment_1.m4s").await;
    assert_eq!(house.counter(oversized).await, 1.0);
}
