//! The promises of memory and disk together.

mod killed;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pingora::cache::key::CacheHashKey;
use pingora::cache::storage::{HitHandler, Storage};
use pingora::cache::trace::Span;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;

use super::{DiskReader, SOON};
use crate::cache::disk::Settings;
use crate::cache::{Cache, Reader};
use crate::key;

const MEMORY: usize = 2 << 20;

fn settings(directory: &Path) -> Settings {
    Settings {
        directories: vec![(directory.to_owned(), 8 << 20)],
        segment: 1 << 20,
        queue: 1 << 20,
        admit_after: 1,
        promote_within: Duration::from_secs(600),
        retry: Duration::from_secs(30),
    }
}

async fn open(settings: &Settings) -> &'static Cache {
    let cache: &'static Cache = Box::leak(Box::new(Cache::with_disks(MEMORY, settings)));
    cache.ready().await;
    cache
}

fn at(n: u32) -> CacheKey {
    key::build("zone", &format!("/{n}"))
}

fn meta(version: u32, length: usize) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    header.insert_header("content-length", length).unwrap();
    header.insert_header("etag", version).unwrap();
    let until: SystemTime = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    CacheMeta::new(until, UNIX_EPOCH, 0, 0, header)
}

/// Bytes that tell object, version and place.
fn body(n: u32, version: u32, length: usize) -> Bytes {
    let words = (0..).flat_map(|at: u32| {
        let word = at.wrapping_mul(2_654_435_761) ^ n.wrapping_mul(40_503) ^ version << 12;
        word.to_le_bytes()
    });
    words.take(length).collect()
}

async fn fill(cache: &'static Cache, n: u32, version: u32, length: usize) {
    fill_as(cache, n, meta(version, length)).await;
}

async fn fill_as(cache: &'static Cache, n: u32, meta: CacheMeta) {
    let trace = Span::inactive().handle();
    let [version, length]: [u32; 2] = ["etag", "content-length"].map(|name| {
        let value = meta.headers().get(name).unwrap().to_str().unwrap();
        value.parse().unwrap()
    });
    let length = length as usize;
    let fill = cache.get_miss_handler(&at(n), &meta, &trace).await;
    let mut fill = fill.unwrap();
    let body = body(n, version, length);
    for piece in body.chunks(50_000) {
        let piece = Bytes::copy_from_slice(piece);
        fill.write_body(piece, false).await.unwrap();
    }
    fill.finish().await.unwrap();
}

async fn written(cache: &Cache) {
    for volume in cache.volumes() {
        while volume.queued() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn find(cache: &'static Cache, n: u32) -> Option<(CacheMeta, HitHandler)> {
    let trace = Span::inactive().handle();
    cache.lookup(&at(n), &trace).await.unwrap()
}

async fn read(hit: &mut HitHandler) -> Result<Vec<u8>, ()> {
    let mut all = Vec::new();
    while let Some(bytes) = hit.read_body().await.map_err(drop)? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// The version that is found, and whether it came from memory. All of it must be right.
async fn version(cache: &'static Cache, n: u32) -> Option<(u32, bool)> {
    let (meta, mut hit) = find(cache, n).await?;
    let number = |name: &str| -> u32 {
        let value = meta.headers().get(name).unwrap();
        value.to_str().unwrap().parse().unwrap()
    };
    let (version, length) = (number("etag"), number("content-length"));
    let in_memory = hit.as_any().is::<Reader>();
    let all = read(&mut hit).await.ok()?;
    assert!(
        all == body(n, version, length as usize),
        "object {n}, version {version}"
    );
    Some((version, in_memory))
}

/// Fills the memory with other objects.
async fn crowd_out(cache: &'static Cache) {
    for n in 1000..1012 {
        fill(cache, n, 1, 200_000).await;
        written(cache).await;
    }
}

#[tokio::test]
async fn an_object_outlives_the_memory_and_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    fill(cache, 1, 7, 300_000).await;
    crowd_out(cache).await;
    assert_eq!(version(cache, 1).await, Some((7, false)));
    assert!(cache.usage().bytes <= MEMORY);
    cache.close().await;
    assert!(find(cache, 1).await.is_none());
    let cache = open(&settings).await;
    let (_, hit) = find(cache, 1).await.unwrap();
    assert!(hit.as_any().is::<DiskReader>());
    // Asked for twice: now it is in memory.
    assert_eq!(version(cache, 1).await, Some((7, true)));
    assert_eq!((cache.usage().promoted, cache.usage().begun), (1, 0));
}

#[tokio::test]
async fn any_range_of_an_object_on_disk_is_exact() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.promote_within = Duration::ZERO;
    let cache = open(&settings).await;
    fill(cache, 1, 1, 300_001).await;
    crowd_out(cache).await;
    let whole = body(1, 1, 300_001);
    let (_, mut hit) = find(cache, 1).await.unwrap();
    assert!(hit.as_any().is::<DiskReader>());
    for (start, end) in [
        (0, 1),
        (65_535, 65_537),
        (5, 300_001),
        (300_000, 300_001),
        (0, 65_536),
    ] {
        hit.seek(start, Some(end)).unwrap();
        assert!(
            read(&mut hit).await.unwrap() == whole[start..end],
            "{start}..{end}"
        );
    }
    assert!(hit.seek(300_001, None).is_err());
}

#[tokio::test]
async fn those_who_ask_while_an_object_rises_share_one_reading() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    fill(cache, 1, 1, 300_000).await;
    crowd_out(cache).await;
    drop(find(cache, 1).await.unwrap());
    let mut hits = Vec::new();
    for _ in 0..5 {
        let (_, hit) = find(cache, 1).await.unwrap();
        let reader = hit.as_any().downcast_ref::<Reader>().unwrap();
        assert!(!reader.joined_fill, "it is a hit, not a fetch of another's");
        hits.push(hit);
    }
    for hit in &mut hits {
        assert!(read(hit).await.unwrap() == body(1, 1, 300_000));
    }
    assert_eq!(cache.usage().promoted, 1);
    assert_eq!(cache.volumes()[0].objects(), 13, "it is not written again");
}

