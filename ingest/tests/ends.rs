//! How jobs end whose worker was overtaken, killed between two writes, or left without a store; and how
//! films that were given up begin anew.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{path::PathBuf, sync::Arc, time::Duration};

use catalog::videos::{Event, State};
use contracts::{
    asset::{Asset, Privacy, Thumbs},
    id::{Generation, RenditionId, VideoId},
    time::UnixSeconds,
};
use house::{House, film, problem, write_program};
use reqwest::Response;
use runtime::clock::{Clock as _, Fixed, System};
use sea_orm::ConnectionTrait as _;
use store::{Key, layout};
use tempfile::TempDir;

fn small() -> Vec<u8> {
    film(
        "-f lavfi -i testsrc2=s=256x144:r=25:d=2 -preset ultrafast",
        "a.mp4",
    )
}

/// An encoder that waits, before it does anything in the folders of an attempt, until it is let go.
struct Gate {
    folder: TempDir,
    program: PathBuf,
}

impl Gate {
    /// Then it does this.
    fn before(attempt: &str, then: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ffmpeg");
        // It may read the folder that it lies in.
        let script = format!(
            "#!/bin/sh\ncase \"$PWD $*\" in *.{attempt}/room*progress*) : > begun\n\
             while [ ! -e \"${{0%/*}}/open\" ]; do sleep 0.02; done\n{then};; esac\n\
             exec ffmpeg \"$@\"\n"
        );
        write_program(&program, &script);
        Self { folder, program }
    }

    /// An encoder that is killed until it is let go.
    fn broken() -> Self {
        let gate = Self::before("none", "");
        let script = "#!/bin/sh\ncase \"$*\" in *progress*) \
             [ -e \"${0%/*}/open\" ] || kill -9 $$;; esac\nexec ffmpeg \"$@\"\n";
        write_program(&gate.program, script);
        gate
    }

    async fn house(&self) -> House {
        House::with(|config| config.ffmpeg = self.program.display().to_string()).await
    }

    async fn reached(&self, house: &House, id: &VideoId) {
        let begun = house.folder.path().join(format!("work/{id}.publish.0.1"));
        until(async || begun.join("room/begun").exists()).await;
    }

    fn open(&self) {
        std::fs::write(self.folder.path().join("open"), "").unwrap();
    }
}

/// The time limit is the test runner's.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while !is_so().await {
        looks.tick().await;
    }
}

async fn change(house: &House, sql: &str) {
    let database = house.catalog.connection().clone();
    database.execute_unprepared(sql).await.unwrap();
}

async fn state(house: &House, id: &VideoId) -> State {
    house.catalog.videos.find(id).await.unwrap().unwrap().state
}

async fn put(house: &House, key: &Key) {
    house.store.put(key, "bytes".into()).await.unwrap();
}

async fn is_there(house: &House, key: &Key) -> bool {
    house.store.size(key).await.unwrap().is_some()
}

fn rung(id: &VideoId, generation: u32) -> Key {
    let rendition = RenditionId::parse("144p").unwrap();
    layout::mezzanine(id, Generation(generation), &rendition)
}

/// What a worker puts that publishes a film.
async fn show(house: &House, id: &VideoId, generation: u32) -> Asset {
    let thumbs = Thumbs {
        width: 16,
        height: 9,
        columns: 1,
        rows: 1,
        interval_ms: 1000,
        tiles: 1,
        sheet_bytes: vec![1],
    };
    let asset = Asset {
        video: id.clone(),
        generation: Generation(generation),
        title: "shown".to_owned(),
        privacy: Privacy::Public,
        duration_ms: 1234,
        renditions: Vec::new(),
        thumbs: Some(thumbs),
        stills: Vec::new(),
        protected: false,
    };
    let json = serde_json::to_vec(&asset).unwrap();
    let key = layout::asset(id);
    house.store.put(&key, json.into()).await.unwrap();
    asset
}

