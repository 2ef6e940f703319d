//! `[fill]`: when and how fast a node fetches, and where those go whom it does not fetch for.

use std::num::NonZeroU64;
use std::time::Duration;

use config::{ByteSize, Problems, Span};
use serde::{Deserialize, Serialize};

use super::{Fallback, Hours};

/// `[fill]`: when and how fast the node fetches from its parents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fill {
    /// The hours of the day in which it fetches, such as `["01:00-07:00"]`; a span may go past midnight. Outside of them
    /// what is cached is served, stale objects as far as they may be, and nothing else. Default none: always.
    pub hours: Vec<String>,
    /// The time zone of `hours`, by its name in the IANA database, such as `Europe/Vienna`. Default `UTC`.
    pub zone: String,
    /// Bytes a second that it takes from its parents, headers included and the feed not, shared evenly by what is being
    /// fetched. 64KiB to 1TiB; 0B is no limit. Default `0B`.
    pub rate: ByteSize,
    /// How long a piece of 64KiB may be waited for at `rate`, and so what each fill gets at least. Where it would be
    /// longer, what is not cached is not fetched, as outside of `hours`. 10ms to 30s. Default `250ms`. More fetches
    /// more at a time, and each of it slower.
    pub longest_wait: Span,
    /// Base URLs of edges that have what is not fetched here, such as `https://edge.example`, the best first: viewers are
    /// sent to the first (307) with their tokens, and no further from there. Default none: 503 and `Retry-After`.
    pub fallbacks: Vec<String>,
}

/// What `[fill]` means once checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// `None`: always.
    pub hours: Option<Hours>,
    /// Bytes a second; `None`: as fast as they come.
    pub rate: Option<NonZeroU64>,
    /// How long a piece may be waited for.
    pub longest_wait: Duration,
    /// Where those go whom nothing is fetched for.
    pub fallbacks: Vec<Fallback>,
}

impl Default for Fill {
    fn default() -> Self {
        Self {
            hours: Vec::new(),
            zone: "UTC".to_owned(),
            rate: ByteSize(0),
            longest_wait: Span::millis(250),
            fallbacks: Vec::new(),
        }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            hours: None,
            rate: None,
            longest_wait: Fill::default().longest_wait.0,
            fallbacks: Vec::new(),
        }
    }
}

impl Terms {
    /// Whether there is anything for which a request might be withheld.
    #[must_use]
    pub const fn may_withhold(&self) -> bool {
        self.hours.is_some() || self.rate.is_some()
    }
}

impl Fill {
    /// Checks the section.
    pub fn check(&self, problems: &mut Problems) -> Terms {
        let hours = Hours::parse(&self.hours, &self.zone);
        let key = match hours {
            Err(super::NoHours::Zone(_)) => "fill.zone",
            _ => "fill.hours",
        };
        let hours = problems.take(key, hours).filter(|_| !self.hours.is_empty());
        let rate = NonZeroU64::new(self.rate.0);
        if rate.is_some_and(|rate| !(1 << 16..=1 << 40).contains(&rate.get())) {
            problems.add("fill.rate", "must be 64KiB to 1TiB, or 0B for no limit");
        }
        if !(Span::millis(10)..=Span::seconds(30)).contains(&self.longest_wait) {
            problems.add("fill.longest_wait", "must be 10ms to 30s");
        }
        let fallbacks = self.fallbacks.iter().map(|base| {
            let fallback = Fallback::parse(base);
            fallback.map_err(|error| format!("{base:?} {error}"))
        });
        Terms {
            hours,
            rate,
            longest_wait: self.longest_wait.0,
            fallbacks: fallbacks
                .filter_map(|fallback| problems.take("fill.fallbacks", fallback))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_told_by_its_key() {
        let mut problems = Problems::default();
        let terms = Fill::default().check(&mut problems);
        assert_eq!(terms, Terms::default());
        let faulty = Fill {
            hours: vec!["1-7".to_owned()],
            rate: ByteSize(1),
            longest_wait: Span::millis(1),
            fallbacks: vec!["edge.example".to_owned()],
            ..Fill::default()
        };
        faulty.check(&mut problems);
        let elsewhere = Fill {
            zone: "Nowhere".to_owned(),
            ..Fill::default()
        };
        elsewhere.check(&mut problems);
        let keys = problems.into_vec().into_iter().map(|problem| problem.key);
        let expected = [
            "fill.hours",
            "fill.rate",
            "fill.longest_wait",
            "fill.fallbacks",
            "fill.zone",
        ];
        assert_eq!(keys.collect::<Vec<_>>(), expected);
    }
}
