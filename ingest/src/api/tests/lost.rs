//! What must not be lost when two processes are at one upload.

use super::*;
use crate::upload::abandon::abandon;

#[tokio::test]
async fn a_chunk_whose_place_is_forgotten_while_it_is_stored_counts_and_takes_no_other_with_it() {
    let house = House::new().await;
    let id = house.upload.id.clone();
    let other = layout::chunk(&id, 7);
    let bytes = Bytes::from_static(FILM);
    house.inner.put(&other, bytes).await.unwrap();
    let digest = Digest::of(FILM);
    house.uploads.claim(&id, 7, &digest).await.unwrap();
    assert!(house.uploads.stored(&id, 7).await.unwrap());
    let mut store = house.store();
    let uploads = Arc::clone(&house.uploads);
    store.commit = Arc::new(hook(move || {
        let (uploads, id) = (Arc::clone(&uploads), id.clone());
        async move {
            // Another process has found an earlier copy of the same bytes spoilt.
            uploads.forget(&id, 0).await.unwrap();
            Ok(())
        }
    }));
    assert_eq!(put(&house.app(store)).await, 200);
    let chunks = house.uploads.chunks(&house.upload.id).await.unwrap();
    let stored: Vec<_> = chunks.iter().map(|c| (c.index, c.stored)).collect();
    assert_eq!(stored, [(0, true), (7, true)]);
    for key in [layout::chunk(&house.upload.id, 0), other] {
        let there = house.inner.read(&key).await.unwrap();
        assert_eq!(there.as_deref(), Some(FILM), "{key}");
    }
}

#[tokio::test]
async fn a_film_that_was_completed_while_it_was_cancelled_does_not_fail() {
    let house = House::new().await;
    let app = house.app(house.store());
    assert_eq!(put(&app).await, 200);
    (house.completed_elsewhere())().await.unwrap();
    // What was found of it before still received.
    let (uploads, late) = (&*app.uploads, &house.upload);
    let removed = abandon(uploads, &app.publishing, late, "late", UnixSeconds(5));
    assert!(!removed.await.unwrap());
    assert_eq!(house.failure().await, None);
    assert_eq!(house.found().await.unwrap().state, State::Complete);
}

#[tokio::test]
async fn an_upload_lasts_while_it_is_joined() {
    let house = House::new().await;
    let mut store = house.store();
    let (uploads, id) = (Arc::clone(&house.uploads), house.upload.id.clone());
    store.join = hook(move || {
        let (uploads, id) = (Arc::clone(&uploads), id.clone());
        async move {
            // Joining takes until its time would have been over.
            while uploads.find(&id).await.unwrap().unwrap().expires < UnixSeconds(1050) {
                tokio::task::yield_now().await;
            }
            Ok(())
        }
    });
    let mut app = house.app(store);
    assert_eq!(put(&app).await, 200);
    Arc::get_mut(&mut app).unwrap().clock = Arc::new(Fixed::at(UnixSeconds(990)));
    assert_eq!(complete(&app).await, 202);
}

#[tokio::test]
async fn a_whole_that_is_another_than_promised_is_put_together_once() {
    let house = House::untold().await;
    let (count, joins) = counting();
    let mut store = house.store();
    store.join = count;
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    for guess in [b"one", b"two", b"six"] {
        assert_eq!(complete_as(&app, whole(guess)).await, 422);
    }
    assert_eq!(joins.load(Ordering::Relaxed), 1);
    assert_eq!(complete_as(&app, whole(FILM)).await, 202);
}

/// As a join tells that read other bytes than there are.
fn misread() -> store::Error {
    store::Error::DigestMismatch {
        key: layout::original(&VideoId::parse("v").unwrap(), "mp4").unwrap(),
        promised: Digest::of(FILM),
        found: Digest::of(b"misread"),
    }
}

#[tokio::test]
async fn a_whole_that_was_read_wrongly_once_is_completed_all_the_same() {
    let house = House::untold().await;
    let mut store = house.store();
    store.join = failing_once(misread);
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(complete_as(&app, whole(FILM)).await, 202);
}

#[tokio::test]
async fn what_a_store_makes_of_a_whole_that_it_reads_wrongly_is_not_held_against_it() {
    let house = House::untold().await;
    let mut store = house.store();
    store.join = hook(async || Err(misread()));
    let mut app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(complete_as(&app, whole(FILM)).await, 503);
    assert_eq!(house.uploads.made(&house.upload.id).await.unwrap(), None);
    app = house.app(house.store());
    assert_eq!(complete_as(&app, whole(FILM)).await, 202);
}

#[tokio::test]
async fn what_went_straight_to_the_store_and_was_read_wrongly_once_is_completed_all_the_same() {
    let house = House::untold().await;
    let id = &house.upload.id;
    house.uploads.go_direct(id, "name").await.unwrap();
    let mut store = house.store();
    (store.sent, store.misreads) = (Some(FILM), AtomicU32::new(1));
    let app = house.app(store);
    assert_eq!(complete_as(&app, whole(FILM)).await, 202);
}

#[tokio::test]
async fn a_wrong_digest_of_what_went_straight_to_the_store_may_be_put_right() {
    let house = House::untold().await;
    let id = &house.upload.id;
    house.uploads.go_direct(id, "name").await.unwrap();
    let mut store = house.store();
    store.sent = Some(FILM);
    let app = house.app(store);
    assert_eq!(complete_as(&app, whole(b"another")).await, 422);
    let made = house.uploads.made(id).await.unwrap();
    assert_eq!(made, Some(Digest::of(FILM)));
    assert_eq!(complete_as(&app, whole(FILM)).await, 202);
}

#[tokio::test]
async fn no_chunk_is_forgotten_because_the_store_is_away() {
    let house = House::new().await;
    let mut store = house.store();
    // Of a bucket that is not there some servers say the same as of its objects.
    store.ping = hook(async || {
        Err(store::Error::Absent {
            place: "the bucket films".to_owned(),
            hint: "make it",
        })
    });
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    let chunk = layout::chunk(&house.upload.id, 0);
    house.inner.delete(&chunk).await.unwrap();
    assert_eq!(complete(&app).await, 503);
    let chunks = house.uploads.chunks(&house.upload.id).await.unwrap();
    assert!(chunks.iter().all(|chunk| chunk.stored) && chunks.len() == 1);
    let film = Bytes::from_static(FILM);
    house.inner.put(&chunk, film).await.unwrap();
    assert_eq!(complete(&house.app(house.store())).await, 202);
}
