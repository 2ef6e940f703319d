//! What a connection is asked and has yet to send: a peer that asks nothing, or takes nothing, is not waited for.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::Version;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Limits;

/// The requests of one connection, and its answers under way.
///
/// Over HTTP/1.1 the connection itself shows that nobody reads. Over HTTP/2 a peer may read all that comes and still
/// keep the window of one answer shut, so each answer has its time: [`Limits::write`] for each MiB that it begins.
#[derive(Clone, Debug)]
pub struct Answers(Arc<Shared>);

/// An answer under way; dropped, it is sent or given up.
#[derive(Debug)]
pub struct Sending {
    answers: Answers,
    place: (Instant, u64),
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    began: Instant,
    asked: AtomicU64,
    /// The ends of the times of what is sent over HTTP/2; none before its first request.
    sent: Mutex<Option<BTreeSet<(Instant, u64)>>>,
    changed: Notify,
}

impl Answers {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            limits,
            began: Instant::now(),
            asked: AtomicU64::new(0),
            sent: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// To be told of each request whose header is there.
    pub fn asked(&self, version: Version) {
        let before = self.0.asked.fetch_add(1, Ordering::Relaxed);
        if before > 0 {
            return;
        }
        if version == Version::HTTP_2 {
            *self.sent() = Some(BTreeSet::new());
        }
        self.0.changed.notify_one();
    }

    /// An answer with a body of so many bytes. Until what comes back is dropped, the answer has to be sent in its
    /// time, or the connection is cut. None over HTTP/1.1, where that is seen otherwise.
    #[must_use]
    pub fn sending(&self, bytes: usize) -> Option<Sending> {
        if self.sent().is_none() {
            return None;
        }
        let parts = u32::try_from(bytes.div_ceil(PART)).unwrap_or(u32::MAX);
        let time = self.0.limits.write.saturating_mul(parts.max(1));
        let end = Instant::now().checked_add(time)?;
        let place = (end, self.0.asked.fetch_add(1, Ordering::Relaxed));
        let first = {
            let mut sent = self.sent();
            let sent = sent.as_mut()?;
            sent.insert(place);
            sent.first() == Some(&place)
        };
        if first {
            self.0.changed.notify_one();
        }
        Some(Sending {
            answers: self.clone(),
            place,
        })
    }

    /// Resolves when the connection is not worth keeping: nothing was asked in time, or an answer was not taken.
    pub(super) async fn overdue(&self) {
        loop {
            let asked = self.0.asked.load(Ordering::Relaxed);
            let before = self.first();
            let end = self.end(asked, before);
            let passed = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = passed => {}
                () = self.0.changed.notified() => continue,
            }
            let idle = before.is_none() && self.0.asked.load(Ordering::Relaxed) == asked;
            if self.first().map_or(idle, |first| first <= Instant::now()) {
                return;
            }
        }
    }

    /// When to look whether the connection is still worth keeping.
    fn end(&self, asked: u64, sent: Option<Instant>) -> Option<Instant> {
        let Limits { first, header, .. } = self.0.limits;
        if asked == 0 {
            return self.0.began.checked_add(first);
        }
        // Over HTTP/1.1 the next header has its time from hyper.
        self.sent().as_ref()?;
        sent.or_else(|| Instant::now().checked_add(header))
    }

    fn first(&self) -> Option<Instant> {
        let sent = self.sent();
        sent.as_ref()?.first().map(|(end, _)| *end)
    }

    fn sent(&self) -> std::sync::MutexGuard<'_, Option<BTreeSet<(Instant, u64)>>> {
        self.0.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(sent) = self.answers.sent().as_mut() {
            sent.remove(&self.place);
        }
    }
}

/// Bytes of an answer for which it has [`Limits::write`].
const PART: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        connections: 1,
        each: 1,
        first: Duration::from_millis(20),
        header: Duration::from_millis(400),
        write: Duration::from_millis(50),
    };

    async fn ends_after(answers: &Answers, start: Instant) -> Duration {
        answers.overdue().await;
        start.elapsed()
    }

    #[tokio::test]
    async fn an_answer_has_its_time_for_each_mebibyte_that_it_begins() {
        let answers = Answers::new(LIMITS);
        answers.asked(Version::HTTP_2);
        let start = Instant::now();
        let _long = answers.sending((2 << 20) + 1).unwrap();
        let _longer = answers.sending(64 << 20).unwrap();
        let time = ends_after(&answers, start).await;
        assert!(time >= LIMITS.write * 3, "{time:?}");
    }

    #[tokio::test]
    async fn an_answer_that_was_sent_leaves_the_peer_its_time_for_the_next_request() {
        // Time enough for a busy machine to send it in.
        let answers = Answers::new(Limits {
            write: Duration::from_secs(1),
            ..LIMITS
        });
        answers.asked(Version::HTTP_2);
        let start = Instant::now();
        let sending = answers.sending(1);
        let sent = async {
            tokio::task::yield_now().await;
            drop(sending);
        };
        let (time, ()) = tokio::join!(ends_after(&answers, start), sent);
        assert!(time >= LIMITS.header, "{time:?}");
    }

    #[tokio::test]
    async fn over_http_1_the_connection_is_left_to_its_own_limits() {
        let answers = Answers::new(LIMITS);
        answers.asked(Version::HTTP_11);
        assert!(answers.sending(1 << 30).is_none());
        let overdue = tokio::time::timeout(LIMITS.header * 2, answers.overdue());
        assert!(overdue.await.is_err());
    }
}
