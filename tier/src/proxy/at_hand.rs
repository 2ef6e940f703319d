//! Answers that memory has whole: given at once, without the way through Pingora's cache.
//!
//! That way makes a copy of what is known of an object, two of its header, and several boxes, for any storage and any
//! case. For a small answer it costs more than all else together.

use http::header::{self, HeaderName};
use http::{Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Result;
use pingora::proxy::Session;
use runtime::clock::System;

use super::public::is_given_to_all;
use super::{Context, Proxy};
use crate::cache::Whole;
use crate::headers::CACHE_STATUS;
use crate::metrics::CacheUse;
use crate::notes::Notes;
use crate::status;

impl Proxy {
    /// Answers what is asked for whole, and is whole in memory, fresh, and not doubted; for everything else returns
    /// false, and nothing has happened.
    pub(super) async fn give_at_hand(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<bool> {
        let Some(whole) = self.at_hand(session.req_header(), ctx) else {
            return Ok(false);
        };
        let header = self.header_of(&whole, session, ctx)?;
        self.cache.note_use(&whole);
        if let Some(notes) = Notes::of(session) {
            notes.body_follows();
        }
        let downstream = &mut session.downstream_session;
        let written = downstream.write_response_header(header).await;
        written.map_err(|error| error.into_down())?;
        let mut pieces = whole.pieces().peekable();
        while let Some(piece) = pieces.next() {
            let end = pieces.peek().is_none();
            let written = downstream.write_response_body(piece, end).await;
            written.map_err(|error| error.into_down())?;
        }
        Ok(true)
    }

    fn at_hand(&self, request: &RequestHeader, ctx: &Context) -> Option<Whole> {
        let plain = request.method == Method::GET
            && !CONDITIONS
                .iter()
                .any(|name| request.headers.contains_key(name));
        // Children are told numbers by which they compare.
        let to_viewer = self.viewers.is_some() && self.is_for_films() && !ctx.internal;
        if !plain || !to_viewer || self.purges.lost().is_some() {
            return None;
        }
        let whole = self.cache.whole(ctx.key.as_ref()?)?;
        let header = whole.header();
        let usable = header.status == StatusCode::OK
            && whole.fresh_for(System.wall()).is_some()
            && self.is_current(header, ctx)
            && (!self.must_be_public(ctx) || is_given_to_all(header));
        usable.then_some(whole)
    }

    fn header_of(
        &self,
        whole: &Whole,
        session: &Session,
        ctx: &mut Context,
    ) -> Result<Box<ResponseHeader>> {
        let mut header = Box::new(whole.header().clone());
        header.set_version(Version::HTTP_11);
        let now = System.wall();
        header.insert_header(header::AGE, whole.age(now).as_secs())?;
        ctx.cache_use = CacheUse::Hit;
        let left = whole.fresh_for(now).unwrap_or_default();
        let member = status::hit(&self.rules.name, left.as_secs());
        header.insert_header(CACHE_STATUS, member)?;
        self.send_off(&mut header, session, ctx)?;
        Ok(header)
    }
}

/// What asks for something else than the whole.
const CONDITIONS: [HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];
