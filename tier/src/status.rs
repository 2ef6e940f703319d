//! The node's own member of `Cache-Status` (RFC 9211).

use std::time::Duration;

use pingora::cache::{CacheMeta, CachePhase, HttpCache};

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

/// Writes the member: the node's name and what the cache did.
pub(crate) fn member(
    name: &str,
    cache: &HttpCache,
    joined: bool,
    upstream_status: Option<u16>,
) -> String {
    let phase = cache.phase();
    let ttl = || cache.maybe_cache_meta().map_or(0, ttl_s);
    match (cache_use(phase, joined), upstream_status) {
        (CacheUse::Hit, _) | (CacheUse::Stale, None) => format!("{name}; hit; ttl={}", ttl()),
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

/// Seconds of freshness left; negative when the object is stale.
fn ttl_s(meta: &CacheMeta) -> i64 {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let lifetime = match meta.fresh_until().duration_since(meta.epoch()) {
        Ok(lifetime) => seconds(lifetime),
        // Stale from the start: Pingora puts its end before its beginning.
        Err(before) => -seconds(before.duration()),
    };
    lifetime.saturating_sub(seconds(meta.age()))
}
