//! What a published film is served as.

use contracts::asset::Privacy;
use reqwest::Method;

use crate::house::{FILM, House, POSTER, header};

#[tokio::test]
async fn every_address_of_a_film_is_served_with_its_type_and_freshness() {
    let house = House::start().await;
    let immutable = "public, max-age=31536000, immutable";
    let short = "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400";
    for (path, kind, freshness) in [
        (
            "v/film_1/master.m3u8",
            "application/vnd.apple.mpegurl",
            short,
        ),
        (
            "v/film_1/master_ts.m3u8",
            "application/vnd.apple.mpegurl",
            short,
        ),
        ("v/film_1/manifest.mpd", "application/dash+xml", short),
        (
            "v/film_1/90p/playlist.m3u8",
            "application/vnd.apple.mpegurl",
            short,
        ),
        (
            "v/film_1/90p/playlist_ts.m3u8",
            "application/vnd.apple.mpegurl",
            short,
        ),
        ("v/film_1/90p/init.mp4", "video/mp4", immutable),
        ("v/film_1/90p/segment_1.m4s", "video/mp4", immutable),
        ("v/film_1/90p/segment_1.ts", "video/mp2t", immutable),
        ("v/film_1/audio-en/init.mp4", "audio/mp4", immutable),
        ("v/film_1/audio-en/segment_3.m4s", "audio/mp4", immutable),
        ("v/film_1/audio-en/segment_3.ts", "video/mp2t", immutable),
        ("t/film_1/default.jpg", "image/jpeg", short),
    ] {
        let response = house.get(&format!("/{path}")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-type"), kind, "{path}");
        assert_eq!(header(&response, "cache-control"), freshness, "{path}");
        assert_eq!(header(&response, "millrace-access"), "public", "{path}");
        assert!(
            header(&response, "surrogate-key").starts_with("a:film_1"),
            "{path}"
        );
        let length: usize = header(&response, "content-length").parse().unwrap();
        assert_eq!(response.bytes().await.unwrap().len(), length, "{path}");
    }
    house.origin.stop().await;
}

#[tokio::test]
async fn head_says_what_get_would_and_sends_nothing() {
    let house = House::start().await;
    for path in [
        "/v/film_1/90p/segment_2.m4s",
        "/v/film_1/90p/segment_2.ts",
        "/v/film_1/manifest.mpd",
    ] {
        let get = house.get(path).await;
        let head = house
            .ask(Method::HEAD, path, &[("range", "bytes=0-0")])
            .await;
        assert_eq!(head.status(), 200);
        for name in [
            "content-length",
            "content-type",
            "etag",
            "cache-control",
            "surrogate-key",
        ] {
            assert_eq!(header(&head, name), header(&get, name), "{path} {name}");
        }
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn every_url_in_the_playlists_and_the_manifest_is_served() {
    let house = House::start().await;
    for master in ["master.m3u8", "master_ts.m3u8"] {
        let text = house
            .get(&format!("/v/{FILM}/{master}"))
            .await
            .text()
            .await
            .unwrap();
        let uri = |line: &str| {
            line.split("URI=\"")
                .nth(1)
                .map(|rest| rest.trim_end_matches('"').to_owned())
        };
        let playlists = text.lines().filter_map(|line| {
            uri(line).or_else(|| (!line.starts_with('#')).then(|| line.to_owned()))
        });
        let playlists: Vec<String> = playlists.collect();
        assert!(playlists.len() >= 2);
        for playlist in playlists {
            let folder = playlist.split('/').next().unwrap();
            let text = house
                .get(&format!("/v/{FILM}/{playlist}"))
                .await
                .text()
                .await
                .unwrap();
            let mut media = 0;
            for line in text.lines() {
                let file = uri(line).or_else(|| (!line.starts_with('#')).then(|| line.to_owned()));
                let Some(file) = file else { continue };
                assert_eq!(
                    house
                        .get(&format!("/v/{FILM}/{folder}/{file}"))
                        .await
                        .status(),
                    200
                );
                media += 1;
            }
            assert!(media >= 3, "{playlist}");
        }
    }
    let mpd = house
        .get("/v/film_1/manifest.mpd")
        .await
        .text()
        .await
        .unwrap();
    for part in [
        "$RepresentationID$/segment_$Number$.m4s",
        "<Representation id=\"90p\"",
        "lang=\"en\"",
    ] {
        assert!(mpd.contains(part), "{part}");
    }
}

#[tokio::test]
async fn hls_and_dash_name_the_very_same_segments() {
    let house = House::start().await;
    let mpd = house
        .get("/v/film_1/manifest.mpd")
        .await
        .text()
        .await
        .unwrap();
    let hls = house
        .get("/v/film_1/90p/playlist.m3u8")
        .await
        .text()
        .await
        .unwrap();
    let media = mpd
        .split("media=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    for number in 1..=3 {
        let dash = media
            .replace("$RepresentationID$", "90p")
            .replace("$Number$", &number.to_string());
        let file = dash.strip_prefix("90p/").unwrap();
        assert!(hls.lines().any(|line| line == file), "{file}");
        let first = house
            .get(&format!("/v/film_1/{dash}"))
            .await
            .bytes()
            .await
            .unwrap();
        let second = house
            .get(&format!("/v/film_1/90p/{file}"))
            .await
            .bytes()
            .await
            .unwrap();
        assert_eq!(first, second);
        assert_eq!(&first[4..8], b"styp");
    }
}

#[tokio::test]
async fn a_tag_is_strong_and_stays_over_a_restart() {
    let house = House::start().await;
    let another = house.another().await;
    for path in [
        "/v/film_1/90p/segment_1.ts",
        "/v/film_1/master.m3u8",
        "/t/film_1/default.jpg",
    ] {
        let first = house.get(path).await;
        let tag = header(&first, "etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() == 34, "{tag}");
        let url = format!("http://{}{path}", another.listen);
        let second = house.client.get(url).send().await.unwrap();
        assert_eq!(header(&second, "etag"), tag);
        assert_eq!(first.bytes().await.unwrap(), second.bytes().await.unwrap());
    }
    let tags = [
        "/v/film_1/90p/segment_1.ts",
        "/v/film_1/90p/segment_2.ts",
        "/v/film_1/54p/segment_1.ts",
    ];
    let mut seen = std::collections::BTreeSet::new();
    for path in tags {
        assert!(
            seen.insert(header(&house.get(path).await, "etag").to_owned()),
            "{path}"
        );
    }
    another.stop().await;
}

#[tokio::test]
async fn who_has_the_body_is_told_so_without_it() {
    let house = House::start().await;
    for path in [
        "/v/film_1/90p/segment_1.m4s",
        "/v/film_1/manifest.mpd",
        "/t/film_1/default.jpg",
    ] {
        let tag = header(&house.get(path).await, "etag").to_owned();
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let response = house
                .ask(Method::GET, path, &[("if-none-match", &known)])
                .await;
            assert_eq!(response.status(), 304, "{path} {known}");
            assert_eq!(header(&response, "etag"), tag);
            assert_ne!(header(&response, "cache-control"), "");
            assert!(response.bytes().await.unwrap().is_empty());
        }
        let response = house
            .ask(Method::GET, path, &[("if-none-match", "\"other\"")])
            .await;
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn a_range_is_a_slice_of_the_whole() {
    let house = House::start().await;
    let path = "/v/film_1/90p/segment_1.m4s";
    let whole = house.get(path).await;
    let tag = header(&whole, "etag").to_owned();
    let whole = whole.bytes().await.unwrap();
    let length = whole.len();
    for (range, slice) in [
        ("bytes=0-9", 0..10),
        ("bytes=100-", 100..length),
        ("bytes=-7", length - 7..length),
    ] {
        let part = house
            .ask(Method::GET, path, &[("range", range), ("if-range", &tag)])
            .await;
        assert_eq!(part.status(), 206, "{range}");
        let wanted = format!("bytes {}-{}/{length}", slice.start, slice.end - 1);
        assert_eq!(header(&part, "content-range"), wanted);
        assert_eq!(part.bytes().await.unwrap(), whole[slice]);
    }
    let outside = house
        .ask(Method::GET, path, &[("range", "bytes=99999999-")])
        .await;
    assert_eq!(outside.status(), 416);
    assert_eq!(
        header(&outside, "content-range"),
        format!("bytes */{length}")
    );
    let stale = house
        .ask(
            Method::GET,
            path,
            &[("range", "bytes=0-9"), ("if-range", "\"x\"")],
        )
        .await;
    assert_eq!(stale.status(), 200);
}

#[tokio::test]
async fn privacy_and_tags_are_told_to_the_tiers() {
    let house = House::start().await;
    house.publish("hidden", 3, Privacy::Private).await;
    house.publish("linked", 1, Privacy::Unlisted).await;
    let private = house.get("/v/hidden/90p/segment_1.m4s").await;
    assert_eq!(header(&private, "millrace-access"), "token");
    assert_eq!(
        header(&private, "surrogate-key"),
        "a:hidden r:hidden/90p g:hidden/3"
    );
    let unlisted = house.get("/v/linked/master.m3u8").await;
    assert_eq!(header(&unlisted, "millrace-access"), "token");
    assert_eq!(
        header(&unlisted, "surrogate-key"),
        "a:linked k:manifest g:linked/1"
    );
}

#[tokio::test]
async fn a_new_generation_shows_and_has_other_tags() {
    let house = House::with(|config| config.asset_ttl = config::Span::millis(100)).await;
    let path = "/v/film_1/90p/segment_1.m4s";
    let before = header(&house.get(path).await, "etag").to_owned();
    house.publish(FILM, 2, Privacy::Public).await;
    let begun = std::time::Instant::now();
    loop {
        let response = house.get(path).await;
        assert_eq!(response.status(), 200);
        if header(&response, "surrogate-key").ends_with("g:film_1/2") {
            assert_ne!(header(&response, "etag"), before);
            break;
        }
        assert!(
            begun.elapsed().as_secs() < 10,
            "the new generation never showed"
        );
    }
}

#[tokio::test]
async fn h2_without_tls_is_spoken_too() {
    let house = House::start().await;
    let client = runtime::http::client()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let response = client
        .get(house.url("/v/film_1/90p/segment_1.ts"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let by_h2 = response.bytes().await.unwrap();
    let by_h1 = house
        .get("/v/film_1/90p/segment_1.ts")
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(by_h2, by_h1);
}

#[tokio::test]
async fn the_poster_is_served_as_it_lies() {
    let house = House::start().await;
    assert_eq!(
        house
            .get("/t/film_1/default.jpg")
            .await
            .bytes()
            .await
            .unwrap(),
        POSTER
    );
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let house = House::start().await;
    let body = house
        .get("/v/film_1/90p/segment_1.m4s")
        .await
        .bytes()
        .await
        .unwrap();
    house.get("/v/film_1/90p/segment_1.ts").await;
    house.get("/v/film_1/90p/segment_99.ts").await;
    let requests = "millrace_origin_requests_total";
    assert_eq!(
        house
            .counter(&format!("{requests}{{kind=\"segment\",status=\"200\"}}"))
            .await,
        2.0
    );
    assert_eq!(
        house
            .counter(&format!("{requests}{{kind=\"segment\",status=\"404\"}}"))
            .await,
        1.0
    );
    let lookups = "millrace_origin_index_lookups_total";
    assert_eq!(
        house
            .counter(&format!("{lookups}{{result=\"miss\"}}"))
            .await,
        1.0
    );
    assert_eq!(
        house.counter(&format!("{lookups}{{result=\"hit\"}}")).await,
        2.0
    );
    let packed = "millrace_origin_pack_seconds_count";
    assert_eq!(
        house
            .counter(&format!("{packed}{{flavour=\"cmaf\"}}"))
            .await,
        1.0
    );
    assert_eq!(
        house.counter(&format!("{packed}{{flavour=\"ts\"}}")).await,
        1.0
    );
    assert!(house.counter("millrace_origin_sent_bytes_total").await > body.len() as f64);
    assert!(house.counter("millrace_origin_read_bytes_total").await > body.len() as f64);
}

#[tokio::test]
async fn fifty_requests_within_little_memory_are_all_answered() {
    let house = House::with(|config| config.pack_memory = config::ByteSize::mib(1)).await;
    let asked = (0..50).map(|at| {
        let path = house.url(&format!("/v/film_1/90p/segment_{}.ts", at % 3 + 1));
        tokio::spawn(house.client.get(path).send())
    });
    let asked: Vec<_> = asked.collect();
    for answer in asked {
        let response = answer.await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_change_of_privacy_is_never_answered_with_304() {
    let house = House::start().await;
    let paths = [
        "/v/film_1/master.m3u8",
        "/v/film_1/90p/segment_1.m4s",
        "/t/film_1/default.jpg",
    ];
    let mut tags = Vec::new();
    for path in paths {
        tags.push(header(&house.get(path).await, "etag").to_owned());
    }
    house.publish(FILM, 1, Privacy::Private).await;
    let another = house.another().await;
    let ask = async |path: &str, tag: &str| {
        let url = format!("http://{}{path}", another.listen);
        let request = house.client.get(url).header("if-none-match", tag);
        request.send().await.unwrap()
    };
    for (path, tag) in paths.into_iter().zip(&tags) {
        let response = ask(path, tag).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "millrace-access"), "token", "{path}");
        let tag = header(&response, "etag");
        assert_eq!(ask(path, tag).await.status(), 304, "{path}");
    }
    another.stop().await;
}

#[tokio::test]
async fn the_poster_of_a_new_generation_has_another_tag_whatever_it_shows() {
    let house = House::start().await;
    let path = "/t/film_1/default.jpg";
    let before = header(&house.get(path).await, "etag").to_owned();
    house.publish(FILM, 2, Privacy::Public).await;
    let another = house.another().await;
    let url = format!("http://{}{path}", another.listen);
    let after = house.client.get(url).send().await.unwrap();
    assert_ne!(header(&after, "etag"), before);
    another.stop().await;
}
