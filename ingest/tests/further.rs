//! A film in further codecs is ready in H.264 first, and is the same for those who watch it when it has the others.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{path::PathBuf, time::Duration};

use catalog::{
    events,
    videos::{Event, State},
};
use config::Span;
use contracts::{
    asset::Asset,
    id::{FeedId, Generation, RenditionId, VideoId},
    time::UnixSeconds,
};
use house::{
    House, film, problem,
    watching::{self, HELD, go, held, is_undisturbed, names, seen},
    write_program,
};
use ingest::{Config, media::codec::Codec};
use sea_orm::ConnectionTrait as _;
use store::layout;

fn source(seconds: u32) -> Vec<u8> {
    let arguments = format!(
        "-f lavfi -i testsrc2=s=426x240:r=25:d={seconds} -f lavfi -i sine=440:d={seconds} \
         -preset ultrafast -movflags +faststart"
    );
    film(&arguments, "a.mp4")
}

/// A house that makes films in HEVC too, whose encoders do this before.
async fn house(script: &str, change: impl FnOnce(&mut Config)) -> (House, PathBuf) {
    watching::house(("*libx265*", script), |config| {
        config.codecs = vec![Codec::H264, Codec::Hevc];
        change(config);
    })
    .await
}

const LADDER: &str = "144p 240p audio-und";
const WHOLE: &str = "144p 240p 144p-hevc 240p-hevc audio-und";

/// Waits until the film is ready and has its ladder.
async fn ready(house: &House, id: &VideoId) -> Asset {
    let video = house.settled(id).await;
    assert_eq!((video.state, video.failure), (State::Ready, None));
    house.asset(id).await.unwrap()
}

async fn told(house: &House) -> Vec<events::Kind> {
    let told = house.catalog.events.after(0, None, 9, UnixSeconds(1)).await;
    told.unwrap().iter().map(|event| event.kind).collect()
}

