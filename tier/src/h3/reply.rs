//! The response as pingora hands it over, held to what its header promises.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType, Result};

use super::account::Taking;
use super::code::Code;
use super::fields::CONNECTION_SPECIFIC;
use super::frame;
use super::outbound::{self, Outbound};
use super::qpack::Encoder;
use crate::priority::Priority;

/// Turns a response into frames. An end is written only behind a header and as much body as it
/// declared; anything else resets the stream.
pub(super) struct Reply {
    outbound: Outbound,
    /// The request was HEAD.
    head: bool,
    response: Option<Box<ResponseHeader>>,
    body_queued_bytes: usize,
    expected: Expected,
    /// A task that could not be queued; told at the next write.
    failed: Option<Box<Error>>,
}

/// The body that a response's header promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Any length.
    Any,
    /// This many bytes, from `content-length`.
    Bytes(u64),
    /// None at all, whatever `content-length` says: HEAD, 204, 304.
    Nothing,
}

impl Reply {
    pub(super) fn new(outbound: Outbound, method: &Method) -> Self {
        Self {
            outbound,
            head: method == Method::HEAD,
            response: None,
            body_queued_bytes: 0,
            expected: Expected::Any,
            failed: None,
        }
    }

    /// How slowly the client may take it.
    pub(super) const fn taking(&mut self) -> &mut Taking {
        self.outbound.taking()
    }

    /// How long the client may take nothing of it.
    pub(super) const fn grace(&self) -> Duration {
        self.outbound.grace()
    }

    /// The header that was written.
    pub(super) fn header(&self) -> Option<&ResponseHeader> {
        self.response.as_deref()
    }

    /// How many bytes of the body have been written; a few less while frames, whose heads count with what is not, wait.
    pub(super) fn body_sent_bytes(&self) -> usize {
        self.body_queued_bytes
            .saturating_sub(self.outbound.unwritten_bytes())
    }

    /// Whether something waits to be written, or an error to be told.
    pub(super) fn is_pending(&self) -> bool {
        self.failed.is_some() || self.outbound.is_pending()
    }

    /// Whether the response was written to its end.
    pub(super) fn is_ended(&self) -> bool {
        self.outbound.is_ended()
    }

    /// Waits until the client does not want the response any more.
    pub(super) async fn given_up(&self) {
        self.outbound.given_up().await;
    }

    /// Resets the stream, unless the response has ended.
    pub(super) fn abort(&mut self, code: Code) {
        self.outbound.abort(code);
    }

    /// Queues a task whose error is told at the next write.
    pub(super) fn push_task_later(&mut self, task: HttpTask) {
        if let Err(error) = self.push_task(task) {
            self.failed.get_or_insert(error);
        }
    }

    pub(super) fn push_header(
        &mut self,
        mut response: Box<ResponseHeader>,
        end: bool,
    ) -> Result<()> {
        // pingora sends interim responses and then the final one; clients need only the latter
        if response.status.is_informational() || self.response.is_some() {
            return Ok(());
        }
        self.check_open()?;
        strip_connection_fields(&mut response);
        self.expected = self.expected_of(&response);
        self.outbound.prefer(Priority::of_answer(&response.headers));
        self.outbound.push(frame::HEADERS, encoded(&response));
        self.response = Some(response);
        if end { self.push_end() } else { Ok(()) }
    }

