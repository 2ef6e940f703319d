//! A stream that gives up on a client who holds a connection without using it: whose request does
//! not come, who does not read, who floods it with frames.

mod behind;
mod beneath;
mod progress;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::raw_connect::ProxyDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use self::behind::Behind;
use self::progress::Progress;
use crate::app::H2_STREAMS;
use crate::flood::{self, Budget};
use crate::frames::Frames;
use crate::h2::Turns;
use crate::metrics::{Connections, Cut};
use crate::notes::{Notes, Turn};
use crate::pace::{Patience, Watched};
use crate::protocol::Protocol;

/// A byte stream that bears with its client as far as its [`Terms`] say.
///
/// On HTTP/1.1 every request header must be complete within a time of its first byte. Pingora
/// limits the time between two reads only, so one byte a minute would hold a connection for ever.
/// The end of a header is found by its empty line. That a body follows is known from the request's
/// phases; it may take as long as it keeps its pace. On the way out each answer gets its own date
/// back.
///
/// On HTTP/2 ([`Guard::h2`]) the preface, every header block and every frame but DATA must be
/// complete within the same time, and frames that carry nothing are paid from a budget.
///
/// On both, whoever does not take what is written is cut off.
pub(crate) struct Guard<S> {
    stream: S,
    terms: Terms,
    said: Said,
    deadline: Option<Pin<Box<Sleep>>>,
    /// The client as a reader of answers, and as a sender of a body.
    reader: Watched,
    sender: Watched,
    notes: Notes,
    /// The notes as Pingora hands them on.
    digest: Option<Arc<ProxyDigest>>,
    turn: Turn,
    /// What came behind a request while that was being answered.
    behind: Behind,
    /// The header of an answer with its own date in it, and how much of it has left.
    header: (Vec<u8>, usize),
    /// Nothing more is written.
    closed: bool,
}

/// What a connection is borne with.
#[derive(Clone)]
pub(crate) struct Terms {
    /// Time for a whole request header.
    pub(crate) header: Duration,
    /// How slowly answers may be taken.
    pub(crate) write: Patience,
    /// How slowly a body may come over HTTP/1.1; over HTTP/2 its stream knows.
    pub(crate) read: Patience,
    /// Where those who are cut off are counted.
    pub(crate) connections: Connections,
}

/// What the client has said so far.
enum Said {
    H1(Progress),
    H2(Box<H2>),
}

/// The frames of an HTTP/2 connection, and what they have cost.
struct H2 {
    client: Frames,
    server: Frames,
    budget: Budget,
    turns: Arc<Turns>,
}

impl<S> Guard<S> {
    pub(crate) fn new(stream: S, terms: Terms) -> Self {
        let notes = Notes::default();
        Self {
            stream,
            reader: Watched::new(terms.write),
            sender: Watched::new(terms.read),
            digest: notes.digest(),
            notes,
            turn: Turn::default(),
            behind: Behind::default(),
            header: (Vec::new(), 0),
            closed: false,
            terms,
            said: Said::H1(Progress::Idle),
            deadline: None,
        }
    }

    /// For HTTP/2, whose preface must be complete within a time from now.
    pub(crate) fn h2(stream: S, terms: Terms) -> Self {
        let mut guard = Self::new(stream, terms);
        let turns = Turns::new(H2_STREAMS);
        guard.said = Said::H2(Box::new(H2 {
            client: Frames::of_client(),
            server: Frames::of_server(),
            budget: Budget::new(),
            turns: Arc::clone(&turns),
        }));
        guard.notes.answers = Some(turns);
        guard.digest = guard.notes.digest();
        guard.start();
        guard
    }

    /// Begins anew where a header ends or a request does.
    fn turn(&mut self) {
        let turn = self.notes.now();
        if std::mem::replace(&mut self.turn, turn) != turn {
            self.said = Said::H1(Progress::Idle);
            self.deadline = None;
            self.sender = Watched::new(self.terms.read);
        }
    }

    /// Takes notice of what has arrived.
    fn heard(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        let (is_urgent, ended) = match &mut self.said {
            Said::H1(progress) => {
                *progress = progress.after(bytes);
                (*progress != Progress::Idle, false)
            }
            Said::H2(h2) => {
                let seen = h2.client.hear(bytes, |word| h2.turns.heed(word));
                h2.budget.spend(seen.noise).map_err(|_| Cut::Flood)?;
                (h2.client.is_urgent(), seen.ended)
            }
        };
        if !is_urgent {
            self.deadline = None;
        } else if ended || self.deadline.is_none() {
            self.start();
        }
        Ok(())
    }

