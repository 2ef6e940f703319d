//! Responses: what was asked for, what the asker has already, a part of it, or a problem.

use axum::{body::Body as Stream, response::Response};
use contracts::{address::Address, header, id::Generation, reason::Reason};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, IF_RANGE, RANGE,
    },
};

use crate::{
    content::{Absent, Content},
    dress::{Freshness, content_type, tags},
    range::{self, Wanted},
};

/// What an address turned out to be.
pub(crate) struct Answer {
    content_type: &'static str,
    cache_control: &'static str,
    access: &'static str,
    tags: String,
    etag: String,
    body: Body,
}

/// The bytes, or the knowledge that the asker has them.
pub(crate) enum Body {
    Content(Content),
    Known,
}

impl Answer {
    pub(crate) fn new(
        address: &Address,
        generation: Generation,
        access: &'static str,
        etag: String,
        body: Body,
    ) -> Self {
        Self {
            content_type: content_type(&address.item),
            cache_control: Freshness::of(&address.item).as_str(),
            access,
            tags: format!("{} g:{}/{generation}", tags(address), address.video),
            etag,
            body,
        }
    }

    /// Puts the answer on the wire: 200, 206, 304 or 416 (RFC 9110 §13 to §15).
    pub(crate) fn respond(self, method: &Method, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Stream::new(Absent));
        let headers = response.headers_mut();
        set(headers, CACHE_CONTROL, self.cache_control);
        set(headers, ETAG, &self.etag);
        set(
            headers,
            HeaderName::from_static(header::ACCESS),
            self.access,
        );
        set(
            headers,
            HeaderName::from_static(header::SURROGATE_KEY),
            &self.tags,
        );
        let Body::Content(content) = &self.body else {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        };
        if is_known(asked, &self.etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        set(headers, CONTENT_TYPE, self.content_type);
        set(headers, ACCEPT_RANGES, "bytes");
        let length = content.len();
        let part = match self.wanted(method, asked, length) {
            Wanted::Whole => content.clone(),
            Wanted::Part(part) => {
                let (first, last) = (part.start, part.end - 1);
                set(
                    headers,
                    CONTENT_RANGE,
                    &format!("bytes {first}-{last}/{length}"),
                );
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                content.slice(part)
            }
            Wanted::Unsatisfiable => {
                set(headers, CONTENT_RANGE, &format!("bytes */{length}"));
                set(headers, CACHE_CONTROL, "no-store");
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                Content::default()
            }
        };
        set(
            response.headers_mut(),
            CONTENT_LENGTH,
            &part.len().to_string(),
        );
        if *method != Method::HEAD {
            *response.body_mut() = Stream::new(part);
        }
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
pub(crate) fn is_known(asked: &HeaderMap, etag: &str) -> bool {
    asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
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
    let mut response = Response::new(Stream::empty());
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
    *response.body_mut() = Stream::from(body);
    response
}

/// The bytes that a response will send as its body.
pub(crate) fn body_length(response: &Response) -> u64 {
    use axum::body::HttpBody;
    response.body().size_hint().exact().unwrap_or(0)
}

/// The values are made of ids, numbers and fixed words; one that were not would be left out.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
