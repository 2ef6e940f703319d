//! What the feed promises where several processes order at once: in a file, and on a server.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something else than it wants must fail"
)]

use std::sync::Arc;

use catalog::Catalog;
use contracts::feed::{Order, Purge, Scope};
use contracts::id::FeedId;
use contracts::time::UnixSeconds;
use runtime::clock::Fixed;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

async fn open(address: &str) -> Catalog {
    let catalog = catalog::open(address, Arc::new(Fixed::at(NOW))).await;
    catalog.unwrap()
}

/// Runs a test in a new file and, where there is one, in a new database of a server.
async fn on_both(test: impl AsyncFn(&str)) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}", folder.path().join("catalog.db").display());
    test(&file).await;
    if let Some(address) = test_postgres::database() {
        test(&address).await;
    }
}

fn purge_all() -> Order {
    Order::Purge(Purge {
        scope: Scope::All,
        mode: contracts::feed::Mode::Hard,
        tenant: None,
    })
}

fn id(text: &str) -> FeedId {
    FeedId::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_misses_no_order_of_several_processes_that_order_at_once() {
    const EACH: usize = 40;
    on_both(async |address| {
        let (one, two, reader) = (
            open(address).await,
            open(address).await,
            open(address).await,
        );
        one.feed.begin(&id("f1"), NOW).await.unwrap();
        let writers = [&one, &two, &one, &two].map(|catalog| {
            let feed = Arc::clone(&catalog.feed);
            tokio::spawn(async move {
                let mut given = Vec::new();
                for number in 0..EACH {
                    let orders = vec![purge_all(); 1 + number % 3];
                    let last = feed.append(&orders, NOW).await.unwrap();
                    given.extend(last + 1 - orders.len() as u64..=last);
                }
                given
            })
        });
        let follower = tokio::spawn(async move {
            let (mut after, mut seen) = (0, Vec::new());
            while seen.len() < 4 * (EACH * 2 - 1) {
                let page = reader.feed.after(after, NOW).await.unwrap();
                seen.extend(page.entries.iter().map(|entry| entry.seq));
                after = page.through(after);
            }
            seen
        });
        let mut given = Vec::new();
        for writer in writers {
            given.extend(writer.await.unwrap());
        }
        let head = one.feed.extent().await.unwrap().unwrap().head;
        given.sort_unstable();
        assert_eq!(given.last(), Some(&head));
        assert!(
            given.is_sorted_by(|one, next| one < next),
            "a number was given twice"
        );
        assert_eq!(follower.await.unwrap(), given);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_begin_one_feed_the_first_one_s_id_stays() {
    on_both(async |address| {
        let (one, two) = (open(address).await, open(address).await);
        let (first, second) = (id("one"), id("two"));
        let both = tokio::join!(one.feed.begin(&first, NOW), two.feed.begin(&second, NOW));
        both.0.unwrap();
        both.1.unwrap();
        let extent = one.feed.extent().await.unwrap().unwrap();
        assert_eq!(two.feed.extent().await.unwrap(), Some(extent));
    })
    .await;
}

#[tokio::test]
async fn an_order_is_undone_with_the_transaction_that_it_was_added_in() {
    on_both(async |address| {
        let catalog = open(address).await;
        catalog.feed.begin(&id("f1"), NOW).await.unwrap();
        let before = catalog.feed.extent().await.unwrap().unwrap();
        let within = catalog.begin().await.unwrap();
        catalog::feed::sql::append(&within, &[purge_all()], NOW)
            .await
            .unwrap();
        within.rollback().await.unwrap();
        assert_eq!(catalog.feed.extent().await.unwrap(), Some(before));
    })
    .await;
}
