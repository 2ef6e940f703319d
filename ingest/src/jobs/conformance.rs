//! The promises of a queue, as tests that any adapter runs against its real engine.

#![expect(
    clippy::unwrap_used,
    reason = "a broken promise ends the test that found it"
)]

use std::time::Duration;

use contracts::{id::VideoId, time::UnixSeconds};
use futures_util::future::join_all;
use store::Key;

use super::{Counts, NewJob, Queue, Step};

/// Runs every promise against `port`, which must be empty, and panics at the first that is broken.
pub async fn all(port: &dyn Queue) {
    nothing_comes_of_nothing(port).await;
    jobs_are_taken_once_and_in_turn(port).await;
    a_lease_that_ran_out_is_taken_over(port).await;
    a_beat_keeps_the_job(port).await;
    what_is_given_back_waits_until_it_is_due(port).await;
    what_is_buried_stays_so(port).await;
    no_two_workers_get_the_same(port).await;
}

async fn nothing_comes_of_nothing(port: &dyn Queue) {
    assert_eq!(port.take(at(1), LEASE).await.unwrap(), None);
    assert_eq!(port.counts(at(1)).await.unwrap(), Counts::default());
    assert_eq!(port.reason(&id("x"), Step::Publish).await.unwrap(), None);
}

async fn jobs_are_taken_once_and_in_turn(port: &dyn Queue) {
    port.add(&new("b"), at(10)).await.unwrap();
    port.add(&new("a"), at(11)).await.unwrap();
    port.add(&new("b"), at(99)).await.unwrap();
    assert_eq!(port.take(at(9), LEASE).await.unwrap(), None, "not yet due");
    let first = port.take(at(12), LEASE).await.unwrap().unwrap();
    assert_eq!((first.video.as_str(), first.attempt), ("b", 1));
    assert_eq!(first.input, new("b").input);
    let counts = port.counts(at(12)).await.unwrap();
    assert_eq!((counts.queued, counts.running), (1, 1));
    let second = port.take(at(12), LEASE).await.unwrap().unwrap();
    assert_eq!(second.video.as_str(), "a");
    assert_eq!(port.take(at(12), LEASE).await.unwrap(), None);
    assert!(port.finish(&first).await.unwrap());
    assert!(!port.finish(&first).await.unwrap(), "it is over");
    assert!(port.finish(&second).await.unwrap());
    port.add(&new("b"), at(13)).await.unwrap();
    assert_eq!(
        port.take(at(13), LEASE).await.unwrap(),
        None,
        "done is done"
    );
}

async fn a_lease_that_ran_out_is_taken_over(port: &dyn Queue) {
    port.add(&new("lease"), at(100)).await.unwrap();
    let first = port.take(at(100), LEASE).await.unwrap().unwrap();
    assert_eq!(port.take(at(129), LEASE).await.unwrap(), None, "still held");
    assert_eq!(port.counts(at(130)).await.unwrap().queued, 1);
    let second = port.take(at(130), LEASE).await.unwrap().unwrap();
    assert_eq!((second.video.as_str(), second.attempt), ("lease", 2));
    assert_eq!((first.failures, second.failures), (0, 1));
    assert!(!port.beat(&first, at(131), LEASE).await.unwrap(), "lost");
    assert!(!port.finish(&first).await.unwrap(), "lost");
    assert!(!port.bury(&first, "late").await.unwrap(), "lost");
    assert!(!port.give_back(&first, at(131), "late").await.unwrap());
    assert!(port.finish(&second).await.unwrap());
}

async fn a_beat_keeps_the_job(port: &dyn Queue) {
    port.add(&new("beat"), at(200)).await.unwrap();
    let job = port.take(at(200), LEASE).await.unwrap().unwrap();
    assert!(port.beat(&job, at(220), LEASE).await.unwrap());
    assert_eq!(port.take(at(249), LEASE).await.unwrap(), None);
    assert!(port.finish(&job).await.unwrap());
}

async fn what_is_given_back_waits_until_it_is_due(port: &dyn Queue) {
    port.add(&new("pause"), at(300)).await.unwrap();
    let job = port.take(at(300), LEASE).await.unwrap().unwrap();
    assert!(port.give_back(&job, at(400), "no disk").await.unwrap());
    let reason = port.reason(&job.video, job.step).await.unwrap();
    assert_eq!(reason.as_deref(), Some("no disk"));
    assert_eq!(port.take(at(399), LEASE).await.unwrap(), None);
    let again = port.take(at(400), LEASE).await.unwrap().unwrap();
    assert_eq!((again.attempt, again.failures), (2, 1));
    assert!(port.release(&again, at(401)).await.unwrap());
    let third = port.take(at(401), LEASE).await.unwrap().unwrap();
    assert_eq!((third.attempt, third.failures), (3, 1), "no failure");
    assert!(port.finish(&third).await.unwrap());
    assert!(!port.release(&third, at(402)).await.unwrap());
}

async fn what_is_buried_stays_so(port: &dyn Queue) {
    port.add(&new("dead"), at(500)).await.unwrap();
    let job = port.take(at(500), LEASE).await.unwrap().unwrap();
    assert!(port.bury(&job, "no film").await.unwrap());
    assert_eq!(port.take(at(9000), LEASE).await.unwrap(), None);
    assert_eq!(port.counts(at(9000)).await.unwrap().dead, 1);
    let reason = port.reason(&job.video, job.step).await.unwrap();
    assert_eq!(reason.as_deref(), Some("no film"));
}

async fn no_two_workers_get_the_same(port: &dyn Queue) {
    for number in 0..20 {
        port.add(&new(&format!("many{number}")), at(600))
            .await
            .unwrap();
    }
    let takes = (0..40).map(|_| port.take(at(600), LEASE));
    let mut taken: Vec<VideoId> = join_all(takes)
        .await
        .into_iter()
        .filter_map(|job| job.unwrap().map(|job| job.video))
        .collect();
    assert_eq!(taken.len(), 20);
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 20);
}

const LEASE: Duration = Duration::from_secs(30);

const fn at(seconds: u64) -> UnixSeconds {
    UnixSeconds(seconds)
}

fn id(text: &str) -> VideoId {
    VideoId::parse(text).unwrap()
}

fn new(video: &str) -> NewJob {
    NewJob {
        video: id(video),
        step: Step::Publish,
        input: Key::parse(&format!("originals/{video}/original.mp4")).unwrap(),
    }
}
