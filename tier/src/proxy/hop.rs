//! Which answers of a parent are taken, and when another one is asked.

use http::StatusCode;
use pingora::prelude::{Error, ErrorSource, ErrorType, Result};
use pingora::proxy::Session;

use super::{Context, Proxy};
use crate::policy::Passage;

impl Proxy {
    pub(super) fn may_ask_another(&self, ctx: &Context) -> bool {
        may_ask_again(ctx) && ctx.parents.has_another(&ctx.tried)
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

    /// Learns from an answer how its parent is doing.
    ///
    /// # Errors
    /// When another parent is to be asked.
    pub(super) fn weigh_answer(
        &self,
        session: &Session,
        status: StatusCode,
        ctx: &Context,
    ) -> Result<()> {
        let Some(parent) = ctx.tried.last() else {
            return Ok(());
        };
        if !self.is_unable(session, status.as_u16()) {
            ctx.parents.recovered(*parent);
            return Ok(());
        }
        ctx.parents.faulted(*parent);
        if !self.may_ask_another(ctx) {
            return Ok(());
        }
        let status = ErrorType::HTTPStatus(status.as_u16());
        let mut error = Error::explain(status, "the parent cannot do its work").into_up();
        error.set_retry(true);
        Err(error)
    }
}

/// Whether a parent may be asked once more: once a hop, and once more for what is newer.
pub(super) fn may_ask_again(ctx: &Context) -> bool {
    ctx.attempts < 2 + u32::from(ctx.numbers.again)
}
