//! Which answers of a parent are taken, and when another one is asked.

use http::header;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorSource, ErrorType, HttpPeer, Result, RetryType};
use pingora::proxy::Session;
use runtime::clock::System;

use super::{Context, Proxy};
use crate::fill;
use crate::parent::DETOURS;
use crate::policy::Passage;

impl Proxy {
    pub(super) fn may_ask_another(&self, ctx: &Context) -> bool {
        may_ask_again(ctx) && ctx.parents.has_another(&ctx.tried)
    }

    /// Whether another parent is asked to do what one was asked for already.
    pub(super) fn may_repeat(&self, ctx: &Context) -> bool {
        let spend = |parent: &usize| ctx.parents.spend(*parent);
        self.may_ask_another(ctx) && ctx.tried.last().is_some_and(spend)
    }

    /// Learns that a parent could not be connected to; whether another one, or the same at another address, is asked.
    pub(super) fn may_connect_elsewhere(&self, peer: &HttpPeer, ctx: &mut Context) -> bool {
        let Some(parent) = ctx.tried.last() else {
            return false;
        };
        let address = peer._address.as_inet().copied();
        if ctx.parents.unreachable(*parent, address) && ctx.detours < DETOURS {
            // It was asked for nothing yet.
            (ctx.detours, ctx.attempts) = (ctx.detours + 1, ctx.attempts.saturating_sub(1));
            ctx.tried.pop();
            return true;
        }
        self.may_ask_another(ctx)
    }

    /// Whether a parent's answer says that it cannot do its work, where asking another does no harm.
    pub(super) fn is_unable(&self, session: &Session, status: u16) -> bool {
        self.passage(session) == Some(Passage::Cache) && matches!(status, 502..=504)
    }

    /// Whether a parent took a request and gave no header, where asking another does no harm; learns from that how the
    /// parent is doing.
    pub(super) fn is_deaf(&self, session: &Session, error: &Error, ctx: &Context) -> bool {
        let harmless = self.passage(session) == Some(Passage::Cache);
        let upstream = error.esource() == &ErrorSource::Upstream;
        let (true, None) = (harmless && upstream, ctx.upstream.status) else {
            return false;
        };
        let (Some(parent), Some(asked_at)) = (ctx.tried.last(), ctx.upstream.asked_at) else {
            return false;
        };
        match error.etype() {
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
                ctx.parents.silent(*parent, asked_at.into());
            }
            _ => ctx.parents.faulted(*parent),
        }
        true
    }

    /// Whether what is stored and stale may answer in place of an error.
    pub(super) fn is_covered(&self, session: &Session, status: u16) -> bool {
        let stored = session.cache.maybe_cache_meta();
        let covers = |stored| fill::covers_error(stored, status, System.wall());
        session.cache.can_serve_stale_error() && stored.is_some_and(covers)
    }

    /// Learns from an answer how its parent is doing.
    ///
    /// # Errors
    /// When another parent is to be asked, or what is stale may answer.
    pub(super) fn weigh_answer(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.upstream.weighed = true;
        let status = response.status;
        let Some(parent) = ctx.tried.last() else {
            return Ok(());
        };
        if !self.is_unable(session, status.as_u16()) {
            ctx.parents.recovered(*parent);
            return Ok(());
        }
        ctx.parents.faulted(*parent);
        // Who says when to come again knows that there is too much to do; elsewhere it is no less (RFC 9110 §15.6.4).
        let is_overloaded = status == 503 && response.headers.contains_key(header::RETRY_AFTER);
        let goes_on = !is_overloaded && self.may_repeat(ctx);
        if !goes_on && !self.is_covered(session, status.as_u16()) {
            return Ok(());
        }
        let status = ErrorType::HTTPStatus(status.as_u16());
        let mut error = Error::explain(status, "the parent cannot do its work").into_up();
        error.set_retry(goes_on);
        Err(error)
    }
}

/// Whether a parent may be asked once more: once a hop, and once more for what is newer.
pub(super) fn may_ask_again(ctx: &Context) -> bool {
    ctx.attempts < 2 + u32::from(ctx.numbers.again)
}

/// Whether an error on a kept connection says that it was closed before the request came to anybody: while its header
/// was written, or its body, or in place of an answer.
pub(super) fn found_closed(error: &Error, was_answered: bool) -> bool {
    let broke = matches!(
        error.etype(),
        ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed
    );
    let at_the_parent = error.esource() == &ErrorSource::Upstream;
    !was_answered && (matches!(error.retry, RetryType::ReusedOnly) || (at_the_parent && broke))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_connection_is_found_closed_wherever_it_is_noticed() {
        let lost = |kind| Error::explain(kind, "broken pipe").into_up();
        for kind in [
            ErrorType::WriteError,
            ErrorType::ReadError,
            ErrorType::ConnectionClosed,
        ] {
            assert!(found_closed(&lost(kind.clone()), false), "{kind:?}");
            assert!(!found_closed(&lost(kind), true), "an answer has begun");
        }
        let mut unread = Error::explain(ErrorType::H1Error, "nothing came");
        assert!(!found_closed(&unread, false));
        unread.retry = RetryType::ReusedOnly;
        assert!(found_closed(&unread, false));
        let slow = lost(ErrorType::ReadTimedout);
        assert!(!found_closed(&slow, false));
        let viewer = Error::explain(ErrorType::WriteError, "broken pipe").into_down();
        assert!(!found_closed(&viewer, false));
    }
}
