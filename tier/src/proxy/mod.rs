//! The one proxy that edges and shields are; its phases, in the order in which a request meets
//! them.

mod context;
mod hop;
mod public;
mod seq;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use contracts::header::HOP;
use contracts::reason::Reason;
use http::{Method, header};
use pingora::cache::key::HashBinary;
use pingora::cache::lock::CacheKeyLockImpl;
use pingora::cache::{
    CacheKey, CacheMeta, CacheOptionOverrides, CachePhase, ForcedFreshness, HitHandler,
    NoCacheReason, RespCacheable,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorSource, ErrorType, HttpPeer, Result};
use pingora::proxy::{
    FailToProxy, ProxyHttp, ProxyWarnLogContext, RangeType, Session, range_header_filter,
};
use runtime::clock::System;

use crate::admission::{Admission, Admitted, Facts, Refused};
use crate::beacon::{Beacon, Served};
use crate::cache::{Ram, Reader};
use crate::headers::{self, CACHE_STATUS, Viewers};
use crate::metrics::Metrics;
use crate::parent::Parents;
use crate::policy::{From, Passage, Policy};
use crate::protocol::Protocol;
use crate::purge::{Purges, WhenLost};
use crate::question::Questions;
use crate::rfc9111::{condition, freshness};
use crate::{answer, date, fill, key, status};

pub use context::Context;
use context::{protocol_of, raw_target};
use hop::may_ask_again;
use public::declared_public;

/// What a node is made of.
pub struct Proxy {
    /// What it serves.
    pub policy: Policy,
    /// Who is let in.
    pub admission: Arc<dyn Admission>,
    /// Who hears of every answered request.
    pub beacon: Arc<dyn Beacon>,
    /// What viewers get beyond the object; `None` for a node that serves tiers only.
    pub viewers: Option<Viewers>,
    /// Where objects are kept.
    pub cache: &'static Ram,
    /// Makes requests for one absent object wait for one fill.
    pub lock: &'static CacheKeyLockImpl,
    /// Where objects come from.
    pub parents: Arc<Parents>,
    /// What was purged.
    pub purges: Arc<Purges>,
    /// What is being found out for those who show no token.
    pub(crate) questions: Arc<Questions>,
    /// What is counted.
    pub metrics: Metrics,
    /// Names and limits.
    pub rules: Rules,
}

