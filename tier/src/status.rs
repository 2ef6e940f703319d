//! The node's own members of `Cache-Status` (RFC 9211) and `Proxy-Status` (RFC 9209).

use std::fmt::Display;
use std::time::Duration;

use contracts::reason::Reason;
use http::HeaderName;
use pingora::cache::{CacheMeta, CachePhase, HttpCache};
use pingora::prelude::{Error, ErrorSource, ErrorType};

use crate::metrics::CacheUse;

/// Names how a request met the cache.
pub(crate) const fn cache_use(phase: CachePhase, joined: bool) -> CacheUse {
    match phase {
        CachePhase::Hit if joined => CacheUse::Joined,
        CachePhase::Hit => CacheUse::Hit,
        CachePhase::Miss | CachePhase::Expired => CacheUse::Miss,
        CachePhase::Stale | CachePhase::StaleUpdating => CacheUse::Stale,
        CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => CacheUse::Revalidated,
        _ => CacheUse::Pass,
    }
}

/// `Proxy-Status`.
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Whether the cache was to answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It was.
    Cache,
    /// Requests with this method go to the parent.
    Method,
    /// The client wanted it fetched or validated.
    Request,
}

/// Writes the member: the node's name and what the cache did.
pub(crate) fn member(
    name: &str,
    cache: &HttpCache,
    (met, way): (CacheUse, Way),
    upstream_status: Option<u16>,
) -> String {
    let phase = cache.phase();
    match (way, upstream_status) {
        (Way::Method, _) => return format!("{name}; fwd=method"),
        (Way::Request, Some(304)) => return format!("{name}; fwd=request; fwd-status=304"),
        (Way::Request, Some(_)) => return format!("{name}; fwd=request"),
        (Way::Request, None) | (Way::Cache, _) => {}
    }
    let ttl = || cache.maybe_cache_meta().map_or(0, ttl_s);
    match (met, upstream_status) {
        (CacheUse::Hit, _) | (CacheUse::Stale, None) => hit(name, ttl()),
        (CacheUse::Joined, _) => format!("{name}; fwd=miss; collapsed"),
        (CacheUse::Miss, _) if matches!(phase, CachePhase::Expired) => {
            format!("{name}; fwd=stale; stored")
        }
        (CacheUse::Miss, _) => format!("{name}; fwd=miss; stored"),
        (CacheUse::Stale | CacheUse::Revalidated, Some(code)) => {
            format!("{name}; fwd=stale; fwd-status={code}")
        }
        (CacheUse::Revalidated, None) => format!("{name}; fwd=stale"),
        (CacheUse::Pass | CacheUse::None, _) => format!("{name}; fwd=miss"),
    }
}

/// The member of an answer from the cache that is fresh for so many seconds, or was until so many seconds ago.
pub(crate) fn hit(name: &str, ttl_s: impl Display) -> String {
    format!("{name}; hit; ttl={ttl_s}")
}

/// What went wrong between this node and its parent, in the words of RFC 9209 §2.3.
pub(crate) fn fault(error: &Error) -> Option<&'static str> {
    if !matches!(error.esource(), ErrorSource::Upstream) {
        return None;
    }
    Some(match error.etype() {
        ErrorType::ConnectTimedout => "connection_timeout",
        ErrorType::ConnectRefused => "connection_refused",
        ErrorType::ConnectNoRoute => "destination_ip_unroutable",
        ErrorType::TLSHandshakeFailure | ErrorType::TLSHandshakeTimedout => "tls_protocol_error",
        ErrorType::InvalidCert => "tls_certificate_error",
        ErrorType::ReadTimedout => "connection_read_timeout",
        ErrorType::WriteTimedout => "connection_write_timeout",
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            "connection_terminated"
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::H2Error => {
            "http_protocol_error"
        }
        _ => "destination_unavailable",
    })
}

/// Writes the member for an answer that this node makes in place of its parent's.
pub(crate) fn proxy_status(
    name: &str,
    reason: Reason,
    fault: Option<&'static str>,
) -> Option<String> {
    let error = match (reason, fault) {
        (Reason::Loop, _) => "proxy_loop_detected",
        (Reason::Busy, _) => "connection_limit_reached",
        (Reason::TooSlow | Reason::Unreachable, Some(fault)) => fault,
        (Reason::TooSlow, None) => "http_response_timeout",
        (Reason::Unreachable, None) => "destination_unavailable",
        (Reason::Internal, _) => "proxy_internal_error",
        _ => return None,
    };
    Some(format!("{name}; error={error}"))
}

/// Whole seconds of freshness left; negative when the object is stale.
fn ttl_s(meta: &CacheMeta) -> i64 {
    let now = meta.epoch() + meta.age();
    let (left, past) = match meta.fresh_until().duration_since(now) {
        Ok(left) => (left, Duration::ZERO),
        Err(past) => (Duration::ZERO, past.duration()),
    };
    let begun = u64::from(past.subsec_nanos() > 0);
    let seconds = |whole: u64| i64::try_from(whole).unwrap_or(i64::MAX);
    seconds(left.as_secs()) - seconds(past.as_secs() + begun)
}
