//! Pauses for what failed, so that what is tried again and again does not keep others from having their turn.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use contracts::time::UnixSeconds;

/// What failed, each for itself: it rests for longer each time. Each process remembers for itself.
#[derive(Default)]
pub(crate) struct Resting(Mutex<HashMap<String, Pause>>);

struct Pause {
    until: UnixSeconds,
    length_s: u64,
}

impl Resting {
    /// How many must be looked at to find `some` that do not rest.
    pub(crate) fn and(&self, some: u32) -> u32 {
        some.saturating_add(u32::try_from(self.pauses().len()).unwrap_or(u32::MAX))
    }

    /// The first `some` of those that have their turn now.
    pub(crate) fn up<T>(
        &self,
        some: u32,
        now: UnixSeconds,
        all: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> Vec<T> {
        let pauses = self.pauses();
        let rests = |one: &T| pauses.get(name(one)).is_some_and(|of| of.until > now);
        let up = all.into_iter().filter(|one| !rests(one));
        up.take(some.try_into().unwrap_or(usize::MAX)).collect()
    }

    /// Remembers what became of one that had its turn.
    pub(crate) fn note<E>(&self, name: &str, outcome: &Result<(), E>, now: UnixSeconds) {
        let mut pauses = self.pauses();
        let before = pauses.remove(name).map_or(0, |pause| pause.length_s);
        if outcome.is_ok() {
            return;
        }
        if pauses.len() >= MOST {
            pauses.retain(|_, pause| pause.until > now);
        }
        if pauses.len() < MOST {
            let length_s = (before * 2).clamp(SHORTEST_S, LONGEST_S);
            let until = now.plus(length_s);
            pauses.insert(name.to_owned(), Pause { until, length_s });
        }
    }

    fn pauses(&self) -> MutexGuard<'_, HashMap<String, Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SHORTEST_S: u64 = 5;
const LONGEST_S: u64 = 600;
/// So many rest at most; what fails besides has its turn at once.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_rests_for_longer_and_others_have_their_turn() {
        let resting = Resting::default();
        let up = |now| {
            let all = ["bad", "good", "late"][..].to_vec();
            resting.up(2, UnixSeconds(now), all, |name| name)
        };
        assert_eq!((resting.and(2), up(100)), (2, vec!["bad", "good"]));
        resting.note("bad", &Err(()), UnixSeconds(100));
        resting.note::<()>("good", &Ok(()), UnixSeconds(100));
        assert_eq!((resting.and(2), up(104)), (3, vec!["good", "late"]));
        assert_eq!(up(105), ["bad", "good"]);
        resting.note("bad", &Err(()), UnixSeconds(105));
        assert_eq!(up(114), ["good", "late"]);
        assert_eq!(up(115), ["bad", "good"]);
        for _ in 0..20 {
            resting.note("bad", &Err(()), UnixSeconds(115));
        }
        assert_eq!(up(115 + LONGEST_S), ["bad", "good"]);
        resting.note::<()>("bad", &Ok(()), UnixSeconds(800));
        assert_eq!((resting.and(2), up(800)), (2, vec!["bad", "good"]));
    }
}
