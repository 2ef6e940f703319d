//! Protected films: encrypted, or not served.

use axum::{Router, http::StatusCode};
use contracts::asset::Asset;
use origin::config::Config;

use crate::{
    damage::assert_corrupt,
    house::{House, SHEETS, TEXT, assert_problem, header, rendition, video},
};

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

const KEY: &str = "69eaa802a6763af979e8d1940fb88392";

fn document(systems: &str, keys: &str) -> String {
    format!(
        r#"{{"video":"{FILM}","systems":[{systems}],"periods":[{{"start_ms":0,"keys":[{keys}]}}]}}"#
    )
}

fn all_tracks(key: &str) -> String {
    format!(r#"{{"kid":"000102030405060708090a0b0c0d0e0f","key":"{key}"}}"#)
}

/// A house whose keys lie in a folder, which is kept as long as the house.
async fn locked(document: &str) -> (House, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(format!("{FILM}.json")), document).unwrap();
    let address = format!("file://{}", folder.path().display());
    (house(|config| config.keys = address).await, folder)
}

async fn open_to_all() -> (House, tempfile::TempDir) {
    locked(&document(
        r#""identity","clearkey","widevine""#,
        &all_tracks(KEY),
    ))
    .await
}

/// Whether one of the pieces of 32 bytes of a clear film stands in a body.
fn holds_any(body: &[u8], clear: &[u8]) -> bool {
    let pieces: std::collections::HashSet<&[u8]> = clear.chunks_exact(32).collect();
    body.windows(32).any(|window| pieces.contains(window))
}

#[tokio::test]
async fn every_protection_leaves_nothing_of_the_film_in_the_clear() {
    let (house, _folder) = open_to_all().await;
    let sound = house.bytes("/v/film_1/audio-en/segment_2.m4s").await;
    let picture = house.bytes("/v/film_1/90p/segment_2.m4s").await;
    // Sound has no clear heads: its samples are encrypted whole, but for less than a block each.
    let sound = &sound[sound.len() - 1024..];
    for view in [
        "",
        "@cenc/",
        "@cbcs/",
        "@aes128/",
        "@cbcs,2s/",
        "@identity/",
    ] {
        let folder = format!("/v/{FILM}/{view}");
        let init = house.bytes(&format!("{folder}90p/init.mp4")).await;
        let is_told = init.windows(4).any(|kind| kind == b"encv");
        assert_eq!(is_told, view != "@aes128/", "{view}");
        for number in 1..=2 {
            let path = format!("{folder}audio-en/segment_{number}.m4s");
            let body = house.bytes(&path).await;
            assert!(!holds_any(&body, sound), "{path}");
        }
        for path in [
            format!("{folder}90p/segment_2.m4s"),
            format!("{folder}90p/iframe_2.m4s"),
        ] {
            let body = house.bytes(&path).await;
            assert_ne!(body, picture, "{path}");
        }
    }
    for view in ["", "@aes128/"] {
        let path = format!("/v/{FILM}/{view}90p/segment_2.ts");
        let body = house.bytes(&path).await;
        assert_eq!(body.len() % 16, 0, "{path}");
        assert_ne!(body[0], 0x47, "{path}");
        assert!(!holds_any(&body, sound), "{path}");
    }
    // Samples are encrypted one by one: packets stay packets, and differ from the clear ones.
    let path = format!("/v/{FILM}/@sampleaes/90p/segment_2.ts");
    let body = house.bytes(&path).await;
    assert!(body.chunks(188).all(|packet| packet[0] == 0x47), "{path}");
    let clear = house.bytes("/v/film_1/90p/segment_2.ts").await;
    assert!(
        holds_any(&clear, sound),
        "the sound can be seen in a clear stream"
    );
    assert!(!holds_any(&body, sound), "{path}");
    let playlist = house
        .text(&format!("/v/{FILM}/@sampleaes/90p/playlist_ts.m3u8"))
        .await;
    let tag = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"content.key\",IV=0x";
    assert!(playlist.contains(tag), "{playlist}");
}

