//! What the client is told, and what is told of it afterwards.

use contracts::reason::Reason;
use http::{Method, StatusCode, header};
use pingora::cache::CachePhase;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::{FailToProxy, Session};

use super::public::declared_public;
use super::{Context, Proxy};
use crate::access::Served;
use crate::headers::CACHE_STATUS;
use crate::metrics::CacheUse;
use crate::notes::Notes;
use crate::policy::Passage;
use crate::protocol::Protocol;
use crate::rfc9111::freshness;
use crate::{answer, status};

impl Proxy {
    /// Makes the header of an answer what this client is to see.
    pub(super) async fn present(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        self.answer_question(session, response);
        if self.must_be_public(ctx) && !declared_public(session, response) {
            // It was public a moment ago, when we asked, and is not any more.
            self.refuse(session, ctx, Reason::Missing).await?;
            return Error::e_explain(ErrorType::HTTPStatus(403), "no longer public");
        }
        let met = status::cache_use(session.cache.phase(), ctx.joined);
        ctx.cache_use = match (met, ctx.asked) {
            (CacheUse::Hit | CacheUse::Joined, Some(asked)) => asked,
            _ => met,
        };
        complete(session, response, ctx)?;
        response.insert_header(CACHE_STATUS, self.cache_status(session, ctx))?;
        self.send_off(response, ctx)?;
        // What the node asks on its own behalf bears the notes of the connection that gave rise to it.
        let notes = Notes::of(session).filter(|_| !ctx.internal);
        if let (Some(notes), Some(date)) = (notes, response.headers.get(header::DATE)) {
            notes.date.keep(date);
        }
        Ok(())
    }

    /// What every answer's header gets last.
    pub(super) fn send_off(&self, response: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
        self.header_is_made(ctx);
        self.dress(response, ctx)
    }

    /// Takes the time of an answer's header, for the access log.
    pub(super) fn header_is_made(&self, ctx: &mut Context) {
        if self.access.is_some() {
            ctx.until_header = Some(ctx.started.elapsed());
        }
    }

    /// What of that is the same whenever the answer is given.
    pub(super) fn dress(&self, response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
        self.tell(response, ctx)?;
        if let Some(viewers) = &self.viewers {
            viewers.dress(response, ctx.protocol == Protocol::H3)?;
        }
        Ok(())
    }

    /// The parents' members of `Cache-Status`, and then our own (RFC 9211 §2).
    fn cache_status(&self, session: &Session, ctx: &mut Context) -> String {
        let way = match self.passage(session) {
            Some(Passage::Through) => status::Way::Method,
            _ if ctx.passed_over => status::Way::Request,
            _ => status::Way::Cache,
        };
        let own = status::member(
            &self.rules.name,
            &session.cache,
            (ctx.cache_use, way),
            ctx.upstream.status,
        );
        let own = ctx.with_detail(own);
        match ctx.upstream.cache_status.take() {
            Some(parents) => format!("{parents}, {own}"),
            None => own,
        }
    }

    /// Answers a request that is not served.
    pub(super) async fn refuse(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        reason: Reason,
    ) -> Result<()> {
        ctx.reason = Some(reason);
        let on_h3 = ctx.protocol == Protocol::H3;
        let told = answer::Told {
            proxy_status: status::proxy_status(&self.rules.name, reason, ctx.fault),
            retry_after: ctx.retry_after,
            // Whoever asks an edge is told which one it is.
            cache_status: (self.viewers.is_some() || ctx.withheld.is_some())
                .then(|| ctx.with_detail(self.rules.name.clone())),
            elsewhere: self.elsewhere(ctx),
        };
        answer::refuse(session, reason, told, self.viewers.as_ref(), on_h3).await
    }

    /// Answers a request that failed after it was let in, as far as somebody is there to be answered.
    pub(super) async fn fail(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        let withheld = ctx.withheld.map(|withheld| withheld.reason);
        let reason = withheld.or_else(|| answer::reason_of(error));
        ctx.reason = ctx.reason.or(reason);
        ctx.fault = status::fault(error);
        if let Some(reason) = reason
            && session.response_written().is_none()
        {
            session.set_keepalive(None);
            // The client may be gone by now; then there is nobody to tell.
            let _ = self.refuse(session, ctx, reason).await;
        }
        FailToProxy {
            error_code: reason.map_or(0, Reason::status),
            can_reuse_downstream: false,
        }
    }

