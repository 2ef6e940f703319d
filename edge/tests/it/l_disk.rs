//! An edge with a disk: it is warm after a restart, and well without it.

use std::os::unix::fs::FileExt;
use std::path::Path;

use config::{ByteSize, Span};
use tier::settings::Directory;

use crate::house::{House, PROTOCOLS, signed};
use crate::origin::{Origin, Reply, path};

/// An edge whose memory holds little beside what is being sent, over a disk.
async fn edge(origin: &Origin, disk: &Path) -> House {
    // Beside the objects, or beside the directory that is not there.
    let home = disk.ancestors().find(|path| path.is_dir()).unwrap();
    let change = |config: &mut edge::config::Config| {
        config.feed.state_file = home.join("orders");
        config.cache.memory = ByteSize::mib(8);
        config.cache.max_object = ByteSize::mib(2);
        config.cache.disk.segment = ByteSize::mib(4);
        config.cache.disk.queue = ByteSize::mib(2);
        config.cache.disk.retry = Span::millis(100);
        config.cache.disk.directories = vec![Directory {
            path: disk.to_owned(),
            size: ByteSize::mib(64),
        }];
    };
    House::with(origin, change).await
}

/// Bodies of any length, each unlike the others at each place.
async fn origin() -> Origin {
    Origin::start(|head| Reply::ok(body(path(head)))).await
}

/// The path of an object whose number tells its length.
fn target(n: u32, length: u32) -> String {
    format!("/v/a/720p/segment_{}.m4s", n * PLACES + length)
}

fn body(path: &str) -> Vec<u8> {
    let (_, name) = path.split_once("segment_").unwrap();
    let number: u32 = name.trim_end_matches(".m4s").parse().unwrap();
    let (seed, length) = (number / PLACES, number as usize % PLACES as usize);
    let word = |at: u32| (at.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)).to_le_bytes();
    (0..).flat_map(word).take(length).collect()
}

/// Asks for an object, which must be right, and says what became of the request.
async fn get(house: &House, n: usize, path: &str) -> String {
    let got = house.client(PROTOCOLS[n % 3]).get(&signed(path), &[]).await;
    assert!(got.bytes()[..] == body(path), "{path}");
    got.field("cache-status").to_owned()
}

/// Asks until the edge says so of a figure of its disk.
async fn until(house: &House, disk: &Path, figure: &str, wanted: u64) {
    let line = format!("{figure}{{disk=\"{}\"}}", disk.display());
    while house.metric(&line).await != wanted {
        tokio::task::yield_now().await;
    }
}

/// Waits until so many objects are on the disk.
async fn written(house: &House, disk: &Path, objects: usize) {
    let figure = "millrace_tier_disk_written_objects_total";
    until(house, disk, figure, objects as u64).await;
}

/// Changes a bit of what stands on the disk, 100 000 bytes or half of it behind the beginning.
fn flip(disk: &Path, path: &str) {
    let whole = body(path);
    let within = (whole.len() / 2).min(100_000);
    let mark = &whole[within..within + 64];
    let mut found = false;
    for entry in std::fs::read_dir(disk).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(64).position(|bytes| bytes == mark) {
            let file = std::fs::OpenOptions::new().write(true).open(&path);
            file.unwrap()
                .write_all_at(&[bytes[at] ^ 16], at as u64)
                .unwrap();
            found = true;
        }
    }
    assert!(found, "{path} is not on the disk");
}

#[tokio::test]
async fn a_restarted_edge_serves_from_its_disk_and_asks_nobody() {
    let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
    let paths: Vec<_> = [0, 900, 70_000, 300_000, 1_500_000]
        .map(|length| target(1, length))
        .to_vec();
    let house = edge(&origin, disk.path()).await;
    for (n, path) in paths.iter().enumerate() {
        assert_eq!(get(&house, n, path).await, "edge-1; fwd=miss; stored");
    }
    written(&house, disk.path(), paths.len()).await;
    // A stop that was asked for keeps what was written.
    house.edge.stop().await;
    let asked = origin.requests();
    assert_eq!(asked, paths.len());
    let house = edge(&origin, disk.path()).await;
    for n in 0..3 {
        for path in &paths {
            let status = get(&house, n, path).await;
            assert!(status.starts_with("edge-1; hit"), "{path}: {status}");
        }
    }
    let client = house.client(PROTOCOLS[0]);
    let part = client
        .get(&signed(&paths[4]), &[("range", "bytes=65000-1400000")])
        .await;
    assert!(part.bytes()[..] == body(&paths[4])[65_000..=1_400_000]);
    assert_eq!(origin.requests(), asked);
    let hits = format!(
        "millrace_tier_disk_hits_total{{disk=\"{}\"}}",
        disk.path().display()
    );
    assert!(house.metric(&hits).await >= paths.len() as u64);
}

