//! A stream that gives up on a client whose request, or HTTP/2 preface, does not come.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::notes::{Notes, Turn};

/// An HTTP/1.1 byte stream whose every request header must be complete within a time of its first
/// byte. Pingora limits the time between two reads only, so one byte a minute would hold a
/// connection for ever.
///
/// The end of a header is found by its empty line. That a body follows is known from the request's
/// phases; it may take as long as it keeps [`BODY_BYTES_PER_S`].
///
/// On the way out it gives each answer its own date back.
///
/// [`Guard::preface`] makes one for HTTP/2: Pingora waits for the connection preface without a
/// limit, and limits what comes after it.
pub(crate) struct Guard<S> {
    stream: S,
    limit: Duration,
    progress: Progress,
    deadline: Option<Pin<Box<Sleep>>>,
    notes: Notes,
    turn: Turn,
    /// How long the body's next bytes may be waited for.
    credit: Duration,
    /// A header with another date in it, and how much of it has left.
    dated: Option<(Vec<u8>, usize)>,
}

/// How much of the empty line that ends a header has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Between two requests: nothing has come yet.
    Idle,
    /// Within a line.
    Line,
    /// At the beginning of a line; `\r` may have come already.
    LineStart,
    /// HTTP/2, and so many bytes of its beginning are to come; none: nothing is watched any more.
    Preface(usize),
}

impl<S> Guard<S> {
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            progress: Progress::Idle,
            deadline: None,
            notes: Notes::default(),
            turn: Turn::default(),
            credit: BODY_PATIENCE,
            dated: None,
        }
    }

    /// For HTTP/2, whose preface must be complete within a time from now.
    pub(crate) fn preface(stream: S, limit: Duration) -> Self {
        let mut guard = Self::new(stream, limit);
        guard.progress = Progress::Preface(PREFACE_BYTES);
        guard.start();
        guard
    }

    /// Begins anew where a header ends or a request does.
    fn turn(&mut self) {
        let turn = self.notes.now();
        if std::mem::replace(&mut self.turn, turn) != turn {
            self.progress = Progress::Idle;
            self.deadline = None;
            self.credit = BODY_PATIENCE;
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        self.progress = match self.progress {
            Progress::Preface(left) => Progress::Preface(left.saturating_sub(bytes.len())),
            progress => bytes
                .iter()
                .fold(progress, |progress, byte| progress.next(*byte)),
        };
        if matches!(self.progress, Progress::Idle | Progress::Preface(0)) {
            self.deadline = None;
        } else if self.deadline.is_none() {
            self.start();
        }
    }

    /// Waits for more of a body, as long as what has come allows.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let credit = self.credit;
        let deadline = match self.deadline.take() {
            Some(deadline) if !is_long_past(&deadline) => deadline,
            _ => Box::pin(tokio::time::sleep(credit)),
        };
        ready!(self.deadline.insert(deadline).as_mut().poll(cx));
        Poll::Ready(too_long("the request body"))
    }

    /// So many bytes of a body have come: they buy time, and never more than there was at first.
    fn earn(&mut self, bytes: usize) {
        if let Some(deadline) = self.deadline.take().filter(|end| !is_long_past(end)) {
            self.credit = deadline.deadline().duration_since(Instant::now());
        }
        let earned = Duration::from_secs(bytes as u64) / BODY_BYTES_PER_S;
        self.credit = BODY_PATIENCE.min(self.credit.saturating_add(earned));
    }

    fn start(&mut self) {
        let end = Instant::now() + self.limit;
        self.deadline = Some(Box::pin(tokio::time::sleep_until(end)));
    }
}

impl Progress {
    const fn next(self, byte: u8) -> Self {
        match (self, byte) {
            // Empty lines before a request are allowed (RFC 9112 §2.2), but they are a beginning.
            (Self::Idle, b'\r' | b'\n') => Self::Line,
            (Self::LineStart, b'\n') => Self::Idle,
            (Self::LineStart, b'\r') | (_, b'\n') => Self::LineStart,
            _ => Self::Line,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.turn();
        let body = self.turn.is_body();
        if let Some(deadline) = self.deadline.as_mut().filter(|_| !body)
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(too_long("the request header"));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending if body => return self.wait(cx),
            read => ready!(read)?,
        }
        let arrived = buf.filled().get(before..).unwrap_or_default();
        if body {
            let bytes = arrived.len();
            self.earn(bytes);
            return Poll::Ready(Ok(()));
        }
        self.note(arrived);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.dated.is_none() {
            this.dated = this.notes.date.put(buf).map(|bytes| (bytes, 0));
        }
        let Some((bytes, gone)) = &mut this.dated else {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        };
        let rest = bytes.get(*gone..).unwrap_or_default();
        let rest = rest.get(..buf.len()).unwrap_or(rest);
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, rest))?;
        *gone += written;
        if *gone >= bytes.len() {
            this.dated = None;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(cx, first.map_or(&[], |buf| buf))
    }
}

#[async_trait]
impl<S: IO> Shutdown for Guard<S> {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut self.stream).await;
    }
}

