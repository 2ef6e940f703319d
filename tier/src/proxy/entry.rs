//! How a request comes in: whether it is served at all, who let it in, and by what its object is known.

use std::borrow::Cow;

use contracts::cmcd;
use contracts::reason::Reason;
use contracts::target;
use http::uri::Authority;
use http::{Method, Version, header};
use pingora::http::RequestHeader;
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;

use super::context::raw_target;
use super::met::{Arrived, Met};
use super::{Context, Proxy};
use crate::admission::{Admitted, Child, Facts, Refused};
use crate::policy::{From, Passage};
use crate::prefetch::Errand;
use crate::protocol::Protocol;
use crate::purge::{WhenLost, canonical};
use crate::{answer, headers, key};

impl Proxy {
    /// Leads a request to the cache; true when it has been answered instead.
    pub(super) async fn receive(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let preflight = self.is_for_films() && session.req_header().method == Method::OPTIONS;
        if let Some(viewers) = self.viewers.as_ref().filter(|_| preflight) {
            answer::preflight(session, viewers, ctx.protocol == Protocol::H3).await?;
            return Ok(true);
        }
        let entered = match self.let_in(session, ctx) {
            Ok(admitted) => {
                self.enter(session, ctx, admitted)?;
                self.may_be_given(session, ctx).await
            }
            Err(refused) => Err(refused),
        };
        let Err(refused) = entered else {
            return Ok(false);
        };
        ctx.retry_after = refused.retry_after;
        self.refuse(session, ctx, refused.reason).await?;
        Ok(true)
    }

    /// Decides whether what was admitted is given now.
    async fn may_be_given(&self, session: &mut Session, ctx: &mut Context) -> Result<(), Refused> {
        if self.purges.lost() == Some(WhenLost::Refuse) && !ctx.internal {
            return Err(Reason::Busy.into());
        }
        if self.must_be_public(ctx) {
            return self.check_public(session, ctx).await;
        }
        Ok(())
    }

    /// Finds out whether the request is let in, unless that was found out before Pingora had it.
    fn let_in(&self, session: &mut Session, ctx: &mut Context) -> Result<Admitted, Refused> {
        if let Some(address) = errand(session) {
            return Ok(Admitted::to(address));
        }
        if let Some(met) = Met::taken() {
            return met.into_context(ctx);
        }
        let target = raw_target(session).ok_or(Reason::Target)?;
        if ctx.internal {
            let before = self.before_sent_on(&target);
            return Ok(self
                .admission
                .readmit(before.as_deref().unwrap_or(&target))?);
        }
        let brings_body = !session.downstream_session.is_body_empty();
        let arrived = Arrived {
            protocol: ctx.protocol,
            request: session.req_header(),
            target: &target,
            from: from(session, ctx.protocol),
            child: child(session),
            brings_body,
        };
        self.admit(&arrived, ctx)
    }

    /// Decides whether a request is let in.
    pub(super) fn admit(
        &self,
        arrived: &Arrived<'_>,
        ctx: &mut Context,
    ) -> Result<Admitted, Refused> {
        let Arrived {
            request, target, ..
        } = *arrived;
        let before = self.before_sent_on(target);
        let target = before.as_deref().unwrap_or(target);
        if self.access.is_some() || self.prefetch.is_on() {
            ctx.cmcd = cmcd::of_query(target);
        }
        let From { client, scheme } = arrived.from;
        let facts = Facts {
            target,
            method: request.method.as_str(),
            scheme,
            authority: authority(request),
            peer: client,
            headers: &request.headers,
            child: arrived.child,
        };
        ctx.visitor = self.admission.meet(&facts);
        let passage = self.policy.passage(&request.method);
        let passage = passage.ok_or(Reason::Method)?;
        // RFC 9112 §3.2.4
        if target == "*" && request.method != Method::OPTIONS {
            return Err(Reason::Target.into());
        }
        if !names_a_host(request) {
            return Err(Reason::BadRequest.into());
        }
        if headers::has_looped(&request.headers, &self.rules.loop_id) {
            return Err(Reason::Loop.into());
        }
        // Tiers may bring a longer list than a viewer may begin, so that no viewer can begin one
        // that fails at a parent, where others would wait for the same fill.
        let longest = if self.viewers.is_some() { 1024 } else { 4096 };
        if !headers::loop_fits(&request.headers, longest) {
            return Err(Reason::BadRequest.into());
        }
        if passage == Passage::Cache && arrived.brings_body {
            return Err(Reason::BadRequest.into());
        }
        self.admission.admit(&facts, ctx.visitor)
    }

