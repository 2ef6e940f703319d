//! The hours of the day in which a node fetches, as its operator's clocks show them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// Spans of the day in a time zone. A span is open while the clocks of the zone show a time within it: where they are
/// set forward, what is passed over is not missed, and where they are set back, what comes twice is open twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    spans: Vec<Span>,
    zone: TimeZone,
}

/// From a minute of the day until before another one; past midnight where that is not later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u16,
    to: u16,
}

/// Why hours are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHours {
    /// A span is not written as it should be.
    #[error("{0:?} must be HH:MM-HH:MM, such as 01:00-07:00 or 22:30-24:00")]
    Span(String),
    /// The zone is not known.
    #[error("{0:?} must be a time zone such as UTC or Europe/Vienna")]
    Zone(String),
}

impl Hours {
    /// Reads spans of the day in a zone of the IANA database, or UTC. Without any, nothing is ever open.
    ///
    /// # Errors
    /// When a span or the zone is none.
    pub fn parse(spans: &[String], zone: &str) -> Result<Self, NoHours> {
        let unknown = |_| NoHours::Zone(zone.to_owned());
        let read = spans.iter().map(|text| {
            let span = Span::parse(text);
            span.ok_or_else(|| NoHours::Span(text.clone()))
        });
        Ok(Self {
            spans: read.collect::<Result<_, _>>()?,
            zone: TimeZone::get(zone).map_err(unknown)?,
        })
    }

    /// Whether they are open at an instant.
    #[must_use]
    pub fn are_open(&self, at: SystemTime) -> bool {
        Timestamp::try_from(at).is_ok_and(|at| self.hold(at))
    }

    /// How long after an instant at which they are closed they open; `None`: nobody can tell.
    #[must_use]
    pub fn open_in(&self, now: SystemTime) -> Option<Duration> {
        let now = Timestamp::try_from(now).ok()?;
        let today = self.zone.to_datetime(now).date();
        let days = [
            today,
            today.tomorrow().ok()?,
            today.saturating_add(TWO_DAYS),
        ];
        let begins = days.into_iter().flat_map(|day| self.begins(day));
        // Clocks that are set may come into a span, or leave it.
        let set = self.zone.following(now).take(2).map(|set| set.timestamp());
        let opens = begins
            .chain(set)
            .filter(|at| *at > now && self.hold(*at))
            .min()?;
        Duration::try_from(opens.duration_since(now)).ok()
    }

    fn hold(&self, at: Timestamp) -> bool {
        let time = self.zone.to_datetime(at).time();
        self.spans.iter().any(|span| span.holds(time))
    }

    /// When spans begin on a day: twice, where the clocks show that time twice.
    fn begins(&self, day: Date) -> impl Iterator<Item = Timestamp> {
        let begins = self.spans.iter().filter_map(move |span| {
            let begin = day.to_datetime(span.begin()?);
            let begin = self.zone.to_ambiguous_timestamp(begin);
            Some([begin.earlier().ok(), begin.later().ok()])
        });
        begins.flatten().flatten()
    }
}

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute(from)?, minute(to)?);
        (from != to && from < MINUTES).then_some(Self { from, to })
    }

    fn holds(self, time: Time) -> bool {
        let hour = u16::try_from(time.hour()).unwrap_or(0);
        let minute = u16::try_from(time.minute()).unwrap_or(0);
        let now = hour * 60 + minute;
        if self.from < self.to {
            (self.from..self.to).contains(&now)
        } else {
            now >= self.from || now < self.to
        }
    }

    fn begin(self) -> Option<Time> {
        let (hour, minute) = (self.from / 60, self.from % 60);
        let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
        Time::new(hour, minute, 0, 0).ok()
    }
}

/// `HH:MM`, up to `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= MINUTES).then_some(total)
}

/// The minutes of a day.
const MINUTES: u16 = 24 * 60;

