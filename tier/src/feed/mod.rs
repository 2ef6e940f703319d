//! The feed of orders to purge and to revoke, followed.
//!
//! A [`Follower`] asks a [`Source`] for the orders after the last one that was applied, again and again; [`Orders`] puts
//! them in force and keeps them over a restart. A question whose answer brings the node up to date renews the lease
//! (see [`crate::purge::Lease`]).

mod by_hand;
mod lines;
mod metrics;
mod orders;
mod settings;
mod source;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use runtime::clock::System;
use runtime::internal::Health;
use runtime::shutdown::Shutdown;
use tokio::time::Instant;

pub use by_hand::by_hand;
pub use lines::Lines;
pub use metrics::Metrics;
pub use orders::{Orders, Revokes, Shortfall, Unkept};
pub use settings::{Feed, Settings};
pub use source::{Fault, NoPlace, Place, Server, Source, Who, client};

use crate::purge::WhenLost;

/// How a feed is followed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long the source may hold back an answer without orders.
    pub wait: Duration,
    /// The least time between two questions, where nothing was new.
    pub every: Duration,
}

/// One node that follows one feed.
pub struct Follower {
    /// Where orders come from.
    pub source: Arc<dyn Source>,
    /// Where they go to.
    pub orders: Arc<Orders>,
    /// How often it is asked.
    pub pace: Pace,
    /// Where it is told how the feed is doing.
    pub health: Health,
    /// Where that is counted.
    pub metrics: Metrics,
}

impl Follower {
    /// Follows the feed until shutdown. `random` gives numbers between 0 and 1, by which the nodes of a house do not
    /// all ask at once when a server comes back.
    pub async fn run(self, random: impl FnMut() -> f64, mut shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.follow(random) => {}
        }
    }

    async fn follow(self, mut random: impl FnMut() -> f64) {
        let mut wait = Duration::ZERO;
        let mut fault: Option<String> = None;
        let mut failures = 0;
        loop {
            let asked = Instant::now();
            let answer = self.watched(fault.as_deref(), self.ask(wait)).await;
            let pause = match answer {
                Ok(taken) => {
                    self.took(&taken, asked);
                    (fault, failures) = (None, 0);
                    wait = if taken.complete {
                        self.pace.wait
                    } else {
                        Duration::ZERO
                    };
                    let rest = self.pace.every.saturating_sub(asked.elapsed());
                    if taken.news { Duration::ZERO } else { rest }
                }
                Err(failed) => {
                    self.metrics.failures.inc();
                    if failures == 0 {
                        tracing::warn!("{failed}");
                    }
                    fault = Some(failed.to_string());
                    failures += 1;
                    // Lost, one wants to know at once when the feed is back: the next answer is not held back.
                    wait = Duration::ZERO;
                    let spread = 0.5 + random().clamp(0.0, 1.0) / 2.0;
                    backoff(self.pace.every, failures).mul_f64(spread)
                }
            };
            self.watched(fault.as_deref(), tokio::time::sleep(pause))
                .await;
        }
    }

    async fn ask(&self, wait: Duration) -> Result<Taken, Fault> {
        let applied = self.orders.through();
        let feed = self.orders.feed();
        let page = self.source.after(applied, feed, wait).await?;
        let (head, through) = (page.head, page.through(applied));
        if head < applied {
            return Err(Fault::Behind { head, applied });
        }
        if through <= applied && self.orders.is_of_another(&page) {
            return Err(Fault::Another { applied });
        }
        let news = page.gap.is_some() || !page.entries.is_empty();
        let orders = Arc::clone(&self.orders);
        let taken = tokio::task::spawn_blocking(move || orders.take(page, System.wall())).await;
        Ok(Taken {
            news,
            complete: through >= head,
            shortfall: taken.map_err(|error| Fault::Unreachable(error.to_string()))?,
        })
    }

    /// Says in the node's health when the lease ends, and when it is held again, while something else goes on.
    async fn watched<T>(&self, fault: Option<&str>, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            self.look(fault);
            tokio::select! {
                done = &mut other => return done,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn took(&self, taken: &Taken, asked: Instant) {
        if taken.complete {
            self.orders.purges().lease.renew(asked);
        }
        let Shortfall { unrevoked, unsaved } = &taken.shortfall;
        let unrevoked = unrevoked
            .as_ref()
            .map(|(count, why)| format!("{count} revocations are not in force: {why}"));
        let unsaved = unsaved.as_ref().map(|why| {
            self.metrics.unsaved.inc();
            format!("orders would not survive a restart: {why}")
        });
        let short: Vec<String> = unrevoked.into_iter().chain(unsaved).collect();
        if !short.is_empty() {
            tracing::error!("{}", short.join("; "));
        }
        let short = (!short.is_empty()).then(|| short.join("; "));
        self.health.degrade("orders", short);
    }

    fn look(&self, fault: Option<&str>) {
        let purges = self.orders.purges();
        let unnumbered =
            "a parent, or a cache before it, follows no feed, and gave what may have been purged";
        let unnumbered = purges.was_laundered().then(|| unnumbered.to_owned());
        self.health.degrade("parents", unnumbered);
        let Some(lost) = purges.lost() else {
            return self.health.degrade("feed", None);
        };
        let done = match lost {
            WhenLost::Serve => "what is cached is served on",
            WhenLost::Revalidate => "what is cached is validated on each use",
            WhenLost::Refuse => "requests are refused",
        };
        let since = purges.lease.age().map_or_else(
            || "no news of the feed yet".to_owned(),
            |age| format!("no news of the feed for {} s", age.as_secs()),
        );
        let fault = fault.map(|fault| format!(": {fault}")).unwrap_or_default();
        self.health
            .degrade("feed", Some(format!("{since}; {done}{fault}")));
    }
}

struct Taken {
    /// There was something to do.
    news: bool,
    /// All that the feed has is applied.
    complete: bool,
    shortfall: Shortfall,
}

/// How long to wait after so many failures: twice as long each time, half a minute at most.
fn backoff(every: Duration, failures: u32) -> Duration {
    every
        .saturating_mul(1 << failures.min(16))
        .min(LONGEST_BACKOFF)
}

const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How often the lease is looked at while waiting.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
