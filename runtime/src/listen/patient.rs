//! A connection that is given up when its peer takes nothing of what is written to it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// A stream whose writes fail when so little of them was taken for so long.
///
/// As long as the system takes what is written at once, this costs nothing.
#[derive(Debug)]
pub struct Patient {
    stream: TcpStream,
    limit: Duration,
    /// Made when a write has to wait for the first time, then set anew.
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes taken since a write began to wait; none while none waits.
    taken: Option<usize>,
}

impl Patient {
    /// Gives the peer `limit` for each 64 KiB, or for what is left if that is less.
    pub(super) const fn new(stream: TcpStream, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            timer: None,
            taken: None,
        }
    }

    /// Who is at the other end; `None` when the connection is gone already.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    fn watched(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                let taken = self.taken.map(|taken| taken.saturating_add(bytes));
                self.taken = taken.filter(|taken| *taken < PROGRESS);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let expired = self.timer().as_mut().poll(context).is_ready();
                if expired {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }

    /// The timer, which runs from when the write began to wait.
    fn timer(&mut self) -> &mut Pin<Box<Sleep>> {
        let waits = self.taken.is_some();
        self.taken.get_or_insert(0);
        let limit = self.limit;
        if let Some(timer) = self.timer.as_mut().filter(|_| !waits) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        self.timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.watched(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watched(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when all that there was has been taken.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.taken = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Whoever takes less in the time given is not reading: a byte now and then must not keep an answer in memory.
const PROGRESS: usize = 64 << 10;
