//! The promises of a queue, as tests that any adapter runs against its real engine.

#![expect(
    clippy::unwrap_used,
    reason = "a broken promise ends the test that found it"
)]

use std::{
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use contracts::{id::VideoId, time::UnixSeconds};
use futures_util::future::join_all;
use store::Key;

use super::{Counts, Job, NewJob, Queue, Setback, Step};
use crate::Error;

/// The clock that a queue goes by, set by hand.
#[async_trait]
pub trait Hand: Send + Sync {
    /// Sets it to this second.
    async fn set(&self, now: u64);
}

/// Runs every promise against `port`, which must be empty and go by `clock`, and panics at the first that is broken.
pub async fn all(port: &dyn Queue, clock: &dyn Hand) {
    let last = AtomicU64::new(0);
    let port = &Timed { port, clock, last };
    nothing_comes_of_nothing(port).await;
    jobs_are_taken_once_and_in_turn(port).await;
    a_lease_that_ran_out_is_taken_over(port).await;
    a_beat_keeps_the_job(port).await;
    what_is_given_back_waits_until_it_is_due(port).await;
    what_is_buried_stays_so(port).await;
    what_never_failed_is_not_begun_anew(port).await;
    no_two_workers_get_the_same(port).await;
    what_a_job_is_cut_into_waits_for_its_stage(port).await;
    owners_have_turns_whoever_came_first(port).await;
    what_is_urgent_comes_before_every_turn(port).await;
    a_film_that_is_given_up_or_cancelled_leaves_nothing_to_do(port).await;
    progress_is_that_of_all_parts_by_their_weight(port).await;
    workers_are_counted_while_they_say_that_they_are_there(port).await;
    of_a_film_that_is_done_the_first_job_stays(port).await;
}

async fn nothing_comes_of_nothing(port: &Timed<'_>) {
    assert_eq!(port.take(at(1), LEASE).await.unwrap(), None);
    assert_eq!(port.counts(at(1)).await.unwrap(), Counts::default());
    assert_eq!(port.reason(&id("x"), Step::Publish).await.unwrap(), None);
    assert_eq!(port.given_up(&id("x")).await.unwrap(), None);
}

async fn jobs_are_taken_once_and_in_turn(port: &Timed<'_>) {
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

async fn a_lease_that_ran_out_is_taken_over(port: &Timed<'_>) {
    port.add(&new("lease"), at(100)).await.unwrap();
    let first = port.take(at(100), LEASE).await.unwrap().unwrap();
    assert_eq!(port.take(at(129), LEASE).await.unwrap(), None, "still held");
    assert_eq!(port.counts(at(130)).await.unwrap().queued, 1);
    let second = port.take(at(130), LEASE).await.unwrap().unwrap();
    assert_eq!((second.video.as_str(), second.attempt), ("lease", 2));
    assert_eq!((first.cuts, second.cuts, second.failures), (0, 1, 0));
    assert!(!port.beat(&first, at(131), LEASE).await.unwrap(), "lost");
    assert!(!port.finish(&first).await.unwrap(), "lost");
    assert!(!port.bury(&first, "late", at(131)).await.unwrap(), "lost");
    assert!(!back(port, &first, Setback::Failure, at(131), "late").await);
    assert!(port.finish(&second).await.unwrap());
}

async fn a_beat_keeps_the_job(port: &Timed<'_>) {
    port.add(&new("beat"), at(200)).await.unwrap();
    let job = port.take(at(200), LEASE).await.unwrap().unwrap();
    assert!(port.beat(&job, at(220), LEASE).await.unwrap());
    assert_eq!(port.take(at(249), LEASE).await.unwrap(), None);
    assert!(port.finish(&job).await.unwrap());
}

async fn what_is_given_back_waits_until_it_is_due(port: &Timed<'_>) {
    port.add(&new("pause"), at(300)).await.unwrap();
    let job = port.take(at(300), LEASE).await.unwrap().unwrap();
    assert!(back(port, &job, Setback::Outage, at(400), "no disk").await);
    let reason = port.reason(&job.video, job.step).await.unwrap();
    assert_eq!(reason.as_deref(), Some("no disk"));
    let held = port.held_up().await.unwrap().unwrap();
    assert_eq!((held.jobs, held.reason.as_str()), (1, "no disk"));
    assert_eq!(port.take(at(399), LEASE).await.unwrap(), None);
    let again = port.take(at(400), LEASE).await.unwrap().unwrap();
    assert_eq!(port.held_up().await.unwrap(), None, "it is worked on");
    let setbacks = |job: &Job| (job.attempt, job.failures, job.outages, job.cuts);
    assert_eq!(setbacks(&again), (2, 0, 1, 0));
    assert!(port.release(&again, at(401)).await.unwrap());
    let third = port.take(at(401), LEASE).await.unwrap().unwrap();
    assert_eq!(setbacks(&third), (3, 0, 1, 0), "no setback");
    assert!(back(port, &third, Setback::Failure, at(402), "killed").await);
    let fourth = port.take(at(402), LEASE).await.unwrap().unwrap();
    assert_eq!(setbacks(&fourth), (4, 1, 1, 0));
    assert!(port.finish(&fourth).await.unwrap());
    assert!(!port.release(&fourth, at(403)).await.unwrap());
}

async fn what_is_buried_stays_so(port: &Timed<'_>) {
    port.add(&new("dead"), at(500)).await.unwrap();
    let job = port.take(at(500), LEASE).await.unwrap().unwrap();
    let left = port.leave(&job, "no film", at(500)).await.unwrap();
    assert!(!left, "there is nothing that could stay");
    assert!(port.bury(&job, "no film", at(500)).await.unwrap());
    assert_eq!(port.take(at(9000), LEASE).await.unwrap(), None);
    assert_eq!(port.counts(at(9000)).await.unwrap().dead, 1);
    let reason = port.reason(&job.video, job.step).await.unwrap();
    assert_eq!(reason.as_deref(), Some("no film"));
}

async fn what_never_failed_is_not_begun_anew(port: &Timed<'_>) {
    // The queue knows these films' jobs; the catalogue knows none of the films.
    assert!(!port.retry(&id("dead"), at(501)).await.unwrap());
    assert!(!port.retry(&id("nobody"), at(501)).await.unwrap());
    assert_eq!(port.take(at(9000), LEASE).await.unwrap(), None);
    let original = port.original(&id("dead")).await.unwrap();
    assert_eq!(original, Some(new("dead").input));
    assert_eq!(port.original(&id("nobody")).await.unwrap(), None);
}

async fn no_two_workers_get_the_same(port: &Timed<'_>) {
    for number in 0..20 {
        port.add(&new(&format!("many{number}")), at(600))
            .await
            .unwrap();
    }
    let takes = (0..40).map(|_| port.take(at(600), LEASE));
    let mut taken = Vec::new();
    for job in join_all(takes).await {
        if let Some(job) = job.unwrap() {
            assert!(port.finish(&job).await.unwrap());
            taken.push(job.video);
        }
    }
    assert_eq!(taken.len(), 20);
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 20);
}

async fn what_a_job_is_cut_into_waits_for_its_stage(port: &Timed<'_>) {
    port.add(&new("cut"), at(700)).await.unwrap();
    port.add(&new("cut-rival"), at(701)).await.unwrap();
    let whole = port.take(at(702), LEASE).await.unwrap().unwrap();
    let parts = [
        part("cut", Step::Finish, 0),
        part("cut", Step::Chunk, 1),
        part("cut", Step::Chunk, 0),
        part("cut", Step::Sound, 0),
    ];
    assert!(port.split(&whole, &parts, at(703)).await.unwrap());
    assert!(
        !port.split(&whole, &parts, at(703)).await.unwrap(),
        "it is over"
    );
    assert!(!port.beat(&whole, at(703), LEASE).await.unwrap());
    let rival = port.take(at(703), LEASE).await.unwrap().unwrap();
    assert_eq!(rival.video.as_str(), "cut-rival");
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(port.take(at(703), LEASE).await.unwrap().unwrap());
    }
    let names: Vec<_> = taken.iter().map(|job| (job.step, job.part)).collect();
    let all = [(Step::Chunk, 0), (Step::Sound, 0), (Step::Chunk, 1)];
    assert_eq!(names, all);
    assert!(
        taken.iter().all(|job| job.attempt == 2),
        "counted on: {taken:?}"
    );
    for job in &taken {
        assert_eq!(
            port.take(at(703), LEASE).await.unwrap(),
            None,
            "{job:?} is under way"
        );
        assert!(port.finish(job).await.unwrap());
    }
    let last = port.take(at(703), LEASE).await.unwrap().unwrap();
    assert_eq!(last.step, Step::Finish);
    assert!(port.is_open(&last.video).await.unwrap());
    assert!(port.finish(&last).await.unwrap());
    assert!(!port.is_open(&last.video).await.unwrap());
    assert!(port.finish(&rival).await.unwrap());
}

