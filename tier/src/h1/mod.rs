//! HTTP/1.1 before Pingora: what is at hand is answered here, everything else is led on.
//!
//! Requests that are sent without waiting for an answer are answered one after the other (RFC 9112 §9.3.2): Pingora gets
//! no more than the header of one, and hears nothing of what comes behind it. Only where a body follows it reads on by
//! itself, until the body is whole, and closes the connection behind its answer when more came with that.
//!
//! A connection on which nothing is asked holds no buffer and no session.

mod head;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use pingora::apps::HttpServerApp as _;
use pingora::http::RequestHeader;
use pingora::prelude::{Error, ErrorType};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::app::App;
use crate::notes::Notes;
use crate::policy::From;
use crate::protocol::Protocol;
use crate::proxy::{Arrived, AtHand, Met, Sight};
use head::{Head, Simple};

/// Serves a connection until its end. It is closed between two requests when `closing` ends, and answers say so once
/// `shutdown` is true.
pub(crate) async fn serve(
    app: &App,
    mut stream: Stream,
    closing: impl Future<Output = ()>,
    shutdown: &ShutdownWatch,
) {
    let from = from(&stream);
    let notes = Notes::of_stream(&stream);
    let mut heard = BytesMut::new();
    let mut closing = pin!(closing);
    let mut rest = Rest::new(REST);
    loop {
        let Some(head) = next(&mut stream, &mut heard, closing.as_mut(), &mut rest).await else {
            return end(stream).await;
        };
        let (met, length) = match head {
            Head::Simple(simple) => {
                let last = *shutdown.borrow();
                match app.proxy.look(&simple.arrived(from)) {
                    Sight::AtHand(answer) => {
                        heard.advance(simple.length);
                        let given = give(app, &mut stream, &simple.request, answer, last).await;
                        if given && !last {
                            continue;
                        }
                        return end(stream).await;
                    }
                    Sight::Onward(met) => (met, Some(simple.length)),
                }
            }
            Head::Whole(length) => (None, Some(length)),
            Head::Other => (None, None),
        };
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive(Some(REST.as_secs()));
        session.set_pipelined_prefix(heard.split_to(length.unwrap_or(heard.len())));
        notes.keep_back(length.is_some());
        match Met::lead(met, app.phases.process_new_http(session, shutdown)).await {
            Some(reused) => stream = reused.consume().0,
            None => return,
        }
        notes.keep_back(false);
    }
}

/// When a connection has been at rest for too long.
struct Rest {
    limit: Duration,
    /// Since when nothing is asked.
    since: Instant,
    /// Set anew only when it is due.
    due: Pin<Box<Sleep>>,
}

impl Rest {
    fn new(limit: Duration) -> Self {
        let since = Instant::now();
        Self {
            limit,
            since,
            due: Box::pin(tokio::time::sleep_until(since + limit)),
        }
    }

    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.due.as_mut().poll(cx).is_ready() {
            let end = self.since + self.limit;
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.due.as_mut().reset(end);
        }
        Poll::Pending
    }
}

/// Waits for a request. `None`: none will come.
async fn next(
    stream: &mut Stream,
    heard: &mut BytesMut,
    mut closing: Pin<&mut impl Future<Output = ()>>,
    rest: &mut Rest,
) -> Option<Head> {
    rest.since = Instant::now();
    loop {
        if heard.is_empty() {
            *heard = BytesMut::new();
        } else if let Some(head) = head::read(heard) {
            return Some(head);
        }
        let arrived = std::future::poll_fn(|cx| {
            if let Poll::Ready(arrived) = poll_more(stream, heard, cx) {
                return Poll::Ready(arrived);
            }
            // Whoever has begun to ask has the time for a header, and is heard out here.
            let over = heard.is_empty()
                && (closing.as_mut().poll(cx).is_ready() || rest.poll_too_long(cx).is_ready());
            if over {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            }
        });
        match arrived.await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn poll_more(
    stream: &mut Stream,
    heard: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut room = [MaybeUninit::uninit(); READ_BYTES];
    let mut room = ReadBuf::uninit(&mut room);
    let read = Pin::new(stream).poll_read(cx, &mut room);
    read.map_ok(|()| {
        heard.extend_from_slice(room.filled());
        room.filled().len()
    })
}

/// Gives what is at hand; tells whether all of it was taken.
async fn give(
    app: &App,
    stream: &mut Stream,
    request: &RequestHeader,
    mut answer: Box<AtHand>,
    last: bool,
) -> bool {
    let head = match app.proxy.head_of(&mut answer, last) {
        Ok(head) => head,
        Err(error) => {
            app.proxy.gave(request, &answer, None, Some(&error));
            return false;
        }
    };
    let pieces: Vec<Bytes> = answer.pieces().collect();
    let (sent, written) = send(stream, &head, &pieces).await;
    let error = written
        .err()
        .map(|error| Error::because(ErrorType::WriteError, "writing an answer", error).into_down());
    let body = sent.checked_sub(head.len());
    app.proxy.gave(request, &answer, body, error.as_deref());
    error.is_none()
}

/// Writes header and body together; tells how much of both was taken.
async fn send(stream: &mut Stream, head: &[u8], pieces: &[Bytes]) -> (usize, io::Result<()>) {
    let parts = std::iter::once(head).chain(pieces.iter().map(|piece| &piece[..]));
    let mut slices: Vec<IoSlice<'_>> = parts.map(IoSlice::new).collect();
    let (mut left, mut sent) = (&mut slices[..], 0);
    while !left.is_empty() {
        let now = left.get(..AT_ONCE).unwrap_or(left);
        match stream.write_vectored(now).await {
            Ok(0) => return (sent, Err(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                sent += written;
                IoSlice::advance_slices(&mut left, written);
            }
            Err(error) => return (sent, Err(error)),
        }
    }
    (sent, stream.flush().await)
}

async fn end(mut stream: Stream) {
    // Whoever is gone needs no farewell.
    let _ = stream.shutdown().await;
}

fn from(stream: &Stream) -> From {
    let digest = stream.get_socket_digest();
    let client = digest.as_ref().and_then(|digest| digest.peer_addr());
    From::connection(client, stream.get_ssl_digest().is_some())
}

impl Simple {
    fn arrived(&self, from: From) -> Arrived<'_> {
        Arrived {
            protocol: Protocol::H1,
            request: &self.request,
            target: &self.target,
            from,
            child: None,
            brings_body: false,
        }
    }
}

/// How long a connection may wait for its next request.
const REST: Duration = Duration::from_secs(60);

/// What is read at once of a request. Most are shorter.
const READ_BYTES: usize = 4096;

/// Slices that are written at once, the header among them.
const AT_ONCE: usize = 16;
