//! Keys kept in memory for a while, asked for once however many want them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use contracts::{id::VideoId, keys::ContentKeys};
use moka::{Expiry, future::Cache};

use super::{Keys, Known};
use crate::{fault::Fault, metrics::Metrics};

type Answer = Option<Arc<ContentKeys>>;

/// A decorator that remembers. Faults are not remembered: the next request asks again.
pub(crate) struct Cached {
    keys: Box<dyn Keys>,
    answers: Cache<VideoId, Dated>,
    metrics: Metrics,
}

/// An answer, and the number of the newest order that it has heeded.
#[derive(Clone)]
struct Dated {
    answer: Answer,
    seq: u64,
}

/// Keys for a request that must have nothing older than an order of the feed.
#[derive(Clone, Copy)]
pub(crate) struct Since<'a> {
    /// What remembers them.
    pub(crate) keys: &'a Cached,
    /// The number of the order; 0: whatever is remembered will do.
    pub(crate) least: u64,
}

impl Cached {
    /// Believes keys for `life`, and that there are none for a second.
    pub(crate) fn new(keys: Box<dyn Keys>, life: Duration, metrics: Metrics) -> Self {
        let answers = Cache::builder()
            .max_capacity(MAX_FILMS)
            .expire_after(Life(life))
            .build();
        Self {
            keys,
            answers,
            metrics,
        }
    }

    async fn ask(&self, video: &VideoId, least: u64) -> Result<Dated, Fault> {
        let known = self.keys.of(video).await;
        self.metrics.key_lookup(match &known {
            Ok(Known { keys: Some(_), .. }) => "found",
            Ok(Known { keys: None, .. }) => "none",
            Err(_) => "failed",
        });
        let Known { keys, seq } = known?;
        // Who does not know the feed was asked after whoever wants this knew of the order. Where the feed is known, a
        // number that was never given must not make what is remembered newer than it is.
        let seq = seq.unwrap_or(least);
        Ok(Dated { answer: keys, seq })
    }
}

impl Since<'_> {
    /// The keys of a film, if they are in memory: nobody is asked.
    pub(crate) async fn at_hand(self, video: &VideoId) -> Answer {
        let dated = self.keys.answers.get(video).await;
        dated.filter(|dated| dated.seq >= self.least)?.answer
    }

    /// The keys of a film.
    ///
    /// # Errors
    /// As [`Keys::of`].
    pub(crate) async fn of(self, video: &VideoId) -> Result<Answer, Fault> {
        let Self { keys, least } = self;
        for _ in 0..ROUNDS {
            let ask = keys.ask(video, least);
            let entry = keys.answers.entry_by_ref(video).or_try_insert_with(ask);
            let entry = entry.await.map_err(|fault| (*fault).clone())?;
            let is_fresh = entry.is_fresh();
            let Dated { answer, seq } = entry.into_value();
            if is_fresh || seq >= least {
                return Ok(answer);
            }
            keys.answers.invalidate(video).await;
        }
        // Others asked first each time, for less.
        Ok(keys.ask(video, least).await?.answer)
    }
}

/// How long an answer is believed.
struct Life(Duration);

impl Expiry<VideoId, Dated> for Life {
    fn expire_after_create(&self, _: &VideoId, dated: &Dated, _: Instant) -> Option<Duration> {
        Some(match dated.answer {
            Some(_) => self.0,
            None => self.0.min(NEGATIVE_LIFE),
        })
    }
}

const MAX_FILMS: u64 = 10_000;
const NEGATIVE_LIFE: Duration = Duration::from_secs(1);
/// How often what others asked for is looked at before a request asks for itself.
const ROUNDS: u32 = 3;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    use async_trait::async_trait;
    use contracts::reason::Reason;
    use prometheus::Registry;

    use super::*;

    /// Counts how often it is asked, and answers the first time with a fault.
    struct Counting {
        asked: Arc<AtomicU32>,
        /// The newest order of its feed; 0: it knows none.
        head: Arc<AtomicU64>,
    }

    #[async_trait]
    impl Keys for Counting {
        async fn of(&self, video: &VideoId) -> Result<Known, Fault> {
            tokio::task::yield_now().await;
            if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(Fault::new(Reason::Unreachable, "not yet"));
            }
            let document = format!(
                r#"{{"video":"{video}","systems":[],"periods":[{{"start_ms":0,"keys":[{{"kid":"{0}","key":"{0}"}}]}}]}}"#,
                "00".repeat(16)
            );
            let seq = Some(self.head.load(Ordering::SeqCst)).filter(|head| *head > 0);
            let keys = super::super::read(document.as_bytes(), video).map(Some)?;
            Ok(Known { keys, seq })
        }
    }

    fn counting(head: u64) -> (Arc<Cached>, Arc<AtomicU32>, Arc<AtomicU64>) {
        let (asked, head) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(head)));
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let counting = Box::new(Counting {
            asked: Arc::clone(&asked),
            head: Arc::clone(&head),
        });
        let cached = Cached::new(counting, Duration::from_secs(600), metrics);
        (Arc::new(cached), asked, head)
    }

    fn since(keys: &Cached, least: u64) -> Since<'_> {
        Since { keys, least }
    }

    #[tokio::test]
    async fn many_who_want_the_same_keys_ask_once_and_a_fault_is_forgotten() {
        let (cached, asked, _) = counting(0);
        let film = VideoId::parse("film").unwrap();
        assert!(since(&cached, 0).of(&film).await.is_err());
        let wanting = (0..50).map(|_| {
            let (cached, film) = (Arc::clone(&cached), film.clone());
            tokio::spawn(async move { since(&cached, 0).of(&film).await.unwrap().is_some() })
        });
        for one in wanting.collect::<Vec<_>>() {
            assert!(one.await.unwrap());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn whoever_knows_of_a_later_order_has_the_keys_asked_for_again_and_once() {
        let film = VideoId::parse("film").unwrap();
        for head in [0, 7] {
            let (cached, asked, newest) = counting(head);
            let _ = since(&cached, 0).of(&film).await;
            let ask = async |least| {
                since(&cached, least).of(&film).await.unwrap();
                assert!(since(&cached, least).at_hand(&film).await.is_some());
                asked.swap(1, Ordering::SeqCst) - 1
            };
            assert_eq!(ask(0).await, 1);
            assert_eq!((ask(5).await, ask(5).await), (u32::from(head == 0), 0));
            newest.store(if head > 0 { 9 } else { 0 }, Ordering::SeqCst);
            assert!(since(&cached, 9).at_hand(&film).await.is_none());
            assert_eq!((ask(9).await, ask(9).await, ask(4).await), (1, 0, 0));
        }
    }

    #[tokio::test]
    async fn an_order_that_nobody_gave_does_not_make_keys_newer_than_they_are() {
        let film = VideoId::parse("film").unwrap();
        let (cached, asked, newest) = counting(7);
        let _ = since(&cached, 0).of(&film).await;
        assert!(since(&cached, u64::MAX).of(&film).await.unwrap().is_some());
        newest.store(8, Ordering::SeqCst);
        assert!(since(&cached, 8).at_hand(&film).await.is_none());
        since(&cached, 8).of(&film).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn that_there_are_no_keys_is_believed_for_a_second() {
        let film = VideoId::parse("film").unwrap();
        let life = Life(Duration::from_secs(600));
        let none = Dated {
            answer: None,
            seq: 0,
        };
        let life = life.expire_after_create(&film, &none, Instant::now());
        assert_eq!(life, Some(Duration::from_secs(1)));
    }
}