    pub(super) fn push_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if !data.is_empty() && self.expected != Expected::Nothing {
            self.check_open()?;
            if self.response.is_none() {
                return Err(self.give_up("a body before its header"));
            }
            self.body_queued_bytes += data.len();
            if self.missing_bytes() < 0 {
                return Err(self.give_up("a body longer than its content-length"));
            }
            self.outbound.push(frame::DATA, data);
        }
        if end { self.push_end() } else { Ok(()) }
    }

    pub(super) fn push_trailers(&mut self, trailers: &HeaderMap) -> Result<()> {
        let mut encoder = Encoder::new();
        for (name, value) in trailers {
            if !CONNECTION_SPECIFIC.contains(&name.as_str()) {
                encoder.field(name.as_str(), value.as_bytes());
            }
        }
        if !trailers.is_empty() && self.response.is_some() && self.expected != Expected::Nothing {
            self.outbound.push(frame::HEADERS, encoder.finish());
        }
        self.push_end()
    }

    /// Ends the response, if it is the response that its header promised.
    pub(super) fn push_end(&mut self) -> Result<()> {
        if self.outbound.is_closed() {
            return Ok(());
        }
        if self.response.is_none() {
            return Err(self.give_up("an end before the header"));
        }
        if self.missing_bytes() != 0 {
            return Err(self.give_up("a body shorter than its content-length"));
        }
        self.outbound.end();
        Ok(())
    }

    pub(super) fn push_task(&mut self, task: HttpTask) -> Result<()> {
        match task {
            HttpTask::Header(response, end) => self.push_header(response, end),
            HttpTask::Body(data, end) => self.push_body(data.unwrap_or_default(), end),
            HttpTask::Trailer(Some(trailers)) => self.push_trailers(&trailers),
            HttpTask::Trailer(None) | HttpTask::Done => self.push_end(),
            HttpTask::UpgradedBody(..) => {
                Err(self.give_up("an upgrade, which HTTP/3 does not have"))
            }
            HttpTask::Failed(error) => Err(error),
        }
    }

    pub(super) async fn flush(&mut self) -> Result<()> {
        if let Some(error) = self.failed.take() {
            self.outbound.abort(Code::INTERNAL_ERROR);
            return Err(error);
        }
        self.outbound.flush().await.map_err(|error| {
            let kind = match error {
                outbound::Error::Stalled => ErrorType::WriteTimedout,
                _ => ErrorType::WriteError,
            };
            Error::explain(kind, format!("h3 response: {error}")).into_down()
        })
    }

    fn check_open(&self) -> Result<()> {
        if self.outbound.is_closed() {
            let error = outbound::Error::Aborted.to_string();
            return Err(Error::explain(ErrorType::WriteError, error).into_down());
        }
        Ok(())
    }

    fn expected_of(&self, response: &ResponseHeader) -> Expected {
        let bodiless = matches!(
            response.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if bodiless || self.head {
            return Expected::Nothing;
        }
        let length = response.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        length.map_or(Expected::Any, Expected::Bytes)
    }

    /// How much the body lacks of what was promised; negative when it is too long.
    fn missing_bytes(&self) -> i128 {
        match self.expected {
            Expected::Bytes(bytes) => i128::from(bytes) - self.body_queued_bytes as i128,
            Expected::Any | Expected::Nothing => 0,
        }
    }

    /// Resets the stream since the application's response cannot be sent as it is.
    fn give_up(&mut self, what: &'static str) -> Box<Error> {
        self.outbound.abort(Code::INTERNAL_ERROR);
        Error::explain(ErrorType::InternalError, format!("h3 response: {what}"))
    }
}

/// Takes out what speaks of an HTTP/1.1 connection, and what `connection` names: RFC 9114 §4.2.
fn strip_connection_fields(response: &mut ResponseHeader) {
    let named: Vec<String> = response
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in named.iter().map(String::as_str).chain(CONNECTION_SPECIFIC) {
        response.remove_header(name);
    }
}

fn encoded(response: &ResponseHeader) -> Bytes {
    let mut encoder = Encoder::new();
    encoder.field(":status", response.status.as_str().as_bytes());
    for (name, value) in &response.headers {
        encoder.field(name.as_str(), value.as_bytes());
    }
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_fields_and_those_they_name_are_taken_out() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("etag", "\"a\""),
        ] {
            response.append_header(name, value).unwrap();
        }
        strip_connection_fields(&mut response);
        let names: Vec<_> = response
            .headers
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        assert_eq!(names, ["etag"]);
    }
}
