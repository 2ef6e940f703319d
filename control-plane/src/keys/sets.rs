//! The sets of keys of a film: the one that counts, and those that it replaced, for as long as players may go on with
//! them.

use contracts::id::VideoId;
use contracts::keys::{ContentKeys, KeyId, KeyPeriod, KeySet, RetiredKeys};
use contracts::time::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::drm::config::Drm;

/// A film's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sets {
    set: KeySet,
    periods: Vec<KeyPeriod>,
    /// Youngest first.
    retired: Vec<Retired>,
}

/// Keys that were replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retired {
    set: KeySet,
    /// From when on they count no more.
    until_unix_s: u64,
    periods: Vec<KeyPeriod>,
}

impl Sets {
    /// The keys that a film begins with.
    pub(crate) const fn first(periods: Vec<KeyPeriod>) -> Self {
        Self {
            set: KeySet::FIRST,
            periods,
            retired: Vec::new(),
        }
    }

    /// Reads what [`Sets::write`] wrote.
    pub(crate) fn read(text: &[u8]) -> serde_json::Result<Self> {
        // A film whose keys were never rotated has them alone, as all once had.
        if text.starts_with(b"[") {
            return serde_json::from_slice(text).map(Self::first);
        }
        serde_json::from_slice(text)
    }

    /// What is sealed.
    pub(crate) fn write(&self) -> serde_json::Result<Vec<u8>> {
        if self.set.is_first() && self.retired.is_empty() {
            return serde_json::to_vec(&self.periods);
        }
        serde_json::to_vec(self)
    }

    /// These keys in place of those that count, which end at `until`, as do all that were replaced before at the
    /// latest. Of those the youngest are kept; none when there is no further number.
    pub(crate) fn rotate(self, periods: Vec<KeyPeriod>, until: UnixSeconds) -> Option<Self> {
        let set = self.set.next()?;
        let last = Retired {
            set: self.set,
            until_unix_s: until.0,
            periods: self.periods,
        };
        let mut retired = vec![last];
        retired.extend(self.retired);
        retired.truncate(MOST_RETIRED);
        for old in &mut retired {
            old.until_unix_s = old.until_unix_s.min(until.0);
        }
        Some(Self {
            set,
            periods,
            retired,
        })
    }

    /// Without what counts no more.
    pub(crate) fn living(mut self, now: UnixSeconds) -> Self {
        self.retired.retain(|old| old.until_unix_s > now.0);
        self
    }

    /// When the first of them ends, if one does.
    pub(crate) fn due(&self) -> Option<UnixSeconds> {
        let ends = self.retired.iter().map(|old| old.until_unix_s);
        ends.min().map(UnixSeconds)
    }

    /// The number of the set that counts.
    pub(crate) const fn set(&self) -> KeySet {
        self.set
    }

    /// The keys that count.
    pub(crate) fn periods(&self) -> &[KeyPeriod] {
        &self.periods
    }

    /// Those that were replaced, youngest first: their number, and when they end.
    pub(crate) fn retired(&self) -> impl Iterator<Item = (KeySet, UnixSeconds)> + '_ {
        let each = self.retired.iter();
        each.map(|old| (old.set, UnixSeconds(old.until_unix_s)))
    }

    /// The keys of each set, those that count first.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[KeyPeriod]> {
        let old = self.retired.iter().map(|old| old.periods.as_slice());
        std::iter::once(self.periods.as_slice()).chain(old)
    }

    /// The names of keys, and of those in other sets that are for the same: whoever may have a key may have the one that
    /// replaced it, and meets either.
    pub(crate) fn alike(&self, kids: &[KeyId]) -> Vec<KeyId> {
        let all = || {
            let periods = self.each().flatten();
            periods.flat_map(|period| period.keys.iter().map(|key| (period.start_ms, key)))
        };
        let named = all().filter(|(_, key)| kids.contains(&key.kid));
        let named: Vec<_> = named.map(|(start, key)| (start, &key.tracks)).collect();
        let alike = all().filter(|(start, key)| named.contains(&(*start, &key.tracks)));
        alike.map(|(_, key)| key.kid).collect()
    }

    /// What origins are told.
    pub(crate) fn document(self, video: VideoId, drm: &Drm) -> ContentKeys {
        let retired = self.retired.into_iter().map(|old| RetiredKeys {
            set: old.set,
            periods: old.periods,
        });
        ContentKeys {
            video,
            systems: drm.systems.clone(),
            license_urls: drm.license_urls.clone(),
            set: self.set,
            periods: self.periods,
            retired: retired.collect(),
        }
    }
}

