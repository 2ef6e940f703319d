//! What is asked of a parent, and what is made of its answer.

use std::time::Instant;

use contracts::header::HOP;
use http::header;
use pingora::cache::key::CacheHashKey;
use pingora::cache::{NoCacheReason, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorSource, ErrorType, Result};
use pingora::proxy::Session;
use runtime::clock::System;

use super::entry::from;
use super::{Context, Proxy};
use crate::headers::{self, CACHE_STATUS};
use crate::policy::Passage;
use crate::rfc9111::{condition, freshness};
use crate::{fill, key};

impl Proxy {
    /// Makes a client's request one for the parent.
    pub(super) fn ask(
        &self,
        session: &Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let parent = ctx
            .tried
            .last()
            .map_or("", |parent| ctx.parents.authority(*parent));
        let from = from(session, ctx.protocol);
        self.policy
            .to_parent(request, parent, from, &self.rules.name)?;
        headers::join_loop(request, &self.rules.loop_id)?;
        if let Some(secret) = self.rules.hop_secret.now() {
            request.insert_header(HOP, secret)?;
        }
        if std::mem::take(&mut ctx.wants_new_connection) {
            // It would be found by nobody, and push out one that is kept.
            request.insert_header(header::CONNECTION, "close")?;
        }
        self.ask_for(request, ctx)?;
        ctx.upstream.ask(System.wall());
        self.ask_for_part(session, request, ctx)?;
        self.metrics.upstream_requests.inc();
        Ok(())
    }

    /// Pingora asks for the whole wherever the answer may be stored; where that is of no use, the part is asked for.
    fn ask_for_part(
        &self,
        session: &Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let asked = session.req_header();
        let stored = session.cache.maybe_cache_meta();
        let reach = self.rules.max_object_bytes;
        if !session.cache.enabled() || !self.policy.fetches_part(asked, stored, reach) {
            return Ok(());
        }
        for name in [header::RANGE, header::IF_RANGE] {
            if let Some(value) = asked.headers.get(&name) {
                request.insert_header(name, value.clone())?;
            }
        }
        ctx.upstream.part = condition::part(asked).is_some();
        Ok(())
    }

    /// Takes from a parent's answer what describes this one fetch.
    pub(super) fn hear(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        self.intake.came(headers::weight(response));
        headers::strip_hops(response);
        if response.status.is_informational() {
            return Ok(());
        }
        let now = System.wall();
        ctx.upstream.answered(now);
        if let Some(asked_at) = ctx.upstream.asked_at {
            let waited = asked_at.elapsed().as_secs_f64();
            self.metrics.upstream_seconds.observe(waited);
        }
        ctx.upstream.status = Some(response.status.as_u16());
        self.weigh_answer(session, response, ctx)?;
        if response.status == 403 && self.is_for_films() {
            // Parents refuse hops, never viewers: it is this node that is not let in.
            let why = "the parent refuses this node's hop credential";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        // These describe this one fetch. Stored, they would be repeated as if they described
        // every later hit (RFC 9211 §2: members tell how *this* response was handled).
        ctx.upstream.age = freshness::age(&response.headers);
        response.remove_header(&header::AGE);
        ctx.upstream.cache_status = headers::take(response, &CACHE_STATUS);
        response.remove_header(&header::ALT_SVC);
        if freshness::date(&response.headers, &header::DATE).is_none() {
            // RFC 9110 §6.6.1.
            response.insert_header(header::DATE, httpdate::fmt_http_date(now))?;
        }
        if let Some(viewers) = &self.viewers {
            viewers.dress_to_keep(response)?;
        }
        self.number(session, response, ctx)?;
        if response.status == 304 {
            ctx.upstream.news = Some(response.clone());
        }
        self.forget_what_changed(session, ctx, response);
        Ok(())
    }

    /// Decides whether the answer is stored, and for how long.
    pub(super) fn keep(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> RespCacheable {
        let Some(arrival) = ctx.upstream.arrival else {
            return RespCacheable::Uncacheable(NoCacheReason::InternalError);
        };
        if ctx.numbers.laundered {
            return RespCacheable::Uncacheable(NoCacheReason::Custom("older than a purge"));
        }
        if self.was_changed_meanwhile(session, ctx) {
            return RespCacheable::Uncacheable(NoCacheReason::Custom("changed meanwhile"));
        }
        let case = fill::Case {
            request: session.req_header(),
            response,
            age: ctx.upstream.age,
            arrival,
            part: ctx.upstream.part,
        };
        // What Pingora made of a 304 and the stored header is passed over: it takes few fields.
        let (Some(news), Some(stored)) = (&ctx.upstream.news, session.cache.maybe_cache_meta())
        else {
            ctx.upstream.withheld = fill::withheld_of(&self.policy, response);
            return fill::decide(&self.policy, &case);
        };
        let case = fill::Case {
            response: news,
            ..case
        };
        let meta = match fill::renew(&self.policy, stored, &case) {
            fill::Renewed::Kept(meta) => meta,
            fill::Renewed::Spent(meta) => {
                self.cache.forget_at_once(session.cache.cache_key());
                meta
            }
        };
        RespCacheable::Cacheable(meta)
    }

    /// Forgets what an unsafe request has changed (RFC 9111 §4.4), its variants and the fills in progress included.
    fn forget_what_changed(&self, session: &Session, ctx: &Context, answer: &ResponseHeader) {
        let request = session.req_header();
        let Some(admitted) = &ctx.admitted else {
            return;
        };
        let changed = self.policy.invalidates(request, &admitted.address, answer);
        for address in changed {
            let subject = self.policy.subject(&address, request);
            // What was changed over one scheme has mostly changed for the other, too.
            for scheme in ["http", "https"] {
                let target = self.policy.target(&subject, scheme);
                let key = key::build(&self.rules.zone, &target);
                // First this: a fetch that is stored in between is forgotten.
                self.changes.note(key.primary_bin(), Instant::now());
                self.cache.forget_at_once(&key);
            }
        }
    }

    /// Whether what is fetched was changed after it had been asked for.
    fn was_changed_meanwhile(&self, session: &Session, ctx: &Context) -> bool {
        let (Some(key), Some(asked_at)) = (&ctx.key, ctx.upstream.asked_at) else {
            return false;
        };
        // Who changes something is told what is so since.
        let fetched = self.passage(session) == Some(Passage::Cache);
        fetched
            && !self.is_for_films()
            && self.changes.may_have_changed(&key.primary_bin(), asked_at)
    }

    /// Whether what is stored and stale may answer: while it is refreshed (no error), or for a parent that failed.
    pub(super) fn may_stand_in(
        &self,
        session: &mut Session,
        ctx: &Context,
        error: Option<&Error>,
    ) -> bool {
        if ctx.numbers.must_ask && (error.is_none() || self.purges.must_know()) {
            return false;
        }
        let Some(error) = error else {
            return true;
        };
        match error.etype() {
            // Another parent may know better: that is decided when the whole header is looked at.
            ErrorType::HTTPStatus(status)
                if self.is_unable(session, *status) && !ctx.upstream.weighed =>
            {
                false
            }
            ErrorType::HTTPStatus(status) => {
                if ctx.upstream.weighed {
                    session.set_keepalive(None);
                }
                self.is_covered(session, *status)
            }
            _ if error.esource() == &ErrorSource::Upstream => {
                // Pingora does not use the connection again, and does not say so.
                session.set_keepalive(None);
                true
            }
            _ => false,
        }
    }
}