async fn owners_have_turns_whoever_came_first(port: &Timed<'_>) {
    for (film, owner) in [
        ("t1", "ann"),
        ("t2", "ann"),
        ("t3", "ann"),
        ("t4", "ben"),
        ("t5", "cia"),
    ] {
        let owner = owner.to_owned();
        let job = NewJob { owner, ..new(film) };
        port.add(&job, at(800)).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        let job = port.take(at(800), LEASE).await.unwrap().unwrap();
        order.push(job.video.to_string());
        assert!(port.finish(&job).await.unwrap());
    }
    assert_eq!(order, ["t1", "t4", "t5", "t2", "t3"], "one after another");
    for (film, owner) in [("u1", "ann"), ("u2", "ann"), ("u3", "ben")] {
        let owner = owner.to_owned();
        let job = NewJob { owner, ..new(film) };
        port.add(&job, at(801)).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(port.take(at(801), LEASE).await.unwrap().unwrap());
    }
    let order: Vec<_> = held.iter().map(|job| job.video.as_str()).collect();
    assert_eq!(order, ["u3", "u1", "u2"], "ann had the last turn");
    for job in &held {
        assert!(port.finish(job).await.unwrap());
    }
}

async fn what_is_urgent_comes_before_every_turn(port: &Timed<'_>) {
    for (film, priority) in [("p1", 0), ("p2", 5), ("p3", -1)] {
        let job = NewJob {
            priority,
            ..new(film)
        };
        port.add(&job, at(850)).await.unwrap();
    }
    for film in ["p2", "p1", "p3"] {
        let job = port.take(at(850), LEASE).await.unwrap().unwrap();
        assert_eq!(job.video.as_str(), film);
        assert!(port.finish(&job).await.unwrap());
    }
}

