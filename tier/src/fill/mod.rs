//! What may be stored and for how long (RFC 9111 §3, §4.2; RFC 5861).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::cache::{CacheMeta, ForcedFreshness, NoCacheReason, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::policy::{Policy, Site, is_about_itself};
use crate::rfc9111::condition::{names_another, refreshed};
use crate::rfc9111::directives::{Reach, Request as Wishes, Response as Directives, Seconds};
use crate::rfc9111::freshness::{self, Age, Arrival, Lifetime};
use crate::rfc9111::vary::Vary;

/// A response that came, and what it answers.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) request: &'a RequestHeader,
    pub(crate) response: &'a ResponseHeader,
    /// `Age`, which is not among the response's fields any more: it describes this one transfer.
    pub(crate) age: Age,
    pub(crate) arrival: Arrival,
    /// The parent was asked for a part, whatever the client has (RFC 9110 §14.2).
    pub(crate) part: bool,
}

/// Decides on a response. How long an object lives is the origin's decision, negative answers included.
pub(crate) fn decide(policy: &Policy, case: &Case<'_>) -> RespCacheable {
    let directives = Directives::of(&case.response.headers);
    let stated = freshness::lifetime(&case.response.headers, &directives, case.arrival);
    let lifetime = match policy {
        Policy::Films => film(case, &directives, stated),
        Policy::Site(site) => page(site, case, &directives, stated),
    };
    let Some(lifetime) = lifetime else {
        return RespCacheable::Uncacheable(NoCacheReason::OriginNotCache);
    };
    let mut header = case.response.clone();
    for (name, _) in withheld_by(policy, &directives, case.response) {
        header.remove_header(&name);
    }
    RespCacheable::Cacheable(meta(policy, case, &directives, lifetime, header))
}

/// What becomes of a stored response about which the parent said that it has not changed.
pub(crate) enum Renewed {
    /// It is kept.
    Kept(CacheMeta),
    /// It answers this request and is then to be forgotten.
    Spent(CacheMeta),
}

/// Decides on a stored response that was validated (RFC 9111 §4.3.4).
pub(crate) fn renew(policy: &Policy, stored: &CacheMeta, case: &Case<'_>) -> Renewed {
    let another = names_another(stored.response_header(), case.response);
    let header = if another {
        stored.response_header_copy()
    } else {
        refreshed(stored.response_header(), case.response)
    };
    let renewed = Case {
        response: &header,
        ..*case
    };
    match decide(policy, &renewed) {
        RespCacheable::Cacheable(meta) if !another => Renewed::Kept(meta),
        _ => {
            let directives = Directives::of(&header.headers);
            let header = header.clone();
            Renewed::Spent(meta(policy, &renewed, &directives, Duration::ZERO, header))
        }
    }
}

/// Whole answers about an address, with explicit freshness. Parents get no field of the viewer's that could make two
/// answers differ, so `Vary` other than `*` needs no variants.
fn film(case: &Case<'_>, directives: &Directives, lifetime: Lifetime) -> Option<Duration> {
    let whole = FILM_STATUSES.contains(&case.response.status.as_u16());
    let open = !directives.no_store && directives.private != Reach::All;
    let same = Vary::of(&case.response.headers) != Vary::Anything;
    match lifetime {
        Lifetime::Explicit(lifetime)
            if whole
                && open
                && same
                && has_end(case.response)
                && !case.response.headers.contains_key(header::SET_COOKIE) =>
        {
            Some(lifetime)
        }
        _ => None,
    }
}

/// What a shared cache may keep of any site (RFC 9111 §3).
fn page(
    site: &Site,
    case: &Case<'_>,
    directives: &Directives,
    lifetime: Lifetime,
) -> Option<Duration> {
    let (headers, status) = (&case.response.headers, case.response.status);
    // A cache that understands the status may store what `no-store` is said of to those that do not (§5.2.2.3).
    let forbidden = if directives.must_understand {
        !is_understood(status)
    } else {
        directives.no_store
    };
    let authorized = case.request.headers.contains_key(header::AUTHORIZATION);
    let posted = case.request.method == Method::POST;
    if forbidden
        || matches!(status.as_u16(), 100..=199 | 304 | 416)
        || (status == StatusCode::PARTIAL_CONTENT && !(case.part && is_one_part(headers)))
        || (posted && !(status == StatusCode::OK && is_about_itself(case.request, case.response)))
        || directives.private == Reach::All
        || (authorized && !directives.admits_authorized())
        || Vary::of(headers) == Vary::Anything
    {
        return None;
    }
    let guess = (freshness::is_heuristic(status) || directives.public)
        && !headers.contains_key(header::SET_COOKIE)
        && !posted;
    let lifetime = match lifetime {
        Lifetime::Explicit(lifetime) => lifetime,
        Lifetime::Unchanged(span) if guess => site.heuristic.min(span / 10),
        Lifetime::Unchanged(_) | Lifetime::Unknown => Duration::ZERO,
    };
    // What is never fresh and cannot be validated is of no use to anybody, and would make others wait for it.
    let validated =
        headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    let stale = directives.stale_while_revalidate != Seconds::Absent
        || directives.stale_if_error != Seconds::Absent;
    let useful = (validated || stale) && status == StatusCode::OK && !posted;
    (!lifetime.is_zero() || useful).then_some(lifetime)
}

/// A part is kept as it is and never joined with others, but it must say which part it is (RFC 9110 §15.3.7.1).
fn is_one_part(headers: &HeaderMap) -> bool {
    let range = headers
        .get(header::CONTENT_RANGE)
        .map(HeaderValue::as_bytes);
    range.is_some_and(|range| range.starts_with(b"bytes "))
}

