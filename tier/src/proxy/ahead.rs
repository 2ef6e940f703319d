//! What is fetched once a player has its answer.

use http::Method;
use pingora::cache::key::CacheHashKey;
use pingora::proxy::{Session, subrequest};

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
        let given = status.is_some_and(|status| matches!(status.as_u16(), 200 | 206));
        if !given || self.purges.lost().is_some() {
            return;
        }
        let Some(address) = following(ctx.address(), ctx.said.as_deref()) else {
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
}
