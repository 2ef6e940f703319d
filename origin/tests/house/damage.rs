//! A damaged store is told and counted, never served.

use std::time::Duration;

use contracts::{asset::Privacy, id::Generation};
use store::{Key, layout};

use crate::house::{FILM, House, assert_problem, header, rendition, video};

fn mezzanine() -> Key {
    layout::mezzanine(&video(FILM), Generation(1), &rendition("90p"))
}

fn index() -> Key {
    layout::index(&video(FILM), Generation(1), &rendition("90p"))
}

async fn change(house: &House, key: &Key, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = house.store.read(key).await.unwrap().unwrap().to_vec();
    change(&mut bytes);
    house.store.put(key, bytes.into()).await.unwrap();
}

/// Flips a bit of the first sample of a rendition that is served.
async fn spoil_first_sample(house: &House, id: &str) {
    let key = layout::index(&video(FILM), Generation(1), &rendition(id));
    let index = house.store.read(&key).await.unwrap().unwrap();
    let index = packager::index::Index::decode(&index).unwrap();
    let place = usize::try_from(index.samples()[0].offset).unwrap();
    let key = layout::mezzanine(&video(FILM), Generation(1), &rendition(id));
    change(house, &key, |bytes| bytes[place + 1] ^= 1).await;
}

pub(crate) async fn assert_corrupt(house: &House, path: &str) {
    let faults = "millrace_origin_faults_total{reason=\"corrupt\"}";
    let before = house.counter(faults).await;
    let response = house.get(path).await;
    assert_eq!(header(&response, "etag"), "");
    assert_problem(response, 502, "corrupt").await;
    assert_eq!(house.counter(faults).await, before + 1.0);
}

#[tokio::test]
async fn a_flipped_bit_of_media_is_502_and_its_repair_shows_at_once() {
    let house = House::start().await;
    let path = "/v/film_1/90p/segment_1.m4s";
    let good = house.get(path).await.bytes().await.unwrap();
    let bytes = house.store.read(&mezzanine()).await.unwrap().unwrap();
    change(&house, &mezzanine(), |bytes| {
        let data = bytes.windows(4).position(|kind| kind == b"mdat").unwrap();
        bytes[data + 100] ^= 1;
    })
    .await;
    assert_corrupt(&house, path).await;
    assert_corrupt(&house, "/v/film_1/90p/segment_1.ts").await;
    // Other segments and renditions are whole.
    assert_eq!(house.get("/v/film_1/90p/segment_2.m4s").await.status(), 200);
    assert_eq!(house.get("/v/film_1/54p/segment_1.ts").await.status(), 200);
    house.store.put(&mezzanine(), bytes).await.unwrap();
    assert_eq!(house.get(path).await.bytes().await.unwrap(), good);
}

#[tokio::test]
async fn damage_shows_only_where_the_damaged_bytes_are_needed() {
    let house = House::start().await;
    spoil_first_sample(&house, "audio-en").await;
    // The film's sound lies inside the transport streams of its pictures, and beside their fragments.
    assert_corrupt(&house, "/v/film_1/90p/segment_1.ts").await;
    assert_corrupt(&house, "/v/film_1/audio-en/segment_1.m4s").await;
    for path in ["90p/segment_1.m4s", "90p/iframe_1.m4s", "90p/iframe_1.ts"] {
        let path = format!("/v/film_1/{path}");
        assert_eq!(house.get(&path).await.status(), 200, "{path}");
    }
    spoil_first_sample(&house, "90p").await;
    assert_corrupt(&house, "/v/film_1/90p/iframe_1.m4s").await;
    assert_corrupt(&house, "/v/film_1/90p/iframe_1.ts").await;
    assert_eq!(house.get("/v/film_1/90p/iframe_2.m4s").await.status(), 200);
}

#[tokio::test]
async fn an_index_of_another_file_is_502() {
    let house = House::start().await;
    let other = layout::index(&video(FILM), Generation(1), &rendition("54p"));
    let other = house.store.read(&other).await.unwrap().unwrap();
    let length = packager::index::Index::decode(&other)
        .unwrap()
        .file()
        .length;
    house.store.put(&index(), other).await.unwrap();
    assert_corrupt(&house, "/v/film_1/90p/segment_1.m4s").await;
    // Also where the file is as long as the index says: each sample is compared with its CRC.
    change(&house, &mezzanine(), |bytes| {
        bytes.resize(usize::try_from(length).unwrap(), 0);
    })
    .await;
    assert_corrupt(&house, "/v/film_1/90p/segment_1.m4s").await;
    assert_corrupt(&house, "/v/film_1/90p/segment_1.ts").await;
}

