//! The numbers of the feed on a request's way: what is judged, asked for and told by them.

use std::borrow::Cow;

use contracts::header::{MIN_SEQ, SEQ, SURROGATE_KEY};
use http::{HeaderMap, HeaderName};
use pingora::cache::{CacheMeta, ForcedFreshness};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;

use super::context::Upstream;
use super::{Context, Proxy};
use crate::cache::validated_at;
use crate::policy::Passage;
use crate::purge::{Subject, Verdict};
use crate::rfc9111::directives::Response as Directives;
use crate::rfc9111::freshness::Age;

/// What is known of one request's numbers.
#[derive(Default)]
pub(super) struct Numbers {
    /// The child has heard of this order: nothing older will do for it.
    demanded: u64,
    /// The newest order that is known here to concern the object.
    needed: u64,
    /// What the parent was asked for at least.
    asked: u64,
    /// What was applied here when the parent was asked.
    noted: u64,
    /// What the child is told.
    told: u64,
    /// The answer may be from before a purge, and nobody can tell: it bears no number, and its age.
    pub(super) laundered: bool,
    /// A parent was asked again because it was behind.
    pub(super) again: bool,
    /// The parent's word is wanted before anything is served.
    pub(super) must_ask: bool,
}

impl Proxy {
    /// Reads what a child asks for. Viewers ask for nothing: they could make a node fetch what it has.
    pub(super) fn note_demand(&self, request: &RequestHeader, ctx: &mut Context) {
        if self.viewers.is_none() && self.purges.follows() {
            ctx.numbers.demanded = number(&request.headers, &MIN_SEQ_FIELD).unwrap_or(0);
        }
    }

    /// Judges what the cache has; `None`: its freshness counts as it is.
    pub(super) fn judge(&self, meta: &CacheMeta, ctx: &mut Context) -> Option<ForcedFreshness> {
        let header = meta.response_header();
        let fill_seq = number(&header.headers, &SEQ_FIELD).unwrap_or(0);
        let tags = tags(header);
        let subject = Subject {
            address: &ctx.subject,
            tags: &tags,
        };
        let judged = self.purges.judge(subject, fill_seq);
        if judged.verdict != Verdict::Usable {
            ctx.numbers.needed = self.purges.marks(subject).newest();
        }
        let fetched_after = number(&header.headers, &FETCHED_AFTER).unwrap_or(0);
        let demanded = Some(ctx.numbers.demanded).filter(|demanded| *demanded <= fetched_after);
        ctx.numbers.told = judged.through.max(demanded.unwrap_or(0));
        let purged = |mode| self.metrics.feed.purged.with_label_values(&[mode]).inc();
        match judged.verdict {
            Verdict::Gone => {
                purged("hard");
                Some(ForcedFreshness::ForceMiss)
            }
            // The child has heard of a purge that has not come here yet, and it may concern this object.
            _ if ctx.numbers.demanded > ctx.numbers.told => Some(ForcedFreshness::ForceMiss),
            Verdict::Stale(expired_at) => {
                purged("soft");
                Some(ForcedFreshness::ForceExpiredServeStale { expired_at })
            }
            Verdict::Usable => {
                let is_immutable = || Directives::of(&header.headers).immutable;
                let lost = self.purges.doubts(is_immutable);
                // What has come since this request began is as new as a validation would make it; otherwise those who
                // wait for one would each begin their own.
                let asked_since = ctx.joined || validated_at(meta) >= ctx.arrived;
                ctx.numbers.must_ask = lost && !asked_since;
                let expired_at = None;
                (lost && !asked_since)
                    .then_some(ForcedFreshness::ForceExpiredServeStale { expired_at })
            }
        }
    }

    /// Whether an object's header may be gone by: nothing that was ordered since concerns it.
    pub(super) fn is_current(&self, header: &ResponseHeader, ctx: &Context) -> bool {
        let tags = tags(header);
        let subject = Subject {
            address: &ctx.subject,
            tags: &tags,
        };
        let fill_seq = number(&header.headers, &SEQ_FIELD).unwrap_or(0);
        self.purges.judge(subject, fill_seq).verdict == Verdict::Usable
    }

    /// Takes note of what is applied, and asks the parent for nothing older than what is known to concern the object.
    pub(super) fn ask_for(&self, request: &mut RequestHeader, ctx: &mut Context) -> Result<()> {
        let numbers = &mut ctx.numbers;
        numbers.noted = self.purges.through();
        if !self.purges.follows() {
            return Ok(());
        }
        let subject = Subject {
            address: &ctx.subject,
            tags: "",
        };
        let known = self.purges.marks(subject).newest();
        numbers.asked = numbers.demanded.max(numbers.needed).max(known);
        if numbers.asked > 0 {
            request.insert_header(MIN_SEQ_FIELD, numbers.asked)?;
        }
        Ok(())
    }

