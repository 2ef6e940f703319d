//! The one proxy that edges and shields are; its phases, in the order in which a request meets
//! them.

mod ahead;
mod at_hand;
mod body;
mod context;
mod entry;
mod hop;
mod left;
mod met;
mod public;
mod reply;
mod seq;
mod upstream;
mod withheld;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::key::HashBinary;
use pingora::cache::lock::CacheKeyLockImpl;
use pingora::cache::{
    CacheKey, CacheMeta, CacheOptionOverrides, ForcedFreshness, HitHandler, RespCacheable,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::protocols::Digest;
use pingora::proxy::{
    FailToProxy, ProxyHttp, ProxyWarnLogContext, RangeType, Session, range_header_filter,
};
use runtime::clock::System;

use crate::access::Log;
use crate::admission::Admission;
use crate::cache::{Cache, Reader};
use crate::changes::Changes;
use crate::headers::Viewers;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::parent;
use crate::policy::{Passage, Policy};
use crate::prefetch::Prefetch;
use crate::purge::Purges;
use crate::question::Questions;
use crate::rfc9111::condition;
use crate::{answer, fill};

pub(crate) use at_hand::{AtHand, Sight};
pub use context::Context;
use context::protocol_of;
use hop::{found_closed, may_ask_again};
pub(crate) use left::Wasted;
pub(crate) use met::{Arrived, Met};

/// What a node is made of.
pub struct Proxy {
    /// What it serves.
    pub policy: Policy,
    /// Who is let in.
    pub admission: Arc<dyn Admission>,
    /// Where answered requests are noted, if anywhere.
    pub access: Option<Arc<Log>>,
    /// What viewers get beyond the object; `None` for a node that serves tiers only.
    pub viewers: Option<Viewers>,
    /// Where objects are kept.
    pub cache: &'static Cache,
    /// Makes requests for one absent object wait for one fill.
    pub lock: &'static CacheKeyLockImpl,
    /// Where objects come from.
    pub parents: parent::Current,
    /// Whether and how fast they are asked.
    pub intake: Arc<Intake>,
    /// What was purged.
    pub purges: Arc<Purges>,
    /// What is fetched ahead.
    pub(crate) prefetch: Prefetch,
    /// What is being found out for those who show no token.
    pub(crate) questions: Arc<Questions>,
    /// What was changed a moment ago.
    pub(crate) changes: Changes,
    /// What was fetched for viewers who left.
    pub(crate) wasted: Wasted,
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
    pub hop_secret: parent::Credential,
    /// Larger objects pass through and are not stored.
    pub max_object_bytes: usize,
    /// A fill that nobody reads is finished when no more than this is missing.
    pub finish_unread_bytes: usize,
}

/// A proxy as Pingora leads requests through it.
pub struct Phases(pub Arc<Proxy>);

impl Deref for Phases {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.0
    }
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.parents.load_full())
    }

    /// None: what Pingora adds by itself compresses, and is switched off.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        ctx.protocol = protocol_of(session);
        ctx.internal = session.subrequest_ctx.is_some();
        if !session.downstream_session.is_body_empty() {
            ctx.begin_body(session);
        }
        // Without it a slow first viewer holds back the fill, and with it everybody.
        session.set_proxy_tasks_enabled(true);
        Ok(())
    }

    fn allow_spawning_subrequest(&self, _session: &Session, ctx: &Context) -> bool {
        !ctx.internal
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        if self.receive(session, ctx).await? {
            return Ok(true);
        }
        self.take_small_body(session, ctx).await?;
        Ok(false)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        if end_of_stream {
            ctx.hear_out(session);
        }
        Ok(())
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let unwanted = ctx.wishes.as_ref().is_some_and(|wishes| wishes.no_store);
        if unwanted || ctx.awaits_body || !self.policy.may_store(session.req_header()) {
            ctx.passed_over = unwanted;
            return Ok(());
        }
        let mut overrides = CacheOptionOverrides::default();
        overrides.wait_timeout = Some(ctx.parents.fill_wait());
        // Whoever changes something waits for nobody.
        let lock = (self.passage(session) == Some(Passage::Cache)).then_some(self.lock);
        session
            .cache
            .enable(self.cache, None, None, lock, Some(overrides));
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
        session: &mut Session,
        meta: &CacheMeta,
        hit: &mut HitHandler,
        _is_fresh: bool,
        ctx: &mut Context,
    ) -> Result<Option<ForcedFreshness>> {
        if self.passage(session) != Some(Passage::Cache) {
            return Ok(Some(ForcedFreshness::ForceMiss));
        }
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
        self.may_fetch(session, ctx).await
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        ctx.check_permit()?;
        let key = ctx.key.as_ref().map_or(&[][..], CacheKey::primary_key);
        ctx.attempts += 1;
        let (mut peer, busy) = ctx.parents.next(key, &mut ctx.tried).await?;
        ctx.busy = Some(busy);
        if ctx.wants_new_connection {
            parent::to_connect_anew(&mut peer);
        }
        Ok(peer)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(self.may_connect_elsewhere(peer, ctx));
        error
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        _socket: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        if let (false, Some(parent), Some(at)) = (reused, ctx.tried.last(), peer._address.as_inet())
        {
            ctx.parents.reached(*parent, *at);
        }
        Ok(())
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Context,
        client_reused: bool,
    ) -> Box<Error> {
        // What a request that is not idempotent asked for may have been done (RFC 9110 §9.2.2).
        let repeatable = session.req_header().method.is_idempotent();
        if !repeatable || session.as_ref().retry_buffer_truncated() {
            error.set_retry(false);
            return error;
        }
        // A kept connection may turn out to be closed: whoever is asked then, it is asked on a new one.
        let was_closed = client_reused && found_closed(&error, ctx.upstream.status.is_some());
        if was_closed {
            ctx.wants_new_connection = true;
            error.set_retry(may_ask_again(ctx));
            return error;
        }
        error.retry.decide_reuse(false);
        if self.is_deaf(session, &error, ctx) {
            error.set_retry(self.may_repeat(ctx));
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        self.ask(session, request, ctx)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        self.hear(session, response, ctx)
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        let wait = self.intake.came(body.as_ref().map_or(0, Bytes::len));
        if end_of_stream {
            (ctx.busy, ctx.permit) = (None, None);
            // Nothing follows that could wait; whoever is fetched for next does.
            return Ok(None);
        }
        self.go_on_without_viewer(session, ctx)?;
        Ok(wait)
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut Context,
    ) -> Result<RespCacheable> {
        Ok(self.keep(session, response, ctx))
    }

    fn should_serve_stale(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        error: Option<&Error>,
    ) -> bool {
        self.may_stand_in(session, ctx, error)
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
        self.present(session, response, ctx).await
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        self.fail(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        ctx.end_body(session);
        self.account(session, error, ctx);
        if error.is_none() && !ctx.has_left() {
            self.fetch_ahead(session, ctx);
        }
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
        what: ProxyWarnLogContext,
    ) -> bool {
        if what == ProxyWarnLogContext::DownstreamCache {
            // Nothing else says that the fill goes on without its viewer.
            ctx.leave();
            return true;
        }
        tracing::debug!(node = %self.rules.name, address = ctx.address(), "trying again: {error}");
        true
    }
}

impl Proxy {
    const fn is_for_films(&self) -> bool {
        matches!(self.policy, Policy::Films)
    }

    fn passage(&self, session: &Session) -> Option<Passage> {
        self.policy.passage(&session.req_header().method)
    }
}

/// Parts that one answer may be cut into.
const MAX_RANGES: usize = 200;
