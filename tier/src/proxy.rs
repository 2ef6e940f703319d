//! The one proxy that edges and shields are; its phases, in the order in which a request meets
//! them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contracts::header::HOP;
use contracts::reason::Reason;
use http::{Method, header};
use pingora::cache::key::CacheHashKey;
use pingora::cache::lock::CacheKeyLockImpl;
use pingora::cache::{
    CacheKey, CacheMeta, CacheOptionOverrides, CachePhase, ForcedFreshness, HitHandler,
    NoCacheReason, RespCacheable,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorSource, ErrorType, HttpPeer, Result};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session, subrequest};

use crate::admission::{Admission, Admitted, Condition, Facts};
use crate::beacon::{Beacon, Served};
use crate::cache::{Cache, Reader};
use crate::headers::{self, CACHE_STATUS, Viewers};
use crate::metrics::{CacheUse, Metrics};
use crate::parent::Parents;
use crate::protocol::Protocol;
use crate::question::{Asked, Question, Questions};
use crate::{answer, fill, key, status};

/// What a node is made of.
pub struct Proxy {
    /// Who is let in.
    pub admission: Arc<dyn Admission>,
    /// Who hears of every answered request.
    pub beacon: Arc<dyn Beacon>,
    /// What viewers get beyond the object; `None` for a node that serves tiers only.
    pub viewers: Option<Viewers>,
    /// Where objects are kept.
    pub cache: &'static Cache,
    /// Makes requests for one absent object wait for one fill.
    pub lock: &'static CacheKeyLockImpl,
    /// Where objects come from.
    pub parents: Parents,
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

/// What is known of one request so far.
pub struct Context {
    protocol: Protocol,
    started: Instant,
    admitted: Option<Admitted>,
    key: Option<CacheKey>,
    /// On behalf of this node: a refresh, or a question about an object.
    internal: bool,
    reason: Option<Reason>,
    joined: bool,
    cache_use: CacheUse,
    tried: Vec<usize>,
    asked_at: Option<Instant>,
    upstream_status: Option<u16>,
    upstream_age: Duration,
    upstream_cache_status: Option<String>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context {
            protocol: Protocol::H1,
            started: Instant::now(),
            admitted: None,
            key: None,
            internal: false,
            reason: None,
            joined: false,
            cache_use: CacheUse::None,
            tried: Vec::new(),
            asked_at: None,
            upstream_status: None,
            upstream_age: Duration::ZERO,
            upstream_cache_status: None,
        }
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
        if let (Some(viewers), &Method::OPTIONS) = (&self.viewers, &session.req_header().method) {
            answer::preflight(session, viewers, ctx.protocol == Protocol::H3).await?;
            return Ok(true);
        }
        match self.admit(session, ctx) {
            Ok(admitted) => self.enter(session, ctx, admitted)?,
            Err(reason) => return self.refuse(session, ctx, reason).await.map(|()| true),
        }
        if self.must_be_public(ctx) && !self.is_public(session, ctx).await {
            return self
                .refuse(session, ctx, Reason::Missing)
                .await
                .map(|()| true);
        }
        Ok(false)
    }

