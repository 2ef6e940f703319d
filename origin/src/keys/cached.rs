//! Keys kept in memory for a while, asked for once however many want them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use contracts::{id::VideoId, keys::ContentKeys};
use moka::{Expiry, future::Cache};

use super::Keys;
use crate::{fault::Fault, metrics::Metrics};

type Answer = Option<Arc<ContentKeys>>;

/// A decorator that remembers. Faults are not remembered: the next request asks again.
pub(crate) struct Cached {
    keys: Box<dyn Keys>,
    answers: Cache<VideoId, Answer>,
    metrics: Metrics,
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

    /// The keys of a film, if they are in memory: nobody is asked.
    pub(crate) async fn at_hand(&self, video: &VideoId) -> Answer {
        self.answers.get(video).await.flatten()
    }

    async fn ask(&self, video: &VideoId) -> Result<Answer, Fault> {
        let answer = self.keys.of(video).await;
        self.metrics.key_lookup(match &answer {
            Ok(Some(_)) => "found",
            Ok(None) => "none",
            Err(_) => "failed",
        });
        answer
    }
}

#[async_trait]
impl Keys for Cached {
    async fn of(&self, video: &VideoId) -> Result<Answer, Fault> {
        self.answers
            .try_get_with_by_ref(video, self.ask(video))
            .await
            .map_err(|fault| (*fault).clone())
    }
}

/// How long an answer is believed.
struct Life(Duration);

impl Expiry<VideoId, Answer> for Life {
    fn expire_after_create(&self, _: &VideoId, answer: &Answer, _: Instant) -> Option<Duration> {
        Some(match answer {
            Some(_) => self.0,
            None => self.0.min(NEGATIVE_LIFE),
        })
    }
}

const MAX_FILMS: u64 = 10_000;
const NEGATIVE_LIFE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use contracts::reason::Reason;
    use prometheus::Registry;

    use super::*;

    /// Counts how often it is asked, and answers the first time with a fault.
    struct Counting(Arc<AtomicU32>);

    #[async_trait]
    impl Keys for Counting {
        async fn of(&self, video: &VideoId) -> Result<Answer, Fault> {
            tokio::task::yield_now().await;
            if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(Fault::new(Reason::Unreachable, "not yet"));
            }
            let document = format!(
                r#"{{"video":"{video}","systems":[],"periods":[{{"start_ms":0,"keys":[{{"kid":"{0}","key":"{0}"}}]}}]}}"#,
                "00".repeat(16)
            );
            super::super::read(document.as_bytes(), video).map(Some)
        }
    }

    #[tokio::test]
    async fn many_who_want_the_same_keys_ask_once_and_a_fault_is_forgotten() {
        let asked = Arc::new(AtomicU32::new(0));
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let counting = Box::new(Counting(Arc::clone(&asked)));
        let cached = Arc::new(Cached::new(counting, Duration::from_secs(600), metrics));
        let film = VideoId::parse("film").unwrap();
        assert!(cached.of(&film).await.is_err());
        let wanting = (0..50).map(|_| {
            let (cached, film) = (Arc::clone(&cached), film.clone());
            tokio::spawn(async move { cached.of(&film).await.unwrap().is_some() })
        });
        for one in wanting.collect::<Vec<_>>() {
            assert!(one.await.unwrap());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn that_there_are_no_keys_is_believed_for_a_second() {
        let film = VideoId::parse("film").unwrap();
        let life = Life(Duration::from_secs(600));
        let none = life.expire_after_create(&film, &None, Instant::now());
        assert_eq!(none, Some(Duration::from_secs(1)));
    }
}
