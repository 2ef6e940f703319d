//! A reader of an object that stays on disk.

use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::CacheKey;
use pingora::cache::storage::{HandleHit, Storage};
use pingora::cache::trace::SpanHandle;
use pingora::prelude::{Error, ErrorType, Result};

use crate::cache::disk::Stream;
use crate::cache::store::Cache;

/// A reader of an object that stays on disk.
///
/// # Cancel safety
/// A dropped `read_body` loses no byte: the position moves only when bytes are handed out.
pub(in crate::cache) struct DiskReader {
    cache: &'static Cache,
    stream: Stream,
    position: usize,
    end: usize,
}

impl DiskReader {
    pub(super) const fn new(cache: &'static Cache, stream: Stream) -> Self {
        let end = stream.length();
        Self {
            cache,
            stream,
            position: 0,
            end,
        }
    }
}

#[async_trait]
impl HandleHit for DiskReader {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let hold = self.cache.lease(super::LONG).await?;
        let read = self.stream.read(self.position, Some(hold)).await;
        let mut bytes = read.map_err(|error| {
            Error::because(ErrorType::ReadError, "reading an object from disk", error)
        })?;
        bytes.truncate(self.end - self.position);
        self.position += bytes.len();
        Ok(Some(bytes))
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        if start >= self.stream.length() {
            return Error::e_explain(ErrorType::InternalError, "seek beyond the end");
        }
        self.position = start;
        self.end = end.unwrap_or(usize::MAX).min(self.stream.length());
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn std::any::Any + Send + Sync) {
        self
    }
}
