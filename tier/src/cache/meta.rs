//! What is kept of an object's `CacheMeta`, which cannot be cloned.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pingora::cache::CacheMeta;
use pingora::cache::key::HashBinary;
use pingora::http::ResponseHeader;
use pingora::prelude::Result;

/// The parts from which each hit rebuilds its own `CacheMeta`; eight times cheaper than
/// deserializing one.
pub(super) struct Meta {
    fresh_until: SystemTime,
    created: SystemTime,
    epoch: SystemTime,
    validated: SystemTime,
    stale_while_revalidate_s: u32,
    stale_if_error_s: u32,
    variance: Option<HashBinary>,
    pub(super) header: ResponseHeader,
    /// What of the header is the same in each answer, as it is written.
    written: OnceLock<Bytes>,
}

/// When a parent last said that an object is still so. `CacheMeta` has that as `updated`, and lets nobody set it.
#[derive(Clone, Copy)]
struct Validated(SystemTime);

/// When a parent last gave an object, or said that it is still so; where that is not known, an instant before it.
pub(crate) fn validated_at(meta: &CacheMeta) -> SystemTime {
    let noted = meta.extensions().get::<Validated>();
    // What was renewed on disk has kept when it was so and not when that was said.
    let known = meta.updated().max(meta.epoch());
    noted.map_or(known, |Validated(at)| known.max(*at))
}

/// The longest written header that is kept, in bytes; an object's overhead has room for it.
const KEPT_WRITTEN: usize = 1024;

impl Meta {
    pub(super) fn keep(meta: &CacheMeta) -> Self {
        Self {
            fresh_until: meta.fresh_until(),
            created: meta.created(),
            epoch: meta.epoch(),
            validated: validated_at(meta),
            stale_while_revalidate_s: meta.stale_while_revalidate_sec(),
            stale_if_error_s: meta.stale_if_error_sec(),
            variance: meta.variance(),
            // Without the letter case of names, which is a second map to copy on each hit.
            header: meta.response_header().as_owned_parts().into(),
            written: OnceLock::new(),
        }
    }

    /// What `write` makes of the header, which is kept unless it is long.
    pub(super) fn written(
        &self,
        write: impl FnOnce(&ResponseHeader) -> Result<Bytes>,
    ) -> Result<Bytes> {
        if let Some(written) = self.written.get() {
            return Ok(written.clone());
        }
        let written = write(&self.header)?;
        if written.len() <= KEPT_WRITTEN {
            // Another one may have been faster, with the same.
            let _ = self.written.set(written.clone());
        }
        Ok(written)
    }

    pub(super) fn give(&self) -> CacheMeta {
        let mut meta = CacheMeta::new(
            self.fresh_until,
            self.created,
            self.stale_while_revalidate_s,
            self.stale_if_error_s,
            self.header.clone(),
        );
        if self.epoch != self.created {
            meta.set_epoch_override(self.epoch);
        }
        if let Some(variance) = self.variance {
            meta.set_variance(variance);
        }
        if self.validated > self.created {
            meta.extensions_mut().insert(Validated(self.validated));
        }
        meta
    }

    /// For how long it is fresh yet; `None` when it is not.
    pub(super) fn fresh_for(&self, now: SystemTime) -> Option<Duration> {
        let left = self.fresh_until.duration_since(now).ok()?;
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.epoch).unwrap_or_default()
    }

    /// Whether both are of one fill: a confirmation leaves alone when it began.
    pub(super) fn is_of_the_fill_of(&self, other: &CacheMeta) -> bool {
        self.created == other.created()
    }

    /// The length that the upstream announced.
    pub(super) fn content_length(&self) -> Option<usize> {
        let value = self.header.headers.get(http::header::CONTENT_LENGTH)?;
        value.to_str().ok()?.parse().ok()
    }
}
