//! An object on its way to a bucket: one request while it is short, parts when it is longer.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::{
    Error as Fault, ObjectStore as _, PutMultipartOptions, PutOptions, PutPayload, WriteMultipart,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{Bucket, attributes};
use crate::{Digest, Error, Key};

/// Nothing of it is seen before it is finished; dropped before, its parts are removed.
pub(super) struct Sending {
    bucket: Arc<Bucket>,
    key: Key,
    /// The digest of the whole, where it is known from the start.
    digest: Option<Digest>,
    part_bytes: usize,
    /// What came while it may still be one request.
    first: BytesMut,
    parts: Option<WriteMultipart>,
    /// What it has of the memory that is shared with others, where that is bounded.
    room: Option<Room>,
}

impl Sending {
    /// An object of `size_bytes`, if that is known.
    pub(super) fn new(
        bucket: &Arc<Bucket>,
        key: &Key,
        size_bytes: Option<u64>,
        digest: Option<Digest>,
    ) -> Self {
        Self {
            bucket: Arc::clone(bucket),
            key: key.clone(),
            digest,
            part_bytes: part_bytes(size_bytes.unwrap_or_default()),
            first: BytesMut::new(),
            parts: None,
            room: None,
        }
    }

    /// The same in a memory that is shared with others.
    pub(super) fn within(mut self, all: &Arc<Semaphore>) -> Self {
        self.room = Some(Room {
            all: Arc::clone(all),
            held: None,
        });
        self
    }

    pub(super) async fn push(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        if self.parts.is_none() {
            if self.first.len() + bytes.len() <= self.part_bytes {
                self.first.reserve(bytes.len());
                self.take(self.first.capacity())?;
                self.first.extend_from_slice(&bytes);
                return Ok(());
            }
            self.take(self.part_bytes * HELD)?;
            let mut parts = self.begin().await?;
            parts.write(&std::mem::take(&mut self.first));
            self.parts = Some(parts);
        }
        let failed = self.bucket.failed(&self.key, "writing");
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        let mut sent = Ok(());
        while !bytes.is_empty() && sent.is_ok() {
            let piece = bytes.split_to(bytes.len().min(self.part_bytes));
            sent = parts.wait_for_capacity(AT_ONCE).await;
            parts.write(&piece);
        }
        sent.map_err(failed)
    }

    /// Has so much memory in all.
    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        match self.room.as_mut().is_none_or(|room| room.grow(bytes)) {
            true => Ok(()),
            false => Err(Error::Busy {
                key: self.key.clone(),
            }),
        }
    }

    async fn begin(&mut self) -> Result<WriteMultipart, Error> {
        let options = PutMultipartOptions::from(attributes(self.digest));
        let path = self.bucket.path(&self.key);
        let upload = self.bucket.objects.put_multipart_opts(&path, options).await;
        let upload = upload.map_err(self.bucket.failed(&self.key, "writing"))?;
        Ok(WriteMultipart::new_with_chunk_size(upload, self.part_bytes))
    }

    /// Makes the object visible.
    pub(super) async fn finish(mut self) -> Result<(), Error> {
        let failed = self.bucket.failed(&self.key, "writing");
        let finished = match self.parts.take() {
            // In a task of its own: dropped half-way, it would leave its parts.
            Some(parts) => tokio::spawn(parts.finish()).await.map_err(Fault::from),
            None => {
                let options = PutOptions::from(attributes(self.digest));
                let payload = PutPayload::from(std::mem::take(&mut self.first).freeze());
                let path = self.bucket.path(&self.key);
                let objects = &self.bucket.objects;
                Ok(objects.put_opts(&path, payload, options).await)
            }
        };
        finished
            .and_then(|finished| finished)
            .map(drop)
            .map_err(failed)
    }

    /// Makes an object visible whose digest became known on the way. One that went in parts keeps none: it was to be
    /// told with the first.
    pub(super) async fn finish_as(mut self, digest: Digest) -> Result<(), Error> {
        self.digest = Some(digest);
        self.finish().await
    }
}

/// A place in a memory that is shared.
struct Room {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Whether there is room for so much in all; what is had stays.
    fn grow(&mut self, bytes: usize) -> bool {
        let had = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(GRAIN).saturating_sub(had);
        let Ok(more) = u32::try_from(more) else {
            return false;
        };
        let Ok(more) = Arc::clone(&self.all).try_acquire_many_owned(more) else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let (Some(parts), Ok(runtime)) = (self.parts.take(), Handle::try_current()) else {
            return;
        };
        let failed = self.bucket.failed(&self.key, "giving up");
        runtime.spawn(async move {
            if let Err(fault) = parts.abort().await {
                let error = failed(fault);
                tracing::warn!(%error, "parts of an object that was given up are left in the bucket");
            }
        });
    }
}

/// How long the parts of an object of `size_bytes` are: all of one length, since some servers insist on it, and so
/// many as servers take.
fn part_bytes(size_bytes: u64) -> usize {
    let least = size_bytes.div_ceil(MOST_PARTS).next_multiple_of(1 << 20);
    usize::try_from(least).unwrap_or(usize::MAX).max(PART)
}

/// What is held in memory of one object is four of these and a little.
const PART: usize = 8 << 20;
const AT_ONCE: usize = 3;
/// How many parts are held in memory, while the first one is still what came before there were any.
const HELD: usize = AT_ONCE + 2;
/// The most memory for all that share it.
pub(super) const MOST: usize = 1 << 30;
/// As it is counted.
pub(super) const GRAIN: usize = 64 << 10;
const MOST_PARTS: u64 = 10_000;

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn parts_are_so_long_that_there_are_not_too_many() {
        assert_eq!(part_bytes(0), PART);
        assert_eq!(part_bytes(64 << 30), PART);
        for size in [100 << 30, 1 << 40, (1 << 40) + 1] {
            let part = part_bytes(size) as u64;
            assert!(size.div_ceil(part) <= MOST_PARTS && part < 200 << 20);
        }
    }
}
