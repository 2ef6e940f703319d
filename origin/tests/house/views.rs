//! One film in several views: segments of another length, and listings for those who may have a part of it.

use reqwest::Method;

use crate::house::{House, assert_problem};

/// The bytes of all `mdat` boxes of a file.
fn samples(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        if &rest[4..8] == b"mdat" {
            out.extend_from_slice(&rest[8..size]);
        }
        rest = &rest[size..];
    }
    out
}

#[tokio::test]
async fn the_same_film_has_the_same_samples_in_segments_of_every_length() {
    let house = House::start().await;
    for rendition in ["90p", "audio-en"] {
        let mut films = Vec::new();
        for view in ["", "@2s/", "@3s/", "@4s/", "@5s/", "@6s/"] {
            let folder = format!("/v/film_1/{view}{rendition}");
            let playlist = house.text(&format!("{folder}/playlist.m3u8")).await;
            let mut film = Vec::new();
            let mut count = 0;
            for file in playlist.lines().filter(|line| !line.starts_with('#')) {
                film.extend(samples(&house.bytes(&format!("{folder}/{file}")).await));
                count += 1;
            }
            films.push((count, film));
        }
        assert!(films[0].1.len() > 10_000);
        assert!(films.iter().all(|film| film.1 == films[0].1), "{rendition}");
        assert!(films[1].0 > films[5].0, "2 s make more segments than 6 s");
        assert_eq!(films[0].0, films[3].0, "4 s is the usual length");
    }
    let lookups = "millrace_origin_index_lookups_total{result=\"miss\"}";
    assert_eq!(
        house.counter(lookups).await,
        1.0,
        "all views share the indexes"
    );
}

#[tokio::test]
async fn a_view_that_the_film_has_not_is_404() {
    let house = House::start().await;
    for path in [
        "/v/film_1/@7s/master.m3u8",
        "/v/film_1/@2s,cenc/master.m3u8",
        "/v/film_1/@/master.m3u8",
        "/v/film_1/@cenc/master.m3u8",
        "/v/film_1/@cbcs/90p/init.mp4",
        "/v/film_1/@aes128/90p/segment_1.ts",
        "/v/film_1/@sampleaes/90p/segment_1.ts",
        "/v/film_1/@identity/master.m3u8",
        "/v/film_1/@clearkey,2s/90p/segment_1.m4s",
        "/v/film_1/90p/content.key",
        "/v/film_1/@6s/90p/segment_3.m4s",
    ] {
        assert_problem(house.get(path).await, 404, "not_found").await;
    }
}

#[tokio::test]
async fn an_i_frame_is_a_segment_of_its_own() {
    let house = House::start().await;
    for (playlist, extension) in [("iframes.m3u8", "m4s"), ("iframes_ts.m3u8", "ts")] {
        let text = house.text(&format!("/v/film_1/90p/{playlist}")).await;
        assert!(text.contains("#EXT-X-I-FRAMES-ONLY"), "{text}");
        let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.len() >= 3, "{text}");
        for (number, name) in (1..).zip(&names) {
            assert_eq!(**name, format!("iframe_{number}.{extension}"));
            assert!(
                !house
                    .bytes(&format!("/v/film_1/90p/{name}"))
                    .await
                    .is_empty()
            );
        }
        let behind = format!("/v/film_1/90p/iframe_{}.{extension}", names.len() + 1);
        assert_problem(house.get(&behind).await, 404, "not_found").await;
    }
    for path in [
        "/v/film_1/audio-en/iframes.m3u8",
        "/v/film_1/audio-en/iframe_1.m4s",
    ] {
        assert_problem(house.get(path).await, 404, "not_found").await;
    }
}

#[tokio::test]
async fn an_i_frame_is_the_first_picture_of_its_segment() {
    let house = House::start().await;
    let segment = samples(&house.bytes("/v/film_1/90p/segment_1.m4s").await);
    let iframe = samples(&house.bytes("/v/film_1/90p/iframe_1.m4s").await);
    assert!(segment.len() > iframe.len() && segment.starts_with(&iframe));
}

#[tokio::test]
async fn a_listing_names_only_what_was_asked_for_and_has_a_tag_of_its_own() {
    let house = House::start().await;
    house.publish_rich("film_1").await;
    for listing in ["master.m3u8", "manifest.mpd"] {
        let path = format!("/v/film_1/{listing}");
        let whole = house.text(&path).await;
        let part = house.text(&format!("{path}?r=54p,audio-en")).await;
        for name in ["54p", "audio-en"] {
            assert!(part.contains(name), "{listing} {name}");
        }
        for name in ["90p", "text-en"] {
            assert!(whole.contains(name), "{listing} {name}");
            assert!(!part.contains(name), "{listing} {name}");
        }
        let tags = [
            house.tag(&path).await,
            house.tag(&format!("{path}?r=54p,audio-en")).await,
            house.tag(&format!("{path}?r=54p")).await,
            house.tag(&format!("{path}?r=54p,audio-en,text-en")).await,
        ];
        for (at, tag) in tags.iter().enumerate() {
            assert!(!tags[..at].contains(tag), "{listing} {at}");
        }
    }
}

#[tokio::test]
async fn a_filter_that_is_not_canonical_is_400_and_one_that_leaves_nothing_404() {
    let house = House::start().await;
    for target in [
        "master.m3u8?r=",
        "master.m3u8?r=audio-en,54p",
        "master.m3u8?r=54p,54p",
        "manifest.mpd?r=54P",
        "manifest.mpd?r=54p&r=54p",
        "90p/playlist.m3u8?r=90p",
        "90p/segment_1.m4s?r=90p",
    ] {
        let response = house.get(&format!("/v/film_1/{target}")).await;
        assert_problem(response, 400, "target").await;
    }
    for target in [
        "/v/film_1/master.m3u8?r=2160p",
        "/v/film_1/manifest.mpd?r=text-en",
    ] {
        assert_problem(house.get(target).await, 404, "not_found").await;
        // What there is not cannot be had already.
        let any = [("if-none-match", "*")];
        let response = house.ask(Method::GET, target, &any).await;
        assert_problem(response, 404, "not_found").await;
    }
    let any = [("if-none-match", "*")];
    let list = "/v/film_1/master.m3u8?r=54p";
    assert_eq!(house.ask(Method::GET, list, &any).await.status(), 304);
}

#[tokio::test]
async fn a_playlist_is_written_once() {
    let house = House::start().await;
    let path = "/v/film_1/90p/playlist.m3u8";
    let first = house.bytes(path).await;
    for _ in 0..4 {
        assert_eq!(house.bytes(path).await, first);
    }
    let lookups = "millrace_origin_text_lookups_total";
    let miss = house
        .counter(&format!("{lookups}{{result=\"miss\"}}"))
        .await;
    let hits = house.counter(&format!("{lookups}{{result=\"hit\"}}")).await;
    assert_eq!((miss, hits), (1.0, 4.0));
}
