//! A body in pieces that are never copied into one, and its way onto the wire.

use std::{
    collections::VecDeque,
    convert::Infallible,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use runtime::listen::Sending;

/// Bytes of a body in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// Most bodies are of one piece, which needs no list.
    first: Bytes,
    rest: VecDeque<Bytes>,
    length: usize,
}

impl Content {
    pub(crate) fn new(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        let mut chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty());
        let first = chunks.next().unwrap_or_default();
        let rest: VecDeque<Bytes> = chunks.collect();
        Self {
            length: first.len() + rest.iter().map(Bytes::len).sum::<usize>(),
            first,
            rest,
        }
    }

    /// Keeps `claim` for as long as anybody keeps any byte of the body, a connection that has yet to send it say.
    pub(crate) fn holding<T: Send + Sync + 'static>(self, claim: &Arc<T>) -> Self {
        let chunks = std::iter::once(self.first).chain(self.rest);
        let held = chunks.map(|bytes| {
            let _claim = Arc::clone(claim);
            Bytes::from_owner(Held { bytes, _claim })
        });
        Self::new(held)
    }

    /// How many bytes are left to send.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// A part of it; `range` lies within the body.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let mut at = 0;
        let chunks = self.chunks().filter_map(|chunk| {
            let (start, end) = (at, at + chunk.len());
            at = end;
            let (from, to) = (range.start.max(start), range.end.min(end));
            (from < to).then(|| chunk.slice(from - start..to - start))
        });
        Self::new(chunks)
    }

    fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    fn take(&mut self) -> Option<Bytes> {
        let next = if self.first.is_empty() {
            self.rest.pop_front()
        } else {
            Some(std::mem::take(&mut self.first))
        };
        self.length -= next.as_ref().map_or(0, Bytes::len);
        next
    }
}

/// Bytes together with their claim, on memory say.
struct Held<T> {
    bytes: Bytes,
    _claim: Arc<T>,
}

impl<T> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::new([bytes])
    }
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Stream {
    /// None, whose length is told by its header or not at all: an empty body of known length would be announced as
    /// `content-length: 0`, which in a 304 speaks of the 200 (RFC 9110 §8.6).
    Absent,
    Content(Content),
}

impl Stream {
    /// How many bytes are left to send.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Content(content) => content.length,
        }
    }

    /// Keeps `sending` until the last byte is sent or given up.
    pub(crate) fn hold(&mut self, sending: Sending) {
        if let Self::Content(content) = self {
            *content = std::mem::take(content).holding(&Arc::new(sending));
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Absent => None,
            Self::Content(content) => content.take(),
        };
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Absent => SizeHint::new(),
            Self::Content(content) => {
                SizeHint::with_exact(u64::try_from(content.length).unwrap_or(u64::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content::new([&b"abc"[..], b"", b"defg", b"h"].map(Bytes::from_static))
    }

    #[test]
    fn every_slice_of_chunks_is_the_slice_of_the_whole() {
        let (content, whole) = (content(), b"abcdefgh");
        assert_eq!(content.len(), 8);
        for start in 0..8 {
            for end in start + 1..=8 {
                let part = content.slice(start..end);
                assert_eq!(part.len(), end - start);
                assert_eq!(
                    part.chunks().flatten().copied().collect::<Vec<u8>>(),
                    whole[start..end]
                );
            }
        }
    }

    #[test]
    fn the_claim_is_given_back_with_the_last_part() {
        let memory = Arc::new(tokio::sync::Semaphore::new(1));
        let claim = Arc::clone(&memory).try_acquire_owned().unwrap();
        let whole = content().holding(&Arc::new(claim));
        let mut part = whole.slice(2..5);
        drop(whole);
        let sent = part.take();
        drop(part);
        assert_eq!(memory.available_permits(), 0);
        drop(sent);
        assert_eq!(memory.available_permits(), 1);
    }
}
