//! Conditional requests and ranges against a stored response (RFC 9110 §13, RFC 9111 §4.3).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};

use super::directives::CDN_CACHE_CONTROL;
use super::freshness::date;

/// Whether the client has what it asks for, and gets a 304 (RFC 9110 §13.2.2, steps 3 and 4). `If-Match` and
/// `If-Unmodified-Since` do not apply to a cache (RFC 9111 §4.3.2).
pub(crate) fn is_not_modified(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let fields = &request.headers;
    if !response.status.is_success() {
        return false;
    }
    if fields.contains_key(header::IF_NONE_MATCH) {
        return matches(fields, response.headers.get(header::ETAG));
    }
    let Some(since) = date(fields, &header::IF_MODIFIED_SINCE) else {
        return false;
    };
    // A response that does not tell when it changed was the current one when it was sent.
    let changed = date(&response.headers, &header::LAST_MODIFIED)
        .or_else(|| date(&response.headers, &header::DATE));
    changed.is_some_and(|changed| changed <= since)
}

/// Whether `Range` counts (RFC 9110 §14.2): for GET only, of something that is not empty, and when the part that the
/// client has already, as `If-Range` says, is one of what is stored.
pub(crate) fn may_be_cut(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let length = response.headers.get(header::CONTENT_LENGTH);
    let empty = length.is_some_and(|length| length.as_bytes().iter().all(|byte| *byte == b'0'));
    request.method == Method::GET
        && !empty
        && !wants_last_nothing(&request.headers)
        && is_same(request, response)
}

/// The last no bytes, `-0`, are not to be had (RFC 9110 §14.1.2), nor does anybody need them.
fn wants_last_nothing(fields: &HeaderMap) -> bool {
    let text = fields
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let specs = text.and_then(|text| text.split_once('='));
    specs.is_some_and(|(_, specs)| {
        specs.split(',').any(|spec| {
            let zeros = spec.trim().strip_prefix('-');
            zeros.is_some_and(|zeros| zeros.bytes().all(|byte| byte == b'0'))
        })
    })
}

/// `If-Range` wants strong validators (RFC 9110 §13.1.5). Without the field the answer is yes.
fn is_same(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let Some(wanted) = request.headers.get(header::IF_RANGE) else {
        return true;
    };
    if wanted.as_bytes().starts_with(b"\"") {
        return response.headers.get(header::ETAG) == Some(wanted);
    }
    let (Some(changed), Some(sent)) = (
        date(&response.headers, &header::LAST_MODIFIED),
        date(&response.headers, &header::DATE),
    ) else {
        return false;
    };
    let exact = response.headers.get(header::LAST_MODIFIED) == Some(wanted);
    // A date is strong when nothing could have changed again within its second (RFC 9110 §8.8.2.2).
    exact
        && sent
            .duration_since(changed)
            .is_ok_and(|span| span.as_secs() >= 1)
}

/// What a stored response's header becomes after a 304 (RFC 9111 §3.2, §4.3.4). Stays as it was: what describes the
/// bytes that are stored, and `Vary`, by which they were found.
pub(crate) fn refreshed(stored: &ResponseHeader, news: &ResponseHeader) -> ResponseHeader {
    let mut header = stored.clone();
    for name in news.headers.keys().filter(|name| !KEPT.contains(name)) {
        header.remove_header(name);
        for value in news.headers.get_all(name) {
            // A value that was read before can be written again.
            let _ = header.append_header(name, value.clone());
        }
    }
    header
}

/// Whether a 304 speaks of another representation than the stored one: it bears a strong tag, and not ours.
pub(crate) fn names_another(stored: &ResponseHeader, news: &ResponseHeader) -> bool {
    let strong = |tag: &&HeaderValue| !opaque(tag.as_bytes()).1;
    let named = news.headers.get(header::ETAG).filter(strong);
    named.is_some_and(|named| stored.headers.get(header::ETAG) != Some(named))
}

/// Weak comparison (RFC 9110 §8.8.3.2) with each tag of `If-None-Match`.
fn matches(fields: &HeaderMap, stored: Option<&HeaderValue>) -> bool {
    let stored = stored.map(|tag| opaque(tag.as_bytes()).0);
    let lines = fields.get_all(header::IF_NONE_MATCH).iter();
    lines.flat_map(|line| tags(line.as_bytes())).any(|tag| {
        let (tag, _) = opaque(tag);
        tag == b"*" || stored == Some(tag)
    })
}

/// Splits at commas outside of quotes; there are no escapes within a tag (RFC 9110 §8.8.3).
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let parts = line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    parts.map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty())
}

/// A tag without its mark of weakness, and whether it had one.
fn opaque(tag: &[u8]) -> (&[u8], bool) {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/")
        .map_or((tag, false), |strong| (strong, true))
}