const TAKEN_OVER: &str = "UPDATE ingest_jobs SET attempt = 2, due_unix_s = 99999999999";

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_and_fails_takes_nothing_from_who_overtook() {
    for (why, fault) in [
        ("refused", "echo Invalid data found >&2; exit 1"),
        ("ours", "kill -9 $$"),
    ] {
        let gate = Gate::before("1", fault);
        let mut house = House::with(|config| {
            config.ffmpeg = gate.program.display().to_string();
            config.attempts = 1;
        })
        .await;
        let id = house.upload(&small()).await;
        gate.reached(&house, &id).await;
        change(&house, TAKEN_OVER).await;
        let (plan, rung) = (layout::plan(&id, 2), rung(&id, 2));
        put(&house, &plan).await;
        put(&house, &rung).await;
        gate.open();
        house.counted("{how=\"lost\"} 1").await;
        // Whatever it would do after it said so, it has done then.
        house.stop().await;
        assert_eq!(state(&house, &id).await, State::Processing, "{why}");
        assert!(is_there(&house, &plan).await, "{why}");
        assert!(is_there(&house, &rung).await, "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_clock_is_ahead_takes_nobodys_job() {
    let gate = Gate::before("1", "");
    let house = gate.house().await;
    let held = house.upload(&small()).await;
    gate.reached(&house, &held).await;
    let mut config = house.config.clone();
    config.ffmpeg = "ffmpeg".to_owned();
    let ahead = System.now().plus(2 * 3600);
    let clock = Arc::new(Fixed::at(ahead));
    let other = ingest::start(config.check().unwrap(), clock).await.unwrap();
    // The only free worker takes what has waited longest.
    let next = house.upload(&small()).await;
    assert_eq!(house.settled(&next).await.state, State::Ready);
    assert_eq!(state(&house, &held).await, State::Processing);
    other.stop().await;
    gate.open();
    assert_eq!(house.settled(&held).await.state, State::Ready);
    let asset = house.asset(&held).await.unwrap();
    assert_eq!(asset.generation.0, 1, "nobody else had it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_was_given_up_meanwhile_is_not_published_and_nothing_of_it_stays() {
    let gate = Gate::before("1", "");
    let house = gate.house().await;
    let id = house.upload(&small()).await;
    gate.reached(&house, &id).await;
    let reason = "cancelled".to_owned();
    let failed = Event::Failed { reason };
    house.catalog.videos.advance(&id, failed).await.unwrap();
    gate.open();
    house.counted("{how=\"lost\"} 1").await;
    assert!(house.asset(&id).await.is_none());
    assert_eq!(state(&house, &id).await, State::Failed);
    assert!(!is_there(&house, &rung(&id, 1)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_all_there_is_not_made_again() {
    let mut house = House::with(|config| config.workers = 0).await;
    let id = house.upload(&small()).await;
    let shown = show(&house, &id, 1).await;
    // As its worker left it that was killed, however often that happened before.
    change(
        &house,
        "UPDATE ingest_jobs SET state = 'running', attempt = 1, failures = 9, due_unix_s = 0",
    )
    .await;
    house.config.workers = 1;
    house.restart().await;
    let video = house.settled(&id).await;
    assert_eq!((video.state, video.duration_ms), (State::Ready, Some(1234)));
    assert_eq!(house.asset(&id).await.unwrap(), shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_left_beside_a_ready_film_is_removed() {
    let mut house = House::new().await;
    let asset = house.publish(&small()).await;
    house.counted("{how=\"done\"} 1").await;
    let id = asset.video.clone();
    let piece = layout::plan(&id, 1);
    let other = rung(&id, 2);
    put(&house, &piece).await;
    put(&house, &other).await;
    change(
        &house,
        "UPDATE ingest_jobs SET state = 'running', attempt = 2, due_unix_s = 0",
    )
    .await;
    house.restart().await;
    house.counted("{how=\"done\"} 1").await;
    assert!(!is_there(&house, &piece).await);
    assert!(!is_there(&house, &other).await);
    assert_eq!(house.asset(&id).await.unwrap(), asset);
    assert!(house.mezzanine(&asset, 0).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_waits_for_a_store_that_is_away_for_longer_than_attempts_are() {
    let mut house = House::with(|config| config.workers = 0).await;
    let id = house.upload(&small()).await;
    let store = house.folder.path().join("store/originals");
    let away = house.folder.path().join("away");
    std::fs::rename(&store, &away).unwrap();
    house.config.workers = 1;
    house.restart().await;
    let tries = u64::from(house.config.attempts) + 2;
    house.counted(&format!("{{how=\"retried\"}} {tries}")).await;
    std::fs::rename(&away, &store).unwrap();
    let video = house.settled(&id).await;
    assert_eq!(video.state, State::Ready, "{:?}", video.failure);
}

async fn retry(house: &House, id: &str) -> Response {
    let url = house.url(&format!("/v1/videos/{id}/retry"));
    house.client.post(url).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_given_up_for_no_fault_of_its_own_is_tried_once_more_with_all_that_was_put() {
    // An encoder that is broken until somebody mends it.
    let gate = Gate::broken();
    let house = gate.house().await;
    let (upload, id) = house.begin(&small()).await;
    let url = house.url(&format!("/v1/videos/{id}/subtitles/en"));
    let text = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n";
    let put = house.client.put(&url).body(text).send().await.unwrap();
    assert_eq!(put.status(), 201);
    let sealed = catalog::keys::Sealed {
        bytes: b"sealed".to_vec(),
        by: None,
        due: None,
    };
    let keys = &house.catalog.keys;
    keys.keep(&id, &sealed, UnixSeconds(1)).await.unwrap();
    for (index, bytes) in (0..).zip(small().chunks(house::CHUNK)) {
        house.put(&upload, index, bytes).await;
    }
    problem(retry(&house, id.as_str()).await, 409, "not-failed").await;
    house.complete(&upload).await;
    let failed = house.settled(&id).await;
    assert_eq!(failed.state, State::Failed);
    assert!(failed.failure.unwrap().contains("on our side"));
    let made = house.folder.path().join(format!("store/encoded/{id}"));
    until(async || !made.exists()).await;
    gate.open();
    let answer = retry(&house, id.as_str()).await;
    assert_eq!(answer.status(), 202);
    let again = house.settled(&id).await;
    assert_eq!((again.state, again.failure), (State::Ready, None));
    let asset = house.asset(&id).await.unwrap();
    let names: Vec<&str> = asset.renditions.iter().map(|of| of.id.as_str()).collect();
    assert_eq!(names, ["144p", "text-en"]);
    assert_eq!(asset.generation.0, 4, "no number is given twice");
    assert!(keys.find(&id).await.unwrap().is_some());
    problem(retry(&house, id.as_str()).await, 409, "not-failed").await;
    problem(retry(&house, "nobody").await, 404, "video-not-found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_whose_file_is_gone_or_never_came_is_not_tried_once_more() {
    let house = House::new().await;
    let id = house.upload(b"this is no film").await;
    assert_eq!(house.settled(&id).await.state, State::Failed);
    house
        .store
        .delete_prefix(&layout::originals(&id))
        .await
        .unwrap();
    problem(retry(&house, id.as_str()).await, 409, "original-gone").await;
    let (upload, id) = house.begin(b"a film that is cancelled").await;
    let url = house.upload_url(&upload, "");
    house.client.delete(url).send().await.unwrap();
    problem(retry(&house, id.as_str()).await, 409, "original-gone").await;
    assert_eq!(state(&house, &id).await, State::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_at_which_every_worker_is_cut_off_is_given_up() {
    let mut house = House::with(|config| config.workers = 0).await;
    let id = house.upload(&small()).await;
    for (cuts, state) in [(9, State::Failed), (8, State::Ready)] {
        let sql = format!(
            "UPDATE ingest_jobs SET state = 'running', attempt = 1, cuts = {cuts}, due_unix_s = 0"
        );
        change(&house, &sql).await;
        house.config.workers = 1;
        house.restart().await;
        assert_eq!(house.settled(&id).await.state, state);
        house.config.workers = 0;
        house.restart().await;
        if state == State::Failed {
            assert_eq!(retry(&house, id.as_str()).await.status(), 202);
        }
    }
}
