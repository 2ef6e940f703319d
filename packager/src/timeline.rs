//! Where a film is cut: segment boundaries that all its renditions share.

use std::time::Duration;

use crate::{
    Error,
    index::{Index, Sample},
};

/// The starts of a film's segments, in ticks of `timescale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) timescale: u32,
    pub(crate) starts: Vec<u64>,
}

impl Timeline {
    /// Cuts a film at the heads of GOPs that all `videos` have in common, near to each multiple of `target`.
    ///
    /// Sound that outlasts the picture (`end`, in seconds as a fraction) gets segments of its own behind it.
    pub(crate) fn of_video(
        videos: &[&Index],
        end: Instant,
        target: Duration,
    ) -> Result<Self, Error> {
        let (reference, others) = videos
            .split_first()
            .ok_or(Error::Presentation("there is no picture"))?;
        let timescale = reference.track().timescale;
        let mut heads = heads(reference);
        for other in others {
            let clock = other.track().timescale;
            let at = |ticks, timescale| Instant { ticks, timescale };
            // Both rise, so one walk finds what they share.
            let mut theirs = self::heads(other).into_iter().peekable();
            heads.retain(|&ticks| {
                let ours = at(ticks, timescale);
                while theirs
                    .next_if(|their| at(*their, clock).compare(ours).is_lt())
                    .is_some()
                {}
                theirs
                    .peek()
                    .is_some_and(|their| at(*their, clock).compare(ours).is_eq())
            });
        }
        if heads.first().copied() != reference.samples().first().map(Sample::pts) {
            return Err(Error::Presentation("its pictures do not begin together"));
        }
        let picture_end = reference.end();
        let wanted = Wanted::new(target, timescale);
        let mut starts = cut(&heads, picture_end, wanted);
        let film_end = end.ticks_at(timescale)?;
        if film_end.saturating_sub(picture_end) >= wanted.least {
            starts.extend(steps(picture_end, film_end, wanted)?);
        }
        Ok(Self { timescale, starts })
    }

    /// Cuts a film without picture every `target`.
    pub(crate) fn of_audio(
        timescale: u32,
        start: u64,
        end: Instant,
        target: Duration,
    ) -> Result<Self, Error> {
        let wanted = Wanted::new(target, timescale);
        let starts = steps(start, end.ticks_at(timescale)?, wanted)?;
        Ok(Self { timescale, starts })
    }

    /// The moments at which segments begin.
    pub(crate) fn starts(&self) -> impl Iterator<Item = Instant> {
        self.starts.iter().map(|&ticks| Instant {
            ticks,
            timescale: self.timescale,
        })
    }
}

/// A moment: ticks on a clock of `timescale` ticks a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant {
    pub(crate) ticks: u64,
    pub(crate) timescale: u32,
}

impl Instant {
    /// Orders two moments of different clocks without rounding.
    pub(crate) fn compare(self, other: Self) -> std::cmp::Ordering {
        let ours = u128::from(self.ticks) * u128::from(other.timescale);
        let theirs = u128::from(other.ticks) * u128::from(self.timescale);
        ours.cmp(&theirs)
    }

    /// The first tick of another clock that is not before the moment.
    pub(crate) fn ticks_from(self, timescale: u32) -> u64 {
        let ticks = u128::from(self.ticks) * u128::from(timescale);
        u64::try_from(ticks.div_ceil(u128::from(self.timescale))).unwrap_or(u64::MAX)
    }

    /// The moment on another clock, rounded down.
    fn ticks_at(self, timescale: u32) -> Result<u64, Error> {
        let ticks = u128::from(self.ticks) * u128::from(timescale) / u128::from(self.timescale);
        u64::try_from(ticks).map_err(|_| Error::Presentation("it lasts too long"))
    }
}

/// Lengths of segments in ticks.
#[derive(Clone, Copy)]
struct Wanted {
    target: u64,
    least: u64,
    most: u64,
    /// A last segment below this joins the one before it.
    tiny: u64,
}

