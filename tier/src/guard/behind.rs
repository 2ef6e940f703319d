//! What a client says behind a request, while that is being answered (RFC 9112 §9.3.2).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// The beginning of the next request.
#[derive(Default)]
pub(super) struct Behind(BytesMut);

impl Behind {
    /// Reads what is to be heard next.
    pub(super) fn poll_next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Pin::new(stream).poll_read(cx, buf);
        }
        let part = self.0.len().min(buf.remaining());
        buf.put_slice(&self.0.split_to(part));
        if self.0.is_empty() {
            self.0 = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// How much of it is here.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Ends when the client has closed its side. What it says meanwhile waits: some of it here, more of it in the
    /// kernel, and then its end is not seen either.
    pub(super) fn poll_end(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.0.len() < MOST {
            let mut room = [0; 1024];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut room))?;
            if room.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.0.extend_from_slice(room.filled());
        }
        Poll::Pending
    }
}

/// How much is kept here, in bytes.
const MOST: usize = 8 * 1024;
