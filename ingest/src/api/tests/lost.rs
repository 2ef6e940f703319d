//! What must not be lost when two processes are at one upload.

use super::*;

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
