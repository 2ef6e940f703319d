//! Counts how often objects are asked for that are not on disk, in little memory.

use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::Key;

/// Lets an object pass that was asked for often enough. It forgets: of two objects that share a
/// place only the last is counted.
pub(super) struct Doorkeeper {
    /// The key's last seven bytes and a count of one byte.
    places: Vec<AtomicU64>,
    enough: u64,
}

impl Doorkeeper {
    /// Lets objects pass at the `enough`th time.
    pub(super) fn new(enough: u32) -> Self {
        let places = if enough > 1 { PLACES } else { 0 };
        Self {
            places: (0..places).map(|_| AtomicU64::new(0)).collect(),
            enough: u64::from(enough),
        }
    }

    /// Whether anything has to be counted at all.
    pub(super) const fn is_strict(&self) -> bool {
        self.enough > 1
    }

    /// Counts one more time; tells whether that is often enough.
    pub(super) fn passes(&self, key: &Key) -> bool {
        if !self.is_strict() {
            return true;
        }
        let number = u128::from_le_bytes(*key);
        let place = usize::try_from(number % PLACES as u128).ok();
        let Some(place) = place.and_then(|place| self.places.get(place)) else {
            return true;
        };
        let name = u64::try_from(number >> 72).unwrap_or_default() << 8;
        let counted = |before: u64| {
            let count = if before & !0xff == name {
                before & 0xff
            } else {
                0
            };
            name | (count + 1).min(0xff)
        };
        let before = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
            Some(counted(before))
        });
        before.is_ok_and(|before| counted(before) & 0xff >= self.enough)
    }
}

const PLACES: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_passes_when_it_was_asked_for_often_enough() {
        let strict = Doorkeeper::new(3);
        let passed: Vec<bool> = (0..4).map(|_| strict.passes(&[7; 16])).collect();
        assert_eq!(passed, [false, false, true, true]);
        assert!(!strict.passes(&[8; 16]));
        assert!(Doorkeeper::new(1).passes(&[7; 16]));
    }
}
