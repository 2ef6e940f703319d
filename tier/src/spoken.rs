//! What the client of a connection says of its streams, also of those that it has not opened yet.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;

/// A place for each stream that is open, and for those that were spoken of before they came.
pub(crate) struct Spoken<T> {
    numbering: Numbering,
    places: Mutex<Places<T>>,
}

/// How a protocol numbers the streams that a client opens for its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbering {
    pub(crate) first: u64,
    pub(crate) step: u64,
    /// How many requests may be in progress, and so how far ahead a client may speak.
    pub(crate) at_once: u32,
}

struct Places<T> {
    by_stream: BTreeMap<u64, Arc<T>>,
    /// The first stream that has not come.
    next: u64,
}

/// The place of a stream that is open.
pub(crate) struct Open<T> {
    streams: Arc<Spoken<T>>,
    id: u64,
    place: Arc<T>,
}

/// It is about no stream that may carry a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchStream;

impl<T: Default> Spoken<T> {
    pub(crate) fn new(numbering: Numbering) -> Arc<Self> {
        Arc::new(Self {
            numbering,
            places: Mutex::new(Places {
                by_stream: BTreeMap::new(),
                next: numbering.first,
            }),
        })
    }

    /// A request has come.
    pub(crate) fn come(&self, id: u64) {
        let mut places = self.places.lock();
        if id < places.next {
            return;
        }
        places.next = id.saturating_add(self.numbering.step);
        places.by_stream.entry(id).or_default();
        if places.by_stream.len() > self.most() {
            // One of those that were refused before they were opened.
            let mut all = places.by_stream.iter();
            let unused = all.find(|(_, place)| Arc::strong_count(place) == 1);
            if let Some(id) = unused.map(|(id, _)| *id) {
                places.by_stream.remove(&id);
            }
        }
    }

    /// The place of a stream whose request is being answered.
    pub(crate) fn open(self: &Arc<Self>, id: u64) -> Open<T> {
        self.come(id);
        let mut places = self.places.lock();
        let place = Arc::clone(places.by_stream.entry(id).or_default());
        Open {
            streams: Arc::clone(self),
            id,
            place,
        }
    }

    /// Where to note what is said of a stream; `None` for one that is over.
    ///
    /// # Errors
    /// When it can be no request's.
    pub(crate) fn spoken_of(&self, id: u64) -> Result<Option<Arc<T>>, NoSuchStream> {
        let Numbering { first, step, .. } = self.numbering;
        let mut places = self.places.lock();
        let is_request = id.checked_sub(first).is_some_and(|ahead| ahead % step == 0);
        if !is_request || id >= places.next + u64::from(self.numbering.at_once) * step {
            return Err(NoSuchStream);
        }
        if id >= places.next && places.by_stream.len() <= self.most() {
            places.by_stream.entry(id).or_default();
        }
        Ok(places.by_stream.get(&id).map(Arc::clone))
    }

    /// Calls `visit` with the place of each stream.
    pub(crate) fn each(&self, visit: impl FnMut(&Arc<T>)) {
        self.places.lock().by_stream.values().for_each(visit);
    }

    /// As many as are open, as many that are to come, and some that were refused.
    const fn most(&self) -> usize {
        3 * self.numbering.at_once as usize
    }
}

impl<T> Open<T> {
    /// The how many-eth request of its connection it is, from 0.
    pub(crate) fn number(&self) -> u64 {
        let Numbering { first, step, .. } = self.streams.numbering;
        self.id.saturating_sub(first) / step
    }
}

impl<T> Deref for Open<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.place
    }
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        self.streams.places.lock().by_stream.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const H3: Numbering = Numbering {
        first: 0,
        step: 4,
        at_once: 10,
    };
    const H2: Numbering = Numbering {
        first: 1,
        step: 2,
        at_once: 10,
    };

    fn say(streams: &Spoken<AtomicU32>, id: u64, value: u32) -> Result<bool, NoSuchStream> {
        let place = streams.spoken_of(id)?;
        let store = |place: Arc<AtomicU32>| place.store(value, Ordering::Relaxed);
        Ok(place.map(store).is_some())
    }

    fn kept(streams: &Spoken<AtomicU32>) -> usize {
        let mut count = 0;
        streams.each(|_| count += 1);
        count
    }

    #[test]
    fn what_is_said_counts_before_and_while_a_stream_is_open_and_not_after_it() {
        let streams = Spoken::new(H3);
        assert_eq!(say(&streams, 4, 7), Ok(true));
        let second = streams.open(4);
        assert_eq!((second.load(Ordering::Relaxed), second.number()), (7, 1));
        let first = streams.open(0);
        assert_eq!(say(&streams, 0, 8), Ok(true));
        assert_eq!(first.load(Ordering::Relaxed), 8);
        drop((first, second));
        assert_eq!(say(&streams, 0, 9), Ok(false));
        assert_eq!(kept(&streams), 0);
    }

    #[test]
    fn of_streams_that_cannot_be_nothing_is_kept() {
        let streams = Spoken::new(H3);
        for id in [1, 2, 3, 40, 1 << 60] {
            assert_eq!(say(&streams, id, 1), Err(NoSuchStream), "{id}");
        }
        for number in 0..10 {
            say(&streams, number * 4, 1).unwrap();
        }
        assert_eq!(kept(&streams), 10);
        let streams = Spoken::new(H2);
        for id in [0, 2, 21] {
            assert_eq!(say(&streams, id, 1), Err(NoSuchStream), "{id}");
        }
        assert_eq!(say(&streams, 19, 1), Ok(true));
    }

    #[test]
    fn who_speaks_of_streams_that_never_come_is_not_remembered_for_ever() {
        let streams = Spoken::new(H2);
        let open = streams.open(1);
        say(&streams, 1, 5).unwrap();
        for round in 1..1000 {
            say(&streams, round * 4 + 1, 1).unwrap();
            streams.come(round * 4 + 1);
            drop(streams.open(round * 4 + 3));
            assert!(kept(&streams) <= 30);
        }
        assert_eq!(open.load(Ordering::Relaxed), 5);
    }
}
