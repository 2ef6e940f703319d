//! What publishers hear while the store or the catalogue is away.

use super::*;

#[tokio::test]
async fn while_the_store_is_away_a_chunk_is_wanted_once_more_and_counts_then() {
    let house = House::new().await;
    let mut store = house.store();
    store.commit = Arc::new(failing_once(away));
    let app = house.app(store);
    wants_it_again(&sent(&app).await);
    assert_eq!(sent(&app).await.status(), 200);
}

#[tokio::test]
async fn while_the_catalogue_is_away_everything_is_wanted_once_more() {
    let house = House::new().await;
    let app = house.app(house.store());
    house.catalog.connection().close_by_ref().await.unwrap();
    wants_it_again(&sent(&app).await);
    let (id, any) = (Named("u".to_owned()), Caller::Any.into());
    let shown = life::show(With(Arc::clone(&app)), any, id).await;
    wants_it_again(&shown.into_response());
}

#[test]
fn what_is_damaged_does_not_come_back() {
    let (table, column) = ("uploads", "state");
    let damaged = Problem::from(Error::Corrupt { table, column }).into_response();
    assert_eq!(damaged.status(), 500);
    assert!(!damaged.headers().contains_key("retry-after"));
}

fn away() -> store::Error {
    store::Error::Io {
        subject: "films".to_owned(),
        action: "writing",
        source: std::io::Error::other("connection refused"),
    }
}

fn wants_it_again(answer: &Response) {
    let problem = answer.extensions().get::<Problem>();
    assert_eq!(problem.map(Problem::kind), Some("unavailable"));
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
}
