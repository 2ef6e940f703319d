//! From what sessions tell to what is counted: once each, whatever fails on the way.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something else than it wants must fail"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use catalog::plays::{By, Figures, Fold, Hour, Plays, Remembered, Wanted};
use contracts::id::{SessionId, VideoId};
use contracts::time::UnixSeconds;
use prometheus::Registry;
use runtime::clock::Fixed;
use serde_json::{Value, json};
use telemetry::event::{Event, Fault};
use telemetry::fold::{Error, Rules, Step};
use telemetry::log::{Embedded, Limits, Shared};
use telemetry::{Collector, Folder, Metrics, Playback, Source, Taken};

const NOW: u64 = 1_800_000_000;
const LIMITS: Limits = Limits {
    bytes: 1 << 30,
    segment: 2000,
};

async fn log(folder: &Path) -> Shared {
    let opened = Embedded::open(folder.to_owned(), LIMITS).await;
    Arc::new(opened.unwrap())
}

async fn plays() -> Arc<dyn Plays> {
    let clock = Arc::new(Fixed::at(UnixSeconds(NOW)));
    let opened = catalog::open("sqlite::memory:", clock).await.unwrap();
    opened.plays
}

fn collector(log: &Shared) -> Collector {
    let edge_of = |said: &str| said.strip_prefix("known-").map(str::to_owned);
    let metrics = Metrics::new(&Registry::new()).unwrap();
    Collector::new(Arc::clone(log), Box::new(edge_of), metrics)
}

fn folder(log: &Shared, plays: &Arc<dyn Plays>) -> Folder {
    let rules = Rules {
        view_after: Duration::from_secs(30),
        keep: Duration::from_secs(86_400),
    };
    let clock = Arc::new(Fixed::at(UnixSeconds(NOW)));
    let metrics = Metrics::new(&Registry::new()).unwrap();
    Folder::new(Arc::clone(log), Arc::clone(plays), clock, rules, metrics)
}

fn playback(number: u32) -> Playback {
    Playback {
        session: SessionId::parse(&format!("s{number}")).unwrap(),
        video: VideoId::parse("film").unwrap(),
        started: UnixSeconds(NOW - 600),
        expires: UnixSeconds(NOW + 600),
        isp: None,
    }
}

async fn tell(collector: &Collector, of: &Playback, events: Value) -> Taken {
    let events = events.as_array().unwrap();
    let told = events.iter().map(Event::read).enumerate().collect();
    let taken = collector.take(of, Source::Events, told, UnixSeconds(NOW));
    taken.await.unwrap()
}

/// A session of 40 s in three parts, in the wrong order and one of them twice.
async fn watch(collector: &Collector, of: &Playback) {
    let end = json!([{"seq": 3, "t_ms": 41_000, "type": "end"}]);
    tell(collector, of, end).await;
    let begin = json!([{"seq": 0, "t_ms": 1000, "type": "start", "edge": "known-e1"}]);
    tell(collector, of, begin.clone()).await;
    let middle = json!([
        {"seq": 1, "t_ms": 11_000, "type": "rebuffer_start"},
        {"seq": 2, "t_ms": 12_000, "type": "rebuffer_end"},
    ]);
    tell(collector, of, middle).await;
    tell(collector, of, begin).await;
}

/// What sessions such as those come to.
fn expected(sessions: i64) -> Figures {
    let one = Figures {
        sessions: 1,
        starts: 1,
        views: 1,
        watch_ms: 39_000,
        rebuffers: 1,
        rebuffer_ms: 1000,
        startup: [(54, 1)].into(),
        ..Figures::default()
    };
    let mut sum = Figures::default();
    sum.add(&one, sessions);
    sum
}

async fn counted(plays: &Arc<dyn Plays>) -> Vec<(String, Figures)> {
    let all = Wanted {
        to_unix_s: NOW + 3600,
        ..Wanted::default()
    };
    plays.groups(By::Edge, &all, 10).await.unwrap()
}

async fn fold_all(folder: &Folder) {
    while !matches!(folder.step().await.unwrap(), Step::Nothing(_)) {}
}

