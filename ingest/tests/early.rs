//! A film whose own picture and sound can be served is watched while its ladder is made, and is the same
//! afterwards.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{path::PathBuf, sync::Arc, time::Duration};

use catalog::{
    events,
    videos::{Event, State},
};
use config::Span;
use contracts::{
    asset::Asset,
    id::{FeedId, VideoId},
    time::UnixSeconds,
};
use house::{
    CHUNK, House, film, problem,
    watching::{self, HELD, bytes, go, held, is_undisturbed, names, seen},
    write_program,
};
use ingest::Config;
use reqwest::Response;
use runtime::clock::System;
use sea_orm::ConnectionTrait as _;
use store::{Digest, layout};

/// Twelve seconds with a key picture every second, and with so much detail.
fn source(quality: u32, more: &str) -> Vec<u8> {
    let arguments = format!(
        "-f lavfi -i testsrc2=s=426x240:r=25:d=12 -f lavfi -i sine=440:d=12 -c:v libx264 \
         -preset ultrafast -pix_fmt yuv420p -crf {quality} -g 25 -c:a aac {more}"
    );
    film(&arguments, "a.mp4")
}

/// A house whose encoders do this before anything else when they are to make a ladder.
async fn house(script: &str, change: impl FnOnce(&mut Config)) -> (House, PathBuf) {
    watching::house(("*libx264*", script), change).await
}