async fn a_film_that_is_given_up_or_cancelled_leaves_nothing_to_do(port: &Timed<'_>) {
    for film in ["gone-1", "gone-2"] {
        for step in [
            part(film, Step::Chunk, 0),
            part(film, Step::Chunk, 1),
            part(film, Step::Finish, 0),
        ] {
            port.add(&step, at(900)).await.unwrap();
        }
        let job = port.take(at(900), LEASE).await.unwrap().unwrap();
        if film == "gone-1" {
            assert!(port.bury(&job, "damaged", at(900)).await.unwrap());
            assert_eq!(port.cancel(&job.video, "again", at(901)).await.unwrap(), 0);
        } else {
            assert_eq!(
                port.cancel(&job.video, "deleted", at(900)).await.unwrap(),
                3
            );
            assert!(!port.beat(&job, at(900), LEASE).await.unwrap(), "lost");
            assert!(!port.bury(&job, "late", at(900)).await.unwrap());
        }
        assert_eq!(port.take(at(9000), LEASE).await.unwrap(), None);
        assert!(!port.is_open(&job.video).await.unwrap());
        let reason = port.reason(&job.video, Step::Finish).await.unwrap();
        assert!(reason.is_some(), "{film}");
        let ago = port.given_up(&job.video).await.unwrap();
        assert_eq!(ago, Some(Duration::from_secs(8100)), "{film}");
    }
}

async fn progress_is_that_of_all_parts_by_their_weight(port: &Timed<'_>) {
    for (step, number, weight) in [
        (Step::Chunk, 0, 30),
        (Step::Chunk, 1, 60),
        (Step::Finish, 0, 10),
    ] {
        let job = NewJob {
            weight,
            ..part("way", step, number)
        };
        port.add(&job, at(1000)).await.unwrap();
    }
    let first = port.take(at(1000), LEASE).await.unwrap().unwrap();
    let second = port.take(at(1000), LEASE).await.unwrap().unwrap();
    assert_eq!(port.progress(&first, 500).await.unwrap(), 15);
    assert_eq!(port.progress(&second, 100).await.unwrap(), 21);
    assert!(port.finish(&first).await.unwrap());
    assert_eq!(port.progress(&first, 1).await.unwrap(), 36, "it is done");
    assert!(port.finish(&second).await.unwrap());
    let waiting = port.counts(at(1007)).await.unwrap();
    assert_eq!(
        (waiting.queued, waiting.oldest),
        (1, Some(Duration::from_secs(7)))
    );
    let last = port.take(at(1007), LEASE).await.unwrap().unwrap();
    assert_eq!(port.counts(at(1007)).await.unwrap().oldest, None);
    assert_eq!(port.progress(&last, 999).await.unwrap(), 99);
    assert!(port.finish(&last).await.unwrap());
}

async fn workers_are_counted_while_they_say_that_they_are_there(port: &Timed<'_>) {
    let memory = Duration::from_secs(60);
    assert_eq!(port.attend("one", 1, at(2000), memory).await.unwrap(), 1);
    assert_eq!(port.attend("two", 3, at(2030), memory).await.unwrap(), 4);
    assert_eq!(port.attend("two", 2, at(2060), memory).await.unwrap(), 3);
    assert_eq!(port.attend("two", 2, at(2061), memory).await.unwrap(), 2);
}