impl Wanted {
    fn new(target: Duration, timescale: u32) -> Self {
        let ticks = |length: Duration| {
            let ticks = length.as_millis() * u128::from(timescale) / 1000;
            u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
        };
        let target = target.clamp(LEAST, MOST);
        Self {
            target: ticks(target),
            least: ticks(LEAST),
            most: ticks(MOST),
            tiny: ticks(target / 4),
        }
    }
}

/// Presentation times of the sync samples, rising.
fn heads(index: &Index) -> Vec<u64> {
    index
        .samples()
        .iter()
        .filter(|sample| sample.sync)
        .map(|sample| sample.pts())
        .collect()
}

/// Chooses among the heads and the end: from each cut the next is nearest to the target, inside 2 to 6 s if any is.
fn cut(heads: &[u64], end: u64, wanted: Wanted) -> Vec<u64> {
    let mut starts: Vec<u64> = heads.first().copied().into_iter().collect();
    let mut rest = heads.get(1..).unwrap_or_default();
    while let Some(&start) = starts.last() {
        let badness = |head: u64| {
            let length = head.saturating_sub(start);
            let outside = !(wanted.least..=wanted.most).contains(&length);
            (outside, length.abs_diff(wanted.target))
        };
        let reach = rest.partition_point(|head| head.saturating_sub(start) <= wanted.most);
        let Some((at, &next)) = rest
            .iter()
            .take(reach.saturating_add(1))
            .enumerate()
            .min_by_key(|(_, head)| badness(**head))
        else {
            break;
        };
        if badness(end) <= badness(next) {
            break;
        }
        starts.push(next);
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    merge_tiny(&mut starts, end, wanted);
    starts
}

/// Takes back the last cut when it leaves a tiny rest and the segment before it has room.
fn merge_tiny(starts: &mut Vec<u64>, end: u64, wanted: Wanted) {
    if let [.., before, last] = *starts.as_slice()
        && end.saturating_sub(last) < wanted.tiny
        && end.saturating_sub(before) <= wanted.most
    {
        starts.pop();
    }
}

fn steps(start: u64, end: u64, wanted: Wanted) -> Result<Vec<u64>, Error> {
    let length = end.saturating_sub(start);
    if length / wanted.target > MAX_SEGMENTS {
        return Err(Error::Presentation("it lasts too long"));
    }
    let mut starts = vec![start];
    let mut next = start.saturating_add(wanted.target);
    while next < end {
        starts.push(next);
        next = next.saturating_add(wanted.target);
    }
    merge_tiny(&mut starts, end, wanted);
    Ok(starts)
}

const LEAST: Duration = Duration::from_secs(2);
const MOST: Duration = Duration::from_secs(6);
const MAX_SEGMENTS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(lengths: &[u64], end: u64, target: u64) -> Vec<u64> {
        cut(lengths, end, Wanted::new(Duration::from_secs(target), 1000))
    }

    #[test]
    fn two_second_gops_are_cut_in_pairs() {
        let heads: Vec<u64> = (0..8).map(|gop| gop * 2000).collect();
        assert_eq!(seconds(&heads, 16_000, 4), [0, 4000, 8000, 12_000]);
        assert_eq!(seconds(&heads, 16_000, 2), heads);
    }

    #[test]
    fn a_tiny_rest_joins_the_segment_before_it() {
        let heads: Vec<u64> = (0..5).map(|gop| gop * 2000).collect();
        assert_eq!(seconds(&heads, 8500, 4), [0, 4000]);
        assert_eq!(seconds(&heads, 9500, 4), [0, 4000, 8000]);
    }

    #[test]
    fn a_gop_longer_than_six_seconds_is_a_segment_of_its_own() {
        assert_eq!(
            seconds(&[0, 9000, 11_000, 13_000], 20_000, 4),
            [0, 9000, 13_000]
        );
    }

    #[test]
    fn short_gops_before_a_long_one_are_kept_within_bounds_where_they_can_be() {
        assert_eq!(seconds(&[0, 1000, 2500, 8000], 12_000, 4), [0, 2500, 8000]);
    }

    #[test]
    fn endless_sound_is_refused_not_allocated() {
        let end = Instant {
            ticks: 1 << 50,
            timescale: 1,
        };
        assert!(Timeline::of_audio(1, 0, end, Duration::from_secs(4)).is_err());
    }
}
