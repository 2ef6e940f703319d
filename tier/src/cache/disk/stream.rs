//! The body of one record, read in checked chunks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::format::{CHUNK, Preface};
use super::index::Place;
use super::pool::{Buffer, Hold};
use super::segment::Segment;
use super::volume::Volume;

/// An object on disk that is being read. Its record may move while it is: the stream follows.
pub(crate) struct Stream {
    volume: Arc<Volume>,
    segment: Arc<Segment>,
    place: Place,
    preface: Preface,
    /// The body of a short record, which was read with its beginning.
    whole: Option<Bytes>,
}

impl Stream {
    pub(super) fn new(
        volume: Arc<Volume>,
        segment: Arc<Segment>,
        place: Place,
        preface: Preface,
        record: Option<Buffer>,
    ) -> Self {
        let body_at = preface.head.body_at();
        Self {
            volume,
            segment,
            place,
            preface,
            whole: record.map(|record| record.freeze().slice(body_at..)),
        }
    }

    /// Bytes of the body.
    pub(crate) const fn length(&self) -> usize {
        self.preface.head.body_length as usize
    }

    /// Response header and times, as they were written.
    pub(crate) fn meta(&self) -> &[u8] {
        &self.preface.meta
    }

    /// Whether the disk has this very fill still: it was not purged, and nothing newer came.
    pub(crate) fn is_current(&self) -> bool {
        self.volume
            .index
            .place(&self.preface.head.key)
            .is_some_and(|place| place == self.place)
    }

    /// Bytes of the body from `from`, which lies before its end: at most what is left of a chunk,
    /// compared with its checksum.
    ///
    /// # Errors
    /// When the record is damaged, the disk fails, or the record was given up meanwhile.
    ///
    /// # Cancel safety
    /// Dropped, nothing has changed.
    pub(crate) async fn read(&mut self, from: usize, hold: Option<Hold>) -> io::Result<Bytes> {
        let chunk = from / CHUNK;
        let bytes = match self.whole.take() {
            Some(whole) => whole,
            None => self.chunk(chunk, hold).await?,
        };
        let skip = from - chunk * CHUNK;
        if skip >= bytes.len() {
            return Err(io::Error::other("beyond the end"));
        }
        Ok(bytes.slice(skip..))
    }

    async fn chunk(&mut self, chunk: usize, mut hold: Option<Hold>) -> io::Result<Bytes> {
        let key = self.preface.head.key;
        self.volume.touch(&key);
        for _ in 0..TRIES {
            let start = chunk * CHUNK;
            let length = self.length().saturating_sub(start).min(CHUNK);
            let at = u64::from(self.place.offset) + (self.preface.head.body_at() + start) as u64;
            let file = &self.segment.file;
            if let Ok(read) = self.volume.read(file, at, length, hold.take()).await {
                let bytes = read.freeze();
                let right = self.preface.sums.get(chunk) == Some(&crc32c::crc32c(&bytes));
                if right && !self.segment.reused.load(Ordering::Acquire) {
                    return Ok(bytes);
                }
            }
            self.follow().await?;
        }
        Err(io::Error::other("the record moves too often"))
    }

    /// Goes on at another copy of the same fill.
    async fn follow(&mut self) -> io::Result<()> {
        let gone = || io::Error::other("the record is damaged, or was given up while it was read");
        let head = self.preface.head;
        let place = self.volume.moved(&head.key, self.place).ok_or_else(gone)?;
        let next = self.volume.open(&head.key, place, None).await;
        let next = next.filter(|next| {
            next.preface.head.id == head.id && next.preface.head.body_length == head.body_length
        });
        let next = next.ok_or_else(gone)?;
        *self = Self {
            whole: None,
            ..next
        };
        Ok(())
    }
}

/// How often a record is followed to where it has moved.
const TRIES: usize = 4;
