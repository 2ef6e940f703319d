//! Answers that memory has whole: given before Pingora sees the request.
//!
//! Pingora's way makes a session, two copies of the header and several boxes, for any storage and any case. For a small
//! answer it costs more than all else together.

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::{Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, Result};
use runtime::clock::System;

use super::met::{Arrived, Met};
use super::public::is_given_to_all;
use super::reply::Given;
use super::{Context, Proxy};
use crate::cache::Whole;
use crate::headers::CACHE_STATUS;
use crate::metrics::CacheUse;
use crate::status;

/// What becomes of a request before Pingora sees it.
pub(crate) enum Sight {
    /// Its answer is there.
    AtHand(Box<AtHand>),
    /// It goes through Pingora, with what was found out of it already.
    Onward(Option<Met>),
}

/// An answer that memory has whole, for one request.
pub(crate) struct AtHand {
    whole: Whole,
    ctx: Context,
}

impl Proxy {
    /// Looks whether a request can be answered at once: it asks for the whole of what is whole in memory, fresh, and not
    /// doubted.
    pub(crate) fn look(&self, arrived: &Arrived<'_>) -> Sight {
        if !self.may_be_at_hand(arrived) {
            return Sight::Onward(None);
        }
        let mut ctx = Context::new(self.parents.load_full());
        ctx.protocol = arrived.protocol;
        let admitted = match self.admit(arrived, &mut ctx) {
            Ok(admitted) => admitted,
            Err(refused) => return Sight::Onward(Some(Met::new(ctx, Err(refused)))),
        };
        self.know(arrived.request, arrived.from.scheme, &mut ctx, admitted);
        if let Some(whole) = self.at_hand(arrived.request, &ctx) {
            self.cache.note_use(&whole);
            ctx.cache_use = CacheUse::Hit;
            return Sight::AtHand(Box::new(AtHand { whole, ctx }));
        }
        let admitted = ctx.admitted.take();
        Sight::Onward(admitted.map(|admitted| Met::new(ctx, Ok(admitted))))
    }

    /// Children are told numbers by which they compare, and sites may say more than is looked at here.
    fn may_be_at_hand(&self, arrived: &Arrived<'_>) -> bool {
        let headers = &arrived.request.headers;
        self.viewers.is_some()
            && self.is_for_films()
            && arrived.request.method == Method::GET
            && !arrived.brings_body
            && self.purges.lost().is_none()
            && !CONDITIONS.iter().any(|name| headers.contains_key(name))
    }

    fn at_hand(&self, request: &RequestHeader, ctx: &Context) -> Option<Whole> {
        let whole = self.cache.whole(ctx.key.as_ref()?)?;
        let header = whole.header();
        let usable = header.status == StatusCode::OK
            && header.headers.contains_key(header::DATE)
            && whole.fresh_for(System.wall()).is_some()
            && self.is_current(header, ctx)
            && (!self.must_be_public(ctx) || is_given_to_all(header))
            // What is fetched ahead is fetched by way of Pingora.
            && self.to_fetch_ahead(request, ctx).is_none();
        usable.then_some(whole)
    }

    /// The answer's header.
    pub(crate) fn header_of(&self, answer: &mut AtHand) -> Result<Box<ResponseHeader>> {
        let mut header = Box::new(answer.whole.header().clone());
        header.set_version(Version::HTTP_11);
        let (age, member) = self.moment(answer);
        header.insert_header(header::AGE, age)?;
        header.insert_header(CACHE_STATUS, member)?;
        self.send_off(&mut header, &mut answer.ctx)?;
        Ok(header)
    }

    /// The answer's header as HTTP/1.1 writes it. All but what changes from one moment to the next is written once for
    /// each object.
    pub(crate) fn head_of(&self, answer: &mut AtHand, last: bool) -> Result<BytesMut> {
        let (age, member) = self.moment(answer);
        self.header_is_made(&mut answer.ctx);
        let ctx = &answer.ctx;
        let lasting = answer.whole.written(|header| self.lasting(header, ctx))?;
        let mut head = BytesMut::with_capacity(lasting.len() + 128);
        let age = age.to_string();
        let connection: &[u8] = if last { b"close" } else { b"keep-alive" };
        for part in [
            b"HTTP/1.1 200 OK\r\n",
            &lasting[..],
            b"Age: ",
            age.as_bytes(),
            b"\r\nCache-Status: ",
            member.as_bytes(),
            b"\r\nConnection: ",
            connection,
            b"\r\n\r\n",
        ] {
            head.extend_from_slice(part);
        }
        Ok(head)
    }

    /// Counts an answer of whose body so many bytes were taken; `None`: nor was its header.
    pub(crate) fn gave(
        &self,
        request: &RequestHeader,
        answer: &AtHand,
        bytes: Option<usize>,
        error: Option<&Error>,
    ) {
        let given = Given {
            request,
            status: bytes.map_or(0, |_| StatusCode::OK.as_u16()),
            bytes: bytes.unwrap_or(0),
            is_all: error.is_none(),
        };
        self.note(&given, error, &answer.ctx);
    }

    fn moment(&self, answer: &AtHand) -> (u64, String) {
        let now = System.wall();
        let left = answer.whole.fresh_for(now).unwrap_or_default();
        let member = status::hit(&self.rules.name, left.as_secs());
        (answer.whole.age(now).as_secs(), member)
    }

    /// The fields of a header that stay as they are, as they are written.
    fn lasting(&self, header: &ResponseHeader, ctx: &Context) -> Result<Bytes> {
        let mut header = header.clone();
        self.dress(&mut header, ctx)?;
        for name in [header::AGE, CACHE_STATUS, header::CONNECTION] {
            header.remove_header(&name);
        }
        let mut written = BytesMut::with_capacity(512);
        header.header_to_h1_wire(&mut written);
        Ok(written.freeze())
    }
}

impl AtHand {
    /// The body.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Bytes> {
        self.whole.pieces()
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
