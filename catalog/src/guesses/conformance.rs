//! What every adapter of [`Guesses`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use std::sync::Arc;
use std::time::Duration;

use contracts::time::UnixSeconds;
use tokio::task::JoinSet;

use super::Guesses;

/// Every promise, on a catalogue without guesses.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(shared: Arc<dyn Guesses>) {
    let guesses = shared.as_ref();
    each_failure_burdens_a_name_for_longer_and_time_takes_it_away(guesses).await;
    a_name_is_burdened_until_the_latest_instant(guesses).await;
    all_who_fail_at_once_count(shared).await;
}

async fn burdens<const N: usize>(guesses: &dyn Guesses, names: [&str; N], now: u64) -> Vec<u64> {
    let burdens = guesses.burdens(&names, UnixSeconds(now)).await;
    let burdens = burdens.expect("burdens").into_iter();
    burdens.map(|left| left.as_secs()).collect()
}

async fn burden(guesses: &dyn Guesses, name: &str, seconds: u64, now: u64) {
    let names = [(name, Duration::from_secs(seconds))];
    let burdened = guesses.burden(&names, UnixSeconds(now)).await;
    burdened.expect("burden");
}

async fn each_failure_burdens_a_name_for_longer_and_time_takes_it_away(guesses: &dyn Guesses) {
    assert_eq!(burdens(guesses, ["a", "b"], 1000).await, [0, 0]);
    assert!(burdens(guesses, [], 1000).await.is_empty());
    burden(guesses, "a", 30, 1000).await;
    burden(guesses, "a", 30, 1010).await;
    assert_eq!(burdens(guesses, ["b", "a", "a"], 1010).await, [0, 50, 50]);
    assert_eq!(burdens(guesses, ["a"], 1060).await, [0]);
    burden(guesses, "a", 30, 2000).await;
    assert_eq!(burdens(guesses, ["a"], 2000).await, [30], "what is past is");
    let names = [
        ("b", Duration::from_secs(10)),
        ("c", Duration::from_secs(20)),
    ];
    let burdened = guesses.burden(&names, UnixSeconds(2000)).await;
    burdened.expect("burden");
    guesses
        .burden(&[], UnixSeconds(2000))
        .await
        .expect("burden");
    assert_eq!(burdens(guesses, ["b", "c"], 2000).await, [10, 20]);
    assert_eq!(guesses.forget(UnixSeconds(2010)).await.expect("forget"), 1);
    assert_eq!(burdens(guesses, ["a", "b"], 2005).await, [25, 0]);
}

async fn a_name_is_burdened_until_the_latest_instant(guesses: &dyn Guesses) {
    for until in [5000, 4000] {
        let burdened = guesses.burden_until("known", UnixSeconds(until)).await;
        burdened.expect("burden");
    }
    assert_eq!(burdens(guesses, ["known"], 3000).await, [2000]);
}

async fn all_who_fail_at_once_count(shared: Arc<dyn Guesses>) {
    let mut many = JoinSet::new();
    for _ in 0..20 {
        let guesses = Arc::clone(&shared);
        many.spawn(async move { burden(guesses.as_ref(), "at once", 5, 1000).await });
    }
    many.join_all().await;
    assert_eq!(burdens(shared.as_ref(), ["at once"], 1000).await, [100]);
}
