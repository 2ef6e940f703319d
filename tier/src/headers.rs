//! The fields that tiers add, read and remove: `Cache-Status`, `CDN-Loop`, CORS, private ones.

use bytes::{Bytes, BytesMut};
use contracts::header::{ACCESS, ACCESS_PUBLIC, PRIVATE_PREFIX, SURROGATE_KEY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Result;

use crate::rfc9111::condition::NEVER_NOMINATED;

/// `Cache-Status` (RFC 9211).
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// `CDN-Loop` (RFC 8586).
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// A request as HTTP/1.1 would write it, from which Pingora makes its background requests. The target is the one that
/// came, as it is on connections that speak HTTP/1.1: whoever admitted it can read it again.
pub(crate) fn as_http1(request: &RequestHeader, target: &[u8]) -> Bytes {
    let mut raw = BytesMut::with_capacity(512);
    for part in [
        request.method.as_str().as_bytes(),
        b" ",
        target,
        b" HTTP/1.1\r\n",
    ] {
        raw.extend_from_slice(part);
    }
    request.header_to_h1_wire(&mut raw);
    raw.extend_from_slice(b"\r\n");
    raw.freeze()
}

/// What a viewer-facing node adds to its answers; a tier that serves tiers has none.
#[derive(Clone, Debug)]
pub struct Viewers {
    alt_svc: Option<HeaderValue>,
    dress: Dress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dress {
    /// For players on any site.
    Player,
    /// As the origin sent it.
    Plain,
}

impl Viewers {
    /// Announces HTTP/3 on `h3_port` (RFC 7838), when the node has it.
    #[must_use]
    pub fn new(h3_port: Option<u16>) -> Self {
        let text = h3_port.map(|port| format!("h3=\":{port}\"; ma=86400"));
        Self {
            alt_svc: text.and_then(|text| HeaderValue::try_from(text).ok()),
            dress: Dress::Player,
        }
    }

    /// As [`Viewers::new`], for a site whose origin decides itself who may read its answers.
    #[must_use]
    pub fn of_site(h3_port: Option<u16>) -> Self {
        Self {
            dress: Dress::Plain,
            ..Self::new(h3_port)
        }
    }

    /// Gives a parent's answer what it will need on its way out, so that it is stored with it and not dressed anew on
    /// each hit.
    pub(crate) fn dress_to_keep(&self, response: &mut ResponseHeader) -> Result<()> {
        for (name, value) in PLAYER.iter().filter(|_| self.dress == Dress::Player) {
            response.insert_header(name, HeaderValue::from_static(value))?;
        }
        // Pingora says so where it could cut the answer, and not all goes that way.
        let may_be_cut = self.dress == Dress::Player && response.status == StatusCode::OK;
        if may_be_cut && !response.headers.contains_key(header::ACCEPT_RANGES) {
            response.insert_header(header::ACCEPT_RANGES, "bytes")?;
        }
        Ok(())
    }

    /// Makes an answer fit for a player on any site: CORS without credentials, timing visible,
    /// nothing private. `Alt-Svc` goes to those who are not on HTTP/3 yet.
    pub(crate) fn dress(&self, response: &mut ResponseHeader, on_h3: bool) -> Result<()> {
        strip_private(response);
        if self.dress == Dress::Player {
            response.remove_header(SURROGATE_KEY);
            for (name, value) in PLAYER {
                let has = response.headers.get(&name);
                if has.is_none_or(|has| has != value) {
                    response.insert_header(name, HeaderValue::from_static(value))?;
                }
            }
        }
        match &self.alt_svc {
            Some(alt_svc) if !on_h3 => response.insert_header(header::ALT_SVC, alt_svc.clone())?,
            _ => {}
        }
        Ok(())
    }
}

/// About how many bytes a header takes on HTTP/1.1.
pub(crate) fn weight(response: &ResponseHeader) -> usize {
    let fields = response.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    STATUS_LINE + fields.sum::<usize>()
}

/// `HTTP/1.1 200 OK`, and the empty line.
const STATUS_LINE: usize = 19;

/// Tells whether a response declares its object public.
pub(crate) fn is_public(response: &ResponseHeader) -> bool {
    response
        .headers
        .get(ACCESS)
        .is_some_and(|value| value.as_bytes() == ACCESS_PUBLIC.as_bytes())
}

/// Tells whether the request has passed this node before. Other nodes' members are kept: a
/// member of ours is recognised by a number drawn at start, so that nobody can forge one into a
/// fill that others wait for.
pub(crate) fn has_looped(headers: &HeaderMap, own: &str) -> bool {
    headers.get_all(&CDN_LOOP).iter().any(|value| {
        let Ok(text) = value.to_str() else {
            return false;
        };
        let mut members = text.split(',').map(|member| {
            let (id, _parameters) = member.split_once(';').unwrap_or((member, ""));
            id.trim()
        });
        members.any(|id| id == own)
    })
}

/// Tells whether a request bears at most so many bytes of `CDN-Loop`, in a few lines. Lines count
/// by themselves, because many empty ones are as much of a burden.
pub(crate) fn loop_fits(headers: &HeaderMap, longest: usize) -> bool {
    let lines = headers.get_all(&CDN_LOOP);
    let bytes: usize = lines.iter().map(HeaderValue::len).sum();
    bytes <= longest && lines.iter().count() <= LOOP_LINES
}

/// Adds a member to `CDN-Loop`, all in one line: a parent limits how many lines it takes.
pub(crate) fn join_loop(request: &mut RequestHeader, own: &str) -> Result<()> {
    let lines = request.headers.get_all(&CDN_LOOP).iter();
    let mut members: Vec<&str> = lines
        .filter_map(|line| line.to_str().ok())
        .map(|line| line.trim_matches([' ', '\t', ',']))
        .filter(|line| !line.is_empty())
        .collect();
    members.push(own);
    let joined = members.join(", ");
    request.insert_header(CDN_LOOP, joined)
}

/// Reduces a request to what a parent may see. One answer serves everybody, so nothing of the
/// viewer's that could change it is passed on: no cookies, no credentials, no private fields.
pub(crate) fn bare(request: &mut RequestHeader) {
    let surplus: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| !PASSED_ON.contains(name))
        .cloned()
        .collect();
    for name in surplus {
        request.remove_header(&name);
    }
}

/// Removes a request's fields whose names begin so.
pub(crate) fn remove_prefixed(request: &mut RequestHeader, prefix: &str) {
    for name in prefixed(&request.headers, prefix) {
        request.remove_header(&name);
    }
}

/// Removes what would let one client choose the answer that others get from the cache: fields that are no part of the
/// key, by which an origin may take a request for one to another host, of another method, or of another address.
pub(crate) fn remove_unkeyed(request: &mut RequestHeader) {
    let forwarded = prefixed(&request.headers, "x-forwarded-");
    for name in forwarded.iter().filter(|name| **name != "x-forwarded-for") {
        request.remove_header(name);
    }
    for name in UNKEYED {
        request.remove_header(&name);
    }
    // What is not cached may be whatever the client and the origin agree upon.
    if matches!(request.method.as_str(), "GET" | "HEAD") {
        for name in OTHER_METHODS {
            request.remove_header(&name);
        }
    }
}

/// Removes what ends at this hop (RFC 9110 §7.6.1), also where it is only named by `Connection`. The framing is left
/// to the connections.
pub(crate) fn strip_hops(response: &mut ResponseHeader) {
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !NEVER_NOMINATED.contains(name))
        .collect();
    for name in nominated.iter().chain(&HOPS) {
        response.remove_header(name);
    }
}