/// How many sets that were replaced are kept at most: with them, the document stays far below what origins read.
const MOST_RETIRED: usize = 15;

#[cfg(test)]
mod tests {
    use contracts::keys::{ContentKey, KeyValue, TrackType};

    use super::*;

    fn period(start_ms: u64) -> Vec<KeyPeriod> {
        vec![KeyPeriod {
            start_ms,
            keys: Vec::new(),
        }]
    }

    fn numbers(sets: &Sets) -> Vec<(String, u64)> {
        let retired = sets
            .retired()
            .map(|(set, until)| (set.to_string(), until.0));
        retired.collect()
    }

    #[test]
    fn keys_that_were_replaced_count_until_they_end() {
        let once = Sets::first(period(1)).rotate(period(2), UnixSeconds(500));
        let twice = once.unwrap().rotate(period(3), UnixSeconds(400)).unwrap();
        assert_eq!(twice.set().to_string(), "3");
        assert_eq!(
            numbers(&twice),
            [("2".to_owned(), 400), ("1".to_owned(), 400)]
        );
        assert_eq!(twice.due(), Some(UnixSeconds(400)));
        let starts: Vec<u64> = twice.each().map(|periods| periods[0].start_ms).collect();
        assert_eq!(starts, [3, 2, 1]);
        let still = twice.clone().living(UnixSeconds(399));
        assert_eq!(still, twice);
        let over = twice.living(UnixSeconds(400));
        assert_eq!((over.due(), over.each().count()), (None, 1));
    }

    #[test]
    fn a_key_is_alike_to_those_for_the_same_tracks_of_every_set() {
        let keys = |kid: u8| {
            let key = |kid, tracks| ContentKey {
                kid: KeyId([kid; 16]),
                key: KeyValue([0; 16]),
                iv: None,
                tracks,
            };
            let keys = vec![
                key(kid, vec![TrackType::Audio]),
                key(kid + 1, vec![TrackType::Hd]),
            ];
            vec![KeyPeriod { start_ms: 0, keys }]
        };
        let sets = Sets::first(keys(10)).rotate(keys(20), UnixSeconds(9));
        let sets = sets.unwrap();
        let alike = |kid: u8| {
            let alike = sets.alike(&[KeyId([kid; 16])]).into_iter();
            alike.map(|kid| kid.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(
            (alike(10), alike(21), alike(30)),
            (vec![20, 10], vec![21, 11], vec![])
        );
        let over = sets.living(UnixSeconds(9));
        assert_eq!(over.alike(&[KeyId([10; 16])]), []);
    }

    #[test]
    fn what_is_written_is_read_and_keys_that_were_never_rotated_are_written_as_before() {
        let first = Sets::first(period(7));
        assert_eq!(first.write().unwrap(), br#"[{"start_ms":7,"keys":[]}]"#);
        let rotated = first.clone().rotate(period(8), UnixSeconds(9)).unwrap();
        let over = rotated.clone().living(UnixSeconds(9));
        for sets in [first, rotated, over] {
            assert_eq!(Sets::read(&sets.write().unwrap()).unwrap(), sets);
        }
    }

    #[test]
    fn however_often_keys_are_rotated_few_sets_are_kept() {
        let mut sets = Sets::first(period(0));
        for start_ms in 1..=100 {
            sets = sets
                .rotate(period(start_ms), UnixSeconds(u64::MAX))
                .unwrap();
        }
        assert_eq!(sets.each().count(), 16);
        assert_eq!(numbers(&sets)[0].0, "100");
    }
}
