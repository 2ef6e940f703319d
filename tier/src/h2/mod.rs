//! Pingora's HTTP/2 session, seen through Pingora's custom-session interface.
//!
//! Pingora 0.9.1's own HTTP/2 path has two defects that this avoids: it lacks the cancel-safe
//! write queue, so a slow first viewer holds back the fill for all who wait for the same object;
//! and its raw request header names HTTP/2, which its own parser refuses when a background
//! refresh (stale-while-revalidate) is built from it.

mod turns;

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::poll_fn;
use http::{HeaderMap, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType, Result};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::protocols::l4::socket::SocketAddr;

use crate::headers;
use crate::metrics::{Connections, Cut};
use crate::notes::Notes;
use crate::pace::{Pace, Patience};
use crate::priority::Priority;
use crate::protocol::Protocol;

use turns::Turn;
pub(crate) use turns::Turns;

/// One request and its answer on an HTTP/2 stream.
///
/// A session that is dropped before its answer is complete resets the stream.
pub(crate) struct Session {
    inner: HttpSession,
    /// The request's target as it came, whatever became of it since.
    target: Box<[u8]>,
    /// The request was HEAD: no byte of a body may be sent, though Pingora hands over what a
    /// parent's answer to GET brings when it is not stored.
    head: bool,
    /// There once the response header is sent.
    body: Option<h2::SendStream<Bytes>>,
    /// Among the answers of its connection; there with the body.
    turn: Option<Turn>,
    /// What is not handed to the connection yet, and whether it ends the stream.
    queue: VecDeque<(Bytes, bool)>,
    ended: bool,
    tasks: bool,
    /// Bytes of the body that were handed to the connection.
    sent: usize,
    failed: Option<Box<Error>>,
    /// The client's account as a reader of the answer and as a sender of the body. Both stand in
    /// the session: Pingora breaks its waits off whenever anything else happens.
    taking: Pace,
    giving: Pace,
    connections: Connections,
}

/// What a stream is borne with.
#[derive(Clone)]
pub(crate) struct Terms {
    /// How slowly an answer may be taken.
    pub(crate) write: Patience,
    /// How slowly a request's body may come.
    pub(crate) read: Patience,
    /// Where those who are cut off are counted.
    pub(crate) connections: Connections,
}

impl Session {
    /// Wraps a session whose authority Pingora has validated. Upstreams and refreshes speak
    /// HTTP/1.1, so the authority becomes `Host`.
    pub(crate) fn new(mut inner: HttpSession, terms: Terms) -> Self {
        let request = inner.req_header_mut();
        let authority = request
            .uri
            .authority()
            .map(|authority| authority.as_str().to_owned());
        if let (false, Some(authority)) = (request.headers.contains_key(header::HOST), authority) {
            // An authority that is no header value leaves the request without Host.
            let _ = request.insert_header(header::HOST, authority);
        }
        Self {
            target: inner.req_header().raw_path().into(),
            head: inner.req_header().method == Method::HEAD,
            inner,
            body: None,
            turn: None,
            queue: VecDeque::new(),
            ended: false,
            tasks: true,
            sent: 0,
            failed: None,
            taking: Pace::new(terms.write),
            giving: Pace::new(terms.read),
            connections: terms.connections,
        }
    }

    fn send_header(&mut self, response: Box<ResponseHeader>, end: bool) -> Result<()> {
        let said = Priority::of_answer(&response.headers);
        self.inner.write_response_header(response, end)?;
        if self.body.is_none() {
            self.body = self.inner.take_response_body_writer();
            self.turn = self.begin_turn();
        }
        if let Some(turn) = &mut self.turn {
            turn.prefer(said);
        }
        self.ended |= end;
        Ok(())
    }

    fn begin_turn(&self) -> Option<Turn> {
        let notes = Notes::of_connection(self.inner.digest())?;
        let stream = self.body.as_ref()?.stream_id();
        let asked = Priority::of(&self.inner.req_header().headers);
        Some(notes.answers.as_ref()?.open(stream.into(), asked))
    }

    fn enqueue(&mut self, data: Bytes, end: bool) {
        let data = if self.head { Bytes::new() } else { data };
        if self.ended || (data.is_empty() && !end) {
            return;
        }
        self.ended = end;
        self.queue.push_back((data, end));
    }