/// Puts down the times of a response that is stored. The stale windows are closed where the origin forbids stale
/// answers (RFC 9111 §4.2.4).
fn meta(
    policy: &Policy,
    case: &Case<'_>,
    directives: &Directives,
    lifetime: Duration,
    header: ResponseHeader,
) -> CacheMeta {
    let created = case.arrival.received;
    let (while_revalidate, if_error) = if directives.forbids_stale() {
        (Duration::ZERO, Duration::ZERO)
    } else {
        let if_error = directives.stale_if_error.known().unwrap_or_default();
        (
            directives
                .stale_while_revalidate
                .known()
                .unwrap_or_default(),
            if_error.max(policy.disconnected()),
        )
    };
    let age = freshness::initial_age(&case.response.headers, case.age, case.arrival);
    let epoch = earlier(created, age.unwrap_or_default());
    let fresh_until = match age {
        Some(age) if age < lifetime => epoch + lifetime,
        // Stale from the start: since its lifetime has passed, or, when its age is unknown, since it came.
        Some(_) => earlier(epoch + lifetime, Duration::from_nanos(1)),
        None => earlier(created, Duration::from_nanos(1)),
    };
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    let mut meta = CacheMeta::new(
        fresh_until,
        created,
        seconds(while_revalidate),
        seconds(if_error),
        header,
    );
    if epoch != created {
        meta.set_epoch_override(epoch);
    }
    meta
}

/// What a client's wishes make of a stored response's freshness (RFC 9111 §5.2.1); `None`: nothing.
pub(crate) fn weigh(
    wishes: &Wishes,
    stored: &CacheMeta,
    now: SystemTime,
) -> Option<ForcedFreshness> {
    let past = |since: SystemTime| now.duration_since(since).unwrap_or_default();
    let left = stored.fresh_until().duration_since(now).unwrap_or_default();
    let too_old = match wishes.max_age {
        Seconds::Absent => false,
        Seconds::Are(limit) => past(stored.epoch()) > limit,
        Seconds::Unclear => true,
    };
    let too_late = wishes.min_fresh.known().is_some_and(|least| left < least);
    if wishes.no_cache || too_old || too_late {
        return Some(ForcedFreshness::ForceExpired);
    }
    let stale = past(stored.fresh_until());
    let endured = match wishes.max_stale {
        Seconds::Absent => false,
        Seconds::Are(limit) => stale <= limit,
        Seconds::Unclear => true,
    };
    let stands = endured && left.is_zero() && !Directives::of(stored.headers()).forbids_stale();
    stands.then_some(ForcedFreshness::ForceFresh)
}

/// Whether stale bytes may stand in for this answer of a parent: RFC 5861 §4 names the statuses, and the origin
/// allows it for so long.
pub(crate) fn covers_error(stored: &CacheMeta, status: u16, now: SystemTime) -> bool {
    let directives = Directives::of(stored.headers());
    let window = directives.stale_if_error.known();
    let until = window.and_then(|window| stored.fresh_until().checked_add(window));
    matches!(status, 500 | 502 | 503 | 504) && until.is_some_and(|until| now <= until)
}

/// Tells whether the end of the body can be told from a connection that broke (RFC 9112 §6.3): by its length, or by
/// its last chunk. Half of a film may be missing from what can not.
pub(crate) fn has_end(response: &ResponseHeader) -> bool {
    let chunked = |value: &HeaderValue| {
        let last = value.as_bytes().rsplit(|byte| *byte == b',').next();
        last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
    };
    response.headers.contains_key(header::CONTENT_LENGTH)
        || response
            .headers
            .get_all(header::TRANSFER_ENCODING)
            .iter()
            .next_back()
            .is_some_and(chunked)
}

/// What of a response is for the one who asked and not for the cache (RFC 9111 §3.1): fields that the origin
/// withholds, and those of proxies.
pub(crate) fn withheld_of(
    policy: &Policy,
    response: &ResponseHeader,
) -> Vec<(HeaderName, HeaderValue)> {
    withheld_by(policy, &Directives::of(&response.headers), response)
}

fn withheld_by(
    policy: &Policy,
    directives: &Directives,
    response: &ResponseHeader,
) -> Vec<(HeaderName, HeaderValue)> {
    // RFC 9111 §7.3 leaves cookies to the origin. One that says no more than for how long an answer is fresh has mostly
    // not thought of whose session it gives to all.
    let meant_for_all = directives.public || directives.s_maxage != Seconds::Absent;
    let own = matches!(policy, Policy::Site(site) if !site.shares_cookies && !meant_for_all);
    let named = directives.no_cache.fields().iter();
    let mut names: Vec<&HeaderName> = named
        .chain(directives.private.fields())
        .chain(own.then_some(&header::SET_COOKIE))
        .chain(&PROXY_FIELDS)
        .collect();
    // Whatever is named twice is given once.
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    let fields = names.into_iter().flat_map(|name| {
        let values = response.headers.get_all(name).iter();
        values.map(move |value| (name.clone(), value.clone()))
    });
    fields.collect()
}

fn earlier(instant: SystemTime, by: Duration) -> SystemTime {
    instant.checked_sub(by).unwrap_or(instant)
}

/// Statuses whose rules for storage this cache follows.
fn is_understood(status: StatusCode) -> bool {
    status.canonical_reason().is_some()
}

const FILM_STATUSES: [u16; 7] = [200, 203, 301, 308, 404, 410, 414];

static PROXY_FIELDS: [HeaderName; 3] = [
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
];

#[cfg(test)]
mod tests;
