//! Who is adding to which upload, within one process: whoever comes later has the earlier one stop and set down what it
//! has, so that a client that comes back is not held up by a connection that it has given up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use contracts::id::UploadId;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard, watch};

/// The place at one upload; it is free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiting: watch::Receiver<usize>,
    _held: OwnedMutexGuard<()>,
    /// The queue is found by it as long as it lives.
    _door: Arc<Door>,
}

impl Place {
    /// Whether somebody else wants the place.
    pub(crate) fn is_wanted(&self) -> bool {
        *self.waiting.borrow() > 0
    }

    /// Resolves when somebody else wants the place.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn wanted(&mut self) {
        // An end of the sender would be the end of the place, which is held.
        let _ = self.waiting.wait_for(|waiting| *waiting > 0).await;
    }
}

/// The places of one process. Several processes may still add to one upload; the database decides then.
#[derive(Debug, Default)]
pub(crate) struct Places {
    at: Mutex<HashMap<UploadId, Weak<Door>>>,
}

#[derive(Debug)]
struct Door {
    queue: Arc<Queue<()>>,
    waiting: watch::Sender<usize>,
}

/// Counts whoever waits, also when it gives up.
struct Waiting<'a>(&'a Door);

impl<'a> Waiting<'a> {
    fn at(door: &'a Door) -> Self {
        door.waiting.send_modify(|waiting| *waiting += 1);
        Self(door)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl Places {
    /// Waits until whoever is there has stopped.
    pub(crate) async fn take(&self, id: &UploadId) -> Place {
        let door = self.door(id);
        let waiting = Waiting::at(&door);
        let held = Arc::clone(&door.queue).lock_owned().await;
        drop(waiting);
        Place {
            waiting: door.waiting.subscribe(),
            _held: held,
            _door: door,
        }
    }

    fn door(&self, id: &UploadId) -> Arc<Door> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = at.get(id).and_then(Weak::upgrade) {
            return door;
        }
        // Only those stay that somebody holds or waits for.
        at.retain(|_, door| door.strong_count() > 0);
        let door = Arc::new(Door {
            queue: Arc::default(),
            waiting: watch::Sender::new(0),
        });
        at.insert(id.clone(), Arc::downgrade(&door));
        door
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_later_is_heard_by_the_one_who_is_there_and_by_nobody_else() {
        let places = Places::default();
        let (one, other) = (
            UploadId::parse("one").unwrap(),
            UploadId::parse("other").unwrap(),
        );
        let mut first = places.take(&one).await;
        assert!(first.wanted().now_or_never().is_none());
        let mut elsewhere = places.take(&other).await;
        let mut second = pin!(places.take(&one));
        assert!(second.as_mut().now_or_never().is_none());
        first.wanted().await;
        assert!(first.is_wanted() && !elsewhere.is_wanted());
        assert!(elsewhere.wanted().now_or_never().is_none());
        drop(first);
        let mut second = second.await;
        assert!(
            second.wanted().now_or_never().is_none(),
            "it is there itself"
        );
        {
            let mut third = pin!(places.take(&one));
            assert!(third.as_mut().now_or_never().is_none());
            second.wanted().await;
        }
        assert!(
            second.wanted().now_or_never().is_none(),
            "the third gave up"
        );
        drop((second, elsewhere));
        drop(places.take(&other).await);
        assert_eq!(
            places.at.lock().unwrap().len(),
            1,
            "nothing is kept of the others"
        );
    }
}