async fn gone(house: &House, path: &str) {
    let path = house.folder.path().join(path);
    let left = || std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while left() {
        looks.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_ready_before_its_further_codecs_are_made_and_stays_as_it_was() {
    let (house, _folder) = house(HELD, |config| {
        config.codecs.push(Codec::Av1);
    })
    .await;
    let feed = FeedId::parse("f1").unwrap();
    let followed = house.catalog.feed.begin(&feed, UnixSeconds(1)).await;
    followed.unwrap();
    let id = house.upload(&source(5)).await;
    let ladder = ready(&house, &id).await;
    assert_eq!(names(&ladder), LADDER);
    assert!(ladder.thumbs.is_some() && ladder.renditions[2].loudness.is_some());
    let began = seen(&house, &ladder).await;
    let room = format!("{id}.further-finish.0.3");
    held(&house, &room).await;
    assert_eq!(house.asset(&id).await.unwrap(), ladder, "it waits");

    go(&house, &[room]).await;
    let whole = house.comes_to_have(&id, "240p-av1").await;
    let wanted = "144p 240p 144p-hevc 240p-hevc 144p-av1 240p-av1 audio-und";
    assert_eq!(names(&whole), wanted);
    assert!(whole.generation > ladder.generation);
    is_undisturbed(&house, &ladder, &began, &whole).await;
    assert_eq!(
        (&whole.thumbs, whole.duration_ms),
        (&ladder.thumbs, ladder.duration_ms)
    );
    let sheet = async |of: &Asset| {
        let key = layout::sheet(&id, of.generation, 1);
        house.store.read(&key).await.unwrap().unwrap()
    };
    assert_eq!(sheet(&whole).await, sheet(&ladder).await);
    assert_eq!(told(&house).await, [events::Kind::Ready], "once");

    gone(&house, &format!("store/pieces/{id}")).await;
    house.counted("jobs{state=\"queued\"} 0").await;
    // Caches forget the film, and who reads what it was may end.
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let ordered = async || house.catalog.feed.after(0, UnixSeconds(2)).await.unwrap();
    while ordered().await.entries.is_empty() {
        looks.tick().await;
    }
    seen(&house, &ladder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_shown_as_it_was_sent_is_ready_next_and_has_all_codecs_last() {
    let (house, _folder) = house(HELD, |_| ()).await;
    let source = "-f lavfi -i testsrc2=s=426x240:r=25:d=12 -f lavfi -i sine=440:d=12 \
                  -preset ultrafast -pix_fmt yuv420p -crf 40 -g 25 -c:a aac";
    let id = house.upload(&film(source, "a.mp4")).await;
    let ladder = ready(&house, &id).await;
    assert_eq!(names(&ladder), "144p source audio-und");
    let began = seen(&house, &ladder).await;
    go(&house, &[format!("{id}.further-finish.0.4")]).await;
    let whole = house.comes_to_have(&id, "240p-hevc").await;
    let wanted = "144p source 144p-hevc 240p-hevc audio-und";
    assert_eq!(names(&whole), wanted);
    is_undisturbed(&house, &ladder, &began, &whole).await;
    assert_eq!(
        told(&house).await,
        [events::Kind::Playable, events::Kind::Ready]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_comes_later_is_ready_before_the_next_stretch_of_further_codecs() {
    // One worker.
    let (house, _folder) = house(HELD, |config| config.stretch = Span::seconds(4)).await;
    let first = house.upload(&source(9)).await;
    assert_eq!(names(&ready(&house, &first).await), LADDER);
    let stretch = |part| format!("{first}.further-chunk.{part}.3");
    held(&house, &stretch(0)).await;
    let second = house.upload(&source(2)).await;
    go(&house, &[stretch(0)]).await;
    // Nobody lets the other stretch of the first begin.
    assert_eq!(names(&ready(&house, &second).await), LADDER);
    let shown = house.asset(&first).await.unwrap();
    assert_eq!(names(&shown), LADDER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_further_codecs_this_machine_never_manages_stays_ready_until_they_are_tried_again()
 {
    let (house, folder) = house("kill -9 $$", |_| ()).await;
    let (upload, id) = house.begin(&source(3)).await;
    // As if whoever joined the further codecs had been killed.
    let rung = RenditionId::parse("144p-hevc").unwrap();
    let left = layout::mezzanine(&id, Generation(2), &rung);
    house.store.put(&left, "bytes".into()).await.unwrap();
    house.send(&upload, &source(3)).await;
    let ladder = ready(&house, &id).await;
    let began = seen(&house, &ladder).await;
    let find = async || house.catalog.videos.find(&id).await.unwrap().unwrap();
    house.counted("jobs{state=\"dead\"} 1").await;
    let video = find().await;
    assert_eq!((video.state, video.progress), (State::Ready, 100));
    let why = video.failure.unwrap();
    assert!(why.contains("in H.264 only"), "{why}");
    assert_eq!(house.asset(&id).await.unwrap(), ladder);
    gone(&house, &format!("store/pieces/{id}")).await;
    gone(&house, &format!("store/encoded/{id}/2")).await;

    // The operator mends it.
    write_program(&folder.join("ffmpeg"), "#!/bin/sh\nexec ffmpeg \"$@\"\n");
    let url = house.url(&format!("/v1/videos/{id}/retry"));
    let answer = house.client.post(&url).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let whole = house.comes_to_have(&id, "240p-hevc").await;
    assert_eq!(names(&whole), WHOLE);
    is_undisturbed(&house, &ladder, &began, &whole).await;
    house.counted("jobs{state=\"dead\"} 0").await;
    house.counted("jobs{state=\"running\"} 0").await;
    assert_eq!(find().await.failure, None);
    assert_eq!(told(&house).await, [events::Kind::Ready], "once");
    let answer = house.client.post(&url).send().await.unwrap();
    problem(answer, 409, "not-failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_has_its_further_codecs_is_not_made_anew_by_who_takes_the_work_up() {
    let (house, _folder) = house(HELD, |config| config.lease = Span::seconds(3)).await;
    let id = house.upload(&source(2)).await;
    ready(&house, &id).await;
    // As if whoever publishes it died before telling so.
    let database = house.catalog.connection().clone();
    let dies = "CREATE TRIGGER dies BEFORE UPDATE ON ingest_jobs \
                WHEN NEW.step = 'further-finish' AND NEW.state = 'done' \
                BEGIN SELECT RAISE(ABORT, 'died'); END";
    database.execute_unprepared(dies).await.unwrap();
    go(&house, &[format!("{id}.further-finish.0.3")]).await;
    let whole = house.comes_to_have(&id, "240p-hevc").await;
    assert_eq!((names(&whole).as_str(), whole.generation.0), (WHOLE, 3));
    house.counted("jobs_ended_total{how=\"done\"} 3").await;
    database
        .execute_unprepared("DROP TRIGGER dies")
        .await
        .unwrap();
    house.counted("jobs{state=\"running\"} 0").await;
    gone(&house, &format!("store/pieces/{id}")).await;
    house.counted("jobs{state=\"queued\"} 0").await;
    assert_eq!(house.asset(&id).await.unwrap(), whole);
    assert_eq!(told(&house).await, [events::Kind::Ready]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_deleted_while_its_further_codecs_are_made_leaves_nothing() {
    let (house, _folder) = house(HELD, |config| {
        config.lease = Span::seconds(3);
        config.stretch = Span::seconds(4);
    })
    .await;
    let id = house.upload(&source(9)).await;
    ready(&house, &id).await;
    held(&house, &format!("{id}.further-chunk.0.3")).await;
    let deleted = house.catalog.videos.advance(&id, Event::Deleted).await;
    assert_eq!(deleted.unwrap().state, State::Deleted);
    house.counted("jobs_ended_total{how=\"lost\"} 1").await;
    for left in ["store/pieces", "store/encoded", "store/originals"] {
        gone(&house, &format!("{left}/{id}")).await;
    }
    gone(&house, "work").await;
}
