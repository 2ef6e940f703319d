//! The cache's promises, without a socket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use pingora::cache::key::CacheHashKey;
use pingora::cache::storage::{HandleMiss, HitHandler, Storage};
use pingora::cache::trace::Span;
use pingora::cache::{CacheKey, CacheMeta};
use pingora::http::ResponseHeader;

use super::body::Source;
use super::meta::Meta;
use super::{Cache, Reader, Worth};
use crate::key;

fn cache(limit: usize) -> &'static Cache {
    Box::leak(Box::new(Cache::new(limit)))
}

fn meta(length: Option<usize>) -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    if let Some(length) = length {
        header.insert_header("content-length", length).unwrap();
    }
    let until: SystemTime = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    CacheMeta::new(until, UNIX_EPOCH, 0, 0, header)
}

fn at(path: &str) -> CacheKey {
    key::build("zone", path)
}

async fn begin(
    cache: &'static Cache,
    path: &str,
    length: Option<usize>,
) -> Box<dyn HandleMiss + Send + Sync> {
    let trace = Span::inactive().handle();
    let (key, meta) = (at(path), meta(length));
    cache.get_miss_handler(&key, &meta, &trace).await.unwrap()
}

async fn store(cache: &'static Cache, path: &str, length: usize) {
    let mut fill = begin(cache, path, Some(length)).await;
    fill.write_body(Bytes::from(vec![1; length]), false)
        .await
        .unwrap();
    fill.finish().await.unwrap();
}

async fn find(cache: &'static Cache, path: &str) -> Option<HitHandler> {
    let trace = Span::inactive().handle();
    let found = cache.lookup(&at(path), &trace).await.unwrap();
    found.map(|(_, reader)| reader)
}

