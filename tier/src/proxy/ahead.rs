//! What is fetched once a player has its answer.

use contracts::cmcd;
use http::Method;
use pingora::cache::key::CacheHashKey;
use pingora::http::RequestHeader;
use pingora::proxy::{Session, subrequest};
use runtime::clock::System;

use super::{Context, Proxy};
use crate::key;
use crate::prefetch::following;

impl Proxy {
    /// Begins to fetch what the player is going to ask for next, where that is wanted and does no harm.
    pub(super) fn fetch_ahead(&self, session: &Session, ctx: &Context) {
        // Who asks for a header is not watching.
        let watched = session.req_header().method == Method::GET;
        let may = self.prefetch.is_on() && self.is_for_films() && watched && !ctx.internal;
        let (true, Some(spawner)) = (may, &session.subrequest_spawner) else {
            return;
        };
        let status = session.response_written().map(|response| response.status);
        let given = match status.map(|status| status.as_u16()) {
            Some(200) => true,
            // A few bytes are no sign that somebody watches.
            Some(206) => session.body_bytes_sent() >= WATCHED,
            _ => false,
        };
        if !given || self.purges.lost().is_some() || !self.intake.is_open(System.wall()) {
            return;
        }
        let Some(address) = self.to_follow(session.req_header(), ctx) else {
            return;
        };
        let key = key::build(&self.rules.zone, &address);
        let is_cached = self.cache.has(&key);
        let at_parents = ctx.parents.states().map(|state| state.load).sum();
        let errand = self
            .prefetch
            .begin(address, key.combined_bin(), is_cached, at_parents);
        if let Some(errand) = errand {
            let errand = subrequest::Ctx::builder()
                .user_ctx(Box::new(errand))
                .build();
            drop(spawner.spawn_background_subrequest(session.as_downstream(), errand));
        }
    }

    /// What the player is going to ask for next, and the cache does not have.
    pub(super) fn to_fetch_ahead(&self, request: &RequestHeader, ctx: &Context) -> Option<String> {
        if !self.prefetch.is_on() {
            return None;
        }
        let address = self.to_follow(request, ctx)?;
        let is_cached = self.cache.has(&key::build(&self.rules.zone, &address));
        (!is_cached).then_some(address)
    }

    fn to_follow(&self, request: &RequestHeader, ctx: &Context) -> Option<String> {
        let field = request.headers.get("cmcd-request");
        let field = field.and_then(|field| field.to_str().ok());
        let mut said = field.into_iter().chain(ctx.cmcd.as_deref());
        let said = said.find_map(cmcd::next_object);
        following(ctx.address(), said.as_deref())
    }
}

/// The least that who watches takes of a segment at a time.
const WATCHED: usize = 16 * 1024;