#[tokio::test]
async fn a_purge_reaches_memory_and_disk_and_what_rises_between() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    for n in 1..5 {
        fill(cache, n, 1, 100_000).await;
    }
    crowd_out(cache).await;
    drop(find(cache, 1).await.unwrap());
    let (_, mut rising) = find(cache, 1).await.unwrap();
    assert_eq!(cache.purge(&at(1)).await, Ok(true));
    assert_eq!(cache.purge(&at(2)).await, Ok(true));
    assert_eq!(cache.purge(&at(99)).await, Ok(false));
    assert!(
        read(&mut rising).await.unwrap() == body(1, 1, 100_000),
        "its readers finish"
    );
    fill(cache, 2, 2, 1000).await;
    for n in [1, 99] {
        assert!(find(cache, n).await.is_none(), "{n}");
    }
    cache.close().await;
    let cache = open(&settings).await;
    for (n, expected) in [(1, None), (2, Some(2)), (3, Some(1))] {
        let found = version(cache, n).await.map(|(version, _)| version);
        assert_eq!(found, expected, "{n}");
    }
    cache.forget_at_once(&at(3));
    assert!(find(cache, 3).await.is_none());
    cache.close().await;
    let cache = open(&settings).await;
    assert!(find(cache, 3).await.is_none(), "a clean stop has noted it");
    cache.purge_all().await.unwrap();
    for cache in [cache, {
        cache.close().await;
        open(&settings).await
    }] {
        assert!(find(cache, 2).await.is_none());
    }
}

#[tokio::test]
async fn where_no_time_is_given_for_it_nothing_is_taken_into_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.promote_within = Duration::ZERO;
    let cache = open(&settings).await;
    fill(cache, 1, 1, 100_000).await;
    crowd_out(cache).await;
    for _ in 0..3 {
        assert_eq!(version(cache, 1).await, Some((1, false)));
    }
    assert_eq!(cache.usage().promoted, 0);
}

#[tokio::test]
async fn who_asks_about_an_object_on_disk_has_not_asked_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    fill(cache, 1, 1, 100_000).await;
    crowd_out(cache).await;
    for _ in 0..2 {
        assert!(cache.has(&at(1)) && !cache.has(&at(9)));
        assert_eq!(cache.header(&at(1), |_| ()).await, Some(()));
        assert_eq!(cache.header(&at(9), |_| ()).await, None);
    }
    let hits = &cache.volumes()[0].figures().hits;
    assert_eq!(hits.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(version(cache, 1).await, Some((1, false)), "once, so far");
    assert_eq!(version(cache, 1).await, Some((1, true)));
}

#[tokio::test]
async fn a_confirmed_object_is_fresh_on_disk_too() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    let trace = Span::inactive().handle();
    for n in [1, 2] {
        fill(cache, n, 1, 100_000).await;
    }
    let mut confirmed = meta(1, 100_000);
    confirmed
        .response_header_mut()
        .insert_header("age", 5)
        .unwrap();
    // One while it is in memory, the other while it is on disk only.
    assert!(cache.update_meta(&at(1), &confirmed, &trace).await.unwrap());
    crowd_out(cache).await;
    assert!(cache.update_meta(&at(2), &confirmed, &trace).await.unwrap());
    assert!(!cache.update_meta(&at(3), &confirmed, &trace).await.unwrap());
    cache.close().await;
    let cache = open(&settings).await;
    for n in [1, 2] {
        let (meta, mut hit) = find(cache, n).await.unwrap();
        assert!(meta.headers().contains_key("age"), "{n}");
        assert!(read(&mut hit).await.unwrap() == body(n, 1, 100_000));
        let public = cache
            .header(&at(n), |header| header.headers.contains_key("age"))
            .await;
        assert_eq!(public, Some(true));
    }
}