fn strip_private(response: &mut ResponseHeader) {
    for name in prefixed(&response.headers, PRIVATE_PREFIX) {
        response.remove_header(&name);
    }
}

fn prefixed(headers: &HeaderMap, prefix: &str) -> Vec<HeaderName> {
    let names = headers
        .keys()
        .filter(|name| name.as_str().starts_with(prefix));
    names.cloned().collect()
}

/// Takes a field out of a response, its lines joined.
pub(crate) fn take(response: &mut ResponseHeader, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = response
        .headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let joined = (!lines.is_empty()).then(|| lines.join(", "));
    response.remove_header(name);
    joined
}

/// The answer to a preflight: anything that a player may ask is allowed, and nothing is told.
pub(crate) const PREFLIGHT: [(&str, &str); 3] = [
    ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
    (
        "access-control-allow-headers",
        "range, if-none-match, if-modified-since, cta-common-access-token, cmcd-object, cmcd-request, cmcd-session, cmcd-status",
    ),
    ("access-control-max-age", "86400"),
];

/// `Connection` itself is rewritten for each connection.
const HOPS: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

const LOOP_LINES: usize = 8;

/// Beside `X-Forwarded-*`.
const UNKEYED: [HeaderName; 6] = [
    header::FORWARDED,
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("front-end-https"),
];

