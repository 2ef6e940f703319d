//! What one connection has cost and brought: its noise, and the bytes that its client took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quinn::FrameStats;

use super::code::{Code, Fault};
use super::metrics::Metrics;
use crate::flood::{self, Budget};
use crate::metrics::Cut;
use crate::pace::{Pace, Patience, TooSlow};
use crate::protocol::Protocol;

/// The account of a connection; clones share it.
#[derive(Clone)]
pub(super) struct Account(Arc<Inner>);

struct Inner {
    /// Frames of HTTP/3 and instructions of QPACK that are of no use.
    http: Mutex<Paid>,
    /// QUIC frames other than those that carry data or acknowledge it.
    quic: Mutex<Paid>,
    moved_bytes: AtomicU64,
    waiting: AtomicUsize,
    /// Whether it was found unable to pay.
    broke: AtomicBool,
    metrics: Metrics,
}

/// A budget, and how much has been set against it.
struct Paid {
    budget: Budget,
    frames: u64,
    moved_bytes: u64,
}

impl Account {
    pub(super) fn new(metrics: Metrics) -> Self {
        let paid = || {
            Mutex::new(Paid {
                budget: Budget::new(),
                frames: 0,
                moved_bytes: 0,
            })
        };
        Self(Arc::new(Inner {
            http: paid(),
            quic: paid(),
            moved_bytes: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            broke: AtomicBool::new(false),
            metrics,
        }))
    }

    /// Takes the price of so many frames of HTTP/3 without use.
    ///
    /// # Errors
    /// When the connection cannot pay: it is to end.
    pub(super) fn noise(&self, frames: u64) -> Result<(), Fault> {
        if frames == 0 {
            return Ok(());
        }
        let mut paid = self.0.http.lock();
        let sum = paid.frames.saturating_add(frames);
        self.settle(&mut paid, sum)
    }

    /// Takes the price of the QUIC frames that have arrived since it was last called.
    ///
    /// # Errors
    /// When the connection cannot pay: it is to end.
    pub(super) fn quic_frames(&self, stats: &FrameStats) -> Result<(), Fault> {
        let mut paid = self.0.quic.lock();
        self.settle(&mut paid, noise(stats))
    }

    fn settle(&self, paid: &mut Paid, frames: u64) -> Result<(), Fault> {
        let moved = self.0.moved_bytes.load(Ordering::Relaxed);
        let more = frames.saturating_sub(paid.frames);
        let bytes = moved.saturating_sub(paid.moved_bytes);
        (paid.frames, paid.moved_bytes) = (frames, moved);
        paid.budget.settle(more, bytes).map_err(|_| {
            if !self.0.broke.swap(true, Ordering::Relaxed) {
                self.0.metrics.cut(Cut::Flood);
                flood::tell(Protocol::H3);
            }
            Fault::Connection(Code::EXCESSIVE_LOAD)
        })
    }