#[tokio::test]
async fn what_memory_gave_up_comes_from_the_disk() {
    let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
    let house = edge(&origin, disk.path()).await;
    let paths: Vec<_> = (1..13).map(|n| target(n, 1_000_000)).collect();
    for (n, path) in paths.iter().enumerate() {
        get(&house, n, path).await;
        written(&house, disk.path(), n + 1).await;
    }
    assert!(house.metric("millrace_tier_cache_objects").await < 9);
    for (n, path) in paths.iter().enumerate() {
        assert!(get(&house, n, path).await.contains("; hit"), "{path}");
    }
    assert_eq!(origin.requests(), paths.len());
}

#[tokio::test]
async fn a_purge_outlives_a_restart() {
    let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
    let house = edge(&origin, disk.path()).await;
    let path = target(1, 70_000);
    get(&house, 0, &path).await;
    written(&house, disk.path(), 1).await;
    house.edge.purge_all().await.unwrap();
    house.edge.stop().await;
    let house = edge(&origin, disk.path()).await;
    assert_eq!(get(&house, 0, &path).await, "edge-1; fwd=miss; stored");
}

#[tokio::test]
async fn a_flipped_bit_is_found_before_it_is_sent() {
    let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
    let (short, long) = (target(1, 50_000), target(2, 1_500_000));
    let house = edge(&origin, disk.path()).await;
    for path in [&short, &long] {
        get(&house, 0, path).await;
    }
    written(&house, disk.path(), 2).await;
    house.edge.stop().await;
    flip(disk.path(), &short);
    flip(disk.path(), &long);
    let house = edge(&origin, disk.path()).await;
    // A short object is looked at whole before its header is sent: nobody notices.
    assert_eq!(get(&house, 1, &short).await, "edge-1; fwd=miss; stored");
    // A long one ends in front of the damage, and is a miss from then on.
    let broken = house.client(PROTOCOLS[1]).get(&signed(&long), &[]).await;
    assert_eq!(broken.status, 200);
    assert!(broken.body.is_err(), "it is not taken for whole");
    until(
        &house,
        disk.path(),
        "millrace_tier_disk_damaged_objects_total",
        2,
    )
    .await;
    assert_eq!(get(&house, 2, &long).await, "edge-1; fwd=miss; stored");
    assert_eq!(origin.requests(), 4);
}

#[tokio::test]
async fn an_edge_without_its_disk_serves_and_says_so() {
    let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
    let first = edge(&origin, disk.path()).await;
    let path = target(1, 70_000);
    get(&first, 0, &path).await;
    // Another process has the directory.
    let second = edge(&origin, disk.path()).await;
    assert_eq!(get(&second, 0, &path).await, "edge-1; fwd=miss; stored");
    assert!(get(&second, 1, &path).await.contains("; hit"));
    let part = format!("degraded: disk {}: not in use: ", disk.path().display());
    let health = second.page("/healthz").await;
    assert!(
        health.starts_with("ok\n") && health.contains(&part),
        "{health}"
    );
    until(&second, disk.path(), "millrace_tier_disk_state", 0).await;
    // It comes back by itself.
    first.edge.stop().await;
    until(&second, disk.path(), "millrace_tier_disk_state", 2).await;
    while second.page("/healthz").await != "ok\n" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_said_and_never_made() {
    let (origin, disk) = (origin().await, tempfile::tempdir().unwrap());
    let missing = disk.path().join("not-mounted");
    let house = edge(&origin, &missing).await;
    let path = target(1, 70_000);
    get(&house, 0, &path).await;
    let health = house.page("/healthz").await;
    assert!(
        health.contains("not-mounted: not in use: No such file"),
        "{health}"
    );
    assert!(!missing.exists());
}

/// An object's number has its length in so many places.
const PLACES: u32 = 10_000_000;