/// Waits until the film can be watched; the time limit is the test runner's.
async fn shown(house: &House, id: &VideoId) -> Asset {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    loop {
        looks.tick().await;
        let video = house.catalog.videos.find(id).await.unwrap().unwrap();
        assert_ne!(video.state, State::Failed, "{:?}", video.failure);
        if video.is_playable() {
            assert_eq!(video.state, State::Processing);
            return house.asset(id).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fits_is_watched_while_its_ladder_is_made_and_stays_as_it_was() {
    let (house, _folder) = house(HELD, |_| ()).await;
    let id = house.upload(&source(40, "")).await;
    let first = shown(&house, &id).await;
    assert_eq!(names(&first), "source audio-und");
    assert_eq!(
        (first.renditions[0].width, first.renditions[0].height),
        (Some(426), Some(240))
    );
    assert!((11_900..=12_100).contains(&first.duration_ms));
    let poster = house.store.size(&layout::poster(&id)).await.unwrap();
    assert!(poster.is_some_and(|bytes| bytes > 100));
    let listed = house.catalog.videos.list(None, 9).await.unwrap();
    assert!(listed.iter().any(|video| video.id == id));
    let began = seen(&house, &first).await;
    assert_eq!(
        began[0].1.iter().map(Vec::len).collect::<Vec<_>>(),
        [6, 5, 3, 3, 2]
    );

    go(&house, &[format!("{id}.finish.0.2")]).await;
    assert_eq!(house.settled(&id).await.state, State::Ready);
    let whole = house.asset(&id).await.unwrap();
    assert_eq!(
        names(&whole),
        "144p source audio-und",
        "the source is the largest rung"
    );
    assert!(whole.thumbs.is_some() && whole.renditions[2].loudness.is_some());
    is_undisturbed(&house, &first, &began, &whole).await;
    let told = house.catalog.events.after(0, None, 9, UnixSeconds(1)).await;
    let told: Vec<_> = told.unwrap().iter().map(|event| event.kind).collect();
    assert_eq!(told, [events::Kind::Playable, events::Kind::Ready]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_film_is_shown_early_and_says_from_the_first_that_it_is_protected() {
    let (house, _folder) = house(HELD, |_| ()).await;
    let bytes = source(40, "");
    let sha256 = Digest::of(&bytes).to_string();
    let wish = serde_json::json!({
        "file_name": "a.mp4", "size_bytes": bytes.len(), "sha256": sha256, "protected": true,
    });
    let begun: serde_json::Value = house.initiate(wish).await.json().await.unwrap();
    let upload = begun["upload_id"].as_str().unwrap();
    let id = VideoId::parse(begun["video_id"].as_str().unwrap()).unwrap();
    for (index, chunk) in (0..).zip(bytes.chunks(CHUNK)) {
        assert!(house.put(upload, index, chunk).await.status().is_success());
    }
    assert!(house.complete(upload).await.status().is_success());
    // The origin gives nothing of what says so in the clear.
    assert!(shown(&house, &id).await.protected);
    go(&house, &[format!("{id}.finish.0.2")]).await;
    assert_eq!(house.settled(&id).await.state, State::Ready);
    let whole = house.asset(&id).await.unwrap();
    assert!(whole.protected && names(&whole) == "144p source audio-und");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_with_more_bits_than_the_largest_rung_stands_beside_it_and_workers_share_the_ladder()
 {
    let (house, _folder) = house(HELD, |config| {
        config.workers = 2;
        config.stretch = Span::seconds(4);
    })
    .await;
    let id = house.upload(&source(14, "-preset veryfast -bf 2")).await;
    let first = shown(&house, &id).await;
    let began = seen(&house, &first).await;
    let rooms = [0, 1, 2].map(|part| format!("{id}.chunk.{part}.2"));
    go(&house, &rooms).await;
    assert_eq!(house.settled(&id).await.state, State::Ready);
    let whole = house.asset(&id).await.unwrap();
    assert_eq!(names(&whole), "144p 240p source audio-und");
    is_undisturbed(&house, &first, &began, &whole).await;
    house.counted("how=\"cut\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_is_not_shown_anew_by_who_takes_the_work_up() {
    let (mut house, _folder) = house(HELD, |_| ()).await;
    let id = house.upload(&source(40, "")).await;
    let first = shown(&house, &id).await;
    let began = seen(&house, &first).await;
    house.stop().await;
    // As if whoever showed it had died before its work was cut.
    let database = house.catalog.connection().clone();
    for sql in [
        "DELETE FROM ingest_jobs WHERE step = 'finish'",
        "UPDATE ingest_jobs SET state = 'running', attempt = 1, due_unix_s = 0",
    ] {
        database.execute_unprepared(sql).await.unwrap();
    }
    house.start(Arc::new(System)).await;
    go(&house, &[format!("{id}.finish.0.3")]).await;
    assert_eq!(
        house.asset(&id).await.unwrap(),
        first,
        "it stands as it stood"
    );
    assert_eq!(house.settled(&id).await.state, State::Ready);
    let whole = house.asset(&id).await.unwrap();
    assert_eq!(
        (names(&whole).as_str(), whole.generation.0),
        ("144p source audio-und", 3)
    );
    is_undisturbed(&house, &first, &began, &whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_turns_out_to_be_damaged_is_taken_back() {
    let script = format!("{HELD}; echo 'Invalid data found' >&2; exit 1");
    let (house, _folder) = house(&script, |_| ()).await;
    let feed = FeedId::parse("f1").unwrap();
    house
        .catalog
        .feed
        .begin(&feed, UnixSeconds(1))
        .await
        .unwrap();
    let id = house.upload(&source(40, "")).await;
    shown(&house, &id).await;
    go(&house, &[format!("{id}.finish.0.2")]).await;
    let video = house.settled(&id).await;
    assert_eq!(video.state, State::Failed);
    assert!(video.failure.unwrap().contains("damaged"));
    house.counted("{reason=\"damaged\"} 1").await;
    // Caches forget it, once it is removed: that they are told to is the last thing that is done.
    let ordered = async || {
        let page = house.catalog.feed.after(0, UnixSeconds(2)).await.unwrap();
        page.entries.len()
    };
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while ordered().await == 0 {
        looks.tick().await;
    }
    assert_eq!(ordered().await, 1);
    assert!(house.asset(&id).await.is_none());
    let encoded = layout::encoded(&id);
    let encoded = house.folder.path().join("store").join(encoded.as_str());
    assert!(!encoded.exists() || std::fs::read_dir(encoded).unwrap().count() == 0);
    // Until nobody can have it any more.
    let answer = retry(&house, &id).await;
    assert_eq!(answer.headers()["retry-after"], "15");
    problem(answer, 409, "still-shown").await;
}

async fn retry(house: &House, id: &VideoId) -> Response {
    let url = house.url(&format!("/v1/videos/{id}/retry"));
    house.client.post(url).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_ladder_is_not_made_stays_as_it_was_sent_until_a_retry_makes_it() {
    let (house, folder) = house("kill -9 $$", |_| ()).await;
    let id = house.upload(&source(40, "")).await;
    let video = house.settled(&id).await;
    assert_eq!((video.state, video.progress), (State::Ready, 100));
    assert!(video.failure.unwrap().contains("on our side"));
    let asset = house.asset(&id).await.unwrap();
    assert_eq!(names(&asset), "source audio-und");
    bytes(&house, &asset, "source").await;
    house.counted("jobs{state=\"dead\"} 1").await;
    let began = seen(&house, &asset).await;

    // The next attempt refuses it: who watches it goes on.
    let refuses = "#!/bin/sh\ncase \"$*\" in *libx264*) echo 'Invalid data found' >&2; exit 1;; esac\nexec ffmpeg \"$@\"\n";
    write_program(&folder.join("ffmpeg"), refuses);
    assert_eq!(retry(&house, &id).await.status(), 202);
    let video = house.settled(&id).await;
    assert_eq!((video.state, video.progress), (State::Ready, 100));
    assert!(video.failure.unwrap().contains("damaged"));
    house.counted("{reason=\"damaged\"} 1").await;
    house.counted("jobs{state=\"running\"} 0").await;
    assert_eq!(house.asset(&id).await.unwrap(), asset);
    bytes(&house, &asset, "source").await;

    // The operator mends it.
    write_program(&folder.join("ffmpeg"), "#!/bin/sh\nexec ffmpeg \"$@\"\n");
    assert_eq!(retry(&house, &id).await.status(), 202);
    let video = house.settled(&id).await;
    assert_eq!((video.state, video.failure), (State::Ready, None));
    let whole = house.asset(&id).await.unwrap();
    assert_eq!(names(&whole), "144p source audio-und");
    is_undisturbed(&house, &asset, &began, &whole).await;
    problem(retry(&house, &id).await, 409, "not-failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_deleted_while_its_ladder_is_made_leaves_nothing() {
    let (house, _folder) = house(HELD, |config| config.lease = Span::seconds(3)).await;
    let id = house.upload(&source(40, "")).await;
    shown(&house, &id).await;
    held(&house, &format!("{id}.finish.0.2")).await;
    let deleted = house.catalog.videos.advance(&id, Event::Deleted).await;
    assert_eq!(deleted.unwrap().state, State::Deleted);
    house.counted("jobs_ended_total{how=\"lost\"} 1").await;
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while house.asset(&id).await.is_some() {
        looks.tick().await;
    }
}

/// Cut as telephones and editors do who do not encode anew: it is shown from within its first group on.
fn trimmed() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mp4");
    std::fs::write(&whole, source(40, "-g 50")).unwrap();
    let arguments = format!("-ss 0.52 -i {} -c copy", whole.display());
    film(&arguments, "a.mp4")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_source_cannot_be_packed_is_made_all_the_same() {
    let house = House::new().await;
    let asset = house.publish(&trimmed()).await;
    assert_eq!(names(&asset), "144p 240p audio-und");
    assert_eq!(asset.generation.0, 1, "at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_made_whatever_becomes_of_showing_it_before() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    for fault in ["kill -9 $$", "echo 'No space left on device' >&2; exit 1"] {
        let script =
            format!("#!/bin/sh\ncase \"$*\" in *'-c copy'*) {fault};; esac\nexec ffmpeg \"$@\"\n");
        write_program(&program, &script);
        let house = House::with(|config| config.ffmpeg = program.display().to_string());
        let house = house.await;
        let asset = house.publish(&source(40, "")).await;
        assert_eq!(names(&asset), "144p 240p audio-und", "{fault}");
        assert_eq!(asset.generation.0, 1, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_players_could_not_go_on_with_is_not_shown_before_it_is_made() {
    let house = House::new().await;
    let rest = "-g 25 -c:a aac -preset ultrafast -pix_fmt yuv420p";
    let [picture, tone] = ["testsrc2=s=426x240:r=25:d=10.4", "sine=440:d=10.4"];
    let inputs = format!("-f lavfi -i {picture} -f lavfi -i {tone}");
    for (name, arguments) in [
        ("key pictures elsewhere", format!("{inputs} {rest} -g 60")),
        (
            "groups that need others",
            format!(
                "{inputs} {rest} -preset veryfast -g 50 -x264-params open-gop=1:bframes=3:b-adapt=0:scenecut=0:keyint=50:min-keyint=1"
            ),
        ),
        (
            "a changing rate",
            format!("{inputs} {rest} -vf select='not(eq(mod(n\\,7)\\,3))' -vsync vfr"),
        ),
        ("oblong pixels", format!("{inputs} {rest} -vf setsar=9/8")),
        ("other sound", format!("{inputs} {rest} -c:a ac3")),
        (
            "too many bits",
            format!("{inputs} {rest} -crf 0 -profile:v high444"),
        ),
        (
            "fields",
            format!("{inputs} {rest} -flags +ildct+ilme -x264-params tff=1"),
        ),
    ] {
        let asset = house.publish(&film(&arguments, "a.mp4")).await;
        assert_eq!(names(&asset), "144p 240p audio-und", "{name}");
        assert_eq!(asset.generation.0, 1, "{name}");
    }
}
