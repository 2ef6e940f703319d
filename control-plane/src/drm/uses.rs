//! How often each licence token was used. A token is for a few licences: players repeat what a network lost.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use contracts::keys::KeyId;
use contracts::time::UnixSeconds;

use super::token::Licence;

/// The uses of tokens that are still good, of the latest ones at most.
///
/// Each process counts for itself. When the table is full the oldest token is forgotten: with the short life of tokens
/// that wins a hostile client nothing that a renewal would not give it, while refusing would shut others out.
pub(crate) struct Uses {
    table: Mutex<Table>,
    most: usize,
}

#[derive(Default)]
struct Table {
    counts: HashMap<String, Count>,
    /// The tokens in the order in which they were first used, which is nearly that of their ends.
    order: VecDeque<(UnixSeconds, String)>,
}

#[derive(Default)]
struct Count {
    /// By key that was asked for.
    keys: HashMap<KeyId, u8>,
    /// Licences whose keys could not be read.
    opaque: usize,
    /// How often none came of a use.
    vain: u8,
}

impl Uses {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            table: Mutex::default(),
            most,
        }
    }

    /// Counts one licence for these keys of a token; `false`, and nothing counted, when one of them was given as
    /// often as may be. Where the keys cannot be read, the token is good for as many licences as all its keys are.
    #[must_use]
    pub(crate) fn take(&self, token: &Licence, kids: Option<&[KeyId]>, now: UnixSeconds) -> bool {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(now);
        if !table.counts.contains_key(&token.jti) {
            table.make_room(self.most);
            let place = (UnixSeconds(token.exp), token.jti.clone());
            table.order.push_back(place);
        }
        let count = table.counts.entry(token.jti.clone()).or_default();
        match kids {
            Some(kids) => count.take(kids),
            None => {
                count.opaque += 1;
                count.opaque <= token.kids.len().max(1) * usize::from(MOST)
            }
        }
    }

    /// Takes back what [`take`](Self::take) counted: no licence came of it. Of a token for which that happens again and
    /// again it counts all the same, so that nobody asks for ever.
    pub(crate) fn give_back(&self, token: &Licence, kids: Option<&[KeyId]>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = table.counts.get_mut(&token.jti) else {
            return;
        };
        if count.vain >= MOST_VAIN {
            return;
        }
        count.vain += 1;
        let Some(kids) = kids else {
            count.opaque = count.opaque.saturating_sub(1);
            return;
        };
        for kid in kids {
            if let Some(used) = count.keys.get_mut(kid) {
                *used = used.saturating_sub(1);
            }
        }
    }
}

impl Table {
    fn forget(&mut self, now: UnixSeconds) {
        while self.order.front().is_some_and(|(end, _)| *end <= now) {
            self.drop_first();
        }
    }

    fn make_room(&mut self, most: usize) {
        while self.order.len() >= most.max(1) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, jti)) = self.order.pop_front() {
            self.counts.remove(&jti);
        }
    }
}

impl Count {
    fn take(&mut self, kids: &[KeyId]) -> bool {
        let used = |kid: &KeyId| self.keys.get(kid).copied().unwrap_or(0);
        if kids.iter().any(|kid| used(kid) >= MOST) {
            return false;
        }
        for kid in kids {
            *self.keys.entry(*kid).or_default() += 1;
        }
        true
    }
}

/// How often a token gives one key.
const MOST: u8 = 3;
/// How many uses of a token count for nothing when no licence came of them.
const MOST_VAIN: u8 = 10;

#[cfg(test)]
mod tests {
    use contracts::id::{SessionId, VideoId};
    use contracts::keys::System;

    use super::super::policy::Policy;
    use super::super::token::Grant;
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1000);

    fn token(name: u8, now: UnixSeconds) -> Licence {
        let grant = Grant {
            session: SessionId::from_random([1; 16]),
            video: VideoId::parse("film").unwrap(),
            system: System::ClearKey,
            tracks: Vec::new(),
            policy: Policy::default(),
        };
        grant.licence(vec![kid(1), kid(2)], [name; 16], now, 300)
    }

    const fn kid(number: u8) -> KeyId {
        KeyId([number; 16])
    }

    #[test]
    fn each_key_of_a_token_is_given_three_times() {
        let uses = Uses::new(10);
        let token = token(1, NOW);
        let both = [kid(1), kid(2)];
        assert!(uses.take(&token, Some(&both), NOW));
        assert!(uses.take(&token, Some(&[kid(1)]), NOW));
        assert!(uses.take(&token, Some(&[kid(1)]), NOW));
        assert!(!uses.take(&token, Some(&both), NOW), "the first is used up");
        assert!(uses.take(&token, Some(&[kid(2)]), NOW));
        assert!(uses.take(&token, Some(&[kid(2)]), NOW));
        assert!(!uses.take(&token, Some(&[kid(2)]), NOW));
    }

    #[test]
    fn what_no_licence_came_of_is_no_use() {
        let uses = Uses::new(10);
        let token = token(1, NOW);
        for kids in [None, Some(&[kid(1)][..])] {
            for _ in 0..5 {
                assert!(uses.take(&token, kids, NOW));
                uses.give_back(&token, kids);
            }
        }
        for _ in 0..3 {
            assert!(uses.take(&token, Some(&[kid(1)]), NOW));
            uses.give_back(&token, Some(&[kid(1)]));
        }
        let used = uses.take(&token, Some(&[kid(1)]), NOW);
        assert!(!used, "ten in vain are enough");
        uses.give_back(&self::token(2, NOW), None);
    }

    #[test]
    fn licences_that_cannot_be_read_are_counted_together() {
        let uses = Uses::new(10);
        let token = token(1, NOW);
        assert!((0..6).all(|_| uses.take(&token, None, NOW)));
        assert!(!uses.take(&token, None, NOW));
    }

    #[test]
    fn the_table_holds_the_latest_tokens_and_none_that_has_ended() {
        let uses = Uses::new(3);
        for name in 0..200 {
            assert!(uses.take(&token(name, NOW), None, NOW));
        }
        assert_eq!(uses.table.lock().unwrap().counts.len(), 3);
        assert!(uses.take(&token(200, NOW.plus(300)), None, NOW.plus(300)));
        let table = uses.table.lock().unwrap();
        assert_eq!((table.counts.len(), table.order.len()), (1, 1));
    }
}
