//! Objects that are given without a token, when they say that they are public.

use contracts::reason::Reason;
use pingora::cache::CachePhase;
use pingora::cache::key::CacheHashKey;
use pingora::http::ResponseHeader;
use pingora::proxy::{Session, subrequest};
use runtime::clock::System;

use super::{Context, Proxy};
use crate::admission::{Condition, Refused};
use crate::headers;
use crate::intake::Withheld;
use crate::metrics::CacheUse;
use crate::question::{AGAIN, Asked, Question, Word};

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
    ///
    /// # Errors
    /// Why the object is not given: it is not public, or nobody could tell.
    pub(super) async fn check_public(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<(), Refused> {
        let known = match &ctx.key {
            None => return Err(Reason::Missing.into()),
            Some(key) => self.cache.header(key, |header| {
                let current = self.is_current(header, ctx);
                current.then(|| declared_by(header))
            }),
        };
        if let Some(known) = known.await.flatten() {
            return known.allows();
        }
        if !self.intake.is_open(System.wall()) {
            // Where it is had instead, somebody may ask.
            self.ask_intake(ctx).map_err(Withheld::refused)?;
        }
        self.ask_parent(session, ctx).await.allows()
    }

    async fn ask_parent(&self, session: &mut Session, ctx: &mut Context) -> Word {
        let (Some(key), client) = (&ctx.key, ctx.visitor.client) else {
            return Word::Private;
        };
        let Some(spawner) = &session.subrequest_spawner else {
            return Word::Unknown;
        };
        let (question, answer) = match self.questions.ask(key.combined_bin(), client) {
            Asked::Known(word) => return word,
            Asked::Full => return Word::Unknown,
            Asked::Open(answer) => {
                ctx.asked = Some(CacheUse::Joined);
                return answer.wait().await;
            }
            Asked::New(question, answer) => (question, answer),
        };
        ctx.asked = Some(CacheUse::Miss);
        let errand = subrequest::Ctx::builder()
            .user_ctx(Box::new(question))
            .build();
        // Detached: the fill goes on when this client leaves.
        drop(spawner.spawn_background_subrequest(session.as_downstream(), errand));
        answer.wait().await
    }

    pub(super) fn answer_question(&self, session: &mut Session, response: &ResponseHeader) {
        let word = declared_by(response);
        let question = session
            .subrequest_ctx
            .as_mut()
            .and_then(|errand| errand.user_ctx_mut())
            .and_then(|question| question.downcast_mut::<Question>());
        if let Some(question) = question {
            question.answer(word);
        }
    }
}

impl Word {
    /// What it says to who asked.
    fn allows(self) -> Result<(), Refused> {
        match self {
            Self::Public => Ok(()),
            Self::Private => Err(Reason::Missing.into()),
            Self::Unknown => Err(Refused {
                reason: Reason::Busy,
                retry_after: Some(AGAIN),
            }),
        }
    }
}

/// What a parent's answer says of its object; nothing, where the parent is at fault.
fn declared_by(response: &ResponseHeader) -> Word {
    match response.status.as_u16() {
        500.. => Word::Unknown,
        _ if is_given_to_all(response) => Word::Public,
        _ => Word::Private,
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
