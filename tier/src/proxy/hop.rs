//! Which answers of a parent are taken, and when another one is asked.

use http::StatusCode;
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;

use super::{Context, Proxy};
use crate::policy::Passage;

impl Proxy {
    pub(super) fn may_ask_another(&self, ctx: &Context) -> bool {
        may_ask_again(ctx) && self.parents.has_another(&ctx.tried)
    }

    /// Whether a parent's answer says that it cannot do its work, where asking another does no harm.
    pub(super) fn is_unable(&self, session: &Session, status: u16) -> bool {
        let harmless = self.policy.passage(&session.req_header().method) == Some(Passage::Cache);
        harmless && matches!(status, 502..=504)
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
            self.parents.recovered(*parent);
            return Ok(());
        }
        self.parents.faulted(*parent);
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