    fn accept(&mut self, task: HttpTask) -> Result<()> {
        match task {
            HttpTask::Header(response, end) => self.send_header(response, end)?,
            HttpTask::Body(data, end) => self.enqueue(data.unwrap_or_default(), end),
            // Trailers are not part of any object that is cached, so none are sent.
            HttpTask::Trailer(_) | HttpTask::Done => self.enqueue(Bytes::new(), true),
            HttpTask::UpgradedBody(..) => {
                return Error::e_explain(ErrorType::InternalError, "an upgrade over HTTP/2");
            }
            HttpTask::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Hands the queue to the connection as far as flow control allows.
    ///
    /// # Cancel safety
    /// All progress is kept in the queue.
    async fn drive(&mut self) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(body) = self.body.as_mut() else {
            return Ok(());
        };
        while let Some((data, end)) = self.queue.front_mut() {
            if !data.is_empty() {
                if let Some(turn) = &mut self.turn {
                    // Not the client's doing, so its account does not pay for it.
                    turn.come().await;
                }
                body.reserve_capacity(data.len());
                let ready = poll_fn(|cx| room(body, self.turn.as_mut(), cx));
                let Ok(window) = self.taking.bound(ready).await else {
                    return Err(self.cut(Cut::SlowReader));
                };
                let Some(window) = window else {
                    // What it was to get of the connection's window is the more urgent answer's.
                    body.reserve_capacity(0);
                    continue;
                };
                let window = window
                    .ok_or_else(|| broken("the stream is closed"))?
                    .map_err(broken)?;
                let mut part = data.split_to(window.min(data.len()));
                self.taking.earn(part.len());
                self.sent += part.len();
                if let Some(turn) = &mut self.turn {
                    turn.sent(part.len());
                }
                while !part.is_empty() {
                    let frame = part.split_to(part.len().min(FRAME_BYTES));
                    let last = *end && data.is_empty() && part.is_empty();
                    body.send_data(frame, last).map_err(broken)?;
                }
            } else if *end {
                body.send_data(Bytes::new(), true).map_err(broken)?;
            }
            if data.is_empty() {
                self.queue.pop_front();
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.rest();
        }
        Ok(())
    }

    /// The next piece of the request's body, if it comes at a bearable pace.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let Ok(piece) = self.giving.bound(self.inner.read_body_bytes()).await else {
            return Err(self.cut(Cut::SlowBody));
        };
        if let Ok(Some(piece)) = &piece {
            self.giving.earn(piece.len());
        }
        piece
    }

    fn cut(&self, cause: Cut) -> Box<Error> {
        self.connections.cut(Protocol::H2, cause);
        let kind = match cause {
            Cut::SlowBody => ErrorType::ReadTimedout,
            _ => ErrorType::WriteTimedout,
        };
        Error::explain(kind, cause.as_str()).into_down()
    }
}

/// How much may be sent on a stream now; `None` when something more urgent goes first.
fn room(
    body: &mut h2::SendStream<Bytes>,
    turn: Option<&mut Turn>,
    cx: &mut Context<'_>,
) -> Poll<Option<Option<std::result::Result<usize, h2::Error>>>> {
    let Some(turn) = turn else {
        return body.poll_capacity(cx).map(Some);
    };
    if turn.poll(cx).is_pending() {
        return Poll::Ready(None);
    }
    let capacity = body.poll_capacity(cx);
    if capacity.is_pending() {
        turn.pause(cx);
    }
    capacity.map(Some)
}

/// What a frame bears, so that with its head it fills a TLS record. Every client takes frames of
/// that length (RFC 9113 §4.2).
const FRAME_BYTES: usize = 16 * 1024 - 9;

fn broken(cause: impl std::fmt::Display) -> Box<Error> {
    Error::explain(ErrorType::WriteError, format!("writing to HTTP/2: {cause}")).into_down()
}

#[async_trait]
impl CustomSession for Session {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.receive().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        let drain = self.giving.bound(self.inner.drain_request_body()).await;
        drain.unwrap_or_else(|_| Err(self.cut(Cut::SlowBody)))
    }

    async fn write_response_header(&mut self, r: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.send_header(r, end)
    }

    async fn write_response_header_ref(&mut self, r: &ResponseHeader, end: bool) -> Result<()> {
        self.send_header(Box::new(r.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.enqueue(data, end);
        self.drive().await
    }

    async fn write_trailers(&mut self, _trailers: HeaderMap) -> Result<()> {
        self.enqueue(Bytes::new(), true);
        self.drive().await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        for task in tasks {
            self.accept(task)?;
        }
        self.drive().await?;
        Ok(self.ended)
    }

    fn proxy_tasks_enabled(&self) -> bool {
        self.tasks
    }

    fn set_proxy_tasks_enabled(&mut self, enabled: bool) {
        self.tasks = enabled;
    }

    fn send_proxy_task(&mut self, task: HttpTask) {
        if let Err(error) = self.accept(task) {
            self.failed = Some(error);
        }
    }

    fn has_pending_proxy_tasks(&self) -> bool {
        !self.queue.is_empty() || self.failed.is_some()
    }

    async fn write_proxy_tasks(&mut self) -> Result<bool> {
        self.drive().await?;
        Ok(self.ended)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        if let Some(timeout) = timeout {
            self.giving.set_grace(timeout);
        }
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        Some(self.giving.grace())
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        if let Some(timeout) = timeout {
            self.taking.set_grace(timeout);
        }
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        Some(self.taking.grace())
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        format!("{} over HTTP/2", self.inner.req_header().method)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.inner.shutdown();
        self.body = None;
        self.turn = None;
        self.queue.clear();
        self.ended = true;
    }

    fn is_body_done(&mut self) -> bool {
        self.inner.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        if self.body.is_some() {
            self.enqueue(Bytes::new(), true);
        }
        self.drive().await
    }

    fn is_body_empty(&mut self) -> bool {
        self.inner.is_body_empty()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let idle = no_body_expected || self.inner.is_body_done();
        match self.body.as_mut() {
            // Once the header is sent a reset shows here and nowhere else.
            Some(body) if idle => {
                let reset = poll_fn(|cx| body.poll_reset(cx)).await;
                Err(Error::explain(ErrorType::H2Error, format!("reset: {reset:?}")).into_down())
            }
            _ if idle => self.inner.read_body_or_idle(no_body_expected).await,
            _ => self.receive().await,
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        headers::as_http1(self.inner.req_header(), &self.target)
    }

    fn enable_retry_buffering(&mut self) {
        self.inner.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.inner.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.inner.get_retry_buffer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _w: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
