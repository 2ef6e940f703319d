//! Subtitles over HTTP: put before and after their film is published, at once, replaced, removed
//! and refused.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{sync::Arc, time::Duration};

use contracts::{
    asset::{Asset, Kind, Rendition},
    id::{RenditionId, VideoId},
    time::UnixSeconds,
};
use futures_util::future::join_all;
use house::{House, film, problem};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use runtime::clock::System;
use serde_json::{Value, json};
use store::{Digest, layout};

const SRT: &str = "1\r\n00:00:01,000 --> 00:00:02,500\r\nA <i>word</i>\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nTwo\r\nlines\r\n";

fn small() -> Vec<u8> {
    film(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -preset ultrafast",
        "a.mp4",
    )
}

fn ask(house: &House, method: Method, video: &VideoId, rest: &str) -> RequestBuilder {
    let url = house.url(&format!("/v1/videos/{video}/subtitles{rest}"));
    house.client.request(method, url)
}

async fn put(house: &House, video: &VideoId, lang: &str, file: &str) -> Response {
    let request = ask(house, Method::PUT, video, &format!("/{lang}"));
    request.body(file.to_owned()).send().await.unwrap()
}

async fn kept(house: &House, video: &VideoId, id: &str) -> Option<String> {
    let key = layout::subtitles(video, &RenditionId::parse(id).unwrap());
    let bytes = house.store.read(&key).await.unwrap()?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

fn texts(asset: &Asset) -> Vec<&Rendition> {
    let texts = asset.renditions.iter();
    texts.filter(|r| r.kind == Kind::Text).collect()
}

/// Sees that what is named is what lies in the store, and in which languages.
async fn languages(house: &House, video: &VideoId) -> Vec<String> {
    let asset = house.asset(video).await.unwrap();
    let mut all = Vec::new();
    for text in texts(&asset) {
        let file = kept(house, video, text.id.as_str()).await.unwrap();
        let digest = Digest::of(file.as_bytes()).to_string();
        assert_eq!(text.sha256.as_deref(), Some(digest.as_str()));
        all.push(text.language.clone().unwrap());
    }
    // Who plays it is told the same.
    let told = house.catalog.encodings.of(video).await.unwrap();
    assert_eq!(told.renditions, asset.renditions);
    assert_eq!(told.thumbs, asset.thumbs.is_some());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_that_come_with_the_upload_are_published_with_the_film() {
    let house = House::new().await;
    let bytes = small();
    let (upload, video) = house.begin(&bytes).await;
    let request = ask(
        &house,
        Method::PUT,
        &video,
        "/EN-us?label=%20As%20spoken%20",
    );
    let answer = request.body(SRT).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let told: Value = answer.json().await.unwrap();
    let vtt = kept(&house, &video, "text-en-us").await.unwrap();
    assert_eq!(
        told,
        json!({"language": "en-us", "rendition": "text-en-us", "label": "As spoken", "cues": 2,
            "encoding": "utf-8", "sha256": Digest::of(vtt.as_bytes()).to_string()})
    );
    let wanted = "00:00:01.000 --> 00:00:02.500\nA <i>word</i>\n\n";
    assert!(
        vtt.starts_with("WEBVTT\n\n") && vtt.contains(wanted),
        "{vtt}"
    );
    assert!(
        vtt.contains("00:00:03.000 --> 00:00:04.000\nTwo\nlines\n"),
        "{vtt}"
    );
    assert!(house.asset(&video).await.is_none());

    for (index, chunk) in (0..).zip(bytes.chunks(house::CHUNK)) {
        house.put(&upload, index, chunk).await;
    }
    house.complete(&upload).await;
    house.settled(&video).await;
    let asset = house.asset(&video).await.unwrap();
    let ids: Vec<&str> = asset.renditions.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids, ["144p", "text-en-us"]);
    let text = texts(&asset)[0];
    assert_eq!(text.label.as_deref(), Some("As spoken"));
    assert_eq!(languages(&house, &video).await, ["en-us"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_of_a_published_film_are_added_replaced_listed_and_removed() {
    let house = House::new().await;
    let film = house.publish(&small()).await;
    let video = &film.video;
    assert_eq!(
        put(&house, video, "de", SRT).await.status(),
        StatusCode::CREATED
    );
    assert_eq!(
        put(&house, video, "en", SRT).await.status(),
        StatusCode::CREATED
    );
    let before = house.asset(video).await.unwrap();
    assert_eq!(languages(&house, video).await, ["de", "en"]);
    let other = "WEBVTT\n\n00:01.000 --> 00:02.000\nother\n";
    assert_eq!(
        put(&house, video, "EN", other).await.status(),
        StatusCode::OK
    );
    let after = house.asset(video).await.unwrap();
    assert_ne!(texts(&before)[1].sha256, texts(&after)[1].sha256);
    assert_eq!(languages(&house, video).await, ["de", "en"]);
    let list = ask(&house, Method::GET, video, "").send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    assert_eq!(
        list,
        json!({"video_id": video.as_str(), "subtitles": [
            {"language": "de", "rendition": "text-de"}, {"language": "en", "rendition": "text-en"}]})
    );
    let remove = || ask(&house, Method::DELETE, video, "/de").send();
    assert_eq!(remove().await.unwrap().status(), StatusCode::NO_CONTENT);
    problem(remove().await.unwrap(), 404, "subtitles-not-found").await;
    assert_eq!(languages(&house, video).await, ["en"]);
    assert_eq!(kept(&house, video, "text-de").await, None);
    let last = house.asset(video).await.unwrap();
    let media = |asset: &Asset| Asset {
        renditions: asset
            .renditions
            .iter()
            .filter(|r| r.kind != Kind::Text)
            .cloned()
            .collect(),
        ..asset.clone()
    };
    assert_eq!(media(&last), film, "nothing else has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_put_and_removed_at_two_processes_while_their_film_is_published_are_all_kept() {
    let mut house = House::with(|config| config.workers = 0).await;
    let video = house.upload(&small()).await;
    for lang in ["ya", "yb", "yc", "yd"] {
        put(&house, &video, lang, SRT).await;
    }
    let mut config = house.config.clone();
    config.workers = 1;
    house.restart().await;
    let settings = config.check().unwrap();
    let second = ingest::start(settings, Arc::new(System)).await.unwrap();
    let url = |at: usize, lang: &str| match at % 2 {
        0 => house.url(&format!("/v1/videos/{video}/subtitles/{lang}")),
        _ => format!(
            "http://{}/v1/videos/{video}/subtitles/{lang}",
            second.listen
        ),
    };
    let sent = |at: usize, round: usize| {
        let lang = format!("x{}", char::from(b'a' + u8::try_from(at).unwrap()));
        let file = format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{lang} {round}\n");
        house.client.put(url(at, &lang)).body(file).send()
    };
    let mut rounds = 0;
    // As long as it takes until the film is there, and once more.
    let mut there = false;
    while !there {
        there = house.asset(&video).await.is_some();
        for answer in join_all((0..8).map(|at| sent(at, rounds))).await {
            assert!(answer.unwrap().status().is_success());
        }
        let gone = ["ya", "yb", "yc", "yd"].get(rounds).copied();
        if let Some(lang) = gone {
            let removed = house.client.delete(url(rounds, lang)).send().await.unwrap();
            assert_eq!(removed.status(), StatusCode::NO_CONTENT);
        }
        rounds += 1;
    }
    house.settled(&video).await;
    let left = ["ya", "yb", "yc", "yd"].into_iter().skip(rounds);
    let wanted: Vec<&str> = ["xa", "xb", "xc", "xd", "xe", "xf", "xg", "xh"]
        .into_iter()
        .chain(left)
        .collect();
    assert_eq!(languages(&house, &video).await, wanted);
    for lang in &wanted[..8] {
        let file = kept(&house, &video, &format!("text-{lang}")).await.unwrap();
        let last = format!("{lang} {}\n", rounds - 1);
        assert!(file.contains(&last), "{file}");
    }
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_a_reason_and_changes_nothing() {
    let house = House::with(|config| config.workers = 0).await;
    let (upload, video) = house.begin(b"film").await;
    put(&house, &video, "en", SRT).await;
    let before = kept(&house, &video, "text-en").await;
    for (lang, file, kind) in [
        ("en", "", "not-subtitles"),
        ("en", "hello, this is text", "not-subtitles"),
        ("en", "WEBVTT\n\nNOTE nothing\n", "not-subtitles"),
        ("e", SRT, "bad-language"),
        ("english-and-more", SRT, "bad-language"),
        ("en%2F..", SRT, "bad-language"),
        ("en?label=a%22b", SRT, "bad-request"),
        ("en?label=%07", SRT, "bad-request"),
    ] {
        problem(put(&house, &video, lang, file).await, 400, kind).await;
    }
    let long = format!("en?label={}", "x".repeat(101));
    problem(put(&house, &video, &long, SRT).await, 400, "bad-request").await;
    let huge = "x".repeat((2 << 20) + 1);
    problem(put(&house, &video, "en", &huge).await, 413, "too-large").await;
    let stream =
        futures_util::stream::iter((0..160).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 16 << 10])));
    let request = ask(&house, Method::PUT, &video, "/en");
    let streamed = request
        .body(reqwest::Body::wrap_stream(stream))
        .send()
        .await
        .unwrap();
    problem(streamed, 413, "too-large").await;
    for absent in ["nothing", "a%2Fb", "%00"] {
        let url = house.url(&format!("/v1/videos/{absent}/subtitles/en"));
        let answer = house.client.put(url).body(SRT).send().await.unwrap();
        problem(answer, 404, "video-not-found").await;
    }
    assert_eq!(kept(&house, &video, "text-en").await, before);
    assert!(before.is_some());
    // A cancelled upload takes its subtitles along, and takes no more.
    let cancelled = house
        .client
        .delete(house.upload_url(&upload, ""))
        .send()
        .await
        .unwrap();
    assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
    assert_eq!(kept(&house, &video, "text-en").await, None);
    let list = ask(&house, Method::GET, &video, "").send().await.unwrap();
    assert_eq!(list.json::<Value>().await.unwrap()["subtitles"], json!([]));
    problem(put(&house, &video, "en", SRT).await, 409, "video-failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_will_not_be_keeps_neither_its_subtitles_nor_its_keys() {
    let house = House::new().await;
    for cancelled in [true, false] {
        let bytes = b"this is no film";
        let (upload, video) = house.begin(bytes).await;
        put(&house, &video, "en", SRT).await;
        let keys = &house.catalog.keys;
        let sealed = catalog::keys::Sealed {
            bytes: b"sealed".to_vec(),
            by: None,
            due: None,
        };
        keys.keep(&video, &sealed, UnixSeconds(1)).await.unwrap();
        if cancelled {
            let url = house.upload_url(&upload, "");
            house.client.delete(url).send().await.unwrap();
        } else {
            house.put(&upload, 0, bytes).await;
            house.complete(&upload).await;
        }
        let failed = house.settled(&video).await;
        assert_eq!(failed.state, catalog::videos::State::Failed);
        // A worker says first that the film failed; the time limit is the test runner's.
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while keys.find(&video).await.unwrap().is_some() {
            looks.tick().await;
        }
        assert_eq!(kept(&house, &video, "text-en").await, None);
        let list = ask(&house, Method::GET, &video, "").send().await.unwrap();
        assert_eq!(list.json::<Value>().await.unwrap()["subtitles"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_has_so_many_subtitles_and_no_more() {
    let house = House::with(|config| config.workers = 0).await;
    let (_, video) = house.begin(b"film").await;
    let letter = |at: u8| char::from(b'a' + at);
    for at in 0..64 {
        let lang = format!("{}{}", letter(at / 26), letter(at % 26));
        assert_eq!(
            put(&house, &video, &lang, SRT).await.status(),
            StatusCode::CREATED
        );
    }
    problem(
        put(&house, &video, "zz", SRT).await,
        409,
        "too-many-subtitles",
    )
    .await;
    assert_eq!(kept(&house, &video, "text-zz").await, None);
    assert_eq!(
        put(&house, &video, "aa", SRT).await.status(),
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_key_is_wanted_no_subtitles_go_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "correct horse battery\n").unwrap();
    let house = House::with(|config| {
        config.workers = 0;
        config.operator_key = file.display().to_string();
    })
    .await;
    let video = VideoId::parse("any").unwrap();
    for (method, rest) in [
        (Method::PUT, "/en"),
        (Method::DELETE, "/en"),
        (Method::GET, ""),
    ] {
        let bare = ask(&house, method.clone(), &video, rest)
            .send()
            .await
            .unwrap();
        problem(bare, 401, "unauthorized").await;
        let with = ask(&house, method, &video, rest).bearer_auth("correct horse battery");
        problem(with.send().await.unwrap(), 404, "video-not-found").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_says_whether_it_is_protected() {
    let house = House::new().await;
    for protected in [false, true] {
        let bytes = small();
        let body = json!({"file_name": "film.mp4", "size_bytes": bytes.len(),
            "sha256": Digest::of(&bytes).to_string(), "protected": protected});
        let told: Value = house.initiate(body).await.json().await.unwrap();
        let upload = told["upload_id"].as_str().unwrap();
        for (index, chunk) in (0..).zip(bytes.chunks(house::CHUNK)) {
            house.put(upload, index, chunk).await;
        }
        house.complete(upload).await;
        let video = VideoId::parse(told["video_id"].as_str().unwrap()).unwrap();
        assert_eq!(house.settled(&video).await.protected, protected);
        assert_eq!(house.asset(&video).await.unwrap().protected, protected);
    }
}
