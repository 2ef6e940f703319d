//! Protected films: encrypted, or not served.

use axum::{Router, http::StatusCode};
use contracts::asset::Asset;
use origin::config::Config;

use crate::house::{House, assert_problem};

const FILM: &str = "locked";

/// Everything of a film that is encrypted, or leads to what is.
const PACKED: [&str; 12] = [
    "master.m3u8",
    "master_ts.m3u8",
    "manifest.mpd",
    "90p/playlist.m3u8",
    "90p/playlist_ts.m3u8",
    "90p/iframes.m3u8",
    "90p/init.mp4",
    "90p/segment_1.m4s",
    "90p/segment_1.ts",
    "90p/iframe_1.m4s",
    "audio-en/segment_1.m4s",
    "90p/content.key",
];

fn protect(asset: &mut Asset) {
    asset.protected = true;
}

/// A house with a protected film and a clear one.
async fn house(change: impl FnOnce(&mut Config)) -> House {
    let house = House::with(change).await;
    house.publish_with(FILM, 1, protect).await;
    house
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}/v1/keys")
}

/// Nothing of the protected film is served, and the clear one is.
async fn assert_closed(house: &House, status: u16, reason: &str) {
    let faults = format!("millrace_origin_faults_total{{reason=\"{reason}\"}}");
    for file in PACKED {
        let before = house.counter(&faults).await;
        let response = house.get(&format!("/v/{FILM}/{file}")).await;
        assert_problem(response, status, reason).await;
        assert_eq!(house.counter(&faults).await, before + 1.0, "{file}");
    }
    assert_eq!(house.get("/v/film_1/90p/segment_1.m4s").await.status(), 200);
    assert_eq!(
        house.get(&format!("/t/{FILM}/default.jpg")).await.status(),
        200
    );
}

#[tokio::test]
async fn without_a_source_of_keys_not_a_byte_is_served() {
    assert_closed(&house(|_| {}).await, 503, "keys").await;
}

#[tokio::test]
async fn a_film_that_the_source_does_not_know_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("file://{}", folder.path().display());
    let house = house(|config| config.keys = address).await;
    assert_closed(&house, 503, "keys").await;
    let asked = "millrace_origin_key_lookups_total{result=\"none\"}";
    assert!(house.counter(asked).await >= 1.0);
}

#[tokio::test]
async fn a_source_that_is_gone_or_answers_nonsense_is_502() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}/v1/keys", free.local_addr().unwrap());
    drop(free);
    let nonsense = serve(Router::new().fallback(async || "{}")).await;
    let failing = serve(Router::new().fallback(async || StatusCode::UNAUTHORIZED)).await;
    for url in [gone, nonsense, failing] {
        let house = house(|config| config.keys = url).await;
        assert_closed(&house, 502, "unreachable").await;
    }
}

#[tokio::test]
async fn a_source_that_is_slow_is_504() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/keys", silent.local_addr().unwrap());
    let house = house(|config| {
        config.keys = url;
        config.read_timeout = config::Span::millis(200);
    })
    .await;
    assert_closed(&house, 504, "too_slow").await;
}