async fn of_a_film_that_is_done_the_first_job_stays(port: &Timed<'_>) {
    port.add(&new("over"), at(3000)).await.unwrap();
    let whole = port.take(at(3000), LEASE).await.unwrap().unwrap();
    let parts = [
        part("over", Step::Chunk, 0),
        part("over", Step::Chunk, 1),
        part("over", Step::Finish, 0),
    ];
    assert!(port.split(&whole, &parts, at(3000)).await.unwrap());
    for left in (0..3).rev() {
        let job = port.take(at(3000), LEASE).await.unwrap().unwrap();
        let percent = port.progress(&job, 0).await.unwrap();
        assert!(port.finish(&job).await.unwrap());
        let after = port.progress(&job, 0).await.unwrap();
        assert!(after > percent, "{left} are left, and what is done counts");
    }
    // Who was late to hear of it adds nothing again.
    port.add(&new("over"), at(3001)).await.unwrap();
    assert_eq!(port.take(at(9000), LEASE).await.unwrap(), None);
    let late = port.split(&whole, &parts, at(3001)).await.unwrap();
    assert!(!late);
    let original = port.original(&whole.video).await.unwrap();
    assert_eq!(original, Some(whole.input));
    port.forget(&whole.video).await.unwrap();
    assert_eq!(port.original(&whole.video).await.unwrap(), None);
}

async fn back(port: &Timed<'_>, job: &Job, why: Setback, due: UnixSeconds, reason: &str) -> bool {
    let now = port.last.load(Ordering::Relaxed);
    let delay = Duration::from_secs(due.0.saturating_sub(now));
    port.give_back(job, why, delay, reason).await.unwrap()
}

/// A queue that is asked at times.
struct Timed<'a> {
    port: &'a dyn Queue,
    clock: &'a dyn Hand,
    last: AtomicU64,
}

impl<'a> Deref for Timed<'a> {
    type Target = dyn Queue + 'a;

    fn deref(&self) -> &Self::Target {
        self.port
    }
}

impl Timed<'_> {
    async fn at(&self, now: UnixSeconds) -> &dyn Queue {
        self.last.store(now.0, Ordering::Relaxed);
        self.clock.set(now.0).await;
        self.port
    }

    async fn add(&self, job: &NewJob, now: UnixSeconds) -> Result<(), Error> {
        self.at(now).await.add(job).await
    }

    async fn split(&self, job: &Job, into: &[NewJob], now: UnixSeconds) -> Result<bool, Error> {
        self.at(now).await.split(job, into).await
    }

    async fn take(&self, now: UnixSeconds, lease: Duration) -> Result<Option<Job>, Error> {
        self.at(now).await.take(lease).await
    }

    async fn beat(&self, job: &Job, now: UnixSeconds, lease: Duration) -> Result<bool, Error> {
        self.at(now).await.beat(job, lease).await
    }

    async fn release(&self, job: &Job, now: UnixSeconds) -> Result<bool, Error> {
        self.at(now).await.release(job).await
    }

    async fn bury(&self, job: &Job, reason: &str, now: UnixSeconds) -> Result<bool, Error> {
        self.at(now).await.bury(job, reason).await
    }

    async fn leave(&self, job: &Job, reason: &str, now: UnixSeconds) -> Result<bool, Error> {
        self.at(now).await.leave(job, reason).await
    }

    async fn retry(&self, video: &VideoId, now: UnixSeconds) -> Result<bool, Error> {
        self.at(now).await.retry(video).await
    }

    async fn cancel(&self, video: &VideoId, reason: &str, now: UnixSeconds) -> Result<u64, Error> {
        self.at(now).await.cancel(video, reason).await
    }

    async fn counts(&self, now: UnixSeconds) -> Result<Counts, Error> {
        self.at(now).await.counts().await
    }

    async fn attend(
        &self,
        process: &str,
        workers: u32,
        now: UnixSeconds,
        memory: Duration,
    ) -> Result<u64, Error> {
        self.at(now).await.attend(process, workers, memory).await
    }
}

const LEASE: Duration = Duration::from_secs(30);

const fn at(seconds: u64) -> UnixSeconds {
    UnixSeconds(seconds)
}

fn id(text: &str) -> VideoId {
    VideoId::parse(text).unwrap()
}

fn new(video: &str) -> NewJob {
    let input = Key::parse(&format!("originals/{video}/original.mp4")).unwrap();
    NewJob::first(id(video), input, String::new())
}

fn part(video: &str, step: Step, part: u32) -> NewJob {
    NewJob {
        step,
        part,
        ..new(video)
    }
}