    /// Counts a request that is done, and tells the role of it.
    pub(super) fn account(&self, session: &Session, error: Option<&Error>, ctx: &Context) {
        self.metrics
            .upstream_bytes
            .inc_by(session.upstream_body_bytes_received() as u64);
        let (request, response) = (session.req_header(), session.response_written());
        let bytes = session.body_bytes_sent();
        let given = Given {
            request,
            status: response.map_or(0, |response| response.status.as_u16()),
            bytes,
            is_all: response.is_some_and(|response| is_all(bytes, request, response)),
        };
        self.note(&given, error, ctx);
    }

    /// Counts what was given, and notes it in the access log.
    pub(super) fn note(&self, given: &Given<'_>, error: Option<&Error>, ctx: &Context) {
        if let (Some(error), Some(reason)) = (error, ctx.reason) {
            let address = ctx.address();
            tracing::warn!(node = %self.rules.name, address, reason = reason.code(), "{reason}: {error}");
        }
        if let Some(reason) = ctx.reason {
            self.metrics.refused(reason);
        }
        if ctx.internal {
            return;
        }
        let Given { status, bytes, .. } = *given;
        if let Some(admitted) = &ctx.admitted {
            self.admission.sent(admitted, ctx.visitor, bytes as u64);
        }
        self.metrics
            .answered(status, ctx.protocol, ctx.cache_use, bytes);
        if let Some(access) = &self.access {
            access.served(&Served {
                complete: error.is_none() && (given.is_all || !ctx.has_left()),
                ..self.told(given, ctx)
            });
        }
    }

    /// What the access log is told of a request.
    fn told<'a>(&'a self, given: &Given<'a>, ctx: &'a Context) -> Served<'a> {
        // A site's subjects begin with the host.
        let host = ctx.subject.strip_prefix("//");
        let parent = ctx.tried.last().filter(|_| ctx.attempts > 0);
        let admitted = ctx.admitted.as_ref();
        Served {
            protocol: ctx.protocol,
            method: given.request.method.as_str(),
            host: host.and_then(|host| host.split(['/', '*']).next()),
            address: ctx.address(),
            session: admitted.and_then(|admitted| admitted.session.as_deref()),
            visitor: ctx.visitor,
            fields: &given.request.headers,
            cmcd: ctx.cmcd.as_deref(),
            status: given.status,
            bytes: given.bytes,
            complete: false,
            cache_use: ctx.cache_use,
            parent: parent.map(|parent| ctx.parents.authority(*parent)),
            reason: ctx.reason,
            arrived: ctx.arrived,
            until_header: ctx.until_header,
            took: ctx.started.elapsed(),
        }
    }
}

/// What a request was answered with.
pub(super) struct Given<'a> {
    pub(super) request: &'a RequestHeader,
    /// 0: with nothing.
    pub(super) status: u16,
    /// Of the body.
    pub(super) bytes: usize,
    /// That is known to be all of the answer.
    pub(super) is_all: bool,
}

/// Whether so many bytes are all of a body. Who has asked for a part may leave with it while the whole is fetched.
fn is_all(bytes: usize, request: &RequestHeader, response: &ResponseHeader) -> bool {
    if request.method == Method::HEAD || response.status == StatusCode::NOT_MODIFIED {
        return true;
    }
    let announced = response.headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    announced == Some(bytes)
}

/// Gives an answer that has just been fetched what is not stored: its age then, and withheld fields.
fn complete(session: &Session, response: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    if let freshness::Age::Is(age) = ctx.upstream.age
        && ctx.upstream.news.is_none()
        && !age.is_zero()
    {
        response.insert_header(header::AGE, age.as_secs())?;
    }
    let stored = matches!(
        session.cache.phase(),
        CachePhase::Miss | CachePhase::Expired
    );
    for (name, value) in std::mem::take(&mut ctx.upstream.withheld) {
        if stored {
            response.append_header(name, value)?;
        }
    }
    Ok(())
}
