//! What becomes of an upload over tus that was left whole: by a process that died, or that could not join it.

use super::*;
use crate::{
    tus,
    upload::streams::{Kind, Piece, Running, Stream},
};

/// An upload whose last bytes have just been set down, by a process that is no more.
async fn left(house: &House) -> Upload {
    left_in(house, &[FILM.len()]).await
}

/// The same in pieces of these lengths.
async fn left_in(house: &House, lengths: &[usize]) -> Upload {
    let video = VideoId::parse("left").unwrap();
    let new = NewVideo {
        id: video.clone(),
        title: "left".to_owned(),
        privacy: Privacy::Public,
        protected: false,
    };
    house.videos.create(new).await.unwrap();
    let upload = Upload {
        id: UploadId::parse("left").unwrap(),
        way: Way::Stream,
        original: layout::original(&video, "mp4").unwrap(),
        video,
        sha256: None,
        ..house.upload.clone()
    };
    let stream = Stream {
        upload: upload.clone(),
        kind: Kind::Whole,
        arrived_bytes: 0,
        running: Some(Running::default()),
        metadata: String::new(),
        parts: Vec::new(),
        became: None,
    };
    house
        .streams
        .create(&stream, LONG_AGO)
        .await
        .unwrap()
        .unwrap();
    let (mut pieces, mut at) = (Vec::new(), 0);
    for length in lengths {
        let start_bytes = at as u64;
        let piece = Piece {
            start_bytes,
            size_bytes: *length as u64,
            object: layout::piece_from(&upload.id, start_bytes, [0; 8]),
        };
        let bytes = Bytes::from_static(&FILM[at..at + length]);
        house.inner.put(&piece.object, bytes).await.unwrap();
        pieces.push(piece);
        at += length;
    }
    let mut running = Running::default();
    running.add(FILM);
    let streams = &house.streams;
    let added = streams.append(&upload.id, 0, &pieces, &running, LONG_AGO);
    assert!(added.await.unwrap());
    upload
}

async fn state(house: &House) -> Option<State> {
    let id = UploadId::parse("left").unwrap();
    let found = house.uploads.find(&id).await.unwrap();
    found.map(|upload| upload.state)
}

#[tokio::test]
async fn an_upload_that_was_left_whole_is_finished_by_whoever_finds_it() {
    let house = House::new().await;
    let upload = left(&house).await;
    tus::take_up(&house.app(house.store())).await;
    assert_eq!(state(&house).await, Some(State::Complete));
    let original = house.inner.read(&upload.original).await.unwrap();
    assert_eq!(original.as_deref(), Some(FILM));
    let piece = layout::piece_from(&upload.id, 0, [0; 8]);
    assert_eq!(house.inner.size(&piece).await.unwrap(), None);
    let video = house.videos.find(&upload.video).await.unwrap().unwrap();
    assert_eq!(video.state.as_str(), "processing");
}

#[tokio::test]
async fn an_upload_for_which_there_is_no_room_is_finished_later() {
    let house = House::new().await;
    let upload = left(&house).await;
    let (tries, key) = (Arc::new(AtomicU32::new(0)), upload.original.clone());
    let app = || {
        let (tries, key) = (Arc::clone(&tries), key.clone());
        let mut store = house.store();
        store.join = hook(move || {
            let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            let full = store::Error::Full { key: key.clone() };
            async move { if first { Err(full) } else { Ok(()) } }
        });
        house.app(store)
    };
    tus::take_up(&app()).await;
    assert_eq!(state(&house).await, Some(State::Receiving));
    tus::take_up(&app()).await;
    assert_eq!(tries.load(Ordering::Relaxed), 1, "not before its time");
    house.streams.touch(&upload.id, LONG_AGO).await.unwrap();
    tus::take_up(&app()).await;
    assert_eq!(state(&house).await, Some(State::Complete));
}

