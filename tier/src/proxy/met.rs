//! A request before Pingora has it, and what was found out of it then.

use std::cell::RefCell;
use std::time::{Instant, SystemTime};

use pingora::http::RequestHeader;

use super::Context;
use crate::admission::{Admitted, Child, Refused, Visitor};
use crate::policy::From;
use crate::protocol::Protocol;

/// A request as it came, of which nothing is believed yet.
pub(crate) struct Arrived<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) request: &'a RequestHeader,
    /// The target as the client wrote it.
    pub(crate) target: &'a str,
    pub(crate) from: From,
    /// The node that the connection's certificate names.
    pub(crate) child: Option<Child<'a>>,
    pub(crate) brings_body: bool,
}

/// Who asked, and whether they were let in. It is found out once: it counts, and checking a token costs.
pub(crate) struct Met {
    started: Instant,
    arrived: SystemTime,
    visitor: Visitor,
    cmcd: Option<Box<str>>,
    outcome: Result<Admitted, Refused>,
}

tokio::task_local! {
    /// For the phases of the one request that this task leads through Pingora.
    static MET: RefCell<Option<Met>>;
}

impl Met {
    pub(super) fn new(ctx: Context, outcome: Result<Admitted, Refused>) -> Self {
        Self {
            started: ctx.started,
            arrived: ctx.arrived,
            visitor: ctx.visitor,
            cmcd: ctx.cmcd,
            outcome,
        }
    }

    /// Leads a request through Pingora with what is known of it.
    pub(crate) async fn lead<F: Future>(met: Option<Self>, through: F) -> F::Output {
        MET.scope(RefCell::new(met), through).await
    }

    /// What is known of the present request; once.
    pub(super) fn taken() -> Option<Self> {
        MET.try_with(RefCell::take).ok().flatten()
    }

    pub(super) fn into_context(self, ctx: &mut Context) -> Result<Admitted, Refused> {
        (ctx.started, ctx.arrived) = (self.started, self.arrived);
        (ctx.visitor, ctx.cmcd) = (self.visitor, self.cmcd);
        self.outcome
    }
}
