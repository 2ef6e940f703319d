//! The promises of a store, as tests that any adapter runs against its real engine.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a broken promise ends the test that found it"
)]

use bytes::Bytes;

use super::{Part, Store};
use crate::{Digest, Error, Key};

/// Runs every promise against `port`, which should be empty, and panics at the first that is
/// broken. What it writes lies under `conformance/`.
pub async fn all(port: &dyn Store) {
    absent_is_not_an_error(port).await;
    what_was_put_is_read_back(port).await;
    ranges_are_exact(port).await;
    a_put_replaces(port).await;
    a_writer_is_seen_only_once_committed(port).await;
    a_file_is_stored_and_fetched(port).await;
    what_was_fetched_may_be_stored_where_it_came_from(port).await;
    an_object_is_read_through_for_its_digest(port).await;
    parts_join_in_order(port).await;
    a_join_that_cannot_be_stores_nothing(port).await;
    deletes_remove_and_may_be_repeated(port).await;
    port.delete_prefix(&key("conformance")).await.unwrap();
}

async fn absent_is_not_an_error(port: &dyn Store) {
    port.ping().await.unwrap();
    let absent = key("conformance/absent/object");
    assert_eq!(port.read(&absent).await.unwrap(), None);
    assert_eq!(port.read_range(&absent, 0..1).await.unwrap(), None);
    assert_eq!(port.size(&absent).await.unwrap(), None);
    port.delete(&absent).await.unwrap();
    port.delete_prefix(&absent).await.unwrap();
    let folder = tempdir();
    assert!(!port.fetch(&absent, &folder.0.join("x")).await.unwrap());
}

async fn what_was_put_is_read_back(port: &dyn Store) {
    for (name, bytes) in [("empty", Bytes::new()), ("full", pattern(100_000))] {
        let key = key(&format!("conformance/put/{name}"));
        port.put(&key, bytes.clone()).await.unwrap();
        assert_eq!(port.size(&key).await.unwrap(), Some(bytes.len() as u64));
        assert_eq!(port.read(&key).await.unwrap(), Some(bytes));
    }
    let folder = key("conformance/put");
    assert_eq!(port.read(&folder).await.unwrap(), None, "a prefix is none");
    assert_eq!(port.size(&folder).await.unwrap(), None, "a prefix is none");
}

async fn ranges_are_exact(port: &dyn Store) {
    let (key, bytes) = (key("conformance/range"), pattern(1000));
    port.put(&key, bytes.clone()).await.unwrap();
    for (from, to) in [(0_usize, 1000_usize), (0, 1), (999, 1000), (500, 500)] {
        let read = port.read_range(&key, from as u64..to as u64).await.unwrap();
        assert_eq!(read, Some(bytes.slice(from..to)), "{from}..{to}");
    }
    for range in [0..1001_u64, 1000..1001, 5000..6000] {
        let read = port.read_range(&key, range.clone()).await;
        assert!(matches!(read, Err(Error::Corrupt { .. })), "{range:?}");
    }
}