/// Names and limits of a node.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The node's name in `Cache-Status`.
    pub name: String,
    /// The node's member in `CDN-Loop`: the name and a number drawn at start.
    pub loop_id: String,
    /// Part of every cache key.
    pub zone: String,
    /// The credential to show to parents.
    pub hop_secret: Option<http::HeaderValue>,
    /// Larger objects pass through and are not stored.
    pub max_object_bytes: usize,
    /// How long a request waits for another one's fill to begin.
    pub fill_wait: Duration,
    /// How long a write to a client may make no progress.
    pub client_write: Duration,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new()
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        ctx.protocol = protocol_of(session);
        ctx.internal = session.subrequest_ctx.is_some();
        // Without it a slow first viewer holds back the fill, and with it everybody.
        session.set_proxy_tasks_enabled(true);
        session.set_write_timeout(Some(self.rules.client_write));
        Ok(())
    }

    fn allow_spawning_subrequest(&self, _session: &Session, ctx: &Context) -> bool {
        !ctx.internal
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let preflight = session.req_header().method == Method::OPTIONS;
        if let Some(viewers) = self
            .viewers
            .as_ref()
            .filter(|_| preflight && self.is_for_films())
        {
            answer::preflight(session, viewers, ctx.protocol == Protocol::H3).await?;
            return Ok(true);
        }
        match self.admit(session, ctx) {
            Ok(admitted) => self.enter(session, ctx, admitted)?,
            Err(refused) => {
                ctx.retry_after = refused.retry_after;
                let told = self.refuse(session, ctx, refused.reason).await;
                return told.map(|()| true);
            }
        }
        if self.purges.lost() == Some(WhenLost::Refuse) && !ctx.internal {
            return self.refuse(session, ctx, Reason::Busy).await.map(|()| true);
        }
        if self.must_be_public(ctx) && !self.is_public(session, ctx).await {
            return self
                .refuse(session, ctx, Reason::Missing)
                .await
                .map(|()| true);
        }
        Ok(false)
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let passage = self.policy.passage(&session.req_header().method);
        let unwanted = ctx.wishes.as_ref().is_some_and(|wishes| wishes.no_store);
        if passage != Some(Passage::Cache) || unwanted {
            ctx.passed_over = unwanted;
            return Ok(());
        }
        let mut overrides = CacheOptionOverrides::default();
        overrides.wait_timeout = Some(self.rules.fill_wait);
        session
            .cache
            .enable(self.cache, None, None, Some(self.lock), Some(overrides));
        session
            .cache
            .set_max_file_size_bytes(self.rules.max_object_bytes);
        Ok(())
    }

    fn cache_key_callback(&self, _session: &Session, ctx: &mut Context) -> Result<CacheKey> {
        let key = ctx.key.clone();
        key.ok_or_else(|| Error::explain(ErrorType::InternalError, "not admitted"))
    }

    async fn cache_hit_filter(
        &self,
        _session: &mut Session,
        meta: &CacheMeta,
        hit: &mut HitHandler,
        _is_fresh: bool,
        ctx: &mut Context,
    ) -> Result<Option<ForcedFreshness>> {
        let reader = hit.as_any().downcast_ref::<Reader>();
        ctx.joined = reader.is_some_and(|reader| reader.joined_fill);
        let judged = self.judge(meta, ctx);
        if judged == Some(ForcedFreshness::ForceMiss) {
            return Ok(judged);
        }
        let wishes = ctx.wishes.as_ref();
        let wished = wishes.and_then(|wishes| fill::weigh(wishes, meta, System.wall()));
        ctx.passed_over = wished == Some(ForcedFreshness::ForceExpired);
        Ok(if ctx.passed_over {
            wished
        } else {
            judged.or(wished)
        })
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        _ctx: &mut Context,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        self.policy.variance(meta, request)
    }

    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        _ctx: &mut Context,
    ) -> Result<bool> {
        Ok(condition::is_not_modified(session.req_header(), response))
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        _ctx: &mut Context,
    ) -> RangeType {
        let request = session.req_header();
        if !condition::may_be_cut(request, response) {
            return RangeType::None;
        }
        range_header_filter(request, response, Some(MAX_RANGES))
    }

    async fn proxy_upstream_filter(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<bool> {
        if ctx
            .wishes
            .as_ref()
            .is_some_and(|wishes| wishes.only_if_cached)
        {
            answer::absent(session).await?;
            return Ok(false);
        }
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let key = ctx.key.as_ref().map_or(&[][..], CacheKey::primary_key);
        ctx.attempts += 1;
        let (peer, busy) = self.parents.next(key, &mut ctx.tried).await?;
        ctx.busy = Some(busy);
        Ok(peer)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(parent) = ctx.tried.last() {
            self.parents.failed(*parent);
        }
        error.set_retry(self.may_ask_another(ctx));
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Context,
        client_reused: bool,
    ) -> Box<Error> {
        // A kept connection may turn out to be closed: whoever is asked then, it is asked on a new one.
        let again = client_reused && !session.as_ref().retry_buffer_truncated();
        error.retry.decide_reuse(again && may_ask_again(ctx));
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let parent = ctx
            .tried
            .last()
            .map_or("", |parent| self.parents.authority(*parent));
        let from = from(session, ctx.protocol);
        self.policy
            .to_parent(request, parent, from, &self.rules.name)?;
        headers::join_loop(request, &self.rules.loop_id)?;
        if let Some(secret) = &self.rules.hop_secret {
            request.insert_header(HOP, secret.clone())?;
        }
        self.ask_for(request, ctx)?;
        ctx.upstream.ask(System.wall());
        self.metrics.upstream_requests.inc();
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
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
        self.weigh_answer(session, response.status, ctx)?;
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
        self.number(response, ctx)?;
        if response.status == 304 {
            ctx.upstream.news = Some(response.clone());
        }
        self.forget_what_changed(session, ctx, response);
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        if end_of_stream {
            ctx.busy = None;
        }
        Ok(None)
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<RespCacheable> {
        let Some(arrival) = ctx.upstream.arrival else {
            return Ok(RespCacheable::Uncacheable(NoCacheReason::InternalError));
        };
        let case = fill::Case {
            request: session.req_header(),
            response,
            age: ctx.upstream.age,
            arrival,
        };
        // What Pingora made of a 304 and the stored header is passed over: it takes few fields.
        let (Some(news), Some(stored)) = (&ctx.upstream.news, session.cache.maybe_cache_meta())
        else {
            ctx.upstream.withheld = fill::withheld_of(response);
            return Ok(fill::decide(&self.policy, &case));
        };
        let case = fill::Case {
            response: news,
            ..case
        };
        let meta = match fill::renew(&self.policy, stored, &case) {
            fill::Renewed::Kept(meta) => meta,
            fill::Renewed::Spent(meta) => {
                self.cache.purge(session.cache.cache_key());
                meta
            }
        };
        Ok(RespCacheable::Cacheable(meta))
    }

    fn should_serve_stale(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        error: Option<&Error>,
    ) -> bool {
        // No error: stale-while-revalidate. Otherwise only an upstream's fault counts.
        let Some(error) = error else {
            return !ctx.numbers.must_ask;
        };
        let stored = session.cache.maybe_cache_meta();
        match error.etype() {
            // Another parent may know better.
            ErrorType::HTTPStatus(status)
                if self.is_unable(session, *status) && self.may_ask_another(ctx) =>
            {
                false
            }
            ErrorType::HTTPStatus(status) => {
                stored.is_some_and(|stored| fill::covers_error(stored, *status, System.wall()))
            }
            _ if error.esource() == &ErrorSource::Upstream => {
                // Pingora does not use the connection again, and does not say so.
                session.set_keepalive(None);
                true
            }
            _ => false,
        }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        self.answer_question(session, response);
        if self.must_be_public(ctx) && !declared_public(session, response) {
            // It was public a moment ago, when we asked, and is not any more.
            self.refuse(session, ctx, Reason::Missing).await?;
            return Error::e_explain(ErrorType::HTTPStatus(403), "no longer public");
        }
        ctx.cache_use = status::cache_use(session.cache.phase(), ctx.joined);
        self.complete(session, response, ctx)?;
        let way = match self.policy.passage(&session.req_header().method) {
            Some(Passage::Through) => status::Way::Method,
            _ if ctx.passed_over => status::Way::Request,
            _ => status::Way::Cache,
        };
        let own = status::member(
            &self.rules.name,
            &session.cache,
            (ctx.joined, way),
            ctx.upstream.status,
        );
        let chain = match ctx.upstream.cache_status.take() {
            Some(parents) => format!("{parents}, {own}"),
            None => own,
        };
        response.insert_header(CACHE_STATUS, chain)?;
        self.tell(response, ctx)?;
        if let Some(viewers) = &self.viewers {
            viewers.dress(response, ctx.protocol == Protocol::H3)?;
        }
        if let (Protocol::H1, Some(date)) = (ctx.protocol, response.headers.get(header::DATE)) {
            date::keep(session, date);
        }
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        let reason = answer::reason_of(error);
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

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        self.metrics
            .upstream_bytes
            .inc_by(session.upstream_body_bytes_received() as u64);
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
        let status = session
            .response_written()
            .map_or(0, |response| response.status.as_u16());
        let bytes = session.body_bytes_sent();
        if let Some(admitted) = &ctx.admitted {
            self.admission.sent(admitted, bytes as u64);
        }
        self.metrics
            .answered(status, ctx.protocol, ctx.cache_use, bytes);
        self.beacon.served(&Served {
            protocol: ctx.protocol,
            method: session.req_header().method.as_str(),
            address: ctx.address(),
            session: ctx
                .admitted
                .as_ref()
                .and_then(|admitted| admitted.session.as_deref()),
            status,
            bytes,
            cache_use: ctx.cache_use,
            reason: ctx.reason,
            took: ctx.started.elapsed(),
            complete: error.is_none(),
        });
    }

    fn request_summary(&self, session: &Session, ctx: &Context) -> String {
        // Never the target as it came: it may hold a token.
        format!(
            "{} {} ({})",
            session.req_header().method,
            ctx.address(),
            ctx.protocol
        )
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true // `logging` says it once, with the reason.
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        ctx: &Context,
        error: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        tracing::debug!(node = %self.rules.name, address = ctx.address(), "trying again: {error}");
        true
    }
}

impl Proxy {
    const fn is_for_films(&self) -> bool {
        matches!(self.policy, Policy::Films)
    }

    /// Decides whether the request is let in.
    fn admit(&self, session: &mut Session, ctx: &Context) -> Result<Admitted, Refused> {
        let target = raw_target(session).ok_or(Reason::Target)?;
        if ctx.internal {
            return Ok(self.admission.readmit(&target)?);
        }
        let request = session.req_header();
        let passage = self.policy.passage(&request.method);
        let passage = passage.ok_or(Reason::Method)?;
        if headers::has_looped(&request.headers, &self.rules.loop_id) {
            return Err(Reason::Loop.into());
        }
        // Tiers may bring a longer list than a viewer may begin, so that no viewer can begin one
        // that fails at a parent, where others would wait for the same fill.
        let longest = if self.viewers.is_some() { 1024 } else { 4096 };
        if !headers::loop_fits(&request.headers, longest) {
            return Err(Reason::BadRequest.into());
        }
        if passage == Passage::Cache && !session.downstream_session.is_body_empty() {
            return Err(Reason::BadRequest.into());
        }
        let From { client, scheme } = from(session, ctx.protocol);
        let request = session.req_header();
        self.admission.admit(&Facts {
            target: &target,
            method: request.method.as_str(),
            scheme,
            authority: authority(request),
            peer: client,
            headers: &request.headers,
        })
    }

    /// From here on the request bears its address and nothing of what admitted it.
    fn enter(&self, session: &mut Session, ctx: &mut Context, admitted: Admitted) -> Result<()> {
        let uri = admitted
            .address
            .parse()
            .map_err(|_| Error::explain(ErrorType::InternalError, "what was admitted is no URI"))?;
        let request = session.req_header_mut();
        request.set_uri(uri);
        let zone = &self.rules.zone;
        ctx.subject = self.policy.subject(&admitted.address, request);
        ctx.key = Some(key::build(zone, &ctx.subject));
        self.hear(session.req_header(), ctx);
        let request = session.req_header_mut();
        if !ctx.internal {
            ctx.wishes = self.policy.wishes(request);
        }
        ctx.admitted = Some(admitted);
        Ok(())
    }

    /// Forgets what an unsafe request has changed (RFC 9111 §4.4), its variants and the fills in progress included.
    fn forget_what_changed(&self, session: &Session, ctx: &Context, answer: &ResponseHeader) {
        let request = session.req_header();
        let Some(admitted) = &ctx.admitted else {
            return;
        };
        let changed = self.policy.invalidates(request, &admitted.address, answer);
        for address in changed {
            let key = key::build(&self.rules.zone, &self.policy.subject(&address, request));
            self.cache.purge(&key);
        }
    }

    /// Gives an answer that has just been fetched what is not stored: its age then, and withheld fields.
    fn complete(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
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

    async fn refuse(&self, session: &mut Session, ctx: &mut Context, reason: Reason) -> Result<()> {
        ctx.reason = Some(reason);
        let on_h3 = ctx.protocol == Protocol::H3;
        let told = answer::Told {
            proxy_status: status::proxy_status(&self.rules.name, reason, ctx.fault),
            retry_after: ctx.retry_after,
        };
        answer::refuse(session, reason, told, self.viewers.as_ref(), on_h3).await
    }
}

/// Where a request comes from. HTTP/3 is always secured.
fn from(session: &Session, protocol: Protocol) -> From {
    let downstream = session.as_downstream();
    let address = downstream.client_addr();
    let secured = downstream
        .digest()
        .is_some_and(|digest| digest.ssl_digest.is_some());
    From {
        client: address
            .and_then(|address| address.as_inet())
            .map(std::net::SocketAddr::ip),
        scheme: if secured || protocol == Protocol::H3 {
            "https"
        } else {
            "http"
        },
    }
}

/// The host that is asked: what HTTP/2 and HTTP/3 say in `:authority` counts before `Host` (RFC 9113 §8.3.1).
fn authority(request: &RequestHeader) -> &str {
    let host = || request.headers.get(header::HOST)?.to_str().ok();
    let authority = request.uri.authority().map(http::uri::Authority::as_str);
    authority.or_else(host).unwrap_or_default()
}

/// Parts that one answer may be cut into.
const MAX_RANGES: usize = 200;
