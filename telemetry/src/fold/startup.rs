//! Classes of the time until the first picture: each a tenth wider than the one before, so that whatever is read from
//! how many are in which is right within a twentieth.

use std::collections::BTreeMap;

/// How many classes there are; the last has what is longer than all others.
const CLASSES: usize = 112;

/// The longest time of each class, in milliseconds: 10 ms, and from there on a tenth more each.
const BOUNDS: [u64; CLASSES] = bounds();

#[expect(clippy::indexing_slicing, reason = "is worked out by the compiler")]
const fn bounds() -> [u64; CLASSES] {
    let mut bounds = [10; CLASSES];
    let mut at = 1;
    while at < CLASSES {
        let before = bounds[at - 1];
        bounds[at] = before + before / 10;
        at += 1;
    }
    bounds
}

/// The class of a time in milliseconds.
pub(crate) fn class(ms: u64) -> u16 {
    let class = BOUNDS.partition_point(|bound| *bound < ms);
    u16::try_from(class.min(CLASSES - 1)).unwrap_or_default()
}

/// The time that a share of all took at most, in milliseconds: the middle of the class in which it lies. `None` of
/// none.
#[must_use]
pub fn quantile(classes: &BTreeMap<u16, i64>, share: f64) -> Option<u64> {
    let count = |count: &i64| u32::try_from(*count).unwrap_or_default();
    let all: u32 = classes.values().map(count).fold(0, u32::saturating_add);
    let sought = (f64::from(all) * share).ceil().max(1.0);
    let mut seen = 0;
    let found = classes.iter().find(|(_, many)| {
        seen = count(many).saturating_add(seen);
        f64::from(seen) >= sought
    });
    let class = usize::from(*found.filter(|_| all > 0)?.0);
    let above = *BOUNDS.get(class)?;
    let below = class.checked_sub(1).and_then(|below| BOUNDS.get(below));
    Some(below.map_or(above / 2, |below| below.midpoint(above)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_reach_from_ten_milliseconds_to_minutes() {
        assert_eq!((class(0), class(10), class(11), class(12)), (0, 0, 1, 2));
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(BOUNDS[CLASSES - 1] > 120_000, "{}", BOUNDS[CLASSES - 1]);
        assert_eq!(usize::from(class(u64::MAX)), CLASSES - 1);
    }

    #[test]
    fn a_quantile_is_right_within_a_twentieth() {
        let mut classes = BTreeMap::new();
        for ms in 1..=10_000 {
            *classes.entry(class(ms)).or_default() += 1;
        }
        for (share, right) in [
            (0.5, 5000.0),
            (0.95, 9500.0),
            (0.05, 500.0),
            (1.0, 10_000.0),
        ] {
            let found = f64::from(u32::try_from(quantile(&classes, share).unwrap()).unwrap());
            assert!((found / right - 1.0).abs() <= 0.06, "{share}: {found}");
        }
        assert_eq!(quantile(&BTreeMap::new(), 0.5), None);
        assert_eq!(quantile(&BTreeMap::from([(3, 0)]), 0.5), None);
        assert_eq!(quantile(&BTreeMap::from([(0, 1)]), 0.95), Some(5));
    }
}
