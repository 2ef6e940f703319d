//! Subtitles and thumbnails.

use contracts::{
    asset::{Image, Still, StillSize},
    id::Generation,
};
use store::layout;

use crate::{
    damage::assert_corrupt,
    house::{FILM, House, SHEETS, TEXT, assert_problem, header, rendition, video},
};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const SHORT: &str = "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400";

#[tokio::test]
async fn texts_and_thumbnails_are_served_with_their_type_and_freshness() {
    let house = House::start().await;
    house.publish_rich("rich").await;
    let (vtt, list) = ("text/vtt; charset=utf-8", "application/vnd.apple.mpegurl");
    for (path, kind, freshness) in [
        ("v/rich/text-en/playlist.m3u8", list, SHORT),
        ("v/rich/text-en/playlist_ts.m3u8", list, SHORT),
        ("v/rich/text-en/segment_1.vtt", vtt, SHORT),
        ("v/rich/@2s/text-en/segment_1.vtt", vtt, SHORT),
        ("v/rich/text-en/segment_ts_1.vtt", vtt, SHORT),
        ("v/rich/text-en/subtitles.vtt", vtt, SHORT),
        ("s/rich/en.vtt", vtt, SHORT),
        ("v/rich/thumbs/playlist.m3u8", list, SHORT),
        ("v/rich/thumbs/sheet_1.jpg", "image/jpeg", IMMUTABLE),
        ("v/rich/thumbs/sprite.vtt", vtt, SHORT),
        ("t/rich/sprite.vtt", vtt, SHORT),
        ("t/rich/sprite_2.jpg", "image/jpeg", IMMUTABLE),
    ] {
        let response = house.get(&format!("/{path}")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-type"), kind, "{path}");
        assert_eq!(header(&response, "cache-control"), freshness, "{path}");
        assert_eq!(header(&response, "millrace-access"), "public", "{path}");
        assert!(
            header(&response, "surrogate-key").starts_with("a:rich"),
            "{path}"
        );
        let length: usize = header(&response, "content-length").parse().unwrap();
        assert_eq!(response.bytes().await.unwrap().len(), length, "{path}");
    }
}

#[tokio::test]
async fn a_cue_stands_in_every_segment_that_shows_it_and_whole_in_the_file() {
    let house = House::start().await;
    house.publish_rich("rich").await;
    let playlist = house.text("/v/rich/text-en/playlist.m3u8").await;
    let names: Vec<&str> = playlist
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let mut shown = Vec::new();
    for name in &names {
        let text = house.text(&format!("/v/rich/text-en/{name}")).await;
        assert!(text.starts_with("WEBVTT\n"), "{text}");
        assert!(!text.contains("X-TIMESTAMP-MAP"), "{text}");
        shown.push(["first", "second", "last"].map(|cue| text.contains(cue)));
    }
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0], [true, true, false]);
    assert_eq!(shown[1], [false, true, false]);
    assert_eq!(shown[2], [false, false, true]);
    let ts = house.text("/v/rich/text-en/segment_ts_1.vtt").await;
    assert!(
        ts.contains("X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000"),
        "{ts}"
    );
    let whole = house.text("/s/rich/en.vtt").await;
    assert_eq!(whole, house.text("/v/rich/text-en/subtitles.vtt").await);
    for cue in ["first", "second", "last"] {
        assert_eq!(whole.matches(cue).count(), 1, "{whole}");
    }
}

#[tokio::test]
async fn sheets_are_served_as_they_lie_and_sprites_name_them() {
    let house = House::start().await;
    house.publish_rich("rich").await;
    for (number, sheet) in (1..).zip(SHEETS) {
        for path in [
            format!("/v/rich/thumbs/sheet_{number}.jpg"),
            format!("/t/rich/sprite_{number}.jpg"),
        ] {
            assert_eq!(house.bytes(&path).await, sheet, "{path}");
        }
    }
    for (path, name) in [
        ("/v/rich/thumbs/sprite.vtt", "sheet"),
        ("/t/rich/sprite.vtt", "sprite"),
    ] {
        let sprite = house.text(path).await;
        assert!(
            sprite.contains(&format!("\n{name}_1.jpg#xywh=160,90,160,90\n")),
            "{sprite}"
        );
        assert!(
            sprite.contains(&format!("\n{name}_2.jpg#xywh=0,0,160,90\n")),
            "{sprite}"
        );
        assert_eq!(sprite.matches("#xywh").count(), 8);
    }
}

#[tokio::test]
async fn what_a_film_has_not_is_404() {
    let house = House::start().await;
    house.publish_rich("rich").await;
    for path in [
        "/v/rich/text-en/segment_4.vtt",
        "/v/rich/text-en/segment_ts_4.vtt",
        "/v/rich/text-en/segment_1.m4s",
        "/v/rich/text-en/init.mp4",
        "/v/rich/text-de/segment_1.vtt",
        "/v/rich/90p/segment_1.vtt",
        "/v/rich/90p/subtitles.vtt",
        "/s/rich/de.vtt",
        "/v/rich/thumbs/sheet_3.jpg",
        "/v/rich/90p/sheet_1.jpg",
        "/v/rich/90p/sprite.vtt",
        "/v/rich/thumbs/playlist_ts.m3u8",
        "/t/rich/sprite_3.jpg",
        "/v/film_1/thumbs/playlist.m3u8",
        "/v/film_1/thumbs/sheet_1.jpg",
        "/v/film_1/thumbs/sprite.vtt",
        "/t/film_1/sprite.vtt",
        "/t/film_1/sprite_1.jpg",
        "/s/film_1/en.vtt",
    ] {
        assert_problem(house.get(path).await, 404, "not_found").await;
    }
}

