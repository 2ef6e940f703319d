//! A feed that a test scripts, and the one who follows it.

use std::collections::VecDeque;

use parking_lot::Mutex;
use prometheus::Registry;
use runtime::shutdown::Trigger;
use tokio::sync::mpsc;

use super::*;

/// Answers as it is told; a question without an answer waits.
struct Script {
    answers: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<Page, Fault>>>,
    asked: Mutex<VecDeque<(u64, Duration, Instant)>>,
}

#[async_trait::async_trait]
impl Source for Script {
    async fn after(&self, seq: u64, _feed: Option<FeedId>, wait: Duration) -> Result<Page, Fault> {
        self.asked.lock().push_back((seq, wait, Instant::now()));
        let mut answers = self.answers.lock().await;
        answers.recv().await.expect("the test lasts longer")
    }
}

struct Followed {
    house: House,
    answers: mpsc::UnboundedSender<Result<Page, Fault>>,
    script: Arc<Script>,
    health: Health,
    metrics: Metrics,
    trigger: Trigger,
    task: tokio::task::JoinHandle<()>,
}

impl Followed {
    fn new() -> Self {
        let house = house(true, None);
        let (answers, receiver) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            answers: tokio::sync::Mutex::new(receiver),
            asked: Mutex::default(),
        });
        let health = Health::new();
        let metrics = Metrics::register(&Registry::new(), Arc::clone(&house.purges)).unwrap();
        let (trigger, shutdown) = Trigger::new();
        let follower = Follower {
            source: Arc::clone(&script) as _,
            orders: Arc::clone(&house.orders),
            pace: Pace {
                wait: Duration::from_secs(20),
                every: Duration::from_secs(1),
            },
            health: health.clone(),
            metrics: metrics.clone(),
        };
        let task = tokio::spawn(follower.run(|| 0.0, shutdown));
        Self {
            house,
            answers,
            script,
            health,
            metrics,
            trigger,
            task,
        }
    }

    fn answer(&self, answer: Result<Page, Fault>) {
        self.answers.send(answer).unwrap();
    }

    /// Lets so much time pass, in which everything happens that would.
    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn asked(&self) -> Option<(u64, Duration)> {
        let asked = self.script.asked.lock().pop_front();
        asked.map(|(seq, wait, _)| (seq, wait))
    }

    fn ailment(&self) -> String {
        self.health.report().1
    }
}

#[tokio::test(start_paused = true)]
async fn it_asks_for_what_follows_and_waits_only_when_it_has_all() {
    let feed = Followed::new();
    feed.answer(Ok(page(9, vec![tag(4, "a")])));
    feed.answer(Ok(page(9, vec![tag(9, "b")])));
    feed.pass(2).await;
    let wait = Duration::from_secs(20);
    assert_eq!(feed.asked(), Some((0, Duration::ZERO)));
    assert_eq!(feed.asked(), Some((4, Duration::ZERO)));
    assert_eq!(feed.asked(), Some((9, wait)));
    assert_eq!(feed.asked(), None);
    assert_eq!(feed.house.judge("b", 8), Verdict::Gone);
    feed.trigger.fire();
    feed.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_wait_is_not_asked_all_the_time() {
    let feed = Followed::new();
    for _ in 0..100 {
        feed.answer(Ok(page(0, vec![])));
    }
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(feed.script.asked.lock().len(), 11);
}

#[tokio::test(start_paused = true)]
async fn the_lease_runs_from_the_question_and_health_says_when_it_has_ended() {
    let feed = Followed::new();
    feed.pass(1).await;
    assert!(
        feed.ailment().contains("no news of the feed yet"),
        "{}",
        feed.ailment()
    );
    assert_eq!(feed.house.purges.lost(), Some(WhenLost::Revalidate));
    feed.answer(Ok(page(1, vec![tag(1, "a")])));
    feed.pass(1).await;
    assert_eq!(
        (feed.house.purges.lost(), feed.ailment().as_str()),
        (None, "ok\n")
    );
    // The question is out, and nobody answers.
    feed.pass(60).await;
    assert_eq!(feed.house.purges.lost(), Some(WhenLost::Revalidate));
    assert!(
        feed.ailment().contains("is validated on each use"),
        "{}",
        feed.ailment()
    );
    feed.answer(Ok(page(3, vec![tag(2, "a")])));
    feed.pass(1).await;
    assert!(
        feed.house.purges.lost().is_some(),
        "an answer that is not all is no news"
    );
    feed.answer(Ok(page(3, vec![tag(3, "a")])));
    feed.pass(2).await;
    assert_eq!(
        (feed.house.purges.lost(), feed.ailment().as_str()),
        (None, "ok\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_fails_is_asked_less_and_less_often_and_soon_again_when_it_is_back() {
    let feed = Followed::new();
    let down = || Err(Fault::Status(503));
    for _ in 0..8 {
        feed.answer(down());
    }
    feed.pass(100).await;
    let asked: Vec<Instant> = feed
        .script
        .asked
        .lock()
        .drain(..)
        .map(|(.., at)| at)
        .collect();
    let pauses: Vec<u64> = asked
        .windows(2)
        .map(|two| (two[1] - two[0]).as_secs())
        .collect();
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15, 15, 15]);
    assert_eq!(feed.metrics.failures.get(), 8);
    assert!(feed.ailment().contains("status 503"), "{}", feed.ailment());
    feed.answer(Ok(page(0, vec![])));
    feed.pass(2).await;
    assert_eq!(feed.ailment(), "ok\n");
}

#[tokio::test(start_paused = true)]
async fn another_feed_is_followed_from_where_it_goes_beyond_the_first() {
    let feed = Followed::new();
    let of = |id: &str, head, entries| Page {
        feed: FeedId::parse(id).ok(),
        ..page(head, entries)
    };
    feed.answer(Ok(of("f1", 5, vec![tag(5, "a")])));
    feed.answer(Ok(of("f2", 5, vec![])));
    feed.pass(62).await;
    assert!(feed.house.purges.lost().is_some());
    assert!(
        feed.ailment().contains("another feed"),
        "{}",
        feed.ailment()
    );
    assert_eq!(feed.house.judge("", 4), Verdict::Usable);
    feed.answer(Ok(of("f2", 7, vec![tag(7, "b")])));
    feed.answer(Ok(of("f2", 7, vec![])));
    feed.pass(2).await;
    assert_eq!(feed.house.judge("", 5), Verdict::Gone);
    assert_eq!(feed.house.judge("", 7), Verdict::Usable);
    assert_eq!(feed.ailment(), "ok\n");
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_ends_before_what_was_applied_is_no_news() {
    let feed = Followed::new();
    feed.answer(Ok(page(5, vec![tag(5, "a")])));
    feed.pass(1).await;
    feed.answer(Ok(page(4, vec![])));
    feed.pass(1).await;
    assert_eq!(feed.metrics.failures.get(), 1);
    feed.pass(61).await;
    assert!(feed.house.purges.lost().is_some());
    assert!(
        feed.ailment().contains("ends at order 4"),
        "{}",
        feed.ailment()
    );
}
