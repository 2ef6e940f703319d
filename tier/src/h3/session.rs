//! One HTTP/3 request as pingora sees it: a custom downstream session.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderMap, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as Custom;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::tls::SslDigest;
use pingora::{Error, ErrorType, Result};

use super::code::{Code, Fault};
use super::fields::Request;
use super::inbound::{Ahead, Inbound};
use super::metrics::Metrics;
use super::outbound::Outbound;
use super::reply::Reply;
use super::settings::Settings;
use crate::headers;
use crate::metrics::Cut;
use crate::pace::{Pace, TooSlow};

/// A request, its body, and the way back for its response.
pub(super) struct Session {
    request: RequestHeader,
    /// The request's target as it came, whatever became of it since.
    target: Box<[u8]>,
    inbound: Inbound,
    reply: Reply,
    connection: Connection,
    /// The request has no body, or none that it speaks of.
    no_body: bool,
    body_read_bytes: usize,
    retry: Retry,
    proxy_tasks: bool,
    /// How fast the body comes.
    giving: Pace,
    drain_timeout: Option<Duration>,
}

/// What a session knows of its connection.
pub(super) struct Connection {
    pub(super) quic: quinn::Connection,
    pub(super) client: SocketAddr,
    pub(super) server: Option<SocketAddr>,
    pub(super) digest: Digest,
    pub(super) metrics: Metrics,
}

/// The beginning of the request's body, kept for another try upstream.
#[derive(Debug, Default)]
struct Retry {
    buffer: Option<BytesMut>,
    truncated: bool,
}

impl Connection {
    /// What pingora's filters read to learn that a request came over TLS.
    pub(super) fn tls() -> Arc<SslDigest> {
        Arc::new(SslDigest::new("", "TLSv1.3", None, None, Vec::new()))
    }
}

impl Session {
    /// Makes a session of a request whose header was read, and of whose body `ahead` is known.
    pub(super) fn new(
        request: Request,
        ahead: Ahead,
        inbound: Inbound,
        outbound: Outbound,
        connection: Connection,
        settings: &Settings,
    ) -> Self {
        let bodiless = matches!(
            request.header.method,
            Method::GET | Method::HEAD | Method::OPTIONS
        );
        let no_body = match (ahead, request.content_length) {
            (Ahead::End, _) | (Ahead::Nothing, Some(0)) => true,
            // the end may come a packet later; a body that nothing announced is not waited for
            (Ahead::Nothing, None) => bodiless,
            _ => false,
        };
        Self {
            reply: Reply::new(outbound, &request.header.method),
            target: request.header.raw_path().into(),
            request: request.header,
            inbound,
            connection,
            no_body,
            body_read_bytes: 0,
            retry: Retry::default(),
            proxy_tasks: true,
            giving: Pace::new(settings.read),
            drain_timeout: None,
        }
    }

    /// Ends what a fault of the request's body reaches.
    fn fault(&mut self, fault: Fault) -> Box<Error> {
        let metrics = &self.connection.metrics;
        match fault {
            Fault::Gone => self.reply.abort(Code::REQUEST_CANCELLED),
            Fault::TooLarge | Fault::TooEarly => {
                metrics.malformed.inc();
                self.abort_both(Code::EXCESSIVE_LOAD);
            }
            Fault::Stream(code) => {
                metrics.malformed.inc();
                self.abort_both(code);
            }
            Fault::Connection(code) => {
                metrics.malformed.inc();
                metrics.connections_failed.inc();
                self.reply.abort(code);
                self.connection.quic.close(code.into(), b"");
            }
        }
        Error::explain(ErrorType::ReadError, format!("h3 request body: {fault}")).into_down()
    }

    fn abort_both(&mut self, code: Code) {
        self.reply.abort(code);
        self.inbound.stop(code);
    }
}

#[async_trait]
impl Custom for Session {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if self.is_body_done() {
            return Ok(None);
        }
        match self.giving.bound(self.inbound.data()).await {
            Ok(Ok(Some(piece))) => {
                self.giving.earn(piece.len());
                self.body_read_bytes += piece.len();
                self.retry.keep(&piece);
                Ok(Some(piece))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(fault)) => Err(self.fault(fault)),
            Err(TooSlow) => {
                self.connection.metrics.cut(Cut::SlowBody);
                let error = Error::explain(ErrorType::ReadTimedout, "h3 request body");
                Err(error.into_down())
            }
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        let timeout = self.drain_timeout.unwrap_or(DRAIN_TIMEOUT);
        let drain = async {
            while self.read_body_bytes().await?.is_some() {}
            Ok(())
        };
        match tokio::time::timeout(timeout, drain).await {
            Ok(result) => result,
            Err(_) => Err(Error::explain(ErrorType::ReadTimedout, "h3 request body").into_down()),
        }
    }

    async fn write_response_header(
        &mut self,
        response: Box<ResponseHeader>,
        end: bool,
    ) -> Result<()> {
        self.reply.push_header(response, end)?;
        self.reply.flush().await
    }

    async fn write_response_header_ref(
        &mut self,
        response: &ResponseHeader,
        end: bool,
    ) -> Result<()> {
        self.reply.push_header(Box::new(response.clone()), end)?;
        self.reply.flush().await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.reply.push_body(data, end)?;
        self.reply.flush().await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.reply.push_trailers(&trailers)?;
        self.reply.flush().await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        tasks
            .into_iter()
            .try_for_each(|task| self.reply.push_task(task))?;
        self.reply.flush().await?;
        Ok(self.reply.is_ended())
    }

