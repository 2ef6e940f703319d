//! Nodes that wait for orders: so many at a time, and so many of one name.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contracts::id::NodeId;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Who waits.
pub(crate) struct Waiting {
    places: Semaphore,
    most: usize,
    of: Mutex<HashMap<NodeId, usize>>,
}

/// A question that waits, until it is dropped.
pub(crate) struct Place<'a> {
    _place: SemaphorePermit<'a>,
    of: Option<(&'a Waiting, NodeId)>,
}

impl Waiting {
    /// So many at a time.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: Semaphore::new(most),
            most,
            of: Mutex::default(),
        }
    }

    /// Has a node wait that says who it is, or one that does not; `None`: it is answered at once.
    pub(crate) fn take(&self, node: Option<&NodeId>) -> Option<Place<'_>> {
        let _place = self.places.try_acquire().ok()?;
        let of = match node {
            None => None,
            Some(node) => {
                let mut of = self.of();
                let count = of.entry(node.clone()).or_default();
                if *count >= EACH {
                    return None;
                }
                *count += 1;
                Some((self, node.clone()))
            }
        };
        Some(Place { _place, of })
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.most - self.places.available_permits()
    }

    fn of(&self) -> MutexGuard<'_, HashMap<NodeId, usize>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some((waiting, node)) = &self.of else {
            return;
        };
        let mut of = waiting.of();
        if let Some(count) = of.get_mut(node) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                of.remove(node);
            }
        }
    }
}

/// Of one name: two processes, while one takes over from the other, and for each a question whose connection broke.
const EACH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_does_not_take_the_places_of_all() {
        let waiting = Waiting::new(EACH + 2);
        let (one, two) = (NodeId::parse("one").unwrap(), NodeId::parse("two").unwrap());
        let mut places: Vec<_> = (0..EACH).map(|_| waiting.take(Some(&one))).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(waiting.take(Some(&one)).is_none());
        assert_eq!(waiting.count(), EACH);
        let others = [waiting.take(Some(&two)), waiting.take(None)];
        assert!(others.iter().all(Option::is_some));
        assert!(waiting.take(None).is_none(), "there are no more");
        drop(others);
        places.pop();
        assert!(waiting.take(Some(&one)).is_some());
        drop(places);
        assert!(waiting.of().is_empty() && waiting.count() == 0);
    }
}