#[tokio::test]
async fn a_mezzanine_of_another_length_is_502() {
    let house = House::start().await;
    change(&house, &mezzanine(), |bytes| {
        bytes.truncate(bytes.len() / 2)
    })
    .await;
    assert_corrupt(&house, "/v/film_1/90p/segment_1.m4s").await;
    assert_corrupt(&house, "/v/film_1/master.m3u8").await;
}

#[tokio::test]
async fn a_mezzanine_that_is_cut_while_its_film_is_known_is_502() {
    let house = House::start().await;
    assert_eq!(house.get("/v/film_1/90p/segment_3.m4s").await.status(), 200);
    change(&house, &mezzanine(), |bytes| {
        bytes.truncate(bytes.len() / 2)
    })
    .await;
    assert_corrupt(&house, "/v/film_1/90p/segment_3.m4s").await;
}

#[tokio::test]
async fn a_damaged_or_missing_index_is_502() {
    let house = House::start().await;
    change(&house, &index(), |bytes| bytes[40] ^= 1).await;
    assert_corrupt(&house, "/v/film_1/90p/segment_1.m4s").await;
    house.store.delete(&index()).await.unwrap();
    assert_corrupt(&house, "/v/film_1/manifest.mpd").await;
}

#[tokio::test]
async fn a_missing_mezzanine_is_502() {
    let house = House::start().await;
    house.store.delete(&mezzanine()).await.unwrap();
    assert_corrupt(&house, "/v/film_1/90p/segment_1.ts").await;
}

#[tokio::test]
async fn a_store_that_went_away_is_502_until_it_is_back() {
    let house = House::with(|config| config.asset_ttl = config::Span::millis(100)).await;
    let (root, away) = (
        house.folder.path().join("store"),
        house.folder.path().join("away"),
    );
    std::fs::rename(&root, &away).unwrap();
    let response = house.get("/v/unread/master.m3u8").await;
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_problem(response, 502, "unreachable").await;
    health_says(&house, |told| {
        told.contains("degraded: store: there is no store at")
    })
    .await;
    std::fs::rename(&away, &root).unwrap();
    assert_problem(house.get("/v/absent/master.m3u8").await, 404, "not_found").await;
    health_says(&house, |told| told == "ok\n").await;
}

/// Waits until it does; the time limit is the test runner's.
async fn health_says(house: &House, wanted: impl Fn(&str) -> bool) {
    let health = format!("http://{}/healthz", house.origin.internal);
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    loop {
        looks.tick().await;
        let answer = house.client.get(&health).send().await.unwrap();
        if wanted(&answer.text().await.unwrap()) {
            return;
        }
    }
}

