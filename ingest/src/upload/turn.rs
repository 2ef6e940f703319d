//! Turns: within one process, one at a time joins, cancels or gives up an upload.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use contracts::id::UploadId;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

/// The right to change what becomes of one upload; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _held: OwnedMutexGuard<()>,
}

/// Who is at which upload. Several processes may still meet at one; the database decides then, and
/// turns only spare one process from doing the same work twice.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queues: Mutex<HashMap<UploadId, Weak<Queue<()>>>>,
}

impl Turns {
    /// Waits until nobody else is at this upload; those who wait come in their order.
    pub(crate) async fn wait(&self, id: &UploadId) -> Turn {
        let _held = self.queue(id).lock_owned().await;
        Turn { _held }
    }

    /// A turn, if nobody is at this upload now.
    pub(crate) fn now(&self, id: &UploadId) -> Option<Turn> {
        let _held = self.queue(id).try_lock_owned().ok()?;
        Some(Turn { _held })
    }

    fn queue(&self, id: &UploadId) -> Arc<Queue<()>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(id).and_then(Weak::upgrade) {
            return queue;
        }
        // Only those stay that somebody holds or waits for.
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Queue::new(()));
        queues.insert(id.clone(), Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_is_at_an_upload_and_nothing_is_kept_of_those_that_ended() {
        let turns = Turns::default();
        let (one, other) = (
            UploadId::parse("one").unwrap(),
            UploadId::parse("other").unwrap(),
        );
        let first = turns.wait(&one).await;
        assert!(turns.now(&one).is_none());
        assert!(turns.now(&other).is_some());
        drop(first);
        assert!(turns.now(&one).is_some());
        drop(turns.wait(&other).await);
        assert_eq!(turns.queues.lock().unwrap().len(), 1);
    }
}