    fn proxy_tasks_enabled(&self) -> bool {
        self.proxy_tasks
    }

    fn set_proxy_tasks_enabled(&mut self, enabled: bool) {
        self.proxy_tasks = enabled;
    }

    fn send_proxy_task(&mut self, task: HttpTask) {
        self.reply.push_task_later(task);
    }

    fn has_pending_proxy_tasks(&self) -> bool {
        self.reply.is_pending()
    }

    async fn write_proxy_tasks(&mut self) -> Result<bool> {
        self.reply.flush().await?;
        Ok(self.reply.is_ended())
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
            self.reply.taking().set_grace(timeout);
        }
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        Some(self.reply.grace())
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    /// Method, path and host for a log line; the token and the query, which may be secret, are
    /// left out.
    fn request_summary(&self) -> String {
        let host = self
            .request
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let path = without_secrets(self.request.uri.path());
        format!("{} {path}, Host: {host}, HTTP/3", self.request.method)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.reply.header()
    }

    async fn shutdown(&mut self, _code: u32, context: &str) {
        self.abandon(context).await;
    }

    async fn abandon(&mut self, context: &str) {
        tracing::debug!(context, "gave up an HTTP/3 response");
        self.reply.abort(Code::INTERNAL_ERROR);
    }

    fn is_body_done(&mut self) -> bool {
        self.no_body || self.inbound.is_ended()
    }

    async fn finish(&mut self) -> Result<()> {
        self.reply.push_end()?;
        self.reply.flush().await?;
        if self.no_body {
            // The end of such a request may be a packet behind its header. Who is told in between that the rest is not
            // needed may take that for a reset of what it was given.
            let ended = async { while let Ok(Some(_)) = self.inbound.data().await {} };
            let _ = tokio::time::timeout(END_TIMEOUT, ended).await;
        }
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        self.no_body
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.is_body_done() {
            return self.read_body_bytes().await;
        }
        self.reply.given_up().await;
        let error = Error::explain(ErrorType::ConnectionClosed, "h3 client gave up");
        Err(error.into_down())
    }

    fn body_bytes_sent(&self) -> usize {
        self.reply.body_sent_bytes()
    }

    fn body_bytes_read(&self) -> usize {
        self.body_read_bytes
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.connection.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(&mut self.connection.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        Some(&self.connection.client)
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.connection.server.as_ref()
    }

    /// The request as HTTP/1.1, from which pingora makes its background requests.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        headers::as_http1(&self.request, &self.target)
    }

    fn enable_retry_buffering(&mut self) {
        self.retry.buffer.get_or_insert_default();
    }

    fn retry_buffer_truncated(&self) -> bool {
        // what was read before anybody asked to keep it is lost as well
        self.retry.truncated || (self.retry.buffer.is_none() && self.body_read_bytes > 0)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let buffer = self
            .retry
            .buffer
            .as_ref()
            .filter(|buffer| !buffer.is_empty());
        buffer
            .filter(|_| !self.retry.truncated)
            .map(|buffer| buffer.clone().freeze())
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

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        Ok(())
    }
}

impl Retry {
    fn keep(&mut self, piece: &[u8]) {
        let Some(buffer) = &mut self.buffer else {
            return;
        };
        if self.truncated || buffer.len() + piece.len() > RETRY_BYTES {
            self.truncated = true;
            *buffer = BytesMut::new();
            return;
        }
        buffer.extend_from_slice(piece);
    }
}

/// The path with a token in its first segment replaced.
fn without_secrets(path: &str) -> String {
    let (first, rest) = match path.get(1..).and_then(|path| path.split_once('/')) {
        Some((first, rest)) => (first, Some(rest)),
        None => (path.get(1..).unwrap_or_default(), None),
    };
    match (first.starts_with(['~', '%']), rest) {
        (false, _) => path.to_owned(),
        (true, Some(rest)) => format!("/~…/{rest}"),
        (true, None) => "/~…".to_owned(),
    }
}

/// The longest body that is kept for another try.
const RETRY_BYTES: usize = 64 * 1024;

/// How long reading an unwanted body may take, unless the application says otherwise.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end of a request without a body is waited for after its answer.
const END_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_never_shows_a_token() {
        assert_eq!(without_secrets("/v/a/b"), "/v/a/b");
        assert_eq!(without_secrets("/~m1.secret/v/a"), "/~…/v/a");
        assert_eq!(without_secrets("/%7Em1.secret/v/a"), "/~…/v/a");
        assert_eq!(without_secrets("/~m1.secret"), "/~…");
        assert_eq!(without_secrets("/"), "/");
        assert_eq!(without_secrets("*"), "*");
    }

    #[test]
    fn a_long_body_is_not_kept_for_another_try() {
        let mut retry = Retry {
            buffer: Some(BytesMut::new()),
            truncated: false,
        };
        retry.keep(&[1; RETRY_BYTES]);
        assert!(!retry.truncated);
        retry.keep(&[1]);
        assert!(retry.truncated && retry.buffer.unwrap().is_empty());
    }
}
