//! Orders to the fleet: given here, numbered by the catalogue, and told at once to the nodes that wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use catalog::feed::Feed;
use contracts::feed::{Order, Page, Purge};
use contracts::id::{FeedId, SessionId};
use contracts::revocation::{Revocation, Revoked};
use contracts::time::UnixSeconds;
use runtime::clock::Clock;
use tokio::sync::watch;

use crate::error::Error;

/// Gives orders. What it has answered for stands in the catalogue, and comes to every node that follows the feed.
pub(crate) struct Orders {
    feed: Arc<dyn Feed>,
    clock: Arc<dyn Clock>,
    newest: watch::Sender<u64>,
    closed: AtomicBool,
}

impl Orders {
    /// Orders by a feed, which begins where it has not.
    pub(crate) async fn open(feed: Arc<dyn Feed>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        feed.begin(&fresh_id()?, clock.now()).await?;
        let (newest, _) = watch::channel(0);
        Ok(Self {
            feed,
            clock,
            newest,
            closed: AtomicBool::new(false),
        })
    }

    /// The orders after a number.
    pub(crate) async fn after(&self, seq: u64) -> Result<Page, catalog::Error> {
        self.feed.after(seq, self.clock.now()).await
    }

    /// Changes whenever there is a new order, and once this closes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Looks for orders that another process has given, while anybody waits.
    pub(crate) async fn look(&self) -> Result<(), catalog::Error> {
        if self.newest.receiver_count() > 0
            && let Some(extent) = self.feed.extent().await?
        {
            self.heard_of(extent.head);
        }
        Ok(())
    }

    /// Gives the feed another id, because orders may have been lost, and tells its beginning.
    pub(crate) async fn renew(&self) -> Result<u64, Error> {
        let begins = self.feed.renew(&fresh_id()?, self.clock.now()).await?;
        self.heard_of(begins);
        Ok(begins)
    }

    /// Lets nobody wait any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.newest.send_modify(|_| {});
    }

    /// Whether nobody may wait any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Gives orders, all or none, and tells the number of the last.
    pub(crate) async fn give(&self, orders: &[Order]) -> Result<u64, catalog::Error> {
        let last = self.feed.append(orders, self.clock.now()).await?;
        self.heard_of(last);
        Ok(last)
    }

    /// Takes the tokens of sessions back, the last of which end at these instants, in one step. Again, it changes
    /// nothing but costs an order each.
    pub(crate) async fn revoke_all(
        &self,
        sessions: impl IntoIterator<Item = (SessionId, UnixSeconds)> + Send,
    ) -> Result<u64, catalog::Error> {
        let revoke = |(session, until): (SessionId, UnixSeconds)| {
            let what = Revoked::Session(session.mark());
            Order::Revoke(Revocation { what, until })
        };
        let orders: Vec<Order> = sessions.into_iter().map(revoke).collect();
        self.give(&orders).await
    }

    /// Has what is cached forgotten.
    pub(crate) async fn purge(&self, purge: Purge) -> Result<u64, catalog::Error> {
        self.give(&[Order::Purge(purge)]).await
    }

    /// Wakes those who wait for a number, here or by another process, that is beyond what was known.
    fn heard_of(&self, number: u64) {
        self.newest.send_if_modified(|newest| {
            let news = number > *newest;
            *newest = number.max(*newest);
            news
        });
    }
}

fn fresh_id() -> Result<FeedId, getrandom::Error> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)?;
    Ok(FeedId::from_random(bits))
}
