//! A film that several workers share: what they make apart is what one would make alone, and a worker may
//! die at any step.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use catalog::{
    events,
    videos::{Event, State},
};
use config::Span;
use contracts::{asset::Asset, id::VideoId, time::UnixSeconds};
use house::{House, ffprobe, film, write_program};
use ingest::{Config, media::codec::Codec};
use runtime::clock::System;
use store::layout;

fn names(asset: &Asset) -> String {
    let names: Vec<&str> = asset.renditions.iter().map(|r| r.id.as_str()).collect();
    names.join(" ")
}

fn sharing(config: &mut Config) {
    config.workers = 2;
    config.stretch = Span::seconds(4);
}

/// Every picture of a file, in grey.
fn pictures(file: &Path, size: usize) -> Vec<Vec<u8>> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    output.stdout.chunks(size).map(<[u8]>::to_vec).collect()
}

/// How far two pictures lie apart, in levels of grey a pixel.
fn distance(one: &[u8], other: &[u8]) -> f64 {
    let sum: u64 = one
        .iter()
        .zip(other)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / one.len() as f64
}

/// The same film made in one piece and in several; compares every picture and its time.
async fn compare(source: &[u8], rungs: usize, size: usize, stretches: usize) {
    let (alone, shared) = (House::new().await, House::with(sharing).await);
    let whole = alone.publish(source).await;
    let joined = shared.publish(source).await;
    let chunks = format!("jobs_ended_total{{how=\"done\"}} {}", stretches + 2);
    shared.counted(&chunks).await;
    assert_eq!(names(&joined), names(&whole));
    assert_eq!(joined.duration_ms, whole.duration_ms);
    assert_eq!(
        joined.thumbs.as_ref().map(|t| t.tiles),
        whole.thumbs.as_ref().map(|t| t.tiles)
    );
    for at in 0..rungs {
        let (one, other) = (alone.mezzanine(&whole, at), shared.mezzanine(&joined, at));
        let times = |file: &Path| ffprobe(file, "packet=pts,dts,duration,flags");
        assert_eq!(times(&one), times(&other), "rendition {at}");
    }
    let last = rungs - 1;
    let one = pictures(&alone.mezzanine(&whole, last), size);
    let other = pictures(&shared.mezzanine(&joined, last), size);
    assert_eq!(one.len(), other.len());
    for at in 0..one.len() {
        let near = distance(&one[at], &other[at]);
        // Pictures that are next to each other are 2.3 levels apart at least.
        assert!(near < 1.5, "picture {at} differs by {near} levels");
    }
    let video = shared
        .catalog
        .videos
        .find(&joined.video)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(video.progress, 100);
    clean(&shared, &joined).await;
}