#[tokio::test]
async fn an_added_text_shows_and_leaves_the_segments_as_they_are() {
    let house = House::with(|config| config.asset_ttl = config::Span::millis(100)).await;
    let segment = "/v/film_1/90p/segment_1.m4s";
    let before = house.tag(segment).await;
    let master = house.tag("/v/film_1/master.m3u8").await;
    assert_eq!(house.get("/s/film_1/en.vtt").await.status(), 404);
    house.publish_rich(FILM).await;
    let begun = std::time::Instant::now();
    while house.get("/s/film_1/en.vtt").await.status() != 200 {
        assert!(begun.elapsed().as_secs() < 10, "the text never showed");
    }
    assert_eq!(house.tag(segment).await, before);
    assert_ne!(house.tag("/v/film_1/master.m3u8").await, master);
    assert!(
        house
            .text("/v/film_1/master.m3u8")
            .await
            .contains("text-en")
    );
}

#[tokio::test]
async fn a_text_that_is_not_the_described_one_is_502_until_it_is_and_the_film_plays_on() {
    let house = House::with(|config| config.asset_ttl = config::Span::millis(100)).await;
    house.publish_rich("rich").await;
    let key = layout::subtitles(&video("rich"), &rendition("text-en"));
    house
        .store
        .put(&key, TEXT.replace("first", "other").into())
        .await
        .unwrap();
    assert_corrupt(&house, "/v/rich/text-en/subtitles.vtt").await;
    assert!(!house.text("/v/rich/master.m3u8").await.contains("text-en"));
    assert_eq!(house.get("/v/rich/90p/segment_1.ts").await.status(), 200);
    house.store.delete(&key).await.unwrap();
    assert_corrupt(&house, "/s/rich/en.vtt").await;
    house.store.put(&key, TEXT.into()).await.unwrap();
    // It is looked at again after `asset_ttl`, also when only the film is asked for.
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
    let mut list = String::new();
    for _ in 0..500 {
        list = house.text("/v/rich/master.m3u8").await;
        if list.contains("text-en") {
            break;
        }
        looks.tick().await;
    }
    assert!(list.contains("text-en"), "{list}");
    assert!(house.text("/s/rich/en.vtt").await.contains("first"));
}

#[tokio::test]
async fn a_text_without_a_digest_or_that_is_none_or_too_long_is_502() {
    let house = House::start().await;
    for (id, text) in [
        ("none", "this is no text".to_owned()),
        ("long", format!("WEBVTT\n\nNOTE {}\n", "x".repeat(16 << 20))),
    ] {
        let text = house.put_text(id, "text-en", &text).await;
        house
            .publish_with(id, 1, |asset| asset.renditions.push(text))
            .await;
        assert_corrupt(&house, &format!("/s/{id}/en.vtt")).await;
    }
    let mut text = house.put_text("nameless", "text-en", TEXT).await;
    text.sha256 = None;
    house
        .publish_with("nameless", 1, |asset| asset.renditions.push(text))
        .await;
    assert_corrupt(&house, "/v/nameless/text-en/playlist.m3u8").await;
    assert_eq!(house.get("/v/nameless/master.m3u8").await.status(), 200);
}

#[tokio::test]
async fn a_sheet_that_is_missing_or_of_another_length_is_502() {
    let house = House::start().await;
    house.publish_rich("rich").await;
    let key = layout::sheet(&video("rich"), Generation(1), 1);
    house
        .store
        .put(&key, "longer than it should be".into())
        .await
        .unwrap();
    assert_corrupt(&house, "/v/rich/thumbs/sheet_1.jpg").await;
    house.store.delete(&key).await.unwrap();
    assert_corrupt(&house, "/t/rich/sprite_1.jpg").await;
    assert_eq!(house.get("/t/rich/sprite_2.jpg").await.status(), 200);
}

#[tokio::test]
async fn stills_are_served_in_three_sizes_and_of_a_protected_film_too() {
    let house = House::start().await;
    let images = [
        &b"\xff\xd8 small"[..],
        b"\xff\xd8 medium",
        b"\xff\xd8 large",
    ];
    let mut told = [Image::default(); 3];
    for ((size, bytes), told) in StillSize::ALL.into_iter().zip(images).zip(&mut told) {
        let key = layout::still(&video("still"), Generation(1), (1, size));
        house.store.put(&key, bytes.into()).await.unwrap();
        told.bytes = u32::try_from(bytes.len()).unwrap();
    }
    let [small, medium, large] = told;
    let still = Still {
        at_ms: 0,
        small,
        medium,
        large,
    };
    house
        .publish_with("still", 1, |asset| {
            asset.stills.push(still);
            asset.protected = true;
        })
        .await;
    for (size, bytes) in StillSize::ALL.into_iter().zip(images) {
        let path = format!("/t/still/thumb_1_{}.jpg", size.as_str());
        let response = house.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-type"), "image/jpeg");
        assert_eq!(header(&response, "cache-control"), IMMUTABLE);
        assert_eq!(header(&response, "surrogate-key"), "a:still g:still/1");
        assert_eq!(response.bytes().await.unwrap(), bytes);
    }
    assert_eq!(house.get("/t/still/thumb_2_small.jpg").await.status(), 404);
    let key = layout::still(&video("still"), Generation(1), (1, StillSize::Small));
    house
        .store
        .put(&key, "of another length".into())
        .await
        .unwrap();
    assert_corrupt(&house, "/t/still/thumb_1_small.jpg").await;
}