#[tokio::test]
async fn an_origin_makes_no_store_and_does_not_start_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = origin::config::Config {
        listen: "127.0.0.1:0".to_owned(),
        internal: "127.0.0.1:0".to_owned(),
        store: format!("file://{}", folder.path().join("typo").display()),
        ..Default::default()
    };
    let refused = origin::start(config.check().unwrap()).await.unwrap_err();
    let told = store::with_causes(&refused);
    assert!(told.contains("`store`") && told.contains("typo"), "{told}");
    assert!(!folder.path().join("typo").exists());
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_502_and_bad_health_until_it_can() {
    let house = House::with(|config| config.asset_ttl = config::Span::millis(100)).await;
    let health = format!("http://{}/healthz", house.origin.internal);
    assert_eq!(
        house.client.get(&health).send().await.unwrap().status(),
        200
    );
    // A link to itself cannot be read, whoever runs the test.
    let folder = house.folder.path().join("store/encoded/odd");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("asset.json", folder.join("asset.json")).unwrap();
    let response = house.get("/v/odd/master.m3u8").await;
    assert_problem(response, 502, "unreachable").await;
    assert_eq!(
        house.client.get(&health).send().await.unwrap().status(),
        503
    );
    assert_eq!(house.get("/v/film_1/master.m3u8").await.status(), 200);
    assert_eq!(
        house.client.get(&health).send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_description_that_is_no_json_or_of_another_film_is_502() {
    let house = House::start().await;
    let key = layout::asset(&video("broken"));
    house
        .store
        .put(&key, bytes::Bytes::from_static(b"{"))
        .await
        .unwrap();
    assert_corrupt(&house, "/v/broken/master.m3u8").await;
    let other = house
        .store
        .read(&layout::asset(&video(FILM)))
        .await
        .unwrap()
        .unwrap();
    house
        .store
        .put(&layout::asset(&video("other")), other)
        .await
        .unwrap();
    assert_corrupt(&house, "/v/other/master.m3u8").await;
}

#[tokio::test]
async fn any_answer_of_the_store_shows_that_it_can_be_read() {
    let house = House::start().await;
    let health = format!("http://{}/healthz", house.origin.internal);
    let folder = house.folder.path().join("store/encoded/odd");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("asset.json", folder.join("asset.json")).unwrap();
    let response = house.get("/v/odd/master.m3u8").await;
    assert_problem(response, 502, "unreachable").await;
    assert_eq!(
        house.client.get(&health).send().await.unwrap().status(),
        503
    );
    // There is no such film, and it was the store who said so.
    let response = house.get("/v/nobody/master.m3u8").await;
    assert_problem(response, 404, "not_found").await;
    assert_eq!(
        house.client.get(&health).send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn one_bad_segment_does_not_make_every_request_read_the_indexes() {
    let house = House::with(|config| config.asset_ttl = config::Span::seconds(60)).await;
    change(&house, &mezzanine(), |bytes| {
        let data = bytes.windows(4).position(|kind| kind == b"mdat").unwrap();
        bytes[data + 100] ^= 1;
    })
    .await;
    for _ in 0..5 {
        assert_corrupt(&house, "/v/film_1/90p/segment_1.m4s").await;
        assert_eq!(house.get("/v/film_1/90p/segment_2.m4s").await.status(), 200);
    }
    let misses = "millrace_origin_index_lookups_total{result=\"miss\"}";
    assert_eq!(house.counter(misses).await, 2.0, "the first, and one more");
}

#[tokio::test]
async fn a_film_whose_generation_vanished_is_served_in_its_new_one() {
    let house = House::with(|config| config.asset_ttl = config::Span::seconds(60)).await;
    house.publish("cold", 1, Privacy::Public).await;
    let known = "/v/film_1/90p/segment_2.m4s";
    assert_eq!(house.get(known).await.status(), 200);
    assert_eq!(house.get("/t/cold/default.jpg").await.status(), 200);
    for id in [FILM, "cold"] {
        house.publish(id, 2, Privacy::Public).await;
        let before = layout::generation(&video(id), Generation(1));
        house.store.delete_prefix(&before).await.unwrap();
        // The description of generation 1 is still believed; the indexes of `cold` were never read.
        let path = format!("/v/{id}/90p/segment_2.m4s");
        let response = house.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(header(&response, "surrogate-key").ends_with(&format!("g:{id}/2")));
    }
    house
        .store
        .delete(&layout::asset(&video(FILM)))
        .await
        .unwrap();
    let now = layout::generation(&video(FILM), Generation(2));
    house.store.delete_prefix(&now).await.unwrap();
    assert_problem(house.get(known).await, 404, "not_found").await;
}

#[tokio::test]
async fn a_list_in_memory_goes_with_the_film_that_it_was_made_of() {
    let house = House::with(|config| config.asset_ttl = config::Span::seconds(60)).await;
    let list = "/v/film_1/master.m3u8";
    let told = async || {
        let response = house.get(list).await;
        let access = header(&response, "millrace-access").to_owned();
        (access, header(&response, "surrogate-key").to_owned())
    };
    let first = told().await;
    assert_eq!(first.0, "public");
    house.publish(FILM, 2, Privacy::Private).await;
    let before = layout::generation(&video(FILM), Generation(1));
    house.store.delete_prefix(&before).await.unwrap();
    assert_eq!(told().await, first, "the description is still believed");
    // The mezzanine is gone, so the description is read again.
    house.bytes("/v/film_1/90p/segment_1.m4s").await;
    let (access, tags) = told().await;
    assert_eq!(access, "token");
    assert!(tags.ends_with("g:film_1/2"), "{tags}");
}