const TWO_DAYS: jiff::SignedDuration = jiff::SignedDuration::from_hours(48);

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(spans: &[&str], zone: &str) -> Hours {
        let spans: Vec<String> = spans.iter().map(|&span| span.to_owned()).collect();
        Hours::parse(&spans, zone).unwrap()
    }

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    /// The instants of a day in UTC, a minute apart, at which hours change, and to what.
    fn changes(hours: &Hours, day: &str) -> Vec<(String, bool)> {
        let begin = at(&format!("{day}T00:00:00Z"));
        let mut was = hours.are_open(begin - Duration::from_secs(60));
        let mut found = Vec::new();
        for minute in 0..u64::from(MINUTES) {
            let now = begin + Duration::from_secs(60 * minute);
            let is = hours.are_open(now);
            if is != was {
                found.push((format!("{:02}:{:02}", minute / 60, minute % 60), is));
            }
            was = is;
        }
        found
    }

    fn named(changes: &[(&str, bool)]) -> Vec<(String, bool)> {
        let named = changes
            .iter()
            .map(|(time, open)| ((*time).to_owned(), *open));
        named.collect()
    }

    #[test]
    fn a_span_is_two_times_of_the_day_and_the_zone_has_a_name() {
        for good in [
            "01:00-07:00",
            "22:30-24:00",
            "22:00-02:00",
            "00:00-24:00",
            "00:00-00:01",
        ] {
            assert!(Span::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "1:00-7:00",
            "01:00",
            "01:00-",
            "-07:00",
            "01:60-02:00",
            "24:00-01:00",
            "25:00-26:00",
            "01:00-24:01",
            "05:00-05:00",
            "01:00-07:00-09:00",
            "+1:00-07:00",
            "01:00 -07:00",
        ] {
            assert_eq!(Span::parse(bad), None, "{bad}");
            let error = Hours::parse(&[bad.to_owned()], "UTC").unwrap_err();
            assert_eq!(error, NoHours::Span(bad.to_owned()));
        }
        for zone in ["UTC", "Europe/Vienna", "America/St_Johns", "Asia/Kathmandu"] {
            assert!(Hours::parse(&[], zone).is_ok(), "{zone}");
        }
        for zone in ["", "Vienna", "Europe/Nowhere", "../etc/passwd", "+01:00"] {
            assert_eq!(Hours::parse(&[], zone), Err(NoHours::Zone(zone.to_owned())));
        }
    }

    #[test]
    fn the_zones_clocks_count_in_winter_and_in_summer() {
        let night = hours(&["01:00-07:00"], "Europe/Vienna");
        assert_eq!(
            changes(&night, "2026-01-15"),
            named(&[("00:00", true), ("06:00", false)])
        );
        assert_eq!(
            changes(&night, "2026-07-15"),
            named(&[("05:00", false), ("23:00", true)])
        );
    }

    #[test]
    fn a_span_may_go_past_midnight_and_several_may_touch() {
        let evening = hours(&["22:30-24:00", "00:00-02:00"], "UTC");
        let same = hours(&["22:30-02:00"], "UTC");
        for hours in [evening, same] {
            assert_eq!(
                changes(&hours, "2026-05-01"),
                named(&[("02:00", false), ("22:30", true)])
            );
        }
        assert!(changes(&hours(&["00:00-24:00"], "UTC"), "2026-05-01").is_empty());
        assert!(hours(&["00:00-24:00"], "UTC").are_open(at("2026-05-01T12:00:00Z")));
        assert!(!hours(&[], "UTC").are_open(at("2026-05-01T12:00:00Z")));
    }

    #[test]
    fn what_clocks_pass_over_when_they_are_set_forward_is_not_missed() {
        // 2026-03-29 in Vienna: at 01:00 UTC the clocks go from 02:00 to 03:00.
        let over = hours(&["01:30-03:30"], "Europe/Vienna");
        assert_eq!(
            changes(&over, "2026-03-29"),
            named(&[("00:30", true), ("01:30", false), ("23:30", true)])
        );
        let begins_within = hours(&["02:30-03:30"], "Europe/Vienna");
        assert_eq!(
            changes(&begins_within, "2026-03-29"),
            named(&[("01:00", true), ("01:30", false)])
        );
        let within = hours(&["02:10-02:50"], "Europe/Vienna");
        assert!(
            changes(&within, "2026-03-29").is_empty(),
            "nobody's clock showed it"
        );
    }

    #[test]
    fn what_clocks_show_twice_when_they_are_set_back_is_open_twice() {
        // 2026-10-25 in Vienna: at 01:00 UTC the clocks go from 03:00 to 02:00.
        let twice = hours(&["02:15-02:45"], "Europe/Vienna");
        assert_eq!(
            changes(&twice, "2026-10-25"),
            named(&[
                ("00:15", true),
                ("00:45", false),
                ("01:15", true),
                ("01:45", false)
            ])
        );
        let longer = hours(&["01:00-07:00"], "Europe/Vienna");
        let open = (0..24 * 60).filter(|minute| {
            longer.are_open(
                at("2026-10-25T00:00:00Z") - Duration::from_secs(7200)
                    + Duration::from_secs(minute * 60),
            )
        });
        assert_eq!(open.count(), 7 * 60, "six hours, and one again");
    }

    #[test]
    fn it_is_told_when_they_open_next() {
        let minutes = |hours: &Hours, now: &str| Some(hours.open_in(at(now))?.as_secs() / 60);
        let night = hours(&["01:00-07:00"], "Europe/Vienna");
        assert_eq!(minutes(&night, "2026-01-15T06:00:00Z"), Some(18 * 60));
        assert_eq!(minutes(&night, "2026-01-15T23:59:00Z"), Some(1));
        // Saturday evening before the clocks are set forward, and back: the day in between is an hour short, or long.
        let late = hours(&["12:00-13:00"], "Europe/Vienna");
        assert_eq!(minutes(&late, "2026-03-28T12:00:00Z"), Some(22 * 60));
        assert_eq!(minutes(&late, "2026-10-24T11:00:00Z"), Some(24 * 60));
        let begins_within = hours(&["02:30-03:30"], "Europe/Vienna");
        assert_eq!(minutes(&begins_within, "2026-03-29T00:00:00Z"), Some(60));
        let twice = hours(&["02:15-02:45"], "Europe/Vienna");
        assert_eq!(minutes(&twice, "2026-10-25T00:45:00Z"), Some(30));
        let missed = hours(&["02:10-02:50"], "Europe/Vienna");
        assert_eq!(minutes(&missed, "2026-03-28T23:00:00Z"), Some(25 * 60 + 10));
        assert_eq!(minutes(&hours(&[], "UTC"), "2026-03-28T23:00:00Z"), None);
    }

    #[test]
    fn no_instant_is_too_far_away_to_be_judged() {
        let night = hours(&["01:00-07:00"], "Europe/Vienna");
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 45);
        assert!(!night.are_open(far));
        assert_eq!(night.open_in(far), None);
        for edge in ["9999-12-30T21:00:00Z", "-009999-01-02T01:59:59Z"] {
            assert_ne!(night.open_in(at(edge)), Some(Duration::ZERO));
        }
    }
}
