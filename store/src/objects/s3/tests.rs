//! What a bucket does beyond what all stores promise: parts, digests, credentials.

use std::fs;
use std::net::TcpStream;

use test_s3::{KEY_ID, SECRET, Server};

use super::*;
use crate::objects::conformance;

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Too much for one part.
fn long() -> Bytes {
    let mut bytes = vec![0; 9 << 20];
    for (at, block) in (0_u8..=250).cycle().zip(bytes.chunks_mut(4096)) {
        block.fill(at);
    }
    bytes.into()
}

/// What is given up is removed by a task of its own.
async fn nothing_under_way(server: &Server) {
    let gone = async {
        while server.under_way() != (0, 0) {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(60), gone).await;
    assert!(gone.is_ok(), "{:?} are left", server.under_way());
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut told = format!("{error:?} {error}");
    let mut next = error.source();
    while let Some(source) = next {
        told = format!("{told} {source:?} {source}");
        next = source.source();
    }
    told
}

#[tokio::test]
async fn a_bucket_keeps_the_promises_of_a_store() {
    let server = Server::start();
    let store = crate::open(&server.store()).unwrap();
    conformance::all(&*store).await;
    assert_eq!(server.under_way(), (0, 0));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_apart_from_a_server_that_is_not() {
    let server = Server::start();
    let there = crate::open(&server.store()).unwrap();
    there.ping().await.unwrap();
    let absent = server.store_in("no-such-bucket", &server.key());
    let absent = crate::open(&absent).unwrap().ping().await;
    assert!(matches!(absent, Err(Error::Absent { .. })), "{absent:?}");
    let wrong = tempfile::NamedTempFile::new().unwrap();
    fs::write(&wrong, format!("{KEY_ID} another-s3cret")).unwrap();
    let wrong = server.store_in(&server.bucket(), wrong.path());
    let refused = crate::open(&wrong).unwrap().ping().await.unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
    let silent = crate::open(&server.store()).unwrap();
    let address = server.address();
    drop(server);
    // It ends behind our back.
    while TcpStream::connect(address).is_ok() {}
    let silent = silent.ping().await.unwrap_err();
    assert!(matches!(silent, Error::Io { .. }), "{silent:?}");
    let told = chain(&silent);
    assert!(told.contains("refused") && !told.contains(SECRET), "{told}");
    assert!(!chain(&refused).contains("another-s3cret"));
}

#[tokio::test]
async fn a_long_object_goes_in_parts_and_is_whole_or_not_there() {
    let server = Server::start();
    let store = crate::open(&server.store()).unwrap();
    let (bytes, folder) = (long(), tempfile::tempdir().unwrap());

    let mut writer = store.writer(&key("long")).await.unwrap();
    for piece in bytes.chunks(3_000_001) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert_eq!(server.under_way().0, 1, "it goes in parts");
    assert_eq!(store.size(&key("long")).await.unwrap(), None);
    writer.commit().await.unwrap();
    assert_eq!(store.read(&key("long")).await.unwrap().unwrap(), bytes);

    let part = |from: usize, to: usize| {
        let (key, bytes) = (key(&format!("part/{from}")), bytes.slice(from..to));
        let size_bytes = bytes.len() as u64;
        (Part { key, size_bytes }, bytes)
    };
    let mut parts = Vec::new();
    for (part, bytes) in [part(0, 5_000_000), part(5_000_000, bytes.len())] {
        store.put(&part.key, bytes).await.unwrap();
        parts.push(part);
    }
    let wrong = store
        .join(&parts, &key("joined"), &Digest::of(b"else"))
        .await;
    assert!(matches!(wrong, Err(Error::DigestMismatch { .. })));
    assert_eq!(store.size(&key("joined")).await.unwrap(), None);
    nothing_under_way(&server).await;
    let joined = store
        .join(&parts, &key("joined"), &Digest::of(&bytes))
        .await;
    assert_eq!(joined.unwrap(), bytes.len() as u64);

    let local = folder.path().join("film");
    assert!(store.fetch(&key("joined"), &local).await.unwrap());
    assert_eq!(fs::read(&local).unwrap(), bytes);
    store.put_file(&key("stored"), &local).await.unwrap();
    let range = store.read_range(&key("stored"), 8_388_600..8_388_620).await;
    assert_eq!(range.unwrap().unwrap(), bytes[8_388_600..8_388_620]);
}

#[tokio::test]
async fn the_parts_of_what_is_given_up_go() {
    let server = Server::start();
    let store = crate::open(&server.store()).unwrap();
    let mut writer = store.writer(&key("long")).await.unwrap();
    writer.write(long()).await.unwrap();
    assert_eq!(server.under_way().0, 1);
    drop(writer);
    nothing_under_way(&server).await;
    assert_eq!(store.size(&key("long")).await.unwrap(), None);
}

#[tokio::test]
async fn what_the_bucket_spoilt_is_not_taken_for_what_was_stored() {
    let server = Server::start();
    let (bucket, folder) = (server.bucket(), tempfile::tempdir().unwrap());
    let store = crate::open(&server.store_in(&bucket, &server.key())).unwrap();
    store
        .put(&key("film"), Bytes::from_static(b"whole"))
        .await
        .unwrap();
    let object = server.root().join(bucket).join("house/film");
    fs::write(object, b"wh0le").unwrap();
    let read = store.read(&key("film")).await;
    assert!(
        matches!(read, Err(Error::DigestMismatch { .. })),
        "{read:?}"
    );
    let local = folder.path().join("film");
    let fetched = store.fetch(&key("film"), &local).await;
    assert!(matches!(fetched, Err(Error::DigestMismatch { .. })));
    assert!(!local.exists());
}

#[tokio::test]
async fn a_read_that_would_not_fit_is_refused_before_memory_is_taken() {
    let server = Server::start();
    let bucket = server.bucket();
    let store = crate::open(&server.store_in(&bucket, &server.key())).unwrap();
    let big = key("big");
    store.put(&big, Bytes::new()).await.unwrap();
    let sparse = fs::File::create(server.root().join(bucket).join("house/big")).unwrap();
    sparse.set_len(READ_LIMIT + 1).unwrap();
    let whole = store.read(&big).await;
    assert!(matches!(whole, Err(Error::TooLarge { .. })), "{whole:?}");
    let range = store.read_range(&big, 0..READ_LIMIT + 1).await;
    assert!(matches!(range, Err(Error::TooLarge { .. })), "{range:?}");
    let tail = store.read_range(&big, READ_LIMIT..READ_LIMIT + 1);
    assert_eq!(tail.await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn an_access_key_is_taken_anew_when_its_file_changes_and_never_told() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let bucket = server.bucket();
    for wrong in [
        format!("{KEY_ID} wrong-s3cret"),
        "nobodys-key-id wrong-s3cret wrong-t0ken".to_owned(),
    ] {
        fs::write(&file, &wrong).unwrap();
        let store = crate::open(&server.store_in(&bucket, &file)).unwrap();
        let error = store.put(&key("a"), Bytes::new()).await.unwrap_err();
        let told = chain(&error);
        for word in wrong.split(' ') {
            assert!(!told.contains(word), "{told}");
        }
        assert!(matches!(error, Error::Io { .. }), "{told}");
        // Whoever has the right to may mend it while the house runs.
        fs::write(&file, format!("{KEY_ID} {SECRET}")).unwrap();
        store.put(&key("a"), Bytes::new()).await.unwrap();
        // A broken one changes nothing.
        fs::write(&file, "x").unwrap();
        assert_eq!(store.size(&key("a")).await.unwrap(), Some(0));
    }
    let nowhere = server.store_in(&bucket, &folder.path().join("absent"));
    assert!(matches!(
        crate::open(&nowhere),
        Err(Error::Credentials { .. })
    ));
    assert!(matches!(
        crate::inspect(&nowhere),
        Err(Error::Credentials { .. })
    ));
    fs::write(&file, "only-s3cret").unwrap();
    let error = crate::inspect(&server.store_in(&bucket, &file)).unwrap_err();
    assert!(!chain(&error).contains("only-s3cret"));
}

#[tokio::test]
async fn parts_that_clients_put_themselves_become_an_object() {
    let server = Server::start();
    let store = crate::open(&server.store()).unwrap();
    let direct = store.direct().unwrap();
    let (film, bytes) = (key("film"), long());
    let name = direct.begin(&film).await.unwrap();
    let http = runtime::http::client().build().unwrap();
    let put = async |number: u32, bytes: Bytes| {
        let lasts = Duration::from_secs(60);
        let url = direct.invite(&film, &name, number, lasts).await.unwrap();
        assert!(!url.contains(SECRET), "{url}");
        let sent = http.put(url).body(bytes).send().await.unwrap();
        sent.status()
    };
    assert_eq!(put(2, bytes.slice(8 << 20..)).await, 200);
    // What comes again counts, not what came first.
    assert_eq!(put(1, Bytes::from_static(b"oops")).await, 200);
    assert_eq!(put(1, bytes.slice(..8 << 20)).await, 200);
    let parts = direct.arrived(&film, &name).await.unwrap();
    let sizes: Vec<_> = parts
        .iter()
        .map(|part| (part.number, part.size_bytes))
        .collect();
    assert_eq!(sizes, [(1, 8 << 20), (2, 1 << 20)]);
    assert_eq!(store.size(&film).await.unwrap(), None);
    direct.complete(&film, &name, &parts).await.unwrap();
    let whole = store.digest(&film).await.unwrap().unwrap();
    assert_eq!(whole.sha256, Digest::of(&bytes));

    assert!(direct.complete(&film, &name, &parts).await.is_err());
    assert_eq!(direct.arrived(&film, &name).await.unwrap(), []);
    let late = put(1, Bytes::from_static(b"late")).await;
    assert!(late.is_client_error(), "{late}");
    direct.abort(&film, &name).await.unwrap();
    assert_eq!(store.size(&film).await.unwrap(), Some(9 << 20));
}

#[tokio::test]
async fn of_what_clients_began_and_is_given_up_nothing_is_left() {
    let server = Server::start();
    let store = crate::open(&server.store()).unwrap();
    let (direct, film) = (store.direct().unwrap(), key("film"));
    let name = direct.begin(&film).await.unwrap();
    let lasts = Duration::from_secs(60);
    let url = direct.invite(&film, &name, 1, lasts).await.unwrap();
    let http = runtime::http::client().build().unwrap();
    let put = async |url: &str| http.put(url).body("part").send().await.unwrap().status();
    // Nobody who holds one address can make another of it.
    let other = url.replace("partNumber=1", "partNumber=2");
    assert_eq!(put(&other).await, 403);
    assert_eq!(put(&url).await, 200);
    assert_eq!(server.under_way(), (1, 1));
    for _ in 0..2 {
        direct.abort(&film, &name).await.unwrap();
        assert_eq!(server.under_way(), (0, 0));
    }
    assert!(put(&url).await.is_client_error());
    assert_eq!(server.under_way(), (0, 0));
}

#[tokio::test]
async fn what_the_server_does_not_give_up_is_not_given_up() {
    let server = Server::start();
    let store = crate::open(&server.store()).unwrap();
    let (direct, film) = (store.direct().unwrap(), key("film"));
    let name = direct.begin(&film).await.unwrap();
    server.keep_parts(true);
    let refused = direct.abort(&film, &name).await.unwrap_err();
    assert!(chain(&refused).contains("AccessDenied"), "{refused}");
    assert_eq!(server.under_way().0, 1);
    server.keep_parts(false);
    for _ in 0..2 {
        direct.abort(&film, &name).await.unwrap();
        assert_eq!(server.under_way().0, 0);
    }
}

#[tokio::test]
async fn what_writers_hold_in_memory_is_bounded_in_all() {
    let server = Server::start();
    let address = server.store();
    let address = address.trim_start_matches("s3://");
    let store = S3::open(&Address::parse(address).unwrap()).unwrap();
    let room = &store.bucket.room;
    let all = room.available_permits();
    let left = (10 << 20) / sending::GRAIN;
    let others = u32::try_from(all - left).unwrap();
    let others = Arc::clone(room).try_acquire_many_owned(others).unwrap();
    let some = long().slice(..6 << 20);
    let mut first = store.writer(&key("first")).await.unwrap();
    first.write(some.clone()).await.unwrap();
    let mut second = store.writer(&key("second")).await.unwrap();
    let refused = second.write(some.clone()).await;
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    drop(second);
    // Who has the bytes already is not held up.
    store.put(&key("put"), long()).await.unwrap();
    first.commit().await.unwrap();
    let mut second = store.writer(&key("second")).await.unwrap();
    second.write(some.clone()).await.unwrap();
    let refused = second.write(some).await;
    assert!(matches!(refused, Err(Error::Busy { .. })), "parts are more");
    drop((second, others));
    let mut parts = store.writer(&key("parts")).await.unwrap();
    parts.write(long()).await.unwrap();
    assert!(room.available_permits() < all);
    parts.commit().await.unwrap();
    assert_eq!(room.available_permits(), all);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_not_an_empty_one() {
    let server = Server::start();
    let address = server.store_in("another", &server.key());
    let store = crate::open(&address).unwrap();
    let told = |error: Error| assert!(chain(&error).contains("NoSuchBucket"), "{error}");
    told(store.read(&key("film")).await.unwrap_err());
    told(store.read_range(&key("film"), 0..1).await.unwrap_err());
    told(store.size(&key("film")).await.unwrap_err());
    let there = crate::open(&server.store()).unwrap();
    assert_eq!(there.read(&key("film")).await.unwrap(), None);
    assert_eq!(there.size(&key("film")).await.unwrap(), None);
}