async fn read(reader: &mut HitHandler) -> Result<Vec<u8>, ()> {
    let mut all = Vec::new();
    while let Some(bytes) = reader.read_body().await.map_err(|_| ())? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

#[tokio::test]
async fn a_reader_of_a_fill_sees_bytes_as_they_come_and_a_clean_end() {
    let cache = cache(1 << 20);
    let mut fill = begin(cache, "/a", None).await;
    let mut reader = find(cache, "/a").await.unwrap();
    fill.write_body(Bytes::from_static(b"ab"), false)
        .await
        .unwrap();
    assert_eq!(reader.read_body().await.unwrap().unwrap(), "ab");
    fill.write_body(Bytes::from_static(b"cd"), false)
        .await
        .unwrap();
    fill.finish().await.unwrap();
    assert_eq!(read(&mut reader).await.unwrap(), b"cd");
    assert_eq!(
        read(&mut find(cache, "/a").await.unwrap()).await.unwrap(),
        b"abcd"
    );
}

#[tokio::test]
async fn a_failed_fill_is_an_error_and_leaves_nothing() {
    let cache = cache(1 << 20);
    let mut fill = begin(cache, "/a", None).await;
    fill.write_body(Bytes::from_static(b"ab"), false)
        .await
        .unwrap();
    let mut reader = find(cache, "/a").await.unwrap();
    drop(fill);
    assert!(read(&mut reader).await.is_err());
    assert!(find(cache, "/a").await.is_none());
    drop(reader);
    assert_eq!((cache.usage().bytes, cache.usage().failed), (0, 1));
}

/// Nothing was thrown away before.
const FIRST: Worth = Worth {
    little: 100,
    wasted: 0,
};

/// Whether a fill of which `arrived` bytes are there ends when its viewer leaves.
async fn ends_when_left(
    worth: Worth,
    length: Option<usize>,
    arrived: usize,
    others: usize,
) -> bool {
    let cache = cache(1 << 20);
    let mut fill = begin(cache, "/a", length).await;
    let piece = Bytes::from(vec![1; arrived]);
    fill.write_body(piece, false).await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..=others {
        readers.push(find(cache, "/a").await.unwrap());
    }
    let viewer = readers[0].as_any().downcast_ref::<Reader>().unwrap();
    let thrown_away = viewer.leave(worth);
    assert_eq!(viewer.leave(worth), None, "once");
    let ended = thrown_away.is_some();
    assert!(!ended || thrown_away == Some(arrived));
    for reader in &mut readers {
        let first = reader.read_body().await;
        assert_eq!(first.is_err(), ended);
    }
    let is_there = find(cache, "/a").await.is_some();
    assert_eq!(is_there, !ended, "nobody joins a fill that has ended");
    drop(fill);
    assert_eq!(
        cache.usage().failed,
        u64::from(!ended),
        "no fault of a parent"
    );
    ended
}

#[tokio::test]
async fn a_fill_that_nobody_reads_ends_when_more_of_it_is_missing_than_there() {
    assert!(ends_when_left(FIRST, Some(1000), 400, 0).await);
    assert!(
        !ends_when_left(FIRST, Some(1000), 400, 1).await,
        "somebody else reads"
    );
    assert!(
        !ends_when_left(FIRST, Some(1000), 500, 0).await,
        "half is there"
    );
    assert!(
        !ends_when_left(FIRST, Some(150), 50, 0).await,
        "100 are missing"
    );
    assert!(ends_when_left(FIRST, Some(152), 51, 0).await);
    assert!(
        !ends_when_left(FIRST, None, 100, 0).await,
        "it may end soon"
    );
    assert!(ends_when_left(FIRST, None, 101, 0).await);
}

#[test]
fn what_comes_from_a_disk_is_copied_out_of_the_buffer_that_it_was_read_into() {
    const PIECE: usize = 300_000;
    let cache = cache(8 << 20);
    for (source, shares) in [(Source::Disk, false), (Source::Parent, true)] {
        let meta = Meta::keep(&meta(Some(2 * PIECE)));
        let object = cache.object(at("/a").combined_bin(), meta, 0, source);
        let buffer = Bytes::from(vec![7; 1 << 20]);
        for n in 0..2 {
            object.append(n * PIECE, buffer.slice(n * PIECE..(n + 1) * PIECE));
        }
        object.complete(2 * PIECE);
        assert_eq!(object.pieces().concat(), &buffer[..2 * PIECE]);
        assert_eq!(!buffer.is_unique(), shares, "{source:?}");
    }
}

#[tokio::test]
async fn what_was_thrown_away_of_an_object_makes_its_rest_worth_more() {
    let again = Worth {
        wasted: 300,
        ..FIRST
    };
    assert!(ends_when_left(again, Some(1000), 349, 0).await);
    assert!(!ends_when_left(again, Some(1000), 350, 0).await);
    assert!(ends_when_left(again, Some(450), 49, 0).await);
    assert!(!ends_when_left(again, Some(450), 50, 0).await);
    assert!(!ends_when_left(again, None, 400, 0).await);
    assert!(ends_when_left(again, None, 401, 0).await);
}

#[tokio::test]
async fn a_viewer_who_had_the_part_that_it_wanted_has_not_left() {
    let cache = cache(1 << 20);
    let mut fill = begin(cache, "/a", Some(1000)).await;
    fill.write_body(Bytes::from_static(b"abcd"), false)
        .await
        .unwrap();
    let mut viewer = find(cache, "/a").await.unwrap();
    viewer.seek(1, Some(3)).unwrap();
    assert_eq!(read(&mut viewer).await.unwrap(), b"bc");
    let viewer = viewer.as_any().downcast_ref::<Reader>().unwrap();
    assert_eq!(viewer.leave(FIRST), None);
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_not_stored() {
    let cache = cache(1 << 20);
    for written in [2, 4] {
        let mut fill = begin(cache, "/a", Some(3)).await;
        let mut reader = find(cache, "/a").await.unwrap();
        fill.write_body(Bytes::from(vec![1; written]), false)
            .await
            .unwrap();
        assert!(fill.finish().await.is_err());
        assert!(read(&mut reader).await.is_err());
        assert!(find(cache, "/a").await.is_none());
    }
}

#[tokio::test]
async fn a_failed_refill_leaves_the_stored_object() {
    let cache = cache(1 << 20);
    store(cache, "/a", 5).await;
    let fill = begin(cache, "/a", None).await;
    drop(fill);
    assert_eq!(
        read(&mut find(cache, "/a").await.unwrap())
            .await
            .unwrap()
            .len(),
        5
    );
}

#[tokio::test]
async fn any_range_of_a_body_in_many_pieces_is_exact() {
    let cache = cache(8 << 20);
    let body: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
    let mut fill = begin(cache, "/a", Some(body.len())).await;
    for piece in body.chunks(65_537) {
        fill.write_body(Bytes::copy_from_slice(piece), false)
            .await
            .unwrap();
    }
    let mut during = find(cache, "/a").await.unwrap();
    fill.finish().await.unwrap();
    let mut after = find(cache, "/a").await.unwrap();
    for (start, end) in [
        (0, 1),
        (65_536, 65_538),
        (262_143, 262_145),
        (1, 700_001),
        (700_000, 700_001),
    ] {
        for reader in [&mut during, &mut after] {
            reader.seek(start, Some(end)).unwrap();
            assert_eq!(
                read(reader).await.unwrap(),
                body[start..end],
                "{start}..{end}"
            );
        }
    }
    assert!(after.seek(body.len(), None).is_err());
}

#[tokio::test]
async fn a_purged_fill_is_finished_and_not_stored() {
    let cache = cache(1 << 20);
    let mut fill = begin(cache, "/a", None).await;
    let mut reader = find(cache, "/a").await.unwrap();
    assert!(cache.purge(&at("/a")).await.unwrap());
    assert!(find(cache, "/a").await.is_none());
    let trace = Span::inactive().handle();
    let (key, tag) = (at("/a"), fill.streaming_write_tag());
    let own = cache.lookup_streaming_write(&key, tag, &trace).await;
    assert!(
        own.unwrap().is_some(),
        "the one who fills finds its own fill"
    );
    fill.write_body(Bytes::from_static(b"ab"), false)
        .await
        .unwrap();
    fill.finish().await.unwrap();
    assert_eq!(read(&mut reader).await.unwrap(), b"ab");
    assert!(find(cache, "/a").await.is_none());
    assert!(!cache.purge(&at("/a")).await.unwrap());
}

#[tokio::test]
async fn a_crawl_does_not_push_out_what_is_read_again() {
    let cache = cache(1 << 20);
    for n in 0..5 {
        store(cache, &format!("/hot/{n}"), 50_000).await;
    }
    for n in 0..200 {
        for hot in 0..5 {
            find(cache, &format!("/hot/{hot}")).await.unwrap();
        }
        store(cache, &format!("/crawl/{n}"), 50_000).await;
        assert!(cache.usage().bytes <= 1 << 20);
    }
    // Once regulars, they outlast a crawl during which nobody asks for them.
    for n in 200..210 {
        store(cache, &format!("/crawl/{n}"), 50_000).await;
    }
    for n in 0..5 {
        assert!(find(cache, &format!("/hot/{n}")).await.is_some(), "{n}");
    }
}

#[tokio::test]
async fn a_fill_that_finds_no_room_fails_and_frees_what_it_took() {
    let cache = cache(100_000);
    let mut first = begin(cache, "/a", None).await;
    first
        .write_body(Bytes::from(vec![1; 60_000]), false)
        .await
        .unwrap();
    let mut second = begin(cache, "/b", None).await;
    assert!(
        second
            .write_body(Bytes::from(vec![1; 60_000]), false)
            .await
            .is_err()
    );
    drop(second);
    first
        .write_body(Bytes::from(vec![1; 30_000]), false)
        .await
        .unwrap();
    first.finish().await.unwrap();
    assert_eq!(
        read(&mut find(cache, "/a").await.unwrap())
            .await
            .unwrap()
            .len(),
        90_000
    );
}

#[tokio::test]
async fn what_is_still_read_counts_until_it_is_let_go() {
    let cache = cache(100_000);
    store(cache, "/a", 80_000).await;
    let mut reader = find(cache, "/a").await.unwrap();
    cache.purge_all().await.unwrap();
    assert_eq!(read(&mut reader).await.unwrap().len(), 80_000);
    assert!(cache.usage().bytes > 80_000);
    drop(reader);
    assert_eq!(cache.usage().bytes, 0);
}

#[tokio::test]
async fn room_that_readers_hold_is_not_sought_by_giving_up_what_they_read() {
    let cache = cache(100_000);
    for n in 0..4 {
        store(cache, &format!("/held/{n}"), 18_000).await;
    }
    let mut readers = Vec::new();
    for n in 0..4 {
        readers.push(find(cache, &format!("/held/{n}")).await.unwrap());
    }
    store(cache, "/free", 10_000).await;
    let trace = Span::inactive().handle();
    let (key, large) = (at("/cold"), meta(Some(30_000)));
    for _ in 0..3 {
        let refused = cache.get_miss_handler(&key, &large, &trace).await;
        assert!(refused.is_err(), "there is no room for 30000 bytes");
    }
    assert!(find(cache, "/free").await.is_some(), "it is not enough");
    store(cache, "/small", 9_000).await;
    assert!(find(cache, "/free").await.is_none(), "it is enough");
    for n in 0..4 {
        assert!(find(cache, &format!("/held/{n}")).await.is_some(), "{n}");
    }
    drop(readers);
    store(cache, "/cold", 30_000).await;
    assert!(find(cache, "/cold").await.is_some());
}

#[tokio::test]
async fn a_fill_takes_its_announced_length_ahead_and_returns_what_it_did_not_use() {
    let cache = cache(100_000);
    let mut fill = begin(cache, "/a", Some(60_000)).await;
    let reader = find(cache, "/a").await.unwrap();
    assert_eq!(cache.usage().bytes, 63_072);
    fill.write_body(Bytes::from(vec![1; 1_000]), false)
        .await
        .unwrap();
    assert_eq!(cache.usage().bytes, 63_072);
    drop(fill);
    assert_eq!(cache.usage().bytes, 4_072);
    drop(reader);
    assert_eq!(cache.usage().bytes, 0);
    store(cache, "/a", 60_000).await;
    assert_eq!(cache.usage().bytes, 63_072);
}
