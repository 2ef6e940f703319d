//! What is left in the store of what has ended is removed, however that failed at first.

use super::*;

#[tokio::test]
async fn the_parts_of_a_film_that_could_not_be_removed_are_removed_later() {
    let house = House::new().await;
    let mut store = house.store();
    let key = house.upload.original.clone();
    store.delete = failing_once(move || store::Error::Full { key: key.clone() });
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(complete(&app).await, 202);
    let chunk = layout::chunk(&house.upload.id, 0);
    let there = async || house.inner.size(&chunk).await.unwrap().is_some();
    assert!(there().await, "it could not be removed");
    let sweep = sweep(&app);
    sweep.run(UnixSeconds(5)).await.unwrap();
    assert!(!there().await);
    assert_eq!(house.uploads.leftovers(9).await.unwrap(), []);
    let original = house.inner.read(&house.upload.original).await.unwrap();
    assert_eq!(original.as_deref(), Some(FILM));
}

#[tokio::test]
async fn a_store_that_hangs_while_a_film_is_removed_keeps_nobody_waiting_for_the_catalogue() {
    let house = House::new().await;
    let mut store = house.store();
    store.delete = hook(std::future::pending);
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(cancel(Arc::clone(&app)).await, 204, "it is given up");
    let change = app.publishing.texts.change(&house.upload.video).await;
    assert!(change.is_ok(), "others have their turn");
}
