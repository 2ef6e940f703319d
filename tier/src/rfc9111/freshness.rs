//! How old a response is and how long it is fresh (RFC 9111 §4.2).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use super::directives::{Reach, Response, Seconds, delta};

/// When a response was asked for and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Just before the request was sent.
    pub(crate) requested: SystemTime,
    /// When the response's header was there.
    pub(crate) received: SystemTime,
}

/// What a response says of the time it spent in caches (RFC 9111 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Age {
    /// Nothing.
    #[default]
    Absent,
    /// So long.
    Is(Duration),
    /// Something that is no number, or more than one: it may be of any age.
    Unclear,
}

/// How long a response may live after it was generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The origin says so; zero is "stale from the start".
    Explicit(Duration),
    /// The origin says nothing; it was last changed so long before it was sent (RFC 9111 §4.2.2).
    Unchanged(Duration),
    /// Nothing can be said.
    Unknown,
}

/// Reads `Age`.
pub(crate) fn age(headers: &HeaderMap) -> Age {
    let mut lines = headers.get_all(header::AGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        let absent = !headers.contains_key(header::AGE);
        return if absent { Age::Absent } else { Age::Unclear };
    };
    let text = line.to_str().unwrap_or_default();
    delta(text.trim_matches([' ', '\t'])).map_or(Age::Unclear, Age::Is)
}

/// `corrected_initial_age` (RFC 9111 §4.2.3): how old the response was when it came. `None` when it cannot be known.
/// A response without a readable `Date` counts as sent when it came.
pub(crate) fn initial_age(headers: &HeaderMap, age: Age, arrival: Arrival) -> Option<Duration> {
    let since = |earlier| {
        let span = arrival.received.duration_since(earlier);
        span.unwrap_or(Duration::ZERO)
    };
    let apparent_age = date(headers, &header::DATE).map_or(Duration::ZERO, since);
    let age_value = match age {
        Age::Absent => Duration::ZERO,
        Age::Is(age) => age,
        Age::Unclear => return None,
    };
    let response_delay = since(arrival.requested);
    Some(apparent_age.max(age_value + response_delay))
}

/// How long a shared cache may use a response (RFC 9111 §4.2.1). What is stated but cannot be read is zero.
pub(crate) fn lifetime(headers: &HeaderMap, directives: &Response, arrival: Arrival) -> Lifetime {
    if directives.no_cache == Reach::All {
        return Lifetime::Explicit(Duration::ZERO);
    }
    for stated in [directives.s_maxage, directives.max_age] {
        match stated {
            Seconds::Absent => {}
            Seconds::Are(seconds) => return Lifetime::Explicit(seconds),
            Seconds::Unclear => return Lifetime::Explicit(Duration::ZERO),
        }
    }
    let sent = date(headers, &header::DATE).unwrap_or(arrival.received);
    if !directives.targeted && headers.contains_key(header::EXPIRES) {
        let expires = date(headers, &header::EXPIRES);
        let left = expires.and_then(|expires| expires.duration_since(sent).ok());
        return Lifetime::Explicit(left.unwrap_or(Duration::ZERO));
    }
    let changed = date(headers, &header::LAST_MODIFIED);
    let unchanged = changed.and_then(|changed| sent.duration_since(changed).ok());
    unchanged.map_or(Lifetime::Unknown, Lifetime::Unchanged)
}

/// Whether a response with this status may be kept though it does not say for how long (RFC 9110 §15.1).
pub(crate) const fn is_heuristic(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Reads a field that is one date, in any of the three forms (RFC 9110 §5.6.7).
pub(crate) fn date(headers: &HeaderMap, name: &header::HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    httpdate::parse_http_date(line.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const THEN: u64 = 784_111_777;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(THEN + seconds)
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn came(requested: SystemTime, received: SystemTime) -> Arrival {
        Arrival {
            requested,
            received,
        }
    }

    #[test]
    fn an_age_is_one_number_and_anything_else_may_be_any_age() {
        assert_eq!(age(&fields(&[])), Age::Absent);
        assert_eq!(age(&fields(&[("age", " 7200 ")])), Age::Is(seconds(7200)));
        for text in [
            "", "abc", "-1", "7200.0", "7200;a=b", "0, 0", "7200,0", "+1",
        ] {
            assert_eq!(age(&fields(&[("age", text)])), Age::Unclear, "{text}");
        }
        assert_eq!(age(&fields(&[("age", "0"), ("age", "0")])), Age::Unclear);
    }

    #[test]
    fn a_response_is_as_old_as_its_date_and_its_age_say_whichever_is_more() {
        let dated = fields(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        let arrival = came(at(8), at(10));
        assert_eq!(initial_age(&dated, Age::Absent, arrival), Some(seconds(10)));
        assert_eq!(
            initial_age(&dated, Age::Is(seconds(7)), arrival),
            Some(seconds(10))
        );
        // It has grown older on the way, by no more than it took (§4.2.3, response_delay).
        assert_eq!(
            initial_age(&dated, Age::Is(seconds(9)), arrival),
            Some(seconds(11))
        );
        assert_eq!(
            initial_age(&fields(&[]), Age::Absent, arrival),
            Some(seconds(2))
        );
        let ahead = came(at(0) - seconds(100), at(0) - seconds(100));
        assert_eq!(
            initial_age(&dated, Age::Absent, ahead),
            Some(Duration::ZERO)
        );
        assert_eq!(initial_age(&dated, Age::Unclear, arrival), None);
    }

    #[test]
    fn the_lifetime_of_shared_caches_goes_first_then_that_of_all_then_the_date_of_expiry() {
        let of = |lines: &[_]| {
            let headers = fields(lines);
            lifetime(&headers, &Response::of(&headers), came(at(0), at(5)))
        };
        let explicit = |s| Lifetime::Explicit(seconds(s));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let expires = ("expires", "Sunday, 06-Nov-94 08:49:47 GMT");
        assert_eq!(
            of(&[("cache-control", "max-age=60, s-maxage=6"), expires]),
            explicit(6)
        );
        assert_eq!(
            of(&[("cache-control", "max-age=60"), expires]),
            explicit(60)
        );
        assert_eq!(of(&[date, expires]), explicit(10));
        assert_eq!(
            of(&[expires]),
            explicit(5),
            "without a date, from when it came"
        );
        assert_eq!(of(&[date, ("expires", "0")]), explicit(0), "§5.3");
        assert_eq!(of(&[date, expires, expires]), explicit(0), "§4.2.1");
        assert_eq!(
            of(&[("cache-control", "max-age=x"), expires, date]),
            explicit(0)
        );
        assert_eq!(
            of(&[("cdn-cache-control", "no-transform"), expires, date]),
            Lifetime::Unknown
        );
        assert_eq!(
            of(&[("cache-control", "no-cache, max-age=60")]),
            explicit(0)
        );
        let changed = ("last-modified", "Sun, 06 Nov 1994 08:48:37 GMT");
        assert_eq!(of(&[changed, date]), Lifetime::Unchanged(seconds(60)));
        assert_eq!(of(&[date]), Lifetime::Unknown);
    }
}