async fn a_put_replaces(port: &dyn Store) {
    let key = key("conformance/replace");
    port.put(&key, pattern(5000)).await.unwrap();
    port.put(&key, Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(port.read(&key).await.unwrap().unwrap(), "new");
}

async fn a_writer_is_seen_only_once_committed(port: &dyn Store) {
    let (key, bytes) = (key("conformance/writer"), pattern(700_000));
    let mut dropped = port.writer(&key).await.unwrap();
    dropped.write(bytes.clone()).await.unwrap();
    drop(dropped);
    assert_eq!(port.size(&key).await.unwrap(), None, "dropped");

    let mut writer = port.writer(&key).await.unwrap();
    for piece in bytes.chunks(33_333) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert_eq!(port.size(&key).await.unwrap(), None, "not yet");
    assert_eq!(writer.written().size_bytes, 700_000);
    assert_eq!(writer.written().sha256, Digest::of(&bytes));
    writer.commit().await.unwrap();
    assert_eq!(port.read(&key).await.unwrap(), Some(bytes));
}

async fn a_file_is_stored_and_fetched(port: &dyn Store) {
    let (key, bytes) = (key("conformance/file"), pattern(300_000));
    let folder = tempdir();
    let (given, got) = (folder.0.join("given"), folder.0.join("got"));
    std::fs::write(&given, &bytes).unwrap();
    port.put_file(&key, &given).await.unwrap();
    assert!(!given.exists(), "it was given away");
    assert_eq!(port.read(&key).await.unwrap().unwrap(), bytes);
    assert!(port.fetch(&key, &got).await.unwrap());
    assert_eq!(std::fs::read(&got).unwrap(), bytes);
    assert!(port.fetch(&key, &got).await.is_err(), "it exists already");
}

async fn what_was_fetched_may_be_stored_where_it_came_from(port: &dyn Store) {
    let (key, bytes) = (key("conformance/again"), pattern(1000));
    port.put(&key, bytes.clone()).await.unwrap();
    let folder = tempdir();
    let got = folder.0.join("got");
    assert!(port.fetch(&key, &got).await.unwrap());
    port.put_file(&key, &got).await.unwrap();
    assert!(!got.exists(), "it was given away");
    assert_eq!(port.read(&key).await.unwrap().unwrap(), bytes);
}

async fn an_object_is_read_through_for_its_digest(port: &dyn Store) {
    let (key, absent) = (key("conformance/digest"), key("conformance/absent"));
    for size in [0, 1, (4 << 20) + 1] {
        let bytes = pattern(size);
        port.put(&key, bytes.clone()).await.unwrap();
        let found = port.digest(&key).await.unwrap().unwrap();
        assert_eq!(found.size_bytes, u64::from(size));
        assert_eq!(found.sha256, Digest::of(&bytes));
    }
    assert_eq!(port.digest(&absent).await.unwrap(), None);
}

async fn parts_join_in_order(port: &dyn Store) {
    let bytes = pattern(600_001);
    let mut parts = Vec::new();
    for (index, piece) in bytes.chunks(250_000).enumerate() {
        let key = key(&format!("conformance/parts/{index}"));
        port.put(&key, Bytes::copy_from_slice(piece)).await.unwrap();
        let size_bytes = piece.len() as u64;
        parts.push(Part { key, size_bytes });
    }
    let whole = key("conformance/whole");
    let joined = port.join(&parts, &whole, &Digest::of(&bytes)).await;
    assert_eq!(joined.unwrap(), 600_001);
    assert_eq!(port.read(&whole).await.unwrap().unwrap(), bytes);
    assert!(port.size(&parts[0].key).await.unwrap().is_some(), "kept");
}

async fn a_join_that_cannot_be_stores_nothing(port: &dyn Store) {
    let (part, whole) = (key("conformance/part"), key("conformance/refused"));
    port.put(&part, pattern(10)).await.unwrap();
    let of = |key: &Key, size_bytes| Part {
        key: key.clone(),
        size_bytes,
    };
    let right = Digest::of(&pattern(10));

    let wrong_digest = port
        .join(&[of(&part, 10)], &whole, &Digest::of(b"else"))
        .await;
    let error = wrong_digest.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { found, .. } if found == right));
    let wrong_size = port.join(&[of(&part, 11)], &whole, &right).await;
    assert!(matches!(wrong_size, Err(Error::Corrupt { .. })));
    let parts = [of(&part, 10), of(&key("conformance/nowhere"), 1)];
    let missing = port.join(&parts, &whole, &right).await;
    assert!(matches!(missing, Err(Error::PartMissing { key }) if key == parts[1].key));
    assert_eq!(port.size(&whole).await.unwrap(), None);
}

async fn deletes_remove_and_may_be_repeated(port: &dyn Store) {
    let (one, other, beside) = (
        key("conformance/gone/a"),
        key("conformance/gone/deep/b"),
        key("conformance/gone-not"),
    );
    for key in [&one, &other, &beside] {
        port.put(key, pattern(1)).await.unwrap();
    }
    for _ in 0..2 {
        port.delete(&one).await.unwrap();
    }
    assert_eq!(port.size(&one).await.unwrap(), None);
    assert!(port.size(&other).await.unwrap().is_some());
    for _ in 0..2 {
        port.delete_prefix(&key("conformance/gone")).await.unwrap();
    }
    assert_eq!(port.size(&other).await.unwrap(), None);
    assert!(port.size(&beside).await.unwrap().is_some(), "another name");
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Bytes in which no shift and no swap goes unnoticed.
fn pattern(size: u32) -> Bytes {
    (0..size)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
        .collect()
}

/// A folder of this machine for local files, removed when dropped.
struct TempDir(std::path::PathBuf);

fn tempdir() -> TempDir {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "store-conformance-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    TempDir(path)
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