#[tokio::test]
async fn an_upload_waits_for_a_store_that_is_away_and_is_finished_when_it_is_back() {
    let house = House::new().await;
    let upload = left(&house).await;
    let (store, away) = (
        house.folder.path().join("store"),
        house.folder.path().join("away"),
    );
    std::fs::rename(&store, &away).unwrap();
    std::fs::create_dir(&store).unwrap();
    tus::take_up(&house.app(house.store())).await;
    assert_eq!(state(&house).await, Some(State::Receiving));
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
    house.streams.touch(&upload.id, LONG_AGO).await.unwrap();
    tus::take_up(&house.app(house.store())).await;
    assert_eq!(state(&house).await, Some(State::Complete));
}

#[tokio::test]
async fn an_upload_whose_bytes_the_store_lost_ends_with_a_reason() {
    let lost = "the store lost bytes of the upload; upload the film again";
    let house = House::new().await;
    let upload = left(&house).await;
    let piece = layout::piece_from(&upload.id, 0, [0; 8]);
    house.inner.delete(&piece).await.unwrap();
    let mut app = house.app(house.store());
    let until = upload.expires.plus(2 * 24 * 3600);
    Arc::get_mut(&mut app).unwrap().clock = Arc::new(Fixed::at(until));
    tus::take_up(&app).await;
    assert_eq!(state(&house).await, None);
    let video = house.videos.find(&upload.video).await.unwrap().unwrap();
    assert_eq!(video.failure.as_deref(), Some(lost));
}

#[tokio::test]
async fn an_upload_of_which_the_store_has_some_pieces_and_not_others_ends_at_once() {
    let house = House::new().await;
    let upload = left_in(&house, &[4, 2]).await;
    let last = layout::piece_from(&upload.id, 4, [0; 8]);
    house.inner.delete(&last).await.unwrap();
    tus::take_up(&house.app(house.store())).await;
    assert_eq!(state(&house).await, None);
}

#[tokio::test]
async fn an_upload_that_was_read_wrongly_once_becomes_a_film() {
    let house = House::new().await;
    let upload = left(&house).await;
    let mut store = house.store();
    let (key, promised) = (upload.original, Digest::of(FILM));
    store.join = failing_once(move || store::Error::DigestMismatch {
        key: key.clone(),
        promised,
        found: Digest::of(b"misread"),
    });
    tus::take_up(&house.app(store)).await;
    assert_eq!(state(&house).await, Some(State::Complete));
}

#[tokio::test]
async fn an_upload_that_is_read_otherwise_each_time_is_kept_until_it_is_read_alike() {
    let house = House::new().await;
    let upload = left(&house).await;
    let (reads, key) = (AtomicU32::new(0), upload.original.clone());
    let mut store = house.store();
    store.join = hook(move || {
        let read = reads.fetch_add(1, Ordering::Relaxed);
        let misread = store::Error::DigestMismatch {
            key: key.clone(),
            promised: Digest::of(FILM),
            // Another one each time, and then twice the same.
            found: Digest::of(&[read.min(2).to_le_bytes()[0]]),
        };
        async move { Err(misread) }
    });
    let app = house.app(store);
    tus::take_up(&app).await;
    assert_eq!(state(&house).await, Some(State::Receiving));
    let piece = layout::piece_from(&upload.id, 0, [0; 8]);
    assert!(house.inner.size(&piece).await.unwrap().is_some());
    house.streams.touch(&upload.id, LONG_AGO).await.unwrap();
    tus::take_up(&app).await;
    assert_eq!(state(&house).await, None);
}

#[tokio::test]
async fn an_upload_is_not_given_up_because_the_store_is_away() {
    let house = House::new().await;
    let upload = left_in(&house, &[4, 2]).await;
    let last = layout::piece_from(&upload.id, 4, [0; 8]);
    house.inner.delete(&last).await.unwrap();
    let mut store = house.store();
    store.ping = hook(async || {
        Err(store::Error::Absent {
            place: "the bucket films".to_owned(),
            hint: "make it",
        })
    });
    tus::take_up(&house.app(store)).await;
    assert_eq!(state(&house).await, Some(State::Receiving));
}

const LONG_AGO: UnixSeconds = UnixSeconds(0);