/// A meta of a fill of its own.
fn meta_of(version: u32, length: usize) -> CacheMeta {
    let plain = meta(version, length);
    let created = UNIX_EPOCH + Duration::from_secs(version.into());
    let header = plain.response_header_copy();
    CacheMeta::new(plain.fresh_until(), created, 0, 0, header)
}

#[tokio::test]
async fn a_confirmation_of_what_was_replaced_meanwhile_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    let trace = Span::inactive().handle();
    // One is replaced in memory, the other on disk.
    for n in [1, 2] {
        fill_as(cache, n, meta_of(1, 90_000)).await;
    }
    fill_as(cache, 1, meta_of(2, 100_000)).await;
    let confirmed = meta_of(1, 90_000);
    let renewed = cache.update_meta(&at(1), &confirmed, &trace).await;
    assert!(!renewed.unwrap());
    crowd_out(cache).await;
    fill_as(cache, 2, meta_of(2, 100_000)).await;
    crowd_out(cache).await;
    let renewed = cache.update_meta(&at(2), &confirmed, &trace).await;
    assert!(renewed.unwrap(), "the disk has something, and looks later");
    cache.close().await;
    let cache = open(&settings).await;
    for n in [1, 2] {
        assert_eq!(version(cache, n).await, Some((2, false)), "{n}");
    }
}

#[tokio::test]
async fn what_memory_gives_up_late_does_not_bring_its_header_to_another_body() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    let trace = Span::inactive().handle();
    fill_as(cache, 1, meta_of(1, 90_000)).await;
    let confirmed = meta_of(1, 90_000);
    assert!(cache.update_meta(&at(1), &confirmed, &trace).await.unwrap());
    let old = cache.find(&at(1).combined_bin()).unwrap();
    fill_as(cache, 1, meta_of(2, 100_000)).await;
    written(cache).await;
    cache.below.as_ref().unwrap().given_up(&old);
    drop(old);
    cache.close().await;
    let cache = open(&settings).await;
    assert_eq!(version(cache, 1).await, Some((2, false)));
}

#[tokio::test]
async fn what_is_asked_for_once_is_not_written_where_twice_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.admit_after = 2;
    let cache = open(&settings).await;
    for n in 0..3 {
        fill(cache, n, 1, 1000).await;
    }
    for _ in 0..2 {
        assert_eq!(version(cache, 1).await, Some((1, true)));
    }
    written(cache).await;
    assert_eq!(cache.volumes()[0].objects(), 1);
    // Given up and fetched again is twice, too.
    crowd_out(cache).await;
    fill(cache, 2, 1, 1000).await;
    written(cache).await;
    assert_eq!(cache.volumes()[0].objects(), 2);
}

#[tokio::test]
async fn a_directory_that_is_missing_is_done_without() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let cache = open(&settings(&missing)).await;
    fill(cache, 1, 1, 1000).await;
    assert_eq!(version(cache, 1).await, Some((1, true)));
    assert!(cache.purge(&at(1)).await.is_err());
    assert!(find(cache, 1).await.is_none());
    assert!(!missing.exists(), "it is never made");
}

#[tokio::test]
async fn pieces_read_from_disk_count_until_they_are_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.promote_within = Duration::ZERO;
    let cache = open(&settings).await;
    fill(cache, 1, 1, 300_000).await;
    written(cache).await;
    cache.close().await;
    let cache = open(&settings).await;
    let before = cache.usage().bytes;
    let (_, mut hit) = find(cache, 1).await.unwrap();
    let piece = hit.read_body().await.unwrap().unwrap();
    assert_eq!(cache.usage().bytes, before + 65_536);
    drop((hit, piece));
    assert_eq!(cache.usage().bytes, before);
}

#[tokio::test]
async fn who_looks_for_an_object_does_not_wait_long_for_a_memory_that_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let cache = open(&settings).await;
    fill(cache, 1, 1, 300_000).await;
    written(cache).await;
    cache.close().await;
    let cache = open(&settings).await;
    while cache.make_room(4096).is_ok() {}
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert!(find(cache, 1).await.is_none());
    assert!((SOON..SOON * 2).contains(&begun.elapsed()));
}