#[tokio::test]
async fn hls_and_dash_name_the_very_same_encrypted_segments() {
    let (house, _folder) = open_to_all().await;
    for view in ["", "@cenc/", "@cbcs,2s/"] {
        let folder = format!("/v/{FILM}/{view}");
        let mpd = house.text(&format!("{folder}manifest.mpd")).await;
        assert!(mpd.contains("urn:mpeg:dash:mp4protection:2011"), "{mpd}");
        let media = mpd
            .split("media=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let hls = house.text(&format!("{folder}90p/playlist.m3u8")).await;
        assert!(hls.contains("#EXT-X-KEY:METHOD=SAMPLE-AES"), "{hls}");
        let names: Vec<&str> = hls.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.len() >= 3);
        for (number, name) in (1..).zip(names) {
            let dash = media
                .replace("$RepresentationID$", "90p")
                .replace("$Number$", &format!("{number}"));
            let dash = store::Digest::of(&house.bytes(&format!("{folder}{dash}")).await);
            let hls = store::Digest::of(&house.bytes(&format!("{folder}90p/{name}")).await);
            assert_eq!(dash, hls, "{view} {name}");
        }
    }
}

#[tokio::test]
async fn the_key_is_given_as_it_is_where_the_film_says_so_and_kept_by_nobody() {
    let (house, _folder) = open_to_all().await;
    for path in [
        "90p/content.key",
        "@aes128/audio-en/content.key",
        "@cbcs,identity/54p/content.key",
    ] {
        let response = house.get(&format!("/v/{FILM}/{path}")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(
            header(&response, "content-type"),
            "application/octet-stream"
        );
        assert_eq!(hex(&response.bytes().await.unwrap()), KEY);
    }
    let playlist = house.text(&format!("/v/{FILM}/90p/playlist_ts.m3u8")).await;
    assert!(
        playlist.contains("#EXT-X-KEY:METHOD=AES-128,URI=\"content.key\""),
        "{playlist}"
    );
    for path in [
        "90p/content.key",
        "90p/playlist_ts.m3u8",
        "master_ts.m3u8",
        "@aes128/90p/segment_1.m4s",
        "@identity/90p/playlist.m3u8",
    ] {
        let (house, _folder) = locked(&document(r#""widevine""#, &all_tracks(KEY))).await;
        assert_problem(
            house.get(&format!("/v/{FILM}/{path}")).await,
            404,
            "not_found",
        )
        .await;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_view_that_a_protected_film_has_not_is_404() {
    let (house, _folder) = open_to_all().await;
    for path in [
        "@aes128/manifest.mpd",
        "@sampleaes/manifest.mpd",
        "@sampleaes/90p/segment_1.m4s",
        "@sampleaes,clearkey/90p/segment_1.ts",
        "@clearkey/manifest.mpd",
        "@cenc/master_ts.m3u8",
        "@cbcs/90p/segment_1.ts",
        "@clearkey/90p/content.key",
    ] {
        assert_problem(
            house.get(&format!("/v/{FILM}/{path}")).await,
            404,
            "not_found",
        )
        .await;
    }
}

#[tokio::test]
async fn a_track_without_a_key_is_503_and_one_with_a_key_is_served() {
    let only_sound =
        format!(r#"{{"kid":"000102030405060708090a0b0c0d0e0f","key":"{KEY}","tracks":["audio"]}}"#);
    let (house, _folder) = locked(&document(r#""identity""#, &only_sound)).await;
    for path in [
        "90p/init.mp4",
        "90p/segment_1.m4s",
        "@aes128/90p/segment_1.m4s",
        "90p/segment_1.ts",
        "90p/iframe_1.m4s",
        "90p/content.key",
        "master.m3u8",
        "manifest.mpd",
    ] {
        assert_problem(house.get(&format!("/v/{FILM}/{path}")).await, 503, "keys").await;
    }
    house
        .bytes(&format!("/v/{FILM}/audio-en/segment_1.m4s"))
        .await;
}

#[tokio::test]
async fn keys_of_two_periods_are_refused_not_half_used() {
    let one = document(r#""identity""#, &all_tracks(KEY));
    let two = one.replace(
        "\"periods\":[",
        "\"periods\":[{\"start_ms\":0,\"keys\":[]},",
    );
    let (house, _folder) = locked(&two).await;
    assert_closed(&house, 503, "keys").await;
}

#[tokio::test]
async fn another_key_gives_other_bytes_under_another_tag_and_clear_things_keep_theirs() {
    let (house, folder) = open_to_all().await;
    let paths = [
        "90p/segment_1.m4s",
        "90p/segment_1.ts",
        "90p/playlist.m3u8",
        "master.m3u8",
        "90p/content.key",
    ];
    let poster = house.tag(&format!("/t/{FILM}/default.jpg")).await;
    let mut before = Vec::new();
    for path in paths {
        before.push(house.tag(&format!("/v/{FILM}/{path}")).await);
    }
    let other = document(
        r#""identity","clearkey","widevine""#,
        &all_tracks("00000000000000000000000000000001"),
    );
    std::fs::write(folder.path().join(format!("{FILM}.json")), other).unwrap();
    // The keys are believed for minutes; a new origin asks anew.
    let address = format!("file://{}", folder.path().display());
    let another = house.another_with(|config| config.keys = address).await;
    for (path, before) in paths.into_iter().zip(before) {
        let url = format!("http://{}/v/{FILM}/{path}", another.listen);
        let response = house
            .client
            .get(url)
            .header("if-none-match", &before)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(
            house.tag(&format!("/v/{FILM}/{path}")).await,
            before,
            "{path}"
        );
    }
    let url = format!("http://{}/t/{FILM}/default.jpg", another.listen);
    let response = house.client.get(url).send().await.unwrap();
    assert_eq!(header(&response, "etag"), poster);
    another.stop().await;
}

#[tokio::test]
async fn damage_under_a_protected_film_is_502_and_text_and_pictures_stay_clear() {
    let (house, _folder) = open_to_all().await;
    let text = house.put_text(FILM, "text-en", TEXT).await;
    let thumbs = house.put_sheets(FILM).await;
    house
        .publish_with(FILM, 1, |asset| {
            protect(asset);
            asset.renditions.push(text);
            asset.thumbs = Some(thumbs);
        })
        .await;
    let key = store::layout::mezzanine(
        &video(FILM),
        contracts::id::Generation(1),
        &rendition("90p"),
    );
    let mut bytes = house.store.read(&key).await.unwrap().unwrap().to_vec();
    let data = bytes.windows(4).position(|kind| kind == b"mdat").unwrap();
    bytes[data + 100] ^= 1;
    house.store.put(&key, bytes.into()).await.unwrap();
    for view in ["", "@cenc/", "@aes128/"] {
        assert_corrupt(&house, &format!("/v/{FILM}/{view}90p/segment_1.m4s")).await;
    }
    assert_corrupt(&house, &format!("/v/{FILM}/90p/segment_1.ts")).await;
    for path in [
        format!("/s/{FILM}/en.vtt"),
        format!("/v/{FILM}/@cenc/text-en/playlist.m3u8"),
        format!("/v/{FILM}/@cenc/text-en/segment_1.vtt"),
    ] {
        let text = house.text(&path).await;
        assert!(
            text.contains("first") || text.contains("segment_1.vtt"),
            "{path}"
        );
        assert!(!text.contains("EXT-X-KEY"), "{text}");
    }
    assert_eq!(
        house.bytes(&format!("/t/{FILM}/sprite_1.jpg")).await,
        SHEETS[0]
    );
}

#[tokio::test]
async fn no_key_stands_in_a_metric_or_a_problem() {
    let (house, _folder) = open_to_all().await;
    house.bytes(&format!("/v/{FILM}/90p/segment_1.m4s")).await;
    let metrics = format!("http://{}/metrics", house.origin.internal);
    let metrics = house
        .client
        .get(metrics)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("millrace_origin_key_lookups_total{result=\"found\"} 1"),
        "{metrics}"
    );
    assert!(!metrics.contains(&KEY[..8]));
}

#[tokio::test]
async fn two_patterns_of_one_film_are_offered_only_where_its_key_is_given_away() {
    let drm = document(
        r#""widevine","playready","fairplay","clearkey""#,
        &all_tracks(KEY),
    );
    let (house, _folder) = locked(&drm).await;
    for file in [
        "master_ts.m3u8",
        "90p/playlist_ts.m3u8",
        "90p/segment_1.ts",
        "90p/iframe_1.ts",
    ] {
        // What this view leaves clear is what `cbcs` encrypts.
        let path = format!("/v/{FILM}/@sampleaes/{file}");
        assert_eq!(house.get(&path).await.status(), 404, "{path}");
    }
    let path = format!("/v/{FILM}/90p/segment_1.m4s");
    assert_eq!(house.get(&path).await.status(), 200);
}
