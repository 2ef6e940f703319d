//! The one place where a reason becomes a response.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use contracts::reason::Reason;
use http::header;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorSource, ErrorType, Result};
use pingora::proxy::Session;
use runtime::clock::System;

use crate::headers::{CACHE_STATUS, PREFLIGHT, Viewers};
use crate::status::PROXY_STATUS;

/// What the client is told beyond the status.
pub(crate) struct Told {
    /// `Proxy-Status`.
    pub(crate) proxy_status: Option<String>,
    /// When it is worth asking again.
    pub(crate) retry_after: Option<Duration>,
    /// `Cache-Status`.
    pub(crate) cache_status: Option<String>,
    /// Where the client may ask instead.
    pub(crate) elsewhere: Option<String>,
}

/// Answers a request that is not served. Every refusal with 403 has the same bytes: why it was
/// refused is for logs and metrics only.
pub(crate) async fn refuse(
    session: &mut Session,
    reason: Reason,
    told: Told,
    viewers: Option<&Viewers>,
    on_h3: bool,
) -> Result<()> {
    // The method stays what it is (RFC 9110 §15.4.8).
    let status = if told.elsewhere.is_some() {
        307
    } else {
        reason.status()
    };
    let body = body(status);
    let mut response = problem(status, &body)?;
    if let Some(elsewhere) = &told.elsewhere {
        response.insert_header(header::LOCATION, elsewhere.as_str())?;
    }
    if let Some(cache_status) = told.cache_status {
        response.insert_header(CACHE_STATUS, cache_status)?;
    }
    if let Some(proxy_status) = told.proxy_status {
        response.insert_header(PROXY_STATUS, proxy_status)?;
    }
    if reason == Reason::Method {
        response.insert_header(header::ALLOW, "GET, HEAD, OPTIONS")?;
    }
    if let Some(wait) = told.retry_after.filter(|_| told.elsewhere.is_none()) {
        // Whole seconds (RFC 9110 §10.2.3), and not a moment too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.insert_header(header::RETRY_AFTER, seconds.max(1))?;
    }
    if let Some(viewers) = viewers {
        viewers.dress(&mut response, on_h3)?;
    }
    if !may_reuse(reason) {
        session.set_keepalive(None);
    }
    send(session, response, body).await
}

/// Answers a request that wants nothing but what is stored, and that is not (RFC 9111 §5.2.1.7).
pub(crate) async fn absent(session: &mut Session) -> Result<()> {
    let body = Bytes::from_static(br#"{"status":504,"title":"it is not in the cache"}"#);
    let response = problem(504, &body)?;
    send(session, response, body).await
}

fn problem(status: u16, body: &Bytes) -> Result<ResponseHeader> {
    let mut response = ResponseHeader::build(status, Some(12))?;
    response.insert_header(header::DATE, httpdate::fmt_http_date(System.wall()))?;
    response.insert_header(header::CONTENT_TYPE, "application/problem+json")?;
    response.insert_header(header::CONTENT_LENGTH, body.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    Ok(response)
}

async fn send(session: &mut Session, response: ResponseHeader, body: Bytes) -> Result<()> {
    let headless = session.req_header().method == http::Method::HEAD;
    session
        .write_response_header(Box::new(response), headless)
        .await?;
    if headless {
        return session.downstream_session.finish_body().await;
    }
    session.write_response_body(Some(body), true).await
}

/// Answers a CORS preflight without looking at the address.
pub(crate) async fn preflight(session: &mut Session, viewers: &Viewers, on_h3: bool) -> Result<()> {
    let mut response = ResponseHeader::build(204, Some(12))?;
    response.insert_header(header::DATE, httpdate::fmt_http_date(System.wall()))?;
    viewers.dress(&mut response, on_h3)?;
    for (name, value) in PREFLIGHT {
        response.insert_header(name, value)?;
    }
    session
        .write_response_header(Box::new(response), true)
        .await?;
    session.downstream_session.finish_body().await
}

/// Names the reason for which a request failed after it was admitted; `None` when the client is
/// gone and nobody is there to be told.
pub(crate) fn reason_of(error: &Error) -> Option<Reason> {
    match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(403)) => Some(Reason::Missing),
        (
            ErrorSource::Upstream,
            ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::TLSHandshakeTimedout,
        ) => Some(Reason::TooSlow),
        (ErrorSource::Upstream, _) => Some(Reason::Unreachable),
        (ErrorSource::Downstream, ErrorType::ReadTimedout | ErrorType::ReadError)
            if is_late(error) =>
        {
            Some(Reason::SlowBody)
        }
        (
            ErrorSource::Downstream,
            ErrorType::WriteError
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed
            | ErrorType::WriteTimedout
            | ErrorType::H2Error,
        ) => None,
        (ErrorSource::Downstream, _) => Some(Reason::BadRequest),
        _ => Some(Reason::Internal),
    }
}

/// Whether a client was waited for in vain: a stream of ours says so, or the connection beneath Pingora's.
fn is_late(error: &Error) -> bool {
    let cause = error.cause.as_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    error.etype() == &ErrorType::ReadTimedout
        || cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// After a request that may have left bytes unread the connection is not used again.
const fn may_reuse(reason: Reason) -> bool {
    matches!(reason.status(), 403 | 404 | 421 | 429)
        // Nothing of a request without a body was left unread.
        || matches!(reason, Reason::FillHours | Reason::FillRate)
}

fn body(status: u16) -> Bytes {
    Bytes::from_static(match status {
        307 => br#"{"status":307,"title":"another edge has it"}"#,
        400 => br#"{"status":400,"title":"the request is not acceptable"}"#,
        403 => br#"{"status":403,"title":"not allowed"}"#,
        404 => br#"{"status":404,"title":"nothing is here"}"#,
        405 => br#"{"status":405,"title":"only GET and HEAD are served"}"#,
        408 => br#"{"status":408,"title":"the body came too slowly"}"#,
        421 => br#"{"status":421,"title":"this host is not served here"}"#,
        429 => br#"{"status":429,"title":"too many requests"}"#,
        502 => br#"{"status":502,"title":"the parent could not be reached"}"#,
        503 => br#"{"status":503,"title":"busy, try again soon"}"#,
        504 => br#"{"status":504,"title":"the parent took too long"}"#,
        508 => br#"{"status":508,"title":"the request has been here before"}"#,
        _ => br#"{"status":500,"title":"a fault of this node"}"#,
    })
}
