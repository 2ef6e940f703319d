//! How much noise a connection may make: a budget of frames that carry nothing for anybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::Protocol;

/// The budget of one connection. A frame of noise costs one; time and answers earn.
///
/// PING, SETTINGS, window updates, resets and the like cost their sender nothing and us a little
/// each. An honest client sends a few for every answer that it takes, so answers pay for them.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In points, [`POINTS_PER_FRAME`] a frame.
    points: u64,
    at: Instant,
}

/// The peer has made more noise than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a flood of frames")]
pub(crate) struct Flood;

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            points: BURST_FRAMES * POINTS_PER_FRAME,
            at: Instant::now(),
        }
    }

    /// Takes the price of so many frames.
    ///
    /// # Errors
    /// When there is not enough left.
    pub(crate) fn spend(&mut self, frames: u64) -> Result<(), Flood> {
        if frames == 0 {
            return Ok(());
        }
        self.settle(frames, 0)
    }

    /// So many bytes of answers have left.
    pub(crate) fn earn(&mut self, bytes: u64) {
        self.add(bytes.saturating_mul(POINTS_PER_BYTE));
    }

    /// Sets frames against bytes of answers that went out in the same time.
    ///
    /// # Errors
    /// When there is not enough left.
    pub(crate) fn settle(&mut self, frames: u64, bytes: u64) -> Result<(), Flood> {
        let price = frames.saturating_mul(POINTS_PER_FRAME);
        let earned = bytes.saturating_mul(POINTS_PER_BYTE);
        self.add(earned.saturating_sub(price));
        let now = Instant::now();
        let micros = now.duration_since(self.at).as_micros();
        let waited = micros * u128::from(POINTS_PER_S) / MICROS_PER_S;
        self.add(u64::try_from(waited).unwrap_or(u64::MAX));
        self.at = now;
        let price = price.saturating_sub(earned);
        self.points = self.points.checked_sub(price).ok_or(Flood)?;
        Ok(())
    }

    fn add(&mut self, points: u64) {
        self.points = self
            .points
            .saturating_add(points)
            .min(BURST_FRAMES * POINTS_PER_FRAME);
    }
}

/// Says that clients are cut for floods, at most once in [`QUIET`], with how many it was.
pub(crate) fn tell(protocol: Protocol) {
    static CUT: AtomicU64 = AtomicU64::new(0);
    static TOLD: parking_lot::Mutex<Option<Instant>> = parking_lot::Mutex::new(None);
    CUT.fetch_add(1, Ordering::Relaxed);
    let mut told = TOLD.lock();
    if told.is_none_or(|at| at.elapsed() >= QUIET) {
        *told = Some(Instant::now());
        let cut = CUT.swap(0, Ordering::Relaxed);
        tracing::warn!(
            %protocol,
            cut,
            "cut connections for floods of frames, the last over {protocol}: {cut} since the last such line"
        );
    }
}

/// Frames that may come at once.
const BURST_FRAMES: u64 = 1000;
const POINTS_PER_FRAME: u64 = 256;
/// A hundred frames a second.
const POINTS_PER_S: u64 = 100 * POINTS_PER_FRAME;
/// One frame for 256 bytes.
const POINTS_PER_BYTE: u64 = 1;
const MICROS_PER_S: u128 = 1_000_000;
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_borne_and_then_a_hundred_a_second() {
        let mut budget = Budget::new();
        budget.spend(1000).unwrap();
        assert_eq!(budget.spend(1), Err(Flood));
        tokio::time::advance(Duration::from_secs(1)).await;
        budget.spend(100).unwrap();
        assert_eq!(budget.spend(1), Err(Flood));
        for _ in 0..3600 {
            tokio::time::advance(Duration::from_secs(1)).await;
            budget.spend(99).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_pay_for_frames_and_nobody_saves_up() {
        let mut budget = Budget::new();
        budget.spend(1000).unwrap();
        budget.earn(10 * 256);
        budget.spend(10).unwrap();
        assert_eq!(budget.spend(1), Err(Flood));
        budget.earn(1 << 40);
        tokio::time::advance(Duration::from_secs(3600)).await;
        budget.spend(1000).unwrap();
        assert_eq!(budget.spend(1), Err(Flood));
    }
}
