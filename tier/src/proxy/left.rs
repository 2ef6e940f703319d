//! What becomes of a fill whose viewer left.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora::cache::key::HashBinary;
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;

use super::{Context, Proxy};
use crate::cache::{Reader, Worth};

/// What fills that ended because nobody read them have cost lately, by what was fetched: whoever asks for a large object
/// and leaves, again and again, would make parents send its beginning each time.
#[derive(Default)]
pub(crate) struct Wasted(Mutex<HashMap<HashBinary, Waste>>);

struct Waste {
    bytes: usize,
    /// When it came to that.
    at: Instant,
}

impl Wasted {
    /// Bytes that were thrown away of an object's fills.
    fn of(&self, key: &HashBinary, now: Instant) -> usize {
        let wasted = self.0.lock();
        let waste = wasted.get(key).filter(|waste| waste.is_recent(now));
        waste.map_or(0, |waste| waste.bytes)
    }

    fn add(&self, key: HashBinary, bytes: usize, now: Instant) {
        let mut wasted = self.0.lock();
        if wasted.len() >= MOST && !wasted.contains_key(&key) {
            wasted.retain(|_, waste| waste.is_recent(now));
        }
        if wasted.len() >= MOST && !wasted.contains_key(&key) {
            // Who leaves so many large objects behind makes parents send as much of one as of another.
            wasted.clear();
        }
        let waste = wasted.entry(key).or_insert(Waste { bytes: 0, at: now });
        let before = if waste.is_recent(now) { waste.bytes } else { 0 };
        *waste = Waste {
            bytes: before.saturating_add(bytes),
            at: now,
        };
    }
}

impl Waste {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < REMEMBERED
    }
}

impl Proxy {
    /// Hears that another piece of an answer came.
    ///
    /// # Errors
    /// When nobody reads it any more, and too much of it is missing to fetch the rest for those who may yet come.
    pub(super) fn go_on_without_viewer(&self, session: &mut Session, ctx: &Context) -> Result<()> {
        let answered = ctx.upstream.answered_at.map(|at| at.elapsed());
        if !ctx.has_left() || answered.is_none_or(|since| since < WAITING) {
            return Ok(());
        }
        let reader = session.cache.miss_body_reader();
        let reader = reader.and_then(|reader| reader.as_any().downcast_ref::<Reader>());
        let Some(reader) = reader else {
            return Ok(());
        };
        let (now, little) = (Instant::now(), self.rules.finish_unread_bytes);
        let worth = Worth {
            little,
            wasted: self.wasted.of(&reader.key(), now),
        };
        let Some(thrown_away) = reader.leave(worth) else {
            return Ok(());
        };
        // Any fill may cost a little for nothing: so often may it be begun in vain.
        self.wasted.add(reader.key(), thrown_away.max(little), now);
        self.metrics.fills_left.inc();
        let why = "nobody reads it any more";
        Err(Error::explain(ErrorType::ConnectionClosed, why).into_down())
    }
}

/// For how long after an answer's header those who waited for it may still come. They read only once they have been
/// woken, and where fills end under them again and again, each would ask the parent by itself.
const WAITING: Duration = Duration::from_secs(1);

/// For how long it counts what was thrown away, from the last time on.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Of as many objects it is known, in some 200 KiB.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> HashBinary {
        (n as u128).to_be_bytes()
    }

    #[test]
    fn what_was_thrown_away_adds_up_for_ten_minutes() {
        let wasted = Wasted::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        wasted.add(key(1), 5, at(0));
        wasted.add(key(1), 7, at(599));
        assert_eq!(wasted.of(&key(1), at(1198)), 12);
        assert_eq!(wasted.of(&key(1), at(1199)), 0);
        assert_eq!(wasted.of(&key(2), at(0)), 0);
        wasted.add(key(1), 3, at(1300));
        assert_eq!(wasted.of(&key(1), at(1300)), 3);
    }

    #[test]
    fn of_no_more_objects_than_that_it_is_remembered() {
        let wasted = Wasted::default();
        let begun = Instant::now();
        for n in 0..MOST {
            wasted.add(key(n), 1, begun);
        }
        let later = begun + REMEMBERED / 2;
        wasted.add(key(1), 1, later);
        assert_eq!(wasted.0.lock().len(), MOST);
        let last = begun + REMEMBERED;
        wasted.add(key(MOST), 1, last);
        assert_eq!(wasted.0.lock().len(), 2, "the others were long ago");
        assert_eq!(wasted.of(&key(1), last), 2);
        for n in 0..=MOST {
            wasted.add(key(MOST + n), 1, last);
            assert!(wasted.0.lock().len() <= MOST);
        }
        assert_eq!(wasted.of(&key(2 * MOST), last), 1);
    }
}
