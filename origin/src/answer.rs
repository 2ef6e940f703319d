//! Responses: what was asked for, what the asker has already, a part of it, or a problem.

use bytes::Bytes;
use contracts::{address::Address, header, id::Generation, reason::Reason};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, IF_RANGE, RANGE,
    },
};

use crate::{
    content::{Content, Stream},
    dress::{Freshness, content_type, tags},
    range::{self, Wanted},
};

/// What goes back.
pub(crate) type Response = http::Response<Stream>;

/// What an address turned out to be. It may be sent many times.
pub(crate) struct Answer {
    /// The fields of the whole answer; without a body, those of a 304.
    head: HeaderMap,
    etag: String,
    /// None: it is known that the asker has it.
    body: Option<Content>,
}

impl Answer {
    /// The answer to whoever has not got the body.
    pub(crate) fn new(
        address: &Address,
        generation: Generation,
        access: &'static str,
        etag: String,
        body: Content,
    ) -> Self {
        let mut answer = Self::known(address, generation, access, etag);
        let head = &mut answer.head;
        let fixed = HeaderValue::from_static;
        head.insert(CONTENT_TYPE, fixed(content_type(&address.item)));
        head.insert(ACCEPT_RANGES, fixed("bytes"));
        head.insert(CONTENT_LENGTH, body.len().into());
        answer.body = Some(body);
        answer
    }

    /// The answer to whoever has the body.
    pub(crate) fn known(
        address: &Address,
        generation: Generation,
        access: &'static str,
        etag: String,
    ) -> Self {
        let mut head = HeaderMap::with_capacity(FIELDS);
        let fixed = HeaderValue::from_static;
        let freshness = Freshness::of(&address.item);
        head.insert(CACHE_CONTROL, fixed(freshness.as_str()));
        set(&mut head, ETAG, &etag);
        head.insert(HeaderName::from_static(header::ACCESS), fixed(access));
        set(
            &mut head,
            HeaderName::from_static(header::SURROGATE_KEY),
            &format!("{} g:{}/{generation}", tags(address), address.video),
        );
        Self {
            head,
            etag,
            body: None,
        }
    }

    /// Stands for every byte of the body.
    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }

    /// The body, unless only the asker has it.
    pub(crate) const fn body(&self) -> Option<&Content> {
        self.body.as_ref()
    }

    /// Puts the answer on the wire: 200, 206, 304 or 416 (RFC 9110 §13 to §15), to HEAD with the body that GET gets.
    pub(crate) fn respond(&self, method: &Method, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Stream::Absent);
        *response.headers_mut() = self.head.clone();
        let headers = response.headers_mut();
        let content = self.body.as_ref();
        let Some(content) = content.filter(|_| !is_known(asked, &self.etag)) else {
            for field in [CONTENT_TYPE, ACCEPT_RANGES, CONTENT_LENGTH] {
                headers.remove(field);
            }
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        };
        let length = content.len();
        let part = match self.wanted(method, asked, length) {
            Wanted::Whole => content.clone(),
            Wanted::Part(part) => {
                let (first, last) = (part.start, part.end - 1);
                let place = format!("bytes {first}-{last}/{length}");
                set(headers, CONTENT_RANGE, &place);
                headers.insert(CONTENT_LENGTH, part.len().into());
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                content.slice(part)
            }
            Wanted::Unsatisfiable => {
                set(headers, CONTENT_RANGE, &format!("bytes */{length}"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.insert(CONTENT_LENGTH, 0.into());
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                Content::default()
            }
        };
        *response.body_mut() = Stream::Content(part);
        response
    }

    /// A range counts for GET, and only while the asker's earlier part is of this very body (`If-Range`).
    fn wanted(&self, method: &Method, asked: &HeaderMap, length: usize) -> Wanted {
        let current = asked
            .get(IF_RANGE)
            .is_none_or(|tag| tag.as_bytes() == self.etag.as_bytes());
        if *method != Method::GET || !current {
            return Wanted::Whole;
        }
        range::parse(
            asked.get(RANGE).and_then(|field| field.to_str().ok()),
            length,
        )
    }
}

/// Whether the asker holds the body with this tag (`If-None-Match`, compared weakly).
pub(crate) fn holds(asked: &HeaderMap, etag: &str) -> bool {
    names(asked).any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// As [`holds`]; or the asker wants none of what there is (RFC 9110 §13.1.2), so it must be sure that there is one.
fn is_known(asked: &HeaderMap, etag: &str) -> bool {
    holds(asked, etag) || names(asked).any(|tag| tag == "*")
}

fn names(asked: &HeaderMap) -> impl Iterator<Item = &str> {
    asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(str::trim)
}

/// A refusal or a failure as a problem (RFC 9457). It names the reason and nothing of the store.
pub(crate) fn problem(reason: Reason, address: Option<&Address>) -> Response {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "reason": reason.code(),
    });
    let body = body.to_string();
    let mut response = Response::new(Stream::Absent);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, CONTENT_TYPE, "application/problem+json");
    set(headers, CONTENT_LENGTH, &body.len().to_string());
    let freshness = match reason.negative_ttl() {
        Some(seconds) => format!("public, max-age={seconds}"),
        None => "no-store".to_owned(),
    };
    set(headers, CACHE_CONTROL, &freshness);
    if reason == Reason::Method {
        set(headers, ALLOW, "GET, HEAD");
    }
    if let Some(address) = address {
        // Nothing is known of who may watch: the careful word.
        set(
            headers,
            HeaderName::from_static(header::ACCESS),
            header::ACCESS_TOKEN,
        );
        set(
            headers,
            HeaderName::from_static(header::SURROGATE_KEY),
            &tags(address),
        );
    }
    *response.body_mut() = Stream::Content(Content::from(Bytes::from(body)));
    response
}

/// The values are made of ids, numbers and fixed words; one that were not would be left out.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Room for the fields of any answer.
const FIELDS: usize = 12;
