//! Films: one, its state, the list, and the logical addresses.

use catalog::videos::Event;
use contracts::asset::{Asset, Image, Privacy, Still};
use contracts::id::{Generation, VideoId};
use reqwest::Method;
use serde_json::json;

use crate::house::{House, KEYS, NOW, OPERATOR, at_the_edge, json, problem, split};

#[tokio::test]
async fn a_film_is_shown_with_its_logical_address() {
    let house = House::start().await;
    house.film("film1", Privacy::Unlisted).await;
    for path in ["/v1/videos/film1", "/api/v1/videos/film1"] {
        let film = json(house.get(path).await, 200).await;
        let playlist = format!("http://{}/v/film1/master.m3u8", house.running.listen);
        assert_eq!(
            film,
            json!({"video_id": "film1", "title": "Film <film1>", "playlist_url": playlist, "state": "ready", "playable": true,
                "privacy": "unlisted", "duration_s": 10.001, "created_unix_s": NOW, "views": 0, "thumbnails": []})
        );
    }
}

#[tokio::test]
async fn a_publisher_sees_the_state_change_and_why_it_failed() {
    let house = House::start().await;
    house.upload("film1", Privacy::Public).await;
    let id = VideoId::parse("film1").unwrap();
    let status = async || json(house.get("/v1/videos/film1/status").await, 200).await;
    assert_eq!(
        status().await,
        json!({"video_id": "film1", "state": "uploading", "progress": 0, "playable": false})
    );
    let videos = &house.catalog.videos;
    videos.advance(&id, Event::Uploaded).await.unwrap();
    videos.progress(&id, 41).await.unwrap();
    assert_eq!(
        status().await,
        json!({"video_id": "film1", "state": "processing", "progress": 41, "playable": false})
    );
    let reason = "The file holds no picture.".to_owned();
    videos.advance(&id, Event::Failed { reason }).await.unwrap();
    assert_eq!(
        status().await,
        json!({"video_id": "film1", "state": "failed", "progress": 41, "playable": false, "reason": "The file holds no picture."})
    );
}

#[tokio::test]
async fn a_film_is_watched_and_listed_while_its_other_renditions_are_made() {
    let house = House::start().await;
    house.upload("film1", Privacy::Public).await;
    let id = VideoId::parse("film1").unwrap();
    let videos = &house.catalog.videos;
    videos.advance(&id, Event::Uploaded).await.unwrap();
    let start = async || {
        let body = json!({"video_id": "film1"});
        let asked = house.post("/v1/playback/start", &body).send().await;
        asked.unwrap()
    };
    problem(start().await, 409, "video-not-ready").await;
    let playable = Event::Playable { duration_ms: 5000 };
    videos.advance(&id, playable).await.unwrap();
    let status = json(house.get("/v1/videos/film1/status").await, 200).await;
    assert_eq!(
        status,
        json!({"video_id": "film1", "state": "processing", "progress": 0, "playable": true})
    );
    let film = json(house.get("/v1/videos/film1").await, 200).await;
    assert_eq!(
        (&film["playable"], &film["duration_s"]),
        (&json!(true), &json!(5.0))
    );
    assert!(start().await.status().is_success());
    let listed = json(house.get("/v1/videos").await, 200).await;
    assert_eq!(listed["videos"][0]["video_id"], "film1");
}

#[tokio::test]
async fn a_film_shows_its_stills_in_three_sizes_as_long_as_it_can_be_watched() {
    let house = House::start().await;
    house.upload("film1", Privacy::Unlisted).await;
    let id = VideoId::parse("film1").unwrap();
    let image = |width, height| Image {
        width,
        height,
        bytes: 9,
    };
    let still = |at_ms| Still {
        at_ms,
        small: image(320, 180),
        medium: image(640, 360),
        large: image(854, 480),
    };
    let asset = Asset {
        video: id.clone(),
        generation: Generation(1),
        title: "Film".to_owned(),
        privacy: Privacy::Unlisted,
        duration_ms: 10_000,
        renditions: Vec::new(),
        thumbs: None,
        stills: vec![still(0), still(2500)],
        protected: false,
    };
    house.catalog.encodings.put(&asset).await.unwrap();
    let videos = &house.catalog.videos;
    videos.advance(&id, Event::Uploaded).await.unwrap();
    let film = async || json(house.get("/v1/videos/film1").await, 200).await;
    assert_eq!(
        film().await["thumbnails"],
        json!([]),
        "nothing is shown yet"
    );
    let duration_ms = 10_000;
    videos
        .advance(&id, Event::Playable { duration_ms })
        .await
        .unwrap();
    let film = film().await;
    let told = film["thumbnails"].as_array().unwrap();
    assert_eq!(told.len(), 2);
    for (number, (still, at_s)) in (1..).zip(told.iter().zip([0.0, 2.5])) {
        assert_eq!(still["at_s"], at_s);
        for (size, width, height) in [
            ("small", 320, 180),
            ("medium", 640, 360),
            ("large", 854, 480),
        ] {
            let picture = &still[size];
            assert_eq!(
                (&picture["width"], &picture["height"]),
                (&json!(width), &json!(height))
            );
            let admitted = at_the_edge(KEYS, picture["url"].as_str().unwrap(), NOW).unwrap();
            assert_eq!(admitted.path, format!("/t/film1/thumb_{number}_{size}.jpg"));
        }
    }
}