    fn start(&mut self) {
        let end = Instant::now() + self.terms.header;
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().reset(end),
            None => self.deadline = Some(Box::pin(tokio::time::sleep_until(end))),
        }
    }

    /// The stream has taken bytes of an answer.
    fn took(&mut self, bytes: &[u8]) {
        self.reader.moved(bytes.len());
        if let Said::H2(h2) = &mut self.said {
            h2.server.take(bytes);
            h2.budget.earn(bytes.len() as u64);
        }
    }

    /// Nothing of the body has come: an error once that has lasted too long.
    fn starved<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.sender.poll_wait(cx));
        Poll::Ready(Err(self.cut(Cut::SlowBody)))
    }

    /// Nothing more of a header has come: an error once it is past its time.
    fn overdue<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>>
    where
        S: AsyncWrite + Unpin,
    {
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        ready!(deadline.as_mut().poll(cx));
        self.farewell(cx);
        Poll::Ready(Err(self.cut(Cut::SlowHeader)))
    }

    /// The stream takes nothing: an error once that has lasted too long.
    fn stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.reader.poll_wait(cx));
        Poll::Ready(Err(self.cut(Cut::SlowReader)))
    }

    fn cut(&self, cause: Cut) -> io::Error {
        let protocol = match self.said {
            Said::H1(_) => Protocol::H1,
            Said::H2(_) => Protocol::H2,
        };
        self.terms.connections.cut(protocol, cause);
        if cause == Cut::Flood {
            flood::tell(protocol);
        }
        io::Error::new(io::ErrorKind::TimedOut, cause.as_str())
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Ends when the client has closed its side; what it says meanwhile is the next request's.
    fn keep_back(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deadline.is_some() {
            // The rest of a header that has begun is not waited for now.
            self.start();
        }
        self.behind.poll_end(&mut self.stream, cx)
    }

    /// Waits until an HTTP/2 client has closed its side, too. It sends as long as it takes what is under way to it,
    /// window updates above all, and a socket that is closed with something unread loses what is unsent.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unread = [0; 512];
        loop {
            if let Some(deadline) = &mut self.deadline
                && deadline.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let mut unread = ReadBuf::new(&mut unread);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut unread)) {
                Ok(()) if !unread.filled().is_empty() => {}
                // Closed, in whatever way.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    /// Hands what waits of a header to the stream, and with it the beginning of what follows; tells how much of that.
    fn put(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        while let Some(rest) = self
            .header
            .0
            .get(self.header.1..)
            .filter(|rest| !rest.is_empty())
        {
            let header = rest.len();
            let bufs = [IoSlice::new(rest), IoSlice::new(buf)];
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &bufs))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.reader.moved(written);
            self.header.1 += written.min(header);
            if written >= header {
                self.header = (Vec::new(), 0);
            }
            if written > header {
                return Poll::Ready(Ok(written - header));
            }
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.took(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
    }

    /// Tells an HTTP/2 client why, where that can be said at once.
    fn farewell(&mut self, cx: &mut Context<'_>) {
        if let Said::H2(h2) = &self.said
            && h2.server.is_between()
        {
            // What does not leave is not said.
            let _ = Pin::new(&mut self.stream).poll_write(cx, &CALM_DOWN);
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.turn();
        // What is wrong with the way out shows at the next write.
        let _ = self.put(cx, &[]);
        if self.notes.keeps_back() {
            return self.keep_back(cx);
        }
        let before = buf.filled().len();
        let this = &mut *self;
        match this.behind.poll_next(&mut this.stream, cx, buf) {
            Poll::Pending if self.turn.is_body() => return self.starved(cx),
            // What has come in time may be read later: whoever is above may have been busy.
            Poll::Pending => return self.overdue(cx),
            Poll::Ready(read) => read?,
        }
        let arrived = buf.filled().get(before..).unwrap_or_default();
        if self.turn.is_body() {
            self.sender.moved(arrived.len());
            return Poll::Ready(Ok(()));
        }
        if let Err(cause) = self.heard(arrived) {
            self.farewell(cx);
            return Poll::Ready(Err(self.cut(cause)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if matches!(self.said, Said::H1(_))
            && self.header.0.is_empty()
            && let Some(header) = self.notes.date.put(buf)
        {
            let taken = header.len();
            self.header = (header, 0);
            if let Poll::Ready(Err(error)) = self.put(cx, &[]) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(taken));
        }
        match self.put(cx, buf) {
            Poll::Pending => self.stalled(cx),
            written => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match self.put(cx, &[]) {
            Poll::Ready(Ok(_)) => Pin::new(&mut self.stream).poll_flush(cx),
            unwritten => unwritten.map_ok(|_| ()),
        };
        match flushed {
            Poll::Ready(result) => {
                self.reader.rest();
                Poll::Ready(result)
            }
            Poll::Pending => self.stalled(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.closed {
            let ended = match self.put(cx, &[]) {
                Poll::Ready(Ok(_)) => Pin::new(&mut self.stream).poll_shutdown(cx),
                unwritten => unwritten.map_ok(|_| ()),
            };
            match ended {
                Poll::Ready(Ok(())) => {
                    self.closed = true;
                    self.start();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.stalled(cx),
            }
        }
        match self.said {
            Said::H1(_) => Poll::Ready(Ok(())),
            Said::H2(_) => self.linger(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A header of Pingora's comes by itself.
        let is_dated = matches!(self.said, Said::H1(_)) && self.notes.date.is_noted();
        if is_dated || !self.header.0.is_empty() {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write(cx, first.map_or(&[], |buf| buf));
        }
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bufs) {
            Poll::Ready(Ok(written)) => {
                let mut left = written;
                for buf in bufs {
                    let part = buf.get(..left).unwrap_or(buf);
                    left -= part.len();
                    self.took(part);
                }
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.stalled(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 §6.8 and §7): any request may have been processed.
const CALM_DOWN: [u8; 17] = [
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb,
];
