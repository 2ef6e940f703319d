//! A request's body, on its way to a parent.

use http::header;
use pingora::http::RequestHeader;
use pingora::prelude::Result;
use pingora::proxy::Session;

use super::{Context, Proxy};
use crate::notes::Notes;
use crate::protocol::Protocol;

impl Proxy {
    /// Takes a small body whole before a parent is asked, where the answer may be kept: Pingora goes on with a fill
    /// whatever becomes of its client, and would leave a parent waiting for the rest of a body that does not come.
    pub(super) async fn take_small_body(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<()> {
        let request = session.req_header();
        if !ctx.awaits_body || !self.policy.may_store(request) || !is_small(request) {
            return Ok(());
        }
        let client = session.as_downstream_mut();
        // What is read is kept there for the parent.
        client.enable_retry_buffering();
        while let Some(_piece) = client
            .read_request_body()
            .await
            .map_err(|error| error.into_down())?
        {}
        ctx.hear_out(session);
        Ok(())
    }
}

impl Context {
    /// A body follows, whose pace its connection or its stream knows.
    pub(super) fn begin_body(&mut self, session: &mut Session) {
        self.awaits_body = true;
        self.turn(session);
        if self.protocol == Protocol::H1 {
            // Pingora's own limit is a minute for each read.
            session.set_read_timeout(None);
        }
    }

    /// The body is whole. What comes over HTTP/1.1 from here on is the next request's.
    pub(super) fn hear_out(&mut self, session: &Session) {
        if self.awaits_body
            && let (Protocol::H1, Some(notes)) = (self.protocol, Notes::of(session))
        {
            notes.keep_back(true);
        }
        self.end_body(session);
    }

    /// The body is whole, or nobody reads on. From here on the client may wait for as long as the parent takes.
    pub(super) fn end_body(&mut self, session: &Session) {
        if std::mem::take(&mut self.awaits_body) {
            self.turn(session);
        }
    }

    fn turn(&self, session: &Session) {
        if let (Protocol::H1, Some(notes)) = (self.protocol, Notes::of(session)) {
            notes.turn();
        }
    }
}

/// Whether a body is known to be no longer than what is kept for a second attempt, and is sent without being asked for
/// (RFC 9110 §10.1.1).
fn is_small(request: &RequestHeader) -> bool {
    let length = request.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let asks_first = request.headers.contains_key(header::EXPECT);
    length.is_some_and(|length: usize| length <= KEPT) && !asks_first
}

/// What Pingora keeps of a body, in bytes.
const KEPT: usize = 64 * 1024;