    fn request_cache_filter(&self, session: &mut Session, _ctx: &mut Context) -> Result<()> {
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
        _meta: &CacheMeta,
        hit: &mut HitHandler,
        _is_fresh: bool,
        ctx: &mut Context,
    ) -> Result<Option<ForcedFreshness>> {
        let reader = hit.as_any().downcast_ref::<Reader>();
        ctx.joined = reader.is_some_and(|reader| reader.joined_fill);
        Ok(None)
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let key = ctx.key.as_ref().map_or(&[][..], CacheKey::primary_key);
        self.parents.next(key, &mut ctx.tried).await
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        if let Some(parent) = ctx.tried.last() {
            self.parents.recovered(*parent);
        }
        Ok(())
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
        error.set_retry(true);
        error
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        headers::bare(request);
        let parent = ctx
            .tried
            .last()
            .map_or("", |parent| self.parents.authority(*parent));
        request.insert_header(header::HOST, parent)?;
        headers::join_loop(request, &self.rules.loop_id)?;
        if let Some(secret) = &self.rules.hop_secret {
            request.insert_header(HOP, secret.clone())?;
        }
        ctx.asked_at = Some(Instant::now());
        self.metrics.upstream_requests.inc();
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if let Some(asked_at) = ctx.asked_at {
            let waited = asked_at.elapsed().as_secs_f64();
            self.metrics.upstream_seconds.observe(waited);
        }
        ctx.upstream_status = Some(response.status.as_u16());
        if response.status == 403 {
            // Parents refuse hops, never viewers: it is this node that is not let in.
            let why = "the parent refuses this node's hop credential";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        // These describe this one fetch. Stored, they would be repeated as if they described
        // every later hit (RFC 9211 §2: members tell how *this* response was handled).
        ctx.upstream_age = fill::reported_age(response);
        response.remove_header(&header::AGE);
        ctx.upstream_cache_status = headers::take(response, &CACHE_STATUS);
        response.remove_header(&header::ALT_SVC);
        Ok(())
    }

    fn response_cache_filter(
        &self,
        _session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<RespCacheable> {
        // A 304 has no body; what is stored has been delimited.
        if ctx.upstream_status != Some(304) && !fill::has_end(response) {
            return Ok(RespCacheable::Uncacheable(NoCacheReason::OriginNotCache));
        }
        Ok(fill::decide(response, ctx.upstream_age))
    }

    fn should_serve_stale(&self, _: &mut Session, _: &mut Context, error: Option<&Error>) -> bool {
        // No error: stale-while-revalidate. Otherwise only an upstream's fault counts.
        error.is_none_or(|error| error.esource() == &ErrorSource::Upstream)
    }

    async fn response_filter(
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
        ctx.cache_use = status::cache_use(session.cache.phase(), ctx.joined);
        let own = status::member(
            &self.rules.name,
            &session.cache,
            ctx.joined,
            ctx.upstream_status,
        );
        let chain = match ctx.upstream_cache_status.take() {
            Some(parents) => format!("{parents}, {own}"),
            None => own,
        };
        response.insert_header(CACHE_STATUS, chain)?;
        if ctx.upstream_status.is_some_and(|code| code != 304) && !ctx.upstream_age.is_zero() {
            response.insert_header(header::AGE, ctx.upstream_age.as_secs())?;
        }
        if let Some(viewers) = &self.viewers {
            viewers.dress(response, ctx.protocol == Protocol::H3)?;
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
    /// Decides whether the request is let in.
    fn admit(&self, session: &mut Session, ctx: &Context) -> Result<Admitted, Reason> {
        let target = raw_target(session).ok_or(Reason::Target)?;
        if ctx.internal {
            return self.admission.readmit(&target);
        }
        let request = session.req_header();
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Err(Reason::Method);
        }
        if headers::has_looped(&request.headers, &self.rules.loop_id) {
            return Err(Reason::Loop);
        }
        // Tiers may bring a longer list than a viewer may begin, so that no viewer can begin one
        // that fails at a parent, where others would wait for the same fill.
        let longest = if self.viewers.is_some() { 1024 } else { 4096 };
        if !headers::loop_fits(&request.headers, longest) {
            return Err(Reason::BadRequest);
        }
        if !session.downstream_session.is_body_empty() {
            return Err(Reason::BadRequest);
        }
        let peer = session
            .client_addr()
            .and_then(|address| address.as_inet())
            .map(std::net::SocketAddr::ip);
        self.admission.admit(&Facts {
            target: &target,
            peer,
            headers: &session.req_header().headers,
        })
    }

    /// From here on the request bears its address and nothing of what admitted it.
    fn enter(&self, session: &mut Session, ctx: &mut Context, admitted: Admitted) -> Result<()> {
        let uri = admitted.address.parse().map_err(|_| {
            Error::explain(
                ErrorType::InternalError,
                "an address of the grammar is no URI",
            )
        })?;
        session.req_header_mut().set_uri(uri);
        ctx.key = Some(key::build(&self.rules.zone, &admitted.address));
        ctx.admitted = Some(admitted);
        Ok(())
    }

    fn must_be_public(&self, ctx: &Context) -> bool {
        ctx.admitted
            .as_ref()
            .is_some_and(|admitted| admitted.condition == Condition::Public)
    }

    /// Finds out whether the object is public: from what is stored, or else by having it fetched
    /// on the node's own behalf. The one who asks has shown nothing, so the fetch is not theirs:
    /// others may wait for the same fill, and it must neither depend on this client nor fail when
    /// the answer is no.
    async fn is_public(&self, session: &mut Session, ctx: &Context) -> bool {
        let Some(key) = &ctx.key else { return false };
        let known = self.cache.header(key, is_given_to_all).await;
        if let Some(known) = known {
            return known;
        }
        let Some(spawner) = &session.subrequest_spawner else {
            return false;
        };
        let (question, answer) = match self.questions.ask(key.combined_bin()) {
            Asked::Refused => return false,
            Asked::Open(answer) => return answer.wait().await,
            Asked::New(question, answer) => (question, answer),
        };
        let errand = subrequest::Ctx::builder()
            .user_ctx(Box::new(question))
            .build();
        // Detached: the fill goes on when this client leaves.
        drop(spawner.spawn_background_subrequest(session.as_downstream(), errand));
        answer.wait().await
    }

    fn answer_question(&self, session: &mut Session, response: &ResponseHeader) {
        let public = is_given_to_all(response);
        let question = session
            .subrequest_ctx
            .as_mut()
            .and_then(|errand| errand.user_ctx_mut())
            .and_then(|question| question.downcast_mut::<Question>());
        if let Some(question) = question {
            question.answer(public);
        }
    }

    async fn refuse(&self, session: &mut Session, ctx: &mut Context, reason: Reason) -> Result<()> {
        ctx.reason = Some(reason);
        let on_h3 = ctx.protocol == Protocol::H3;
        answer::refuse(session, reason, self.viewers.as_ref(), on_h3).await
    }
}

impl Context {
    /// The path without token and query, for logs.
    fn address(&self) -> &str {
        let address = self
            .admitted
            .as_ref()
            .map(|admitted| admitted.address.as_str());
        address.map_or("-", |address| {
            address.split_once('?').map_or(address, |(path, _)| path)
        })
    }
}

/// The target as the client wrote it. For HTTP/1.1 that is the request line, because a parsed URI
/// has lost its fragment; `None` when it is not text.
fn raw_target(session: &Session) -> Option<String> {
    let line;
    let target = if session.as_downstream().as_http1().is_some() {
        line = session.as_downstream().to_h1_raw();
        let start = line.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let first = line.get(start..)?.split(|byte| *byte == b'\n').next()?;
        let (_method, rest) = split_at(first, first.iter().position(|byte| *byte == b' ')?)?;
        split_at(rest, rest.iter().rposition(|byte| *byte == b' ')?)?.0
    } else {
        session.req_header().raw_path()
    };
    String::from_utf8(target.to_vec()).ok()
}

fn split_at(bytes: &[u8], space: usize) -> Option<(&[u8], &[u8])> {
    Some((bytes.get(..space)?, bytes.get(space + 1..)?))
}

/// Pingora calls both HTTP/2, as we wrap it, and HTTP/3 "custom"; only the former has a TCP socket.
fn protocol_of(session: &Session) -> Protocol {
    let downstream = session.as_downstream();
    let over_tcp = downstream
        .digest()
        .is_some_and(|digest| digest.socket_digest.is_some());
    match (downstream.is_custom(), over_tcp) {
        (false, _) => Protocol::H1,
        (true, true) => Protocol::H2,
        (true, false) => Protocol::H3,
    }
}

fn is_given_to_all(response: &ResponseHeader) -> bool {
    headers::is_public(response) && response.status.as_u16() < 400
}

/// As [`is_given_to_all`], by the stored header where there is one: what is sent may be a 304 or
/// a 416 made from it.
fn declared_public(session: &Session, response: &ResponseHeader) -> bool {
    if matches!(
        session.cache.phase(),
        CachePhase::Disabled(_) | CachePhase::Bypass
    ) {
        return is_given_to_all(response);
    }
    let stored = session.cache.maybe_cache_meta();
    stored.map_or_else(
        || is_given_to_all(response),
        |meta| is_given_to_all(meta.response_header()),
    )
}
