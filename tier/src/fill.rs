//! What may be stored and for how long (RFC 9111 §3, §4.2; RFC 5861).

use std::time::Duration;

use http::header;
use pingora::cache::cache_control::{CacheControl, DirectiveKey};
use pingora::cache::filters::resp_cacheable;
use pingora::cache::{CacheMeta, CacheMetaDefaults, NoCacheReason, RespCacheable};
use pingora::http::ResponseHeader;

/// Decides on a response that is already `age` old. Without explicit freshness nothing is stored:
/// how long an object lives is the origin's decision, negative answers included.
pub(crate) fn decide(response: &ResponseHeader, age: Duration) -> RespCacheable {
    if !STORABLE.contains(&response.status.as_u16()) {
        return RespCacheable::Uncacheable(NoCacheReason::OriginNotCache);
    }
    if response.headers.contains_key(header::SET_COOKIE) || varies_on_everything(response) {
        return RespCacheable::Uncacheable(NoCacheReason::OriginNotCache);
    }
    let control = CacheControl::from_resp_headers(response);
    match resp_cacheable(control.as_ref(), response.clone(), false, &DEFAULTS) {
        RespCacheable::Cacheable(meta) => {
            RespCacheable::Cacheable(aged(meta, age, control.as_ref()))
        }
        refused @ RespCacheable::Uncacheable(_) => refused,
    }
}

/// Tells whether the end of the body can be told from a connection that broke (RFC 9112 §6.3): by
/// its length, or by its last chunk. What can not must not be stored, for half of it may be missing.
pub(crate) fn has_end(response: &ResponseHeader) -> bool {
    let chunked = |value: &header::HeaderValue| {
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

/// Counts the time that the response has spent in caches before us, and closes the stale windows
/// where the origin forbids stale answers (RFC 9111 §4.2.4).
fn aged(meta: CacheMeta, age: Duration, control: Option<&CacheControl>) -> CacheMeta {
    let strict = control.is_some_and(|control| {
        STRICT
            .iter()
            .any(|key| control.directives.contains_key(key))
    });
    let (while_revalidate, if_error) = if strict {
        (0, 0)
    } else {
        (meta.stale_while_revalidate_sec(), meta.stale_if_error_sec())
    };
    let earlier = |instant: std::time::SystemTime| instant.checked_sub(age).unwrap_or(instant);
    let mut aged = CacheMeta::new(
        earlier(meta.fresh_until()),
        meta.created(),
        while_revalidate,
        if_error,
        meta.response_header_copy(),
    );
    aged.set_epoch_override(earlier(meta.created()));
    aged
}

/// The age that an upstream reports (RFC 9111 §5.1); an unreadable one counts as none.
pub(crate) fn reported_age(response: &ResponseHeader) -> Duration {
    let seconds = response
        .headers
        .get(header::AGE)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .unwrap_or(0);
    Duration::from_secs(u64::min(seconds, 1 << 31))
}

fn varies_on_everything(response: &ResponseHeader) -> bool {
    let values = response.headers.get_all(header::VARY);
    values.iter().any(|value| value.as_bytes().contains(&b'*'))
}

/// Whole answers about an address. Parents get no field of the viewer's that could make two
/// answers differ, so `Vary` other than `*` needs no variants.
const STORABLE: [u16; 7] = [200, 203, 301, 308, 404, 410, 414];
const STRICT: [DirectiveKey; 4] = [
    DirectiveKey::MustRevalidate,
    DirectiveKey::ProxyRevalidate,
    DirectiveKey::SMaxAge,
    DirectiveKey::NoCache,
];
const DEFAULTS: CacheMetaDefaults = CacheMetaDefaults::new(|_| None, 0, 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    fn stored(status: u16, fields: &[(&'static str, &str)]) -> Option<CacheMeta> {
        match decide(&response(status, fields), Duration::ZERO) {
            RespCacheable::Cacheable(meta) => Some(meta),
            RespCacheable::Uncacheable(_) => None,
        }
    }

    #[test]
    fn only_whole_answers_with_explicit_freshness_are_stored() {
        let fresh = [("cache-control", "max-age=60")];
        assert!(stored(200, &fresh).is_some());
        assert!(stored(404, &fresh).is_some());
        for status in [206, 302, 400, 403, 500, 502, 503] {
            assert!(stored(status, &fresh).is_none(), "{status}");
        }
        assert!(stored(200, &[]).is_none());
        assert!(stored(404, &[]).is_none());
        assert!(stored(200, &[("cache-control", "no-store, max-age=60")]).is_none());
        assert!(stored(200, &[("cache-control", "max-age=60"), ("vary", "a, *")]).is_none());
        assert!(
            stored(
                200,
                &[("cache-control", "max-age=60"), ("set-cookie", "a=b")]
            )
            .is_none()
        );
    }

    #[test]
    fn time_spent_in_a_parent_shortens_freshness() {
        let header = response(200, &[("cache-control", "max-age=60"), ("age", "45")]);
        let RespCacheable::Cacheable(meta) = decide(&header, reported_age(&header)) else {
            panic!("stored");
        };
        let left = meta.fresh_until().duration_since(meta.created()).unwrap();
        assert_eq!(left, Duration::from_secs(15));
        assert!(meta.age() >= Duration::from_secs(45));
        assert_eq!(meta.fresh_sec(), 60);
    }

    #[test]
    fn must_revalidate_closes_the_stale_windows() {
        let lenient = "max-age=1, stale-while-revalidate=9, stale-if-error=9";
        let meta = stored(200, &[("cache-control", lenient)]).unwrap();
        assert_eq!(
            (meta.stale_while_revalidate_sec(), meta.stale_if_error_sec()),
            (9, 9)
        );
        let strict = format!("{lenient}, must-revalidate");
        let meta = stored(200, &[("cache-control", &strict)]).unwrap();
        assert_eq!(
            (meta.stale_while_revalidate_sec(), meta.stale_if_error_sec()),
            (0, 0)
        );
    }

    #[test]
    fn a_body_that_ends_with_the_connection_has_no_sure_end() {
        assert!(has_end(&response(200, &[("content-length", "0")])));
        assert!(has_end(&response(
            200,
            &[("transfer-encoding", "gzip, Chunked")]
        )));
        assert!(!has_end(&response(200, &[])));
        assert!(!has_end(&response(200, &[("transfer-encoding", "gzip")])));
    }
}