    /// The client has taken bytes of some answer.
    fn moved(&self, bytes: usize) {
        self.0
            .moved_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// PING, window updates, resets, identifiers and probes. Data and acknowledgements are left out:
/// both grow with what is transferred.
fn noise(stats: &FrameStats) -> u64 {
    [
        stats.data_blocked,
        stats.max_data,
        stats.max_stream_data,
        stats.max_streams_bidi,
        stats.max_streams_uni,
        stats.new_connection_id,
        stats.new_token,
        stats.path_challenge,
        stats.path_response,
        stats.ping,
        stats.reset_stream,
        stats.retire_connection_id,
        stats.stop_sending,
        stats.stream_data_blocked,
        stats.streams_blocked_bidi,
        stats.streams_blocked_uni,
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// One answer's place in the account.
///
/// The answers of a connection are sent by their priority, so one may wait for others though the
/// client takes all that it can: what the others move counts for those who wait, each its share.
pub(super) struct Taking {
    account: Account,
    pace: Pace,
    /// What the connection had moved when this answer began to wait.
    waits_from: Option<u64>,
}

impl Taking {
    pub(super) fn new(account: Account, patience: Patience) -> Self {
        Self {
            account,
            pace: Pace::new(patience),
            waits_from: None,
        }
    }

    pub(super) fn set_grace(&mut self, grace: Duration) {
        self.pace.set_grace(grace);
    }

    pub(super) const fn grace(&self) -> Duration {
        self.pace.grace()
    }

    /// Waits until the client has room, and returns what `write` does.
    ///
    /// # Errors
    /// When neither it nor its neighbours move at a bearable pace.
    ///
    /// # Cancel safety
    /// What was waited is kept in mind; `write` itself is dropped.
    pub(super) async fn bound<F: Future>(&mut self, write: F) -> Result<F::Output, TooSlow> {
        let mut write = std::pin::pin!(write);
        loop {
            let inner = &self.account.0;
            let now = inner.moved_bytes.load(Ordering::Relaxed);
            let from = *self.waits_from.get_or_insert_with(|| {
                inner.waiting.fetch_add(1, Ordering::Relaxed);
                now
            });
            if now > from {
                let waiting = inner.waiting.load(Ordering::Relaxed).max(1) as u64;
                let share = usize::try_from((now - from) / waiting).unwrap_or(usize::MAX);
                self.pace.earn(share);
                self.waits_from = Some(now);
            }
            match self.pace.bound(write.as_mut()).await {
                Ok(output) => return Ok(output),
                Err(TooSlow) if inner.moved_bytes.load(Ordering::Relaxed) > now => {}
                Err(TooSlow) => {
                    self.account.0.metrics.cut(Cut::SlowReader);
                    return Err(TooSlow);
                }
            }
        }
    }

    /// The client has taken so much of this answer.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.rest();
        self.account.moved(bytes);
        self.pace.earn(bytes);
    }

    fn rest(&mut self) {
        if self.waits_from.take().is_some() {
            self.account.0.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Patience = Patience {
        grace: Duration::from_secs(60),
        bytes_per_s: 1024,
    };

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_for_others_is_not_cut_while_they_move() {
        let metrics = Metrics::new();
        let account = Account::new(metrics.clone());
        let mut first = Taking::new(account.clone(), PATIENCE);
        let mut second = Taking::new(account, PATIENCE);
        let begun = Instant::now();
        let mover = async {
            for _ in 0..600 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                first.moved(2 * 1024);
            }
        };
        let waiter = second.bound(std::future::pending::<()>());
        let (_, cut) = tokio::join!(mover, waiter);
        assert_eq!(cut, Err(TooSlow));
        let stood = begun.elapsed().as_secs();
        assert!((655..=665).contains(&stood), "{stood} s");
        assert_eq!(metrics.count(Cut::SlowReader), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_for_one_does_not_hold_many() {
        let account = Account::new(Metrics::new());
        let mut moving = Taking::new(account.clone(), PATIENCE);
        let mut waiting: Vec<_> = (0..100)
            .map(|_| Taking::new(account.clone(), PATIENCE))
            .collect();
        let begun = Instant::now();
        let mover = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                moving.moved(2 * 1024);
            }
        };
        let waiters = futures_util::future::join_all(
            waiting
                .iter_mut()
                .map(|taking| taking.bound(std::future::pending::<()>())),
        );
        tokio::select! {
            () = mover => {}
            cut = waiters => assert!(cut.iter().all(Result::is_err)),
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{begun:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_transfer_pays_for_the_window_updates_it_needs() {
        let account = Account::new(Metrics::new());
        let mut taking = Taking::new(account.clone(), PATIENCE);
        let mut stats = FrameStats::default();
        for _ in 0..100 {
            // fifty megabytes, a window update for each sixteen kilobytes, between two looks
            taking.moved(50_000_000);
            stats.max_stream_data += 3_000;
            account.quic_frames(&stats).unwrap();
        }
        stats.ping += 1_000;
        account.quic_frames(&stats).unwrap();
        stats.ping += 1;
        assert_eq!(
            account.quic_frames(&stats),
            Err(Fault::Connection(Code::EXCESSIVE_LOAD))
        );
    }
}
