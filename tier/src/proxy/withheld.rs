//! Requests for which nothing is fetched now: stale bytes where they may be given, another edge, or none.

use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;
use runtime::clock::System;

use super::{Context, Proxy};
use crate::admission::Refused;
use crate::intake::Withheld;

impl Proxy {
    /// Takes leave to ask a parent, and waits for its turn; false when the request has been answered instead.
    pub(super) async fn may_fetch(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let Err(withheld) = self.ask_intake(ctx) else {
            if let Some(permit) = ctx.permit.as_ref().filter(|permit| !permit.wait.is_zero()) {
                tokio::time::sleep(permit.wait).await;
            }
            return Ok(true);
        };
        // What is stale may answer in place of the parent; Pingora asks for that when the parent cannot be asked.
        if !ctx.internal && session.cache.enabled() && session.cache.can_serve_stale_error() {
            return Ok(true);
        }
        if ctx.awaits_body {
            session.set_keepalive(None);
        }
        let refused = withheld.refused();
        ctx.retry_after = refused.retry_after;
        self.refuse(session, ctx, refused.reason).await?;
        Ok(false)
    }

    /// Whether a parent may be asked; what is found out stands in the context.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn ask_intake(&self, ctx: &mut Context) -> Result<(), Withheld> {
        match self.intake.ask(System.wall()) {
            Ok(permit) => ctx.permit = Some(permit),
            Err(withheld) => {
                ctx.withheld = Some(withheld);
                return Err(withheld);
            }
        }
        Ok(())
    }

    /// Where the client finds what is not fetched for it.
    pub(super) fn elsewhere(&self, ctx: &Context) -> Option<String> {
        ctx.withheld?;
        let target = ctx.target.as_deref()?;
        self.intake.elsewhere(target)
    }
}

impl Context {
    /// Ends the way to a parent for which there is no leave.
    ///
    /// # Errors
    /// When nothing is fetched.
    pub(super) fn check_permit(&self) -> Result<()> {
        match self.withheld {
            None => Ok(()),
            Some(withheld) => {
                let why = withheld.reason.code();
                Err(Error::explain(ErrorType::Custom("withheld"), why).into_up())
            }
        }
    }

    /// A member of `Cache-Status` that also says why no parent was asked (RFC 9211 §2.8).
    pub(super) fn with_detail(&self, member: String) -> String {
        match self.withheld {
            None => member,
            Some(withheld) => format!("{member}; detail={}", withheld.reason.code()),
        }
    }
}

impl Withheld {
    pub(super) const fn refused(self) -> Refused {
        Refused {
            reason: self.reason,
            retry_after: self.retry_after,
        }
    }
}
