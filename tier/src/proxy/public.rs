//! Objects that are given without a token, when they say that they are public.

use pingora::cache::CachePhase;
use pingora::cache::key::CacheHashKey;
use pingora::http::ResponseHeader;
use pingora::proxy::{Session, subrequest};

use super::{Context, Proxy};
use crate::admission::Condition;
use crate::headers;
use crate::question::{Asked, Question};

impl Proxy {
    pub(super) fn must_be_public(&self, ctx: &Context) -> bool {
        ctx.admitted
            .as_ref()
            .is_some_and(|admitted| admitted.condition == Condition::Public)
    }

    /// Finds out whether the object is public: from what is stored, or else by having it fetched
    /// on the node's own behalf. The one who asks has shown nothing, so the fetch is not theirs:
    /// others may wait for the same fill, and it must neither depend on this client nor fail when
    /// the answer is no.
    pub(super) async fn is_public(&self, session: &mut Session, ctx: &Context) -> bool {
        let Some(key) = &ctx.key else { return false };
        let known = self.cache.header(key, |header| {
            let current = self.is_current(header, ctx);
            current.then(|| is_given_to_all(header))
        });
        if let Some(known) = known.await.flatten() {
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

    pub(super) fn answer_question(&self, session: &mut Session, response: &ResponseHeader) {
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
}

pub(super) fn is_given_to_all(response: &ResponseHeader) -> bool {
    headers::is_public(response) && response.status.as_u16() < 400
}

/// As [`is_given_to_all`], by the stored header where there is one: what is sent may be a 304 or
/// a 416 made from it.
pub(super) fn declared_public(session: &Session, response: &ResponseHeader) -> bool {
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
