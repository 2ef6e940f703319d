//! How slow a client may be: a time to do nothing, and a rate that earns it back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What is asked of a client's speed, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long the client may move nothing.
    pub grace: Duration,
    /// How many bytes a second keep the grace whole; 0 asks for some byte within each grace only.
    pub bytes_per_s: u64,
}

impl Patience {
    /// The time that so many bytes earn.
    fn earned(self, bytes: u64) -> Duration {
        if bytes == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes) * NANOS_PER_S;
        match nanos.checked_div(u128::from(self.bytes_per_s)) {
            Some(nanos) => Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            None => self.grace,
        }
    }
}

/// One transfer's account. Waiting for the client spends its credit, each byte that moves earns
/// some, and it never holds more than the grace. A client that moves nothing is cut after the
/// grace, one below the rate some time later, one at the rate never. Time in which nobody waits
/// for the client costs nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    patience: Patience,
    credit: Duration,
}

/// The client used up what it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is too slow")]
pub(crate) struct TooSlow;

impl Pace {
    pub(crate) const fn new(patience: Patience) -> Self {
        Self {
            patience,
            credit: patience.grace,
        }
    }

    /// Another grace, as pingora's sessions can be told one.
    pub(crate) fn set_grace(&mut self, grace: Duration) {
        self.patience.grace = grace;
        self.credit = grace;
    }

    pub(crate) const fn grace(&self) -> Duration {
        self.patience.grace
    }

    /// Bytes have moved.
    pub(crate) fn earn(&mut self, bytes: usize) {
        if self.credit < self.patience.grace {
            let credit = self
                .credit
                .saturating_add(self.patience.earned(bytes as u64));
            self.credit = credit.min(self.patience.grace);
        }
    }

    fn spend(&mut self, time: Duration) {
        self.credit = self.credit.saturating_sub(time);
    }

    /// Waits for the client's doing, as long as the credit lasts.
    ///
    /// # Errors
    /// When the credit is used up first.
    ///
    /// # Cancel safety
    /// What was waited is spent even when the future is dropped.
    pub(crate) async fn bound<F: Future>(&mut self, doing: F) -> Result<F::Output, TooSlow> {
        let spent = Spent {
            begun: Instant::now(),
            pace: self,
        };
        let until = spent.begun + spent.pace.credit;
        tokio::time::timeout_at(until, doing)
            .await
            .map_err(|_| TooSlow)
    }
}

/// Spends the time of its life.
struct Spent<'a> {
    begun: Instant,
    pace: &'a mut Pace,
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        let waited = self.begun.elapsed();
        self.pace.spend(waited);
    }
}

/// A [`Pace`] for code that polls.
pub(crate) struct Watched {
    pace: Pace,
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    until: Pin<Box<Sleep>>,
}

impl Watched {
    pub(crate) const fn new(patience: Patience) -> Self {
        Self {
            pace: Pace::new(patience),
            waiting: None,
        }
    }

    /// The client is waited for: ready when its credit is used up.
    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<TooSlow> {
        let credit = self.pace.credit;
        if self.waiting.as_ref().is_some_and(Waiting::is_forgotten) {
            self.waiting = None;
        }
        let waiting = self.waiting.get_or_insert_with(|| {
            let since = Instant::now();
            let until = Box::pin(tokio::time::sleep_until(since + credit));
            Waiting { since, until }
        });
        waiting.until.as_mut().poll(cx).map(|()| TooSlow)
    }

    /// The client is not waited for any more, and took or gave so much.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.rest();
        self.pace.earn(bytes);
    }

    /// The client is not waited for any more.
    pub(crate) fn rest(&mut self) {
        if let Some(waiting) = self.waiting.take()
            && !waiting.is_forgotten()
        {
            self.pace.spend(waiting.since.elapsed());
        }
    }
}

impl Waiting {
    /// The end of the credit has passed and nobody came for it: nobody waited for the client.
    fn is_forgotten(&self) -> bool {
        self.until.deadline().elapsed() > FORGOTTEN
    }
}

/// How late somebody may be who does wait.
const FORGOTTEN: Duration = Duration::from_secs(1);

const NANOS_PER_S: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        grace: Duration::from_secs(60),
        bytes_per_s: 1024,
    };

    /// How long a client holds out that moves so many bytes after each pause; `None`: ten hours.
    async fn cut_after(bytes: usize, pause: Duration) -> Option<Duration> {
        let (begun, mut pace) = (Instant::now(), Pace::new(PATIENCE));
        while begun.elapsed() < Duration::from_secs(36_000) {
            if pace.bound(tokio::time::sleep(pause)).await.is_err() {
                return Some(begun.elapsed());
            }
            pace.earn(bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_keeps_the_rate_is_never_cut_however_it_comes() {
        for (bytes, pause_s) in [(1024, 1), (16 * 1024, 16), (50 * 1024, 50)] {
            let cut = cut_after(bytes, Duration::from_secs(pause_s)).await;
            assert_eq!(cut, None, "{bytes} every {pause_s} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_moves_nothing_is_cut_after_the_grace() {
        let cut = cut_after(0, Duration::from_secs(7)).await.unwrap();
        assert_eq!(cut.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_does_not_help() {
        let cut = cut_after(1, Duration::from_secs(50)).await.unwrap();
        assert!(cut < Duration::from_secs(70), "{cut:?}");
        let half = cut_after(512, Duration::from_secs(1)).await.unwrap();
        assert!(
            (115..125).contains(&half.as_secs()),
            "half the rate uses the grace up in twice its time: {half:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_that_is_broken_off_counts_and_time_between_does_not() {
        let mut pace = Pace::new(PATIENCE);
        let never = std::future::pending::<()>;
        for _ in 0..59 {
            tokio::time::sleep(Duration::from_secs(100)).await;
            let second = Duration::from_secs(1);
            let waited = tokio::time::timeout(second, pace.bound(never())).await;
            assert!(waited.is_err(), "the credit lasts");
        }
        let begun = Instant::now();
        assert_eq!(pace.bound(never()).await, Err(TooSlow));
        assert_eq!(begun.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_any_byte_is_enough() {
        let mut pace = Pace::new(Patience {
            bytes_per_s: 0,
            ..PATIENCE
        });
        for _ in 0..100 {
            let pause = tokio::time::sleep(Duration::from_secs(59));
            pace.bound(pause).await.unwrap();
            pace.earn(1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_polled_keeps_the_same_account() {
        let mut watched = Watched::new(PATIENCE);
        let begun = Instant::now();
        let cut = std::future::poll_fn(|cx| watched.poll_wait(cx));
        assert_eq!(cut.await, TooSlow);
        assert_eq!(begun.elapsed().as_secs(), 60);
        let begun_again = watched.poll_wait(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(begun_again.is_ready(), "and stays used up");
        watched.moved(2 * 1024);
        let begun = Instant::now();
        std::future::poll_fn(|cx| watched.poll_wait(cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_nobody_keeps_up_is_not_the_client_s() {
        let mut watched = Watched::new(PATIENCE);
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        for _ in 0..10 {
            assert!(watched.poll_wait(cx).is_pending());
            tokio::time::advance(Duration::from_secs(3600)).await;
            watched.moved(1);
        }
        assert!(watched.poll_wait(cx).is_pending());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(watched.poll_wait(cx).is_pending(), "it begins anew");
    }
}
