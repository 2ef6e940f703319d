//! What unsafe requests have changed a moment ago: a fetch that was asked for before that is not stored (RFC 9111 §4.4).
//!
//! What is stored, or has at least its header, is forgotten where it lies. A fetch that waits for its header lies
//! nowhere yet.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;
use pingora::cache::key::HashBinary;

/// When addresses were changed last, as far back as it is remembered.
#[derive(Default)]
pub(crate) struct Changes(Mutex<Known>);

#[derive(Default)]
struct Known {
    changed: HashMap<HashBinary, Instant>,
    /// What was changed before that is not known any more: anything may have been.
    forgotten: Option<Instant>,
}

impl Changes {
    /// Notes that what is kept by a key was changed.
    pub(crate) fn note(&self, key: HashBinary, now: Instant) {
        let mut known = self.0.lock();
        if known.changed.len() >= MOST {
            known.changed.clear();
            known.forgotten = Some(now);
        }
        known.changed.insert(key, now);
    }

    /// Whether it may have been changed since then.
    pub(crate) fn may_have_changed(&self, key: &HashBinary, since: Instant) -> bool {
        let known = self.0.lock();
        let changed = known.changed.get(key).copied().max(known.forgotten);
        changed.is_some_and(|at| since <= at)
    }
}

/// As many are remembered, in some 200 KiB.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_asked_for_before_a_change_is_known_whatever_was_changed_meanwhile() {
        let changes = Changes::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let key = |n: u64| u128::from(n).to_be_bytes();
        changes.note(key(0), at(5));
        assert!(changes.may_have_changed(&key(0), at(4)));
        assert!(!changes.may_have_changed(&key(0), at(6)));
        assert!(!changes.may_have_changed(&key(1), at(4)));
        for n in 1..=MOST as u64 {
            changes.note(key(n), at(10));
        }
        for n in [0, 1, 1 << 40] {
            assert!(changes.may_have_changed(&key(n), at(4)), "{n}");
            assert!(!changes.may_have_changed(&key(n), at(11)), "{n}");
        }
        assert!(changes.0.lock().changed.len() <= MOST);
    }
}
