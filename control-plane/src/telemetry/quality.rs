//! How well films play, in figures; and of which hours.

use catalog::plays::{Figures, Wanted};
use contracts::time::UnixSeconds;
use runtime::problem::Problem;
use serde::Serialize;
use telemetry::event::OTHER;
use telemetry::fold::quantile;
use utoipa::ToSchema;

/// An hour, in seconds.
const HOUR: u64 = 3600;
/// What is told of where nothing is said: the last day, in hours.
const DAY: u64 = 24;
/// How many codes of errors are told each.
const MOST_CODES: usize = 20;
/// The most hours that are told of at once: 31 days.
const MOST: u64 = 744;
/// The last instant that may be asked for: the end of the year 9999.
const LAST: u64 = 253_402_300_800;

/// How well films played.
#[derive(Serialize, ToSchema)]
pub(crate) struct Quality {
    /// Sessions that told anything.
    sessions: i64,
    /// Sessions whose first picture was shown.
    starts: i64,
    /// Sessions that failed before it.
    start_failures: i64,
    /// Sessions that were left before it.
    exits_before_start: i64,
    /// Sessions that failed after it.
    playback_failures: i64,
    /// Sessions that count as a view.
    views: i64,
    /// How long films ran.
    watched_s: f64,
    /// How long the first picture took; `null` where none was shown. Right within 5 %.
    startup_ms: Option<Startup>,
    /// How often films stood still, after their first picture and not because the viewer jumped.
    rebuffers: i64,
    /// For how long.
    rebuffer_s: f64,
    /// The share of that in the time that films ran or stood still; `null` where they did neither.
    rebuffer_ratio: Option<f64>,
    /// Weighted by how long each was shown; `null` where none is known.
    average_bitrate_kbps: Option<i64>,
    /// Changes of the bitrate.
    switches: i64,
    /// Errors, fatal or not.
    errors: i64,
    /// The same by their codes, the most frequent first, 20 at most; `unknown` for those without one, and last `other`
    /// for the rest.
    error_codes: Vec<Code>,
}

/// How often an error was met.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ErrorCode)]
struct Code {
    /// As the player calls it.
    code: String,
    errors: i64,
}

/// How long the first picture took.
#[derive(Serialize, ToSchema)]
pub(crate) struct Startup {
    /// For half of the starts at most, in milliseconds.
    p50: u64,
    /// For 95 of 100 at most.
    p95: u64,
}

impl From<&Figures> for Quality {
    fn from(figures: &Figures) -> Self {
        let quantile = |share| quantile(&figures.startup, share);
        let startup = quantile(0.5).zip(quantile(0.95));
        let whole = figures.watch_ms + figures.rebuffer_ms;
        Self {
            sessions: figures.sessions,
            starts: figures.starts,
            start_failures: figures.start_failures,
            exits_before_start: figures.exits_before_start,
            playback_failures: figures.failures,
            views: figures.views,
            watched_s: seconds(figures.watch_ms),
            startup_ms: startup.map(|(p50, p95)| Startup { p50, p95 }),
            rebuffers: figures.rebuffers,
            rebuffer_s: seconds(figures.rebuffer_ms),
            rebuffer_ratio: (whole > 0)
                .then(|| seconds(figures.rebuffer_ms) / seconds(whole))
                .map(|ratio| (ratio * 1e6).round() / 1e6),
            average_bitrate_kbps: (figures.known_ms > 0)
                .then(|| figures.known_kbit.saturating_mul(1000) / figures.known_ms),
            switches: figures.switches,
            errors: figures.errors,
            error_codes: codes(figures),
        }
    }
}

/// The codes that are told, and the rest in one.
fn codes(figures: &Figures) -> Vec<Code> {
    let met = figures.codes.iter().filter(|(code, _)| *code != OTHER);
    let mut met: Vec<Code> = met
        .map(|(code, errors)| Code {
            code: code.clone(),
            errors: *errors,
        })
        .collect();
    met.sort_by_key(|one| std::cmp::Reverse(one.errors));
    met.truncate(MOST_CODES);
    let told: i64 = met.iter().map(|one| one.errors).sum();
    let rest = figures.errors - told;
    met.extend((rest > 0).then(|| Code {
        code: OTHER.to_owned(),
        errors: rest,
    }));
    met
}

/// Milliseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "sums are far smaller than 2^53 ms"
)]
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// The hours that are asked for, whole ones.
pub(crate) fn hours(
    from: Option<u64>,
    to: Option<u64>,
    now: UnixSeconds,
) -> Result<Wanted, Problem> {
    let to = to.unwrap_or(now.0 + 1).div_ceil(HOUR).saturating_mul(HOUR);
    let from = from.map(|from| from - from % HOUR);
    let from = from.unwrap_or_else(|| to.saturating_sub(DAY * HOUR));
    if from >= to || to - from > MOST * HOUR || to > LAST {
        return Err(Problem::bad_request(
            "from must be before to, both in Unix seconds up to the year 9999, and 31 days before it at most",
        ));
    }
    Ok(Wanted {
        from_unix_s: from,
        to_unix_s: to,
        ..Wanted::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_errors_are_told_the_most_frequent_first_and_the_rest_in_one() {
        let codes: std::collections::BTreeMap<String, i64> = (1..=30)
            .map(|number| (format!("c{number}"), number))
            .chain([(OTHER.to_owned(), 1000)])
            .collect();
        let mut figures = Figures {
            errors: codes.values().sum(),
            codes,
            ..Figures::default()
        };
        let told = super::codes(&figures);
        assert_eq!((told.len(), told[0].code.as_str()), (21, "c30"));
        assert_eq!((told[20].code.as_str(), told[20].errors), (OTHER, 1055));
        figures.codes.clear();
        figures.errors = 0;
        assert_eq!(super::codes(&figures), []);
    }

    #[test]
    fn whole_hours_are_told_of_and_not_too_many() {
        let now = UnixSeconds(10_000);
        let within = |from, to| {
            let wanted = hours(from, to, now).ok()?;
            Some((wanted.from_unix_s, wanted.to_unix_s))
        };
        assert_eq!(within(None, None), Some((0, 10_800)));
        assert_eq!(within(Some(3601), Some(7200)), Some((3600, 7200)));
        assert_eq!(within(Some(3601), Some(7201)), Some((3600, 10_800)));
        assert_eq!(within(Some(0), Some(744 * HOUR)), Some((0, 744 * HOUR)));
        assert_eq!(within(Some(0), Some(744 * HOUR + 1)), None);
        assert_eq!(within(Some(7200), Some(7200)), None);
        assert_eq!(within(Some(10_800), None), None);
        let day = |to| Some((to - DAY * HOUR, to));
        assert_eq!(within(None, Some(LAST)), day(LAST));
        assert_eq!(within(None, Some(LAST + 1)), None);
        assert_eq!(within(None, Some(u64::MAX)), None);
    }
}
