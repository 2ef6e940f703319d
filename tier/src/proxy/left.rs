//! What becomes of a fill whose viewer left.

use std::time::Duration;

use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;

use super::{Context, Proxy};
use crate::cache::Reader;

impl Proxy {
    /// Hears that another piece of an answer came.
    ///
    /// # Errors
    /// When nobody reads it any more, and too much of it is missing to fetch the rest for those who may yet come.
    pub(super) fn go_on_without_viewer(&self, session: &mut Session, ctx: &Context) -> Result<()> {
        let answered = ctx.upstream.answered_at.map(|at| at.elapsed());
        if !ctx.has_left() || answered.is_none_or(|since| since < WAITING) {
            return Ok(());
        }
        let reader = session.cache.miss_body_reader();
        let reader = reader.and_then(|reader| reader.as_any().downcast_ref::<Reader>());
        if !reader.is_some_and(|reader| reader.leave(self.rules.finish_unread_bytes)) {
            return Ok(());
        }
        self.metrics.fills_left.inc();
        let why = "nobody reads it any more";
        Err(Error::explain(ErrorType::ConnectionClosed, why).into_down())
    }
}

/// For how long after an answer's header those who waited for it may still come. They read only once they have been
/// woken, and where fills end under them again and again, each would ask the parent by itself.
const WAITING: Duration = Duration::from_secs(1);
