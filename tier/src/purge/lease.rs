//! How long a node may go by what it knows of the feed.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A right to serve that ends unless it is renewed. It is timed by the machine's monotonic clock, so that no clock that
/// is set wrong lengthens it.
#[derive(Debug)]
pub struct Lease {
    span: Duration,
    renewed: Mutex<Option<Instant>>,
}

impl Lease {
    /// A lease that has not begun yet.
    #[must_use]
    pub fn new(span: Duration) -> Self {
        Self {
            span,
            renewed: Mutex::new(None),
        }
    }

    /// Renews it from the instant at which a question was *sent* whose answer has been applied whole: whatever was
    /// ordered before is known.
    pub fn renew(&self, sent: Instant) {
        let mut renewed = self.renewed.lock();
        *renewed = Some(renewed.map_or(sent, |before| before.max(sent)));
    }

    /// Whether the node may go by what it knows.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_younger(self.span)
    }

    /// Whether the newest news are no older than that.
    #[must_use]
    pub fn is_younger(&self, span: Duration) -> bool {
        self.age().is_some_and(|age| age <= span)
    }

    /// How old the newest news are; `None` before the first.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.renewed.lock().map(|renewed| renewed.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_a_span_after_the_question_was_sent() {
        let lease = Lease::new(Duration::from_secs(60));
        assert!(!lease.is_held(), "nothing is known yet");
        let sent = Instant::now();
        tokio::time::advance(Duration::from_secs(20)).await;
        lease.renew(sent);
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(lease.is_held());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!lease.is_held());
        lease.renew(sent - Duration::from_secs(1));
        assert_eq!(
            lease.age(),
            Some(Duration::from_millis(60_001)),
            "an older answer takes nothing back"
        );
        lease.renew(Instant::now());
        assert!(lease.is_held());
    }
}