#[tokio::test]
async fn what_is_told_in_parts_in_any_order_and_twice_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, plays) = (log(dir.path()).await, plays().await);
    let folder = folder(&log, &plays);
    let collector = collector(&log);
    for number in 0..5 {
        watch(&collector, &playback(number)).await;
        fold_all(&folder).await;
        watch(&collector, &playback(number)).await;
    }
    fold_all(&folder).await;
    assert_eq!(counted(&plays).await, [("e1".to_owned(), expected(5))]);
    let film = VideoId::parse("film").unwrap();
    assert_eq!(plays.views(&film).await.unwrap(), 5);
    // One that does not remember what was taken takes it again, and it counts no more for that.
    let forgetful = self::collector(&log);
    watch(&forgetful, &playback(0)).await;
    fold_all(&folder).await;
    assert_eq!(counted(&plays).await, [("e1".to_owned(), expected(5))]);
    assert_eq!(
        log.extent().first / 2000,
        log.extent().end / 2000,
        "what is folded goes"
    );
}

#[tokio::test]
async fn each_event_is_taken_known_or_refused_for_its_own_reason() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path()).await;
    let collector = collector(&log);
    let of = Playback {
        started: UnixSeconds(NOW - 100_000),
        expires: UnixSeconds(NOW - 50),
        ..playback(1)
    };
    let at = |second: u64| (second - of.started.0) * 1000;
    let told = json!([
        {"seq": 0, "t_ms": at(NOW - 80_000), "type": "start"},
        {"seq": 0, "t_ms": at(NOW - 80_000), "type": "start"},
        {"seq": 1, "t_ms": at(NOW - 86_401), "type": "pause"},
        {"seq": 2, "t_ms": at(NOW + 11), "type": "pause"},
        {"seq": 3, "t_ms": at(NOW), "type": "dance"},
        7,
        {"seq": 4, "t_ms": at(NOW), "type": "end"},
    ]);
    let taken = tell(&collector, &of, told.clone()).await;
    assert_eq!((taken.accepted, taken.duplicates), (2, 1));
    let reasons: Vec<_> = taken
        .rejected
        .iter()
        .map(|one| (one.index, one.fault))
        .collect();
    let expected = [
        (2, Fault::TooLate),
        (3, Fault::OutOfSession),
        (4, Fault::UnknownType),
        (5, Fault::Malformed),
    ];
    assert_eq!(reasons, expected);
    let again = tell(&collector, &of, told).await;
    assert_eq!((again.accepted, again.duplicates), (0, 3));
    assert_eq!(again.rejected, taken.rejected);
}

#[tokio::test]
async fn what_was_not_written_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        bytes: 1,
        segment: 1,
    };
    let full: Shared = Arc::new(Embedded::open(dir.path().to_owned(), limits).await.unwrap());
    let collector = collector(&full);
    for _ in 0..2 {
        let told = Event::read(&json!({"seq": 0, "t_ms": 0, "type": "start"}));
        let of = playback(1);
        let refused = collector.take(&of, Source::Events, vec![(0, told)], UnixSeconds(NOW));
        let refused = refused.await.unwrap_err();
        assert!(matches!(refused, telemetry::log::Error::Full), "{refused}");
    }
}

/// A catalogue that fails every other time, and of those every other time after it did what it was asked to.
struct Failing {
    plays: Arc<dyn Plays>,
    count: AtomicU32,
}

#[async_trait]
impl Plays for Failing {
    async fn fold(&self, step: &Fold) -> Result<bool, catalog::Error> {
        match self.count.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => Err(catalog::Error::Corrupt("before".into())),
            2 => {
                self.plays.fold(step).await?;
                Err(catalog::Error::Corrupt("after".into()))
            }
            _ => self.plays.fold(step).await,
        }
    }
    async fn position(&self, log: &str) -> Result<Option<u64>, catalog::Error> {
        self.plays.position(log).await
    }
    async fn remembered(&self, sessions: &[SessionId]) -> Result<Vec<Remembered>, catalog::Error> {
        self.plays.remembered(sessions).await
    }
    async fn hours(&self, _: &VideoId, _: u64, _: u64) -> Result<Vec<Hour>, catalog::Error> {
        unreachable!("is not asked for")
    }
    async fn views(&self, _: &VideoId) -> Result<u64, catalog::Error> {
        unreachable!("is not asked for")
    }
    async fn groups(
        &self,
        _: By,
        _: &Wanted,
        _: u32,
    ) -> Result<Vec<(String, Figures)>, catalog::Error> {
        unreachable!("is not asked for")
    }
    async fn forget(&self, _: UnixSeconds, _: UnixSeconds) -> Result<u64, catalog::Error> {
        unreachable!("is not asked for")
    }
}