    /// Gives an answer of a parent the number that it is stored with: what was applied when it was asked for, or what
    /// the parent went by, if that is less. An origin goes by no number: it gives what is so now.
    ///
    /// # Errors
    /// When the parent was behind an order that concerns what it gave; it is then asked once more, for what is newer.
    pub(super) fn number(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let theirs = number(&response.headers, &SEQ_FIELD).filter(|_| self.purges.follows());
        let numbers = &mut ctx.numbers;
        let stored = theirs.map_or(numbers.noted, |theirs| theirs.min(numbers.noted));
        response.remove_header(&SEQ_FIELD);
        if stored > 0 {
            response.insert_header(SEQ_FIELD, stored)?;
        }
        // The child knew of what it demanded before this was fetched. Others who demand as much need not fetch it anew;
        // but what a child says is for children only, and no order that comes here is passed over because of it.
        let fetched_after = numbers.noted.max(numbers.demanded);
        numbers.told = theirs.map_or(fetched_after, |theirs| theirs.min(fetched_after));
        response.remove_header(&FETCHED_AFTER);
        numbers.laundered =
            theirs.is_none() && self.may_be_laundered(response, &ctx.upstream, &ctx.subject);
        let numbers = &mut ctx.numbers;
        if numbers.told > stored {
            response.insert_header(FETCHED_AFTER, numbers.told)?;
        }
        // What was done is answered as it was, and not done again.
        let fetched = self.passage(session) == Some(Passage::Cache);
        let Some(theirs) = theirs.filter(|_| fetched) else {
            return Ok(());
        };
        if theirs < numbers.asked {
            let why = "the parent gives what is older than it was asked for";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        // Only now it is known which tags the object bears.
        let tags = tags(response);
        let subject = Subject {
            address: &ctx.subject,
            tags: &tags,
        };
        let marks = self.purges.marks(subject);
        if marks.hard > theirs && !numbers.again {
            (numbers.again, numbers.needed) = (true, marks.newest());
            ctx.tried.pop();
            self.metrics.feed.behind.inc();
            let mut error =
                Error::explain(ErrorType::InvalidHTTPHeader, "the parent is behind").into_up();
            error.set_retry(true);
            return Err(error);
        }
        Ok(())
    }

    /// Whether an answer without a number is a cache's and may be from before a purge: an origin gives what is so now.
    fn may_be_laundered(
        &self,
        response: &ResponseHeader,
        upstream: &Upstream,
        subject: &str,
    ) -> bool {
        if !self.purges.follows() {
            return false;
        }
        let was_hit = || {
            let said = upstream.cache_status.as_deref().unwrap_or_default();
            said.split([';', ',']).any(|said| said.trim() == "hit")
        };
        let age = match upstream.age {
            Age::Is(age) if !age.is_zero() => Some(age),
            Age::Is(_) | Age::Absent if !was_hit() => return false,
            _ => None,
        };
        let tags = tags(response);
        let subject = Subject {
            address: subject,
            tags: &tags,
        };
        let older = self.purges.may_be_older(subject, age);
        if older {
            self.metrics.feed.unnumbered.inc();
        }
        older
    }

    /// Tells a child up to which order the answer is good.
    pub(super) fn tell(&self, response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
        response.remove_header(&FETCHED_AFTER);
        if self.viewers.is_none() && self.purges.follows() && !ctx.numbers.laundered {
            return response.insert_header(SEQ_FIELD, ctx.numbers.told);
        }
        response.remove_header(&SEQ_FIELD);
        Ok(())
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    text.parse().ok()
}

fn tags(header: &ResponseHeader) -> Cow<'_, str> {
    let mut lines = header.headers.get_all(SURROGATE_KEY).iter();
    let mut lines = lines.by_ref().filter_map(|line| line.to_str().ok());
    let first = lines.next().unwrap_or_default();
    match lines.next() {
        None => Cow::Borrowed(first),
        Some(second) => {
            Cow::Owned(lines.fold(format!("{first} {second}"), |all, line| all + " " + line))
        }
    }
}

const SEQ_FIELD: HeaderName = HeaderName::from_static(SEQ);
const MIN_SEQ_FIELD: HeaderName = HeaderName::from_static(MIN_SEQ);

/// Kept with an object and never sent: what children had heard of before it was fetched, where that is more than what
/// this node had.
const FETCHED_AFTER: HeaderName = HeaderName::from_static("millrace-fetched-after");