impl<S: UniqueID> UniqueID for Guard<S> {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl<S: Ssl> Ssl for Guard<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl<S: GetTimingDigest> GetTimingDigest for Guard<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl<S: GetProxyDigest> GetProxyDigest for Guard<S> {
    fn get_proxy_digest(&self) -> Option<Arc<pingora::protocols::raw_connect::ProxyDigest>> {
        self.notes.digest()
    }
}

impl<S: GetSocketDigest> GetSocketDigest for Guard<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[async_trait]
impl<S: IO> Peek for Guard<S> {}

impl<S> std::fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard({:?})", self.progress)
    }
}

/// A deadline that passed and did not end the wait: nobody was waiting, which is not the client's fault.
fn is_long_past(deadline: &Pin<Box<Sleep>>) -> bool {
    deadline.deadline() + Duration::from_secs(1) < Instant::now()
}

fn too_long(what: &str) -> io::Result<()> {
    let why = format!("{what} took too long");
    Err(io::Error::new(io::ErrorKind::TimedOut, why))
}

/// The pace that a request body must keep, and how long it may be behind.
const BODY_BYTES_PER_S: u32 = 1024;
const BODY_PATIENCE: Duration = Duration::from_secs(15);

/// The connection preface and the head of the SETTINGS frame that must follow it (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24 + 9;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn after(bytes: &[u8]) -> Progress {
        bytes
            .iter()
            .fold(Progress::Idle, |progress, byte| progress.next(*byte))
    }

    #[test]
    fn a_header_ends_with_an_empty_line() {
        assert_eq!(after(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Progress::Idle);
        assert_eq!(after(b"GET / HTTP/1.1\nHost: a\n\n"), Progress::Idle);
        assert_ne!(after(b"GET / HTTP/1.1\r\nHost: a\r\n"), Progress::Idle);
        assert_ne!(after(b"GET / HTTP/1.1\r\nHost: a\r\n\rX"), Progress::Idle);
        assert_ne!(after(b"\r\n"), Progress::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripped_header_is_cut_off_and_an_idle_connection_is_not() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut guard = Guard::new(server, Duration::from_secs(10));
        let mut byte = [0; 1];
        let idle = tokio::time::timeout(Duration::from_secs(3600), guard.read(&mut byte)).await;
        assert!(idle.is_err(), "idle is not limited here");
        let begun = Instant::now();
        let error = loop {
            client.write_all(b"a").await.unwrap();
            match guard.read(&mut byte).await {
                Ok(_) => tokio::time::advance(Duration::from_secs(3)).await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() <= Duration::from_secs(12));
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_preface_has_a_deadline_and_what_follows_it_has_none() {
        for dripped in [0, PREFACE_BYTES - 1] {
            let (mut client, server) = tokio::io::duplex(64);
            let mut guard = Guard::preface(server, Duration::from_secs(10));
            client.write_all(&vec![b'a'; dripped]).await.unwrap();
            let begun = Instant::now();
            let error = guard.read_exact(&mut [0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{dripped}");
            assert!(begun.elapsed() <= Duration::from_secs(11));
        }
        let (mut client, server) = tokio::io::duplex(64);
        let mut guard = Guard::preface(server, Duration::from_secs(10));
        client.write_all(&[b'a'; PREFACE_BYTES + 1]).await.unwrap();
        guard.read_exact(&mut [0; PREFACE_BYTES + 1]).await.unwrap();
        let mut byte = [0; 1];
        let later = tokio::time::timeout(Duration::from_secs(3600), guard.read(&mut byte)).await;
        assert!(later.is_err(), "idle is not limited here");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_takes_as_long_as_it_keeps_its_pace_and_the_next_header_is_watched_again() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut guard = Guard::new(server, Duration::from_secs(10));
        let mut read = vec![0; 64 * 1024];
        let header = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nbody";
        client.write_all(header).await.unwrap();
        assert_eq!(guard.read(&mut read).await.unwrap(), header.len());
        guard.notes.turn();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(60)).await;
            client.write_all(&[b'a'; 14 * 1024]).await.unwrap();
            let waited = guard.read(&mut read).await;
            assert_eq!(
                waited.unwrap(),
                14 * 1024,
                "a time in which nobody reads costs nothing"
            );
            let wait = tokio::time::timeout(Duration::from_secs(14), guard.read(&mut read));
            assert!(wait.await.is_err(), "it is waited for");
        }
        let begun = Instant::now();
        let error = loop {
            client.write_all(b"a").await.unwrap();
            match guard.read(&mut read).await {
                Ok(_) => {
                    let pause = Duration::from_secs(1);
                    let wait = tokio::time::timeout(pause, guard.read(&mut read)).await;
                    if let Ok(Err(error)) = wait {
                        break error;
                    }
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            begun.elapsed() <= Duration::from_secs(17),
            "a byte now and then does not help"
        );
        guard.notes.turn();
        let idle = tokio::time::timeout(Duration::from_secs(3600), guard.read(&mut read)).await;
        assert!(
            idle.is_err(),
            "between two requests nothing is limited here"
        );
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(guard.read(&mut read).await.unwrap(), 16);
        let begun = Instant::now();
        assert!(guard.read(&mut read).await.is_err());
        assert!(begun.elapsed() <= Duration::from_secs(11));
    }
}