const OTHER_METHODS: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// What pages on any site may do with an answer, and see of it.
const PLAYER: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "cache-status, age, server-timing, content-length, content-range, accept-ranges, date, etag, retry-after",
    ),
    (HeaderName::from_static("timing-allow-origin"), "*"),
];

/// `If-*` and `Range` are here for requests that bypass the cache; for a fill Pingora has removed
/// them already and set its own validators.
const PASSED_ON: [HeaderName; 8] = [
    header::HOST,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    CDN_LOOP,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_member_counts_as_a_loop() {
        let mut headers = HeaderMap::new();
        headers.append(CDN_LOOP, HeaderValue::from_static("other; a=b, edge-1-77"));
        assert!(has_looped(&headers, "edge-1-77"));
        assert!(!has_looped(&headers, "edge-1-78"));
        assert!(!has_looped(&headers, "edge-1"));
        assert!(!has_looped(&HeaderMap::new(), "edge-1-77"));
    }

    #[test]
    fn a_parent_sees_nothing_of_the_viewer() {
        let mut request = RequestHeader::build("GET", b"/v/a", None).unwrap();
        for name in [
            "cookie",
            "authorization",
            "millrace-hop",
            "x-forwarded-for",
            "origin",
            "range",
        ] {
            request.append_header(name, "x").unwrap();
        }
        bare(&mut request);
        assert_eq!(request.headers.keys().collect::<Vec<_>>(), ["range"]);
    }

    #[test]
    fn no_client_of_a_site_chooses_by_an_unkeyed_field_what_others_get() {
        let left = |method: &str| {
            let mut request = RequestHeader::build(method, b"/", None).unwrap();
            for name in [
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-prefix",
                "forwarded",
                "x-original-url",
                "x-http-method-override",
                "x-own",
            ] {
                request.append_header(name, "x").unwrap();
            }
            remove_unkeyed(&mut request);
            let names = request.headers.keys().map(HeaderName::as_str);
            let mut names: Vec<_> = names.map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(left("GET"), ["x-forwarded-for", "x-own"]);
        let posted = ["x-forwarded-for", "x-http-method-override", "x-own"];
        assert_eq!(left("POST"), posted, "its answer is the client's own");
    }

    #[test]
    fn a_loop_is_passed_on_in_one_line() {
        let mut request = RequestHeader::build("GET", b"/v/a", None).unwrap();
        for line in ["", "a; x=1, b", " ,", "c,", ""] {
            request.append_header(CDN_LOOP, line).unwrap();
        }
        assert!(loop_fits(&request.headers, 13));
        assert!(!loop_fits(&request.headers, 12));
        for _ in 0..4 {
            request.append_header(CDN_LOOP, "").unwrap();
        }
        assert!(!loop_fits(&request.headers, 1024), "nine lines");
        join_loop(&mut request, "own-1").unwrap();
        let lines: Vec<_> = request.headers.get_all(CDN_LOOP).iter().collect();
        assert_eq!(lines, ["a; x=1, b, c, own-1"]);
    }
}