/// Nothing is left but one generation.
async fn clean(house: &House, asset: &Asset) {
    let store = house.folder.path().join("store");
    let pieces = store.join(layout::pieces(&asset.video).as_str());
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while pieces.exists() && std::fs::read_dir(&pieces).unwrap().count() > 0 {
        looks.tick().await;
    }
    let encoded = store.join(layout::encoded(&asset.video).as_str());
    let mut there: Vec<String> = std::fs::read_dir(encoded)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(
        there,
        [asset.generation.0.to_string(), "asset.json".to_owned()]
    );
    for rendition in &asset.renditions {
        let key = layout::index(&asset.video, asset.generation, &rendition.id);
        let index = house.store.read(&key).await.unwrap().unwrap();
        let index = packager::index::Index::decode(&index).unwrap();
        let key = layout::mezzanine(&asset.video, asset.generation, &rendition.id);
        let size = house.store.size(&key).await.unwrap();
        assert_eq!(size, Some(index.file().length));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_made_in_stretches_is_the_film_made_in_one_piece_picture_by_picture() {
    let source = film(
        "-f lavfi -i testsrc2=s=426x240:r=30000/1001:d=13 -f lavfi -i sine=440:d=13 -preset ultrafast -g 77 -bf 3",
        "a.mp4",
    );
    compare(&source, 2, 426 * 240, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_stands_across_a_seam_is_found_however_long_it_has_stood() {
    // A picture every three seconds, and a start at 7 s of the container's clock.
    let source = film(
        "-f lavfi -i testsrc2=s=256x144:r=25:d=17 -vf select='not(mod(n,75))' -vsync vfr \
         -output_ts_offset 7 -preset ultrafast -g 4",
        "a.mkv",
    );
    let alone = House::new().await;
    let whole = alone.publish(&source).await;
    let shared = House::with(sharing).await;
    let joined = shared.publish(&source).await;
    let one = pictures(&alone.mezzanine(&whole, 0), 256 * 144);
    let other = pictures(&shared.mezzanine(&joined, 0), 256 * 144);
    assert_eq!(one.len(), other.len());
    for at in 0..one.len() {
        let near = distance(&one[at], &other[at]);
        assert!(near < 3.0, "picture {at} differs by {near} levels");
    }
    shared.counted("how=\"cut\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_ends_before_it_says_is_refused_in_stretches_as_in_one_piece() {
    let whole = film(
        "-f lavfi -i testsrc2=s=256x144:r=25:d=20 -preset ultrafast -movflags +faststart",
        "a.mp4",
    );
    let house = House::with(sharing).await;
    let told = house.fail(&whole[..whole.len() / 2]).await;
    assert!(told.contains("truncated: it announces 20.0 s"), "{told}");
    house.counted("how=\"cut\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn further_codecs_are_joined_too() {
    let house = House::with(|config| {
        sharing(config);
        config.codecs = vec![Codec::H264, Codec::Hevc, Codec::Av1];
    })
    .await;
    let source = film(
        "-f lavfi -i testsrc2=s=256x144:r=25:d=9 -preset ultrafast",
        "a.mp4",
    );
    let asset = house.publish(&source).await;
    let asset = house.comes_to_have(&asset.video, "144p-av1").await;
    assert_eq!(names(&asset), "144p 144p-hevc 144p-av1");
    house.counted("how=\"cut\"} 2").await;
    for at in 0..3 {
        let shown = pictures(&house.mezzanine(&asset, at), 256 * 144);
        assert_eq!(shown.len(), 225, "rendition {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_deleted_is_worked_on_no_more_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = stalling(folder.path(), "*.chunk.1.2/room");
    let house = House::with(|config| {
        sharing(config);
        config.lease = Span::seconds(3);
        config.ffmpeg = program.display().to_string();
    })
    .await;
    let id = house.upload(&test_film()).await;
    let begun = house
        .folder
        .path()
        .join(format!("work/{id}.chunk.1.2/room/begun"));
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while !begun.exists() {
        looks.tick().await;
    }
    house
        .catalog
        .videos
        .advance(&id, Event::Deleted)
        .await
        .unwrap();
    house.counted("jobs_ended_total{how=\"lost\"}").await;
    while begun.exists()
        || house
            .folder
            .path()
            .join(format!("store/pieces/{id}"))
            .exists()
    {
        looks.tick().await;
    }
    house.counted("jobs{state=\"running\"} 0").await;
    assert!(house.asset(&id).await.is_none());
}

fn test_film() -> Vec<u8> {
    film(
        "-f lavfi -i testsrc2=s=128x72:r=25:d=12 -f lavfi -i sine=440:d=12 -preset ultrafast",
        "a.mp4",
    )
}

/// An encoder that never ends in the folders of this pattern.
fn stalling(folder: &Path, pattern: &str) -> PathBuf {
    let program = folder.join("ffmpeg");
    let script = format!(
        "#!/bin/sh\ncase \"$PWD\" in {pattern}) : > begun; exec tail -f /dev/null;; esac\n\
         exec \"${{0##*/}}\" \"$@\"\n"
    );
    write_program(&program, &script);
    write_program(&folder.join("ffprobe"), &script);
    program
}

const HOUSE: &str = "MILLRACE_TEST_WORKER";

/// Not a test of its own: the process that the next test kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by a_worker_that_is_killed_at_any_step"]
async fn a_worker_in_a_process_of_its_own() {
    let config: Config = serde_json::from_str(&std::env::var(HOUSE).unwrap()).unwrap();
    let settings = config.check().unwrap();
    let _running = ingest::start(settings, Arc::new(System)).await.unwrap();
    std::future::pending::<()>().await;
}

/// Kills its process, should the test end early.
struct Worker(Child);

impl Worker {
    fn start(config: &Config) -> Self {
        let own = std::env::current_exe().unwrap();
        let child = Command::new(own)
            .args(["--exact", "a_worker_in_a_process_of_its_own", "--ignored"])
            .env(HOUSE, serde_json::to_string(config).unwrap())
            .stdout(std::process::Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A house without workers that makes films in these codecs, in which one died at that step of a film.
async fn killed_at(pattern: &str, source: &[u8], codecs: &[Codec]) -> (House, VideoId) {
    let folder = tempfile::tempdir().unwrap();
    let program = stalling(folder.path(), &format!("*.{pattern}/room"));
    let house = House::with(|config| {
        sharing(config);
        config.workers = 0;
        config.lease = Span::seconds(3);
        config.codecs = codecs.to_vec();
    })
    .await;
    let id = house.upload(source).await;
    let mut config = house.config.clone();
    config.workers = 2;
    config.ffmpeg = program.display().to_string();
    config.ffprobe = folder.path().join("ffprobe").display().to_string();
    let worker = Worker::start(&config);
    let begun = house
        .folder
        .path()
        .join(format!("work/{id}.{pattern}/room/begun"));
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while !begun.exists() {
        looks.tick().await;
    }
    drop(worker);
    (house, id)
}

/// A film that can be watched while its ladder is made.
fn fitting_film() -> Vec<u8> {
    film(
        "-f lavfi -i testsrc2=s=426x240:r=25:d=12 -f lavfi -i sine=440:d=12 -preset ultrafast \
         -pix_fmt yuv420p -crf 40 -g 50 -c:a aac",
        "a.mp4",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_watched_before_it_is_made_stays_so_when_its_workers_are_killed() {
    for pattern in ["chunk.1.2", "finish.0.2"] {
        let (mut house, id) = killed_at(pattern, &fitting_film(), &[Codec::H264]).await;
        let video = house.catalog.videos.find(&id).await.unwrap().unwrap();
        assert!(video.is_playable() && video.state == State::Processing);
        let first = house.asset(&id).await.unwrap();
        assert_eq!(names(&first), "source audio-und", "{pattern}");
        let picture = std::fs::read(house.mezzanine(&first, 0)).unwrap();
        house.config.workers = 2;
        house.restart().await;
        let video = house.settled(&id).await;
        assert_eq!(video.state, State::Ready, "{pattern}: {:?}", video.failure);
        let asset = house.asset(&id).await.unwrap();
        assert_eq!(names(&asset), "144p source audio-und", "{pattern}");
        assert_eq!(
            std::fs::read(house.mezzanine(&asset, 1)).unwrap(),
            picture,
            "{pattern}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_at_any_step_is_followed_by_another_and_the_film_is_whole() {
    for pattern in [
        "publish.0.1",
        "chunk.0.2",
        "chunk.2.2",
        "sound.0.2",
        "finish.0.2",
    ] {
        let (mut house, id) = killed_at(pattern, &test_film(), &[Codec::H264]).await;
        let shown = house.asset(&id).await;
        assert!(shown.is_none(), "nothing is shown of {pattern}");
        house.config.workers = 2;
        house.restart().await;
        let video = house.settled(&id).await;
        assert_eq!(video.state, State::Ready, "{pattern}: {:?}", video.failure);
        let asset = house.asset(&id).await.unwrap();
        assert_eq!(names(&asset), "144p audio-und", "{pattern}");
        let packets = ffprobe(&house.mezzanine(&asset, 0), "stream=nb_read_packets");
        assert_eq!(packets, ["300"], "{pattern}");
        clean(&house, &asset).await;
        left_nothing(&house).await;
    }
}

async fn left_nothing(house: &House) {
    let work = house.folder.path().join("work");
    let left = || std::fs::read_dir(&work).unwrap().count();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while left() > 0 {
        looks.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_is_ready_stays_so_when_workers_are_killed_at_its_further_codecs() {
    for pattern in ["further.0.3", "further-chunk.1.4"] {
        let codecs = [Codec::H264, Codec::Hevc];
        let (mut house, id) = killed_at(pattern, &test_film(), &codecs).await;
        let video = house.settled(&id).await;
        assert_eq!((video.state, video.failure), (State::Ready, None));
        let ladder = house.asset(&id).await.unwrap();
        assert_eq!(names(&ladder), "144p audio-und", "{pattern}");
        let picture = std::fs::read(house.mezzanine(&ladder, 0)).unwrap();
        house.config.workers = 2;
        house.restart().await;
        let asset = house.comes_to_have(&id, "144p-hevc").await;
        assert_eq!(names(&asset), "144p 144p-hevc audio-und", "{pattern}");
        assert_eq!(
            std::fs::read(house.mezzanine(&asset, 0)).unwrap(),
            picture,
            "{pattern}"
        );
        let packets = ffprobe(&house.mezzanine(&asset, 1), "stream=nb_read_packets");
        assert_eq!(packets, ["300"], "{pattern}");
        left_nothing(&house).await;
        let told = house.catalog.events.after(0, None, 9, UnixSeconds(1)).await;
        let told: Vec<_> = told.unwrap().iter().map(|event| event.kind).collect();
        assert_eq!(told, [events::Kind::Ready], "{pattern}");
    }
}
