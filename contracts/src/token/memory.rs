//! Tokens that were verified a moment ago, so that a player's next request need not pay for its signature again.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use super::cat;
use super::claims::Claims;
use crate::time::UnixSeconds;

/// A token whose signature was verified. Nothing that depends on the request was looked at.
#[derive(Debug)]
pub(super) struct Opened {
    /// The key's id: whether it still lives is asked each time.
    pub(super) kid: Arc<str>,
    pub(super) grant: Grant,
}

/// What a token grants.
#[derive(Debug)]
pub(super) enum Grant {
    Native(Claims),
    Cat(cat::Claims),
}

/// A table of fixed size. A token may stand in one of few places, and takes that of the oldest there; what is
/// forgotten is verified again. Only tokens that some key signed come in, so nobody fills it with what they made up.
///
/// It belongs to one keyring: what a key verified must not outlive the key.
pub(super) struct Memory {
    hasher: RandomState,
    sets: Box<[Mutex<Set>]>,
}

type Set = [Option<Entry>; WAYS];

struct Entry {
    token: Box<str>,
    opened: Arc<Opened>,
    since: UnixSeconds,
}

impl Memory {
    /// A memory for so many tokens, rounded up.
    pub(super) fn new(tokens: usize) -> Self {
        let sets = tokens.div_ceil(WAYS).clamp(1, MAX_SETS);
        Self {
            hasher: RandomState::new(),
            sets: (0..sets).map(|_| Mutex::default()).collect(),
        }
    }

    /// What a token grants, if it was verified within the last minute.
    pub(super) fn find(&self, token: &str, now: UnixSeconds) -> Option<Arc<Opened>> {
        let set = self
            .set(token)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut entries = set.iter().flatten();
        let entry = entries.find(|entry| *entry.token == *token)?;
        entry.is_fresh(now).then(|| Arc::clone(&entry.opened))
    }

    /// Remembers what a verified token grants. Very long ones are not worth their room.
    pub(super) fn keep(&self, token: &str, opened: &Arc<Opened>, now: UnixSeconds) {
        if token.len() > MAX_BYTES {
            return;
        }
        let entry = Entry {
            token: token.into(),
            opened: Arc::clone(opened),
            since: now,
        };
        let mut set = self
            .set(token)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let same = |slot: &Option<Entry>| slot.as_ref().is_some_and(|old| *old.token == *token);
        let place = set.iter().position(same).or_else(|| oldest(&set, now));
        if let Some(slot) = place.and_then(|place| set.get_mut(place)) {
            *slot = Some(entry);
        }
    }

    fn set(&self, token: &str) -> &Mutex<Set> {
        let hash = usize::try_from(self.hasher.hash_one(token) >> 32).unwrap_or_default();
        #[expect(
            clippy::indexing_slicing,
            reason = "there is a set at least, and the remainder is one of them"
        )]
        &self.sets[hash % self.sets.len()]
    }
}

impl Entry {
    /// A clock that went back makes nothing last longer.
    fn is_fresh(&self, now: UnixSeconds) -> bool {
        self.since <= now && now.since(self.since) < LIFE_S
    }
}

fn oldest(set: &Set, now: UnixSeconds) -> Option<usize> {
    let age = |slot: &Option<Entry>| match slot {
        Some(entry) if entry.is_fresh(now) => now.since(entry.since),
        _ => u64::MAX,
    };
    let ages = set.iter().map(age).enumerate();
    ages.max_by_key(|(_, age)| *age).map(|(place, _)| place)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} tokens)", self.sets.len() * WAYS)
    }
}

/// Places that one token may take.
const WAYS: usize = 4;

/// So that a setting cannot ask for more than some gigabytes.
const MAX_SETS: usize = 1 << 18;

/// Tokens up to this length are remembered, in bytes.
const MAX_BYTES: usize = 1500;

/// How long a token is taken as verified, in seconds.
const LIFE_S: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1000);

    fn opened() -> Arc<Opened> {
        Arc::new(Opened {
            kid: "k".into(),
            grant: Grant::Native(Claims::new("/v/", UnixSeconds(2000))),
        })
    }

    #[test]
    fn a_token_is_known_for_a_minute_and_no_longer() {
        let memory = Memory::new(8);
        memory.keep("a", &opened(), NOW);
        assert!(memory.find("a", NOW.plus(59)).is_some());
        assert!(memory.find("a", NOW.plus(60)).is_none());
        assert!(
            memory.find("a", UnixSeconds(999)).is_none(),
            "the clock went back"
        );
        assert!(memory.find("b", NOW).is_none());
    }

    #[test]
    fn a_token_seen_again_does_not_take_a_second_place() {
        let memory = Memory::new(1);
        for name in ["a", "b", "c"] {
            memory.keep(name, &opened(), NOW);
        }
        for later in 0..10 {
            memory.keep("d", &opened(), NOW.plus(later));
        }
        for name in ["a", "b", "c", "d"] {
            assert!(memory.find(name, NOW.plus(9)).is_some(), "{name}");
        }
    }

    #[test]
    fn the_oldest_makes_room_and_what_is_very_long_is_not_kept() {
        let memory = Memory::new(WAYS);
        for (n, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            memory.keep(name, &opened(), NOW.plus(n as u64));
        }
        assert!(memory.find("a", NOW.plus(5)).is_none());
        assert!(memory.find("b", NOW.plus(5)).is_some());
        let long = "x".repeat(MAX_BYTES + 1);
        memory.keep(&long, &opened(), NOW.plus(5));
        assert!(memory.find(&long, NOW.plus(5)).is_none());
    }
}
