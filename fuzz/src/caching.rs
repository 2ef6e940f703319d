//! Any bytes as the fields of a request and of its response: whatever they say, what forbids reuse is heard.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::rfc9111::directives::{Reach, Request, Response};
use crate::rfc9111::freshness::{Age, Arrival, Lifetime};
use crate::rfc9111::vary::{Vary, selection};
use crate::rfc9111::{condition, freshness, members, reference};

/// Reads `data` as lines of fields: the request's up to an empty line, then the response's.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n').take(MOST_LINES);
    let mut asked = RequestHeader::build("GET", b"/", None).expect("a request");
    for (name, value) in lines.by_ref().map_while(field) {
        asked.append_header(name, value).expect("a field");
    }
    let mut answer = ResponseHeader::build(200, None).expect("a response");
    for (name, value) in lines.map_while(field) {
        answer.append_header(name, value).expect("a field");
    }
    lists(&answer.headers);
    directives(&answer);
    times(&answer);
    variants(&asked, &answer);
    conditions(asked, &answer);
    references(&answer.headers);
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let at = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(line.get(..at)?).ok()?;
    let value = line.get(at + 1..)?.trim_ascii();
    Some((name, HeaderValue::from_bytes(value).ok()?))
}

/// No member is empty, and none is lost or made: parts are what they were split from.
fn lists(headers: &HeaderMap) {
    for text in headers.values().filter_map(|value| value.to_str().ok()) {
        let mut rest = text;
        for part in members::split(text) {
            assert!(!part.is_empty());
            let at = rest.find(part).expect("a part of the text, in its order");
            rest = &rest[at + part.len()..];
        }
        assert!(
            rest.chars().all(|letter| ", \t".contains(letter)),
            "{rest:?}"
        );
    }
}

/// One line cannot hide what another forbids.
fn directives(answer: &ResponseHeader) {
    let read = Response::of(&answer.headers);
    let longest = Duration::from_secs(1 << 31);
    let seconds = [
        read.max_age,
        read.s_maxage,
        read.stale_while_revalidate,
        read.stale_if_error,
    ];
    for seconds in seconds.iter().filter_map(|seconds| seconds.known()) {
        assert!(seconds <= longest);
    }
    let name = if read.targeted {
        HeaderName::from_static("cdn-cache-control")
    } else {
        header::CACHE_CONTROL
    };
    let mut stricter = answer.headers.clone();
    let strictest = HeaderValue::from_static("no-store, no-cache, private");
    stricter.append(name, strictest);
    let read = Response::of(&stricter);
    assert!(read.no_store && read.no_cache == Reach::All && read.private == Reach::All);
    assert!(read.forbids_stale());
}

/// A lifetime that is stated goes before a guess; an age never makes a response younger.
fn times(answer: &ResponseHeader) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let arrival = Arrival {
        requested: now - Duration::from_secs(1),
        received: now,
    };
    let read = Response::of(&answer.headers);
    let lifetime = freshness::lifetime(&answer.headers, &read, arrival);
    if read.no_cache == Reach::All {
        assert_eq!(lifetime, Lifetime::Explicit(Duration::ZERO));
    }
    let age = freshness::age(&answer.headers);
    let with = freshness::initial_age(&answer.headers, age, arrival);
    let without = freshness::initial_age(&answer.headers, Age::Absent, arrival);
    assert_eq!(with.is_none(), age == Age::Unclear);
    assert!(with.is_none_or(|with| Some(with) >= without));
}

/// A request gets the variant that it got before.
fn variants(asked: &RequestHeader, answer: &ResponseHeader) {
    let Vary::Fields(names) = Vary::of(&answer.headers) else {
        return;
    };
    assert!(
        names
            .windows(2)
            .all(|pair| pair[0].as_str() < pair[1].as_str())
    );
    let chosen = selection(&names, &asked.headers);
    assert_eq!(chosen, selection(&names, &asked.headers.clone()));
    for name in &names {
        let mut other = asked.headers.clone();
        other.insert(name.clone(), HeaderValue::from_static("something else"));
        let same = asked
            .headers
            .get(name)
            .is_some_and(|value| value == "something else");
        assert!(same || selection(&names, &other) != chosen || other == asked.headers);
    }
}

/// Whoever shows our tag has what we have; HEAD has no parts; a 304 leaves what describes the stored bytes.
fn conditions(mut asked: RequestHeader, answer: &ResponseHeader) {
    let _ = (
        Request::of(&asked.headers),
        condition::is_not_modified(&asked, answer),
    );
    let renewed = condition::refreshed(answer, answer);
    for name in [header::ETAG, header::VARY, header::CONTENT_LENGTH] {
        assert!(
            renewed
                .headers
                .get_all(&name)
                .iter()
                .eq(answer.headers.get_all(&name))
        );
    }
    assert!(!condition::names_another(answer, answer));
    if let Some(tag) = answer.headers.get(header::ETAG).filter(|tag| is_tag(tag)) {
        asked
            .insert_header(header::IF_NONE_MATCH, tag)
            .expect("a field");
        assert!(condition::is_not_modified(&asked, answer));
    }
    let _ = condition::may_be_cut(&asked, answer);
    asked.set_method(Method::HEAD);
    assert!(!condition::may_be_cut(&asked, answer));
}

/// RFC 9110 §8.8.3.
fn is_tag(tag: &HeaderValue) -> bool {
    let tag = tag.as_bytes();
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    let inner = opaque
        .strip_prefix(b"\"")
        .and_then(|tag| tag.strip_suffix(b"\""));
    inner.is_some_and(|inner| !inner.contains(&b'"'))
}

/// A reference leads to an address on this host, and out of no folder upwards.
fn references(headers: &HeaderMap) {
    let texts = headers.values().filter_map(|value| value.to_str().ok());
    for address in texts.filter_map(|text| reference::resolve(text, "host:1", "/a/b?c")) {
        assert!(
            address.starts_with('/') && !address.contains('#'),
            "{address}"
        );
        let path = address.split('?').next().expect("a path");
        assert!(
            path.split('/')
                .all(|segment| segment != "." && segment != "..")
        );
        // Alone, a path that begins with two slashes would name a host.
        if !address.starts_with("//") {
            let again = reference::resolve(&address, "host:1", "/");
            assert_eq!(again.as_deref(), Some(address.as_str()));
        }
    }
}

const MOST_LINES: usize = 64;