#[tokio::test]
async fn the_list_has_public_films_only_newest_first_in_pages() {
    let house = House::start().await;
    for (id, privacy) in [
        ("a", Privacy::Public),
        ("b", Privacy::Unlisted),
        ("c", Privacy::Private),
        ("d", Privacy::Public),
        ("e", Privacy::Public),
    ] {
        house.film(id, privacy).await;
        house.clock.advance(1);
    }
    house.upload("f", Privacy::Public).await;
    let page = async |query: &str| {
        let page = json(house.get(&format!("/v1/videos{query}")).await, 200).await;
        let ids = page["videos"].as_array().unwrap().iter();
        let ids: Vec<String> = ids
            .map(|film| film["video_id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["next"].as_str().map(str::to_owned), page)
    };
    let (ids, next, all) = page("").await;
    assert_eq!(
        (ids, next),
        (vec!["e".into(), "d".into(), "a".into()], None)
    );
    let poster = all["videos"][0]["poster"].as_str().unwrap();
    assert_eq!(
        at_the_edge(KEYS, poster, NOW).unwrap().path,
        "/t/e/default.jpg"
    );
    let (ids, next, _) = page("?limit=2").await;
    assert_eq!(ids, ["e", "d"]);
    let (ids, next, _) = page(&format!("?limit=2&next={}", next.unwrap())).await;
    assert_eq!((ids, next), (vec!["a".into()], None));
    let (_, next, _) = page("?limit=3").await;
    assert_eq!(next, None, "a full last page has no next");
    for query in ["?limit=0", "?limit=101", "?limit=x", "?next=a/b"] {
        let refused = house.get(&format!("/v1/videos{query}")).await;
        problem(refused, 400, "bad-request").await;
    }
}

#[tokio::test]
async fn a_logical_address_leads_to_an_edge_with_a_fresh_token() {
    let house = House::start().await;
    house.film("film1", Privacy::Public).await;
    for file in ["master.m3u8", "master_ts.m3u8", "manifest.mpd"] {
        let answer = house.get(&format!("/v/film1/{file}")).await;
        assert_eq!(answer.status(), 302);
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let to = answer.headers()["location"].to_str().unwrap();
        assert!(split(to).0.starts_with("https://127.0.0.1:844"), "{to}");
        let accepted = at_the_edge(KEYS, to, NOW).unwrap();
        assert_eq!(accepted.path, format!("/v/film1/{file}"));
        assert_eq!(accepted.session, None);
        assert_eq!(accepted.expires.unwrap().0, NOW + 11 + 4 * 3600);
    }
    problem(house.get("/v/film1/segment_1.ts").await, 404, "not-found").await;
    problem(
        house.get("/v/absent/master.m3u8").await,
        404,
        "video-not-found",
    )
    .await;
}

#[tokio::test]
async fn a_private_film_is_for_whoever_shows_the_operator_key() {
    let house = House::guarded().await;
    house.film("film1", Privacy::Private).await;
    for path in [
        "/v1/videos/film1",
        "/v1/videos/film1/status",
        "/v/film1/master.m3u8",
    ] {
        // As if it did not exist: nothing tells a private id from one that nobody has.
        problem(house.get(path).await, 404, "video-not-found").await;
        let wrong = house
            .request(Method::GET, path)
            .bearer_auth("another-key-of-some-length");
        problem(wrong.send().await.unwrap(), 401, "unauthorized").await;
        let right = house.request(Method::GET, path).bearer_auth(OPERATOR);
        let status = right.send().await.unwrap().status();
        assert!(matches!(status.as_u16(), 200 | 302), "{path} {status}");
    }
}
