//! Where a film is cut: segment boundaries that all its renditions share.

use std::time::Duration;

use crate::{
    Error,
    index::{Index, greatest_common_divisor},
};

/// The starts of a film's segments, in ticks of `timescale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) timescale: u64,
    pub(crate) starts: Vec<u64>,
}

impl Timeline {
    /// Cuts a film at the heads of GOPs that all `videos` have in common, near to each multiple of `target`. What has
    /// not begun yet, or has ended, is no hindrance to the others.
    ///
    /// Sound that outlasts the pictures (`end`) gets segments of its own behind them.
    pub(crate) fn of_video(
        videos: &[&Index],
        end: Instant,
        target: Duration,
    ) -> Result<Self, Error> {
        let timescale = common_clock(videos)?;
        let pictures = videos
            .iter()
            .map(|video| Heads::of(video, timescale))
            .collect::<Result<Vec<_>, _>>()?;
        let all = pictures.iter().flat_map(|picture| &picture.starts);
        let mut heads: Vec<u64> = all.copied().collect();
        heads.sort_unstable();
        heads.dedup();
        for picture in &pictures {
            heads.retain(|head| picture.allows(*head));
        }
        let ends = pictures.iter().map(|picture| picture.end);
        let pictures_end = ends.max().ok_or(NOTHING)?;
        let wanted = Wanted::new(target, timescale);
        let mut starts = cut(&heads, pictures_end, wanted);
        let film_end = end.ticks_at(timescale)?;
        if film_end.saturating_sub(pictures_end) >= wanted.least {
            starts.extend(steps(pictures_end, film_end, wanted)?);
        }
        Ok(Self { timescale, starts })
    }

    /// Cuts a film without picture every `target`.
    pub(crate) fn of_audio(start: Instant, end: Instant, target: Duration) -> Result<Self, Error> {
        let timescale = start.timescale;
        let wanted = Wanted::new(target, timescale);
        let starts = steps(start.ticks, end.ticks_at(timescale)?, wanted)?;
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
    pub(crate) timescale: u64,
}

impl Instant {
    /// A moment on the clock of an index.
    pub(crate) fn of(index: &Index, ticks: u64) -> Self {
        Self {
            ticks,
            timescale: index.track().timescale.into(),
        }
    }

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
    fn ticks_at(self, timescale: u64) -> Result<u64, Error> {
        let ticks = u128::from(self.ticks) * u128::from(timescale) / u128::from(self.timescale);
        u64::try_from(ticks).map_err(|_| TOO_LONG)
    }
}

/// Where the GOPs of a picture begin, on a clock of the whole film.
struct Heads {
    /// Rising.
    starts: Vec<u64>,
    end: u64,
}

impl Heads {
    fn of(video: &Index, timescale: u64) -> Result<Self, Error> {
        let ticks = |ticks| Instant::of(video, ticks).ticks_at(timescale);
        let heads = video.heads().iter();
        let starts = heads
            .filter_map(|head| video.samples().get(*head))
            .map(|head| ticks(head.pts()))
            .collect::<Result<Vec<_>, _>>()?;
        if !starts.is_sorted_by(|a, b| a < b) {
            return Err(Error::Presentation(
                "pictures that begin GOPs are not shown in the order in which they are decoded",
            ));
        }
        let end = ticks(video.end())?;
        Ok(Self { starts, end })
    }

    /// Whether the film may be cut there: at a head, or before the first, or behind the end.
    fn allows(&self, at: u64) -> bool {
        let begun = self.starts.first().is_some_and(|first| *first <= at);
        !begun || self.end <= at || self.starts.binary_search(&at).is_ok()
    }
}

/// A clock that has a tick wherever one of the videos has one.
fn common_clock(videos: &[&Index]) -> Result<u64, Error> {
    videos.iter().try_fold(1u64, |clock, video| {
        let timescale = video.track().timescale;
        let rest = u32::try_from(clock % u64::from(timescale)).unwrap_or(0);
        let shared = greatest_common_divisor(timescale, rest);
        let factor = u64::from(timescale / shared);
        clock.checked_mul(factor).ok_or(Error::Presentation(
            "its pictures' clocks have too little in common",
        ))
    })
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
    fn new(target: Duration, timescale: u64) -> Self {
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
        return Err(TOO_LONG);
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
const TOO_LONG: Error = Error::Presentation("it lasts too long");
/// What a film without renditions is refused by.
pub(crate) const NOTHING: Error = Error::Presentation("there is no rendition");

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
        let [start, end] = [0, 1 << 50].map(|ticks| Instant {
            ticks,
            timescale: 1,
        });
        assert!(Timeline::of_audio(start, end, Duration::from_secs(4)).is_err());
    }
}