/// Fields that a 304 does not change.
const KEPT: [HeaderName; 8] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    header::TRANSFER_ENCODING,
    header::ETAG,
    header::VARY,
    header::ACCEPT_RANGES,
];

/// Fields that no `Connection` takes away: a cache that loses them does what the origin forbids.
pub(crate) const NEVER_NOMINATED: [HeaderName; 7] = [
    header::CACHE_CONTROL,
    CDN_CACHE_CONTROL,
    header::EXPIRES,
    header::DATE,
    header::VARY,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in lines {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn response(lines: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in lines {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn tags_go_before_dates_and_are_compared_weakly() {
        let stored = response(&[("etag", "W/\"a,b\""), ("last-modified", NEW)]);
        for tags in [
            "\"a,b\"",
            "W/\"a,b\"",
            "\"x\", \"a,b\"",
            "*",
            "x, W/\"a,b\" ",
        ] {
            let asked = request(&[("if-none-match", tags), ("if-modified-since", OLD)]);
            assert!(is_not_modified(&asked, &stored), "{tags}");
        }
        for tags in ["\"a\"", "\"b\"", "\"A,B\"", ""] {
            let asked = request(&[("if-none-match", tags), ("if-modified-since", NEW)]);
            assert!(!is_not_modified(&asked, &stored), "{tags}");
        }
        let untagged = response(&[]);
        assert!(is_not_modified(
            &request(&[("if-none-match", "*")]),
            &untagged
        ));
        assert!(!is_not_modified(
            &request(&[("if-none-match", "\"a\"")]),
            &untagged
        ));
    }

    #[test]
    fn a_date_is_compared_with_the_last_change_or_else_with_when_it_was_sent() {
        let since = |text| request(&[("if-modified-since", text)]);
        for stored in [
            response(&[("last-modified", OLD)]),
            response(&[("date", OLD)]),
        ] {
            assert!(is_not_modified(&since(OLD), &stored));
            assert!(is_not_modified(
                &since("Sunday, 06-Nov-94 08:49:38 GMT"),
                &stored
            ));
            assert!(!is_not_modified(
                &since("Sun, 06 Nov 1994 08:49:36 GMT"),
                &stored
            ));
            assert!(!is_not_modified(&since("yesterday"), &stored));
        }
        assert!(!is_not_modified(&since(OLD), &response(&[])));
    }

    #[test]
    fn a_part_is_joined_to_a_part_by_strong_validators_only() {
        let stored = response(&[("etag", "\"a\""), ("last-modified", OLD), ("date", NEW)]);
        let asks = |value| may_be_cut(&request(&[("if-range", value)]), &stored);
        assert!(asks("\"a\"") && asks(OLD));
        assert!(!asks("\"b\"") && !asks("W/\"a\"") && !asks(NEW) && !asks(""));
        let weak = response(&[("etag", "W/\"a\""), ("last-modified", OLD), ("date", OLD)]);
        for value in ["W/\"a\"", "\"a\"", OLD] {
            assert!(
                !may_be_cut(&request(&[("if-range", value)]), &weak),
                "{value}"
            );
        }
        assert!(may_be_cut(&request(&[]), &weak));
    }

    #[test]
    fn nothing_is_cut_from_nothing_nor_for_another_method() {
        let (some, none) = (
            response(&[("content-length", "10")]),
            response(&[("content-length", "0")]),
        );
        let last = request(&[("range", "bytes=-5")]);
        assert!(may_be_cut(&last, &some) && !may_be_cut(&last, &none));
        for range in ["bytes=-0", "bytes=0-1, -00", "bytes=-"] {
            assert!(!may_be_cut(&request(&[("range", range)]), &some), "{range}");
        }
        let mut head = last;
        head.set_method(Method::HEAD);
        assert!(!may_be_cut(&head, &some));
    }

    #[test]
    fn a_304_renews_what_is_said_of_the_bytes_and_not_what_they_are() {
        let stored = response(&[
            ("a", "1"),
            ("b", "1"),
            ("content-length", "5"),
            ("etag", "\"x\""),
        ]);
        let news = response(&[
            ("a", "2"),
            ("a", "3"),
            ("content-length", "0"),
            ("etag", "\"y\""),
        ]);
        let header = refreshed(&stored, &news);
        let values = |name| header.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(values("a"), ["2", "3"]);
        assert_eq!(values("b"), ["1"]);
        assert_eq!(values("content-length"), ["5"]);
        assert_eq!(values("etag"), ["\"x\""]);
        assert!(names_another(&stored, &news));
        for same in [&[("etag", "\"x\"")][..], &[("etag", "W/\"y\"")], &[]] {
            assert!(!names_another(&stored, &response(same)));
        }
    }
}