    /// From here on the request bears its address and nothing of what admitted it.
    fn enter(&self, session: &mut Session, ctx: &mut Context, admitted: Admitted) -> Result<()> {
        let uri = admitted
            .address
            .parse()
            .map_err(|_| Error::explain(ErrorType::InternalError, "what was admitted is no URI"))?;
        if self.viewers.is_some() && self.intake.has_limits() {
            let target = raw_target(session);
            ctx.target = target.filter(|target| target::before_sent_on(target).is_none());
        }
        let scheme = from(session, ctx.protocol).scheme;
        let request = session.req_header_mut();
        request.set_uri(uri);
        self.know(request, scheme, ctx, admitted);
        Ok(())
    }

    /// The target as it was before another edge sent its viewer here.
    fn before_sent_on(&self, target: &str) -> Option<String> {
        self.viewers.as_ref()?;
        target::before_sent_on(target)
    }

    /// Takes note by what an admitted request's object is known.
    pub(super) fn know(
        &self,
        request: &RequestHeader,
        scheme: &str,
        ctx: &mut Context,
        admitted: Admitted,
    ) {
        let zone = &self.rules.zone;
        let subject = self.policy.subject(&admitted.address, request);
        ctx.key = Some(key::build(zone, &self.policy.target(&subject, scheme)));
        // A film has one address: the grammar has no other spelling of it.
        ctx.subject = if self.is_for_films() {
            subject
        } else {
            match canonical(&subject) {
                Cow::Borrowed(_) => subject,
                Cow::Owned(even) => even,
            }
        };
        self.note_demand(request, ctx);
        if !ctx.internal {
            ctx.wishes = self.policy.wishes(request);
        }
        ctx.admitted = Some(admitted);
    }
}

/// Whether a request names one host and nothing beside it, as HTTP/1.1 must (RFC 9112 §3.2).
fn names_a_host(request: &RequestHeader) -> bool {
    let Some(host) = request.headers.get(header::HOST) else {
        return request.version < Version::HTTP_11 || request.uri.authority().is_some();
    };
    let host = host.to_str().ok().and_then(|host| host.parse().ok());
    host.is_some_and(|host: Authority| !host.host().is_empty() && !host.as_str().contains('@'))
}

/// The address of what the node fetches ahead, when that is what the request is for.
fn errand(session: &Session) -> Option<String> {
    let errand = session.subrequest_ctx.as_ref()?.user_ctx()?;
    let errand = errand.downcast_ref::<Errand>()?;
    Some(errand.address.clone())
}

/// Where a request comes from. HTTP/3 is always secured.
pub(super) fn from(session: &Session, protocol: Protocol) -> From {
    let downstream = session.as_downstream();
    let secured = downstream
        .digest()
        .is_some_and(|digest| digest.ssl_digest.is_some());
    From::connection(
        downstream.client_addr(),
        secured || protocol == Protocol::H3,
    )
}

/// The node that the connection's certificate names.
fn child(session: &Session) -> Option<Child<'_>> {
    let digest = session.as_downstream().digest()?;
    crate::child::of(digest.ssl_digest.as_deref()?)
}

/// The host that is asked: what HTTP/2 and HTTP/3 say in `:authority` counts before `Host` (RFC 9113 §8.3.1).
fn authority(request: &RequestHeader) -> &str {
    let host = || request.headers.get(header::HOST)?.to_str().ok();
    let authority = request.uri.authority().map(Authority::as_str);
    authority.or_else(host).unwrap_or_default()
}