#[tokio::test]
async fn a_catalogue_that_fails_before_or_after_it_wrote_counts_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (log, plays) = (log(dir.path()).await, plays().await);
    let failing: Arc<dyn Plays> = Arc::new(Failing {
        plays: Arc::clone(&plays),
        count: AtomicU32::new(0),
    });
    let collector = collector(&log);
    let mut failures = 0;
    for number in 0..12 {
        watch(&collector, &playback(number)).await;
        let folder = folder(&log, &failing);
        loop {
            match folder.step().await {
                Ok(Step::Nothing(_)) => break,
                Ok(_) => {}
                Err(Error::Catalog(_)) => failures += 1,
                Err(other) => unreachable!("{other}"),
            }
        }
    }
    assert!(failures >= 8, "{failures}");
    assert_eq!(counted(&plays).await, [("e1".to_owned(), expected(12))]);
}

#[tokio::test]
async fn a_folder_that_is_stopped_between_any_two_steps_counts_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    // In a file: what is in memory goes with a connection that is dropped at work.
    let file = format!("sqlite://{}", dir.path().join("c.db").display());
    let opened = catalog::open(&file, Arc::new(Fixed::at(UnixSeconds(NOW)))).await;
    let (log, plays) = (log(&dir.path().join("log")).await, opened.unwrap().plays);
    let collector = collector(&log);
    let mut stopped = 0;
    for patience in 0..60_u32 {
        watch(&collector, &playback(patience)).await;
        let folder = folder(&log, &plays);
        // Dropped after so many turns, wherever it is then.
        let turns = async {
            for _ in 0..patience * 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            taken = folder.step() => assert!(taken.is_ok()),
            () = turns => stopped += 1,
        }
    }
    assert!(stopped > 0);
    fold_all(&folder(&log, &plays)).await;
    assert_eq!(counted(&plays).await, [("e1".to_owned(), expected(60))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_control_planes_that_hear_of_the_same_sessions_count_each_once() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let file = format!("sqlite://{}", dirs[0].path().join("c.db").display());
    let addresses = [Some(file), test_postgres::database()];
    for address in addresses.into_iter().flatten() {
        let clock = Arc::new(Fixed::at(UnixSeconds(NOW)));
        let opened = catalog::open(&address, clock).await.unwrap();
        let mut folding = Vec::new();
        for dir in &dirs {
            let log = log(&dir.path().join(address.replace('/', "_"))).await;
            let plays = Arc::clone(&opened.plays);
            folding.push(tokio::spawn(async move {
                let (collector, folder) = (collector(&log), folder(&log, &plays));
                for number in 0..20 {
                    watch(&collector, &playback(number)).await;
                    fold_all(&folder).await;
                }
            }));
        }
        for done in folding {
            done.await.unwrap();
        }
        let plays = &opened.plays;
        assert_eq!(
            counted(plays).await,
            [("e1".to_owned(), expected(20))],
            "{address}"
        );
    }
}

#[tokio::test]
async fn a_session_is_remembered_for_as_long_as_the_log_that_knows_of_its_latest_end_asks() {
    let plays = plays().await;
    let of = playback(1);
    let prolonged = Playback {
        expires: of.expires.plus(1_000_000),
        ..of.clone()
    };
    let mut needed = Vec::new();
    for (number, of) in (0..).zip([&prolonged, &of]) {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path()).await;
        let told = json!([{"seq": number, "t_ms": 1000, "type": "progress"}]);
        tell(&collector(&log), of, told).await;
        fold_all(&folder(&log, &plays)).await;
        let known = plays.remembered(std::slice::from_ref(&of.session)).await;
        needed.extend(known.unwrap().iter().map(|one| one.until));
    }
    assert_eq!(needed, [needed[0], needed[0]]);
}

#[tokio::test]
async fn a_log_that_was_put_back_from_a_copy_is_folded_again_and_counts_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let plays = plays().await;
    let (at, copy) = (dir.path().join("log"), dir.path().join("copy"));
    let of = async |number| {
        let log = log(&at).await;
        folder(&log, &plays).prepare().await.unwrap();
        watch(&collector(&log), &playback(number)).await;
        log
    };
    drop(of(0).await);
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&at).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let first = of(1).await;
    fold_all(&folder(&first, &plays)).await;
    drop(first);
    std::fs::rename(&at, dir.path().join("gone")).unwrap();
    std::fs::rename(&copy, &at).unwrap();
    fold_all(&folder(&of(2).await, &plays)).await;
    assert_eq!(counted(&plays).await, [("e1".to_owned(), expected(3))]);
}
