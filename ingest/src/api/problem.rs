//! Refusals, as `application/problem+json` (RFC 9457).

use axum::{
    extract::rejection::JsonRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Error, upload::Refused};

/// A refusal.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// A name for this kind of refusal, `urn:millrace:…`.
    r#type: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened, and what to do.
    detail: String,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    more: Map<String, Value>,
}

impl Problem {
    fn new(name: &str, status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("{URN}{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            more: Map::new(),
        }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The kind, for metrics.
    pub(crate) fn kind(&self) -> &str {
        self.r#type.strip_prefix(URN).unwrap_or_default()
    }

    pub(crate) fn no_upload() -> Self {
        let detail = "There is no upload with this id; it may have been cancelled.";
        Self::new(
            "upload-not-found",
            StatusCode::NOT_FOUND,
            "No such upload",
            detail,
        )
    }

    pub(crate) fn no_video() -> Self {
        let detail = "There is no video with this id.";
        let status = StatusCode::NOT_FOUND;
        Self::new("video-not-found", status, "No such video", detail)
    }

    pub(crate) fn failed() -> Self {
        let detail = "This video cannot be made; its status tells why.";
        Self::new("video-failed", StatusCode::CONFLICT, "Failed video", detail)
    }

    pub(crate) fn no_text(language: &str) -> Self {
        let detail = format!("The video has no subtitles in {language:?}.");
        let status = StatusCode::NOT_FOUND;
        Self::new("subtitles-not-found", status, "No such subtitles", detail)
    }

    pub(crate) fn no_subtitles(why: &str) -> Self {
        let detail = format!("Not taken: {why}. Send WebVTT, or SubRip (.srt).");
        let status = StatusCode::BAD_REQUEST;
        Self::new("not-subtitles", status, "No subtitles", detail)
    }

    pub(crate) fn too_many_texts() -> Self {
        let detail = "The video has as many subtitles as it may have; remove some first.";
        let status = StatusCode::CONFLICT;
        Self::new("too-many-subtitles", status, "Too many subtitles", detail)
    }

    pub(crate) fn text_too_large() -> Self {
        let detail = "A file of subtitles has at most 2 MiB.";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new("too-large", status, "Body too large", detail)
    }

    pub(crate) fn bad_language() -> Self {
        let detail = "The language is a BCP 47 tag of at most 11 characters, such as en or pt-br.";
        let status = StatusCode::BAD_REQUEST;
        Self::new("bad-language", status, "Not a language", detail)
    }

    pub(crate) fn no_route() -> Self {
        let detail = "There is nothing at this path; /v1/openapi.json lists what there is.";
        Self::new("not-found", StatusCode::NOT_FOUND, "Nothing here", detail)
    }

    pub(crate) fn method() -> Self {
        let detail = "This path does not take this method; /v1/openapi.json tells which it takes.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new("method-not-allowed", status, "Method not allowed", detail)
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            "bad-request",
            StatusCode::BAD_REQUEST,
            "Bad request",
            detail,
        )
    }

    pub(crate) fn no_digest() -> Self {
        let detail = "Send the chunk's SHA-256 as Content-Digest: sha-256=:base64: or as X-Chunk-SHA256 in hexadecimal.";
        Self::new(
            "digest-needed",
            StatusCode::BAD_REQUEST,
            "Digest needed",
            detail,
        )
    }

    pub(crate) fn bad_index(text: &str) -> Self {
        let detail = format!("{text:?} is no chunk's index; send ?index=N, counted from 0.");
        Self::new(
            "wrong-index",
            StatusCode::BAD_REQUEST,
            "Wrong index",
            detail,
        )
    }

    pub(crate) fn cut_off() -> Self {
        let detail = "The body stalled or broke off; nothing of it was kept. Send the chunk again.";
        Self::new(
            "body-cut-off",
            StatusCode::REQUEST_TIMEOUT,
            "Body cut off",
            detail,
        )
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "Send the operator key as Authorization: Bearer.";
        Self::new(
            "unauthorized",
            StatusCode::UNAUTHORIZED,
            "Operator key needed",
            detail,
        )
    }

    pub(crate) fn internal() -> Self {
        let detail =
            "Something is wrong here; the log of ingest tells what. What was stored is kept.";
        Self::new(
            "internal",
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error",
            detail,
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = serde_json::to_vec(&self).unwrap_or_default();
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (status, headers, json).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (name, status, title) = match refused {
            Refused::EmptyFile => ("empty-file", StatusCode::BAD_REQUEST, "Empty file"),
            Refused::FileTooLarge { .. } => {
                ("file-too-large", StatusCode::BAD_REQUEST, "File too large")
            }
            Refused::Format => (
                "unknown-format",
                StatusCode::BAD_REQUEST,
                "Not a video format",
            ),
            Refused::WrongIndex { .. } => ("wrong-index", StatusCode::BAD_REQUEST, "Wrong index"),
            Refused::WrongLength { .. } => (
                "wrong-length",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Wrong length",
            ),
            Refused::WrongDigest => (
                "wrong-digest",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Wrong digest",
            ),
            Refused::OtherChunk => ("other-chunk", StatusCode::CONFLICT, "Other chunk"),
            Refused::Missing { .. } => ("chunks-missing", StatusCode::CONFLICT, "Chunks missing"),
            Refused::NoWholeDigest => (
                "whole-digest-needed",
                StatusCode::BAD_REQUEST,
                "Whole digest needed",
            ),
            Refused::TwoDigests => ("digests-differ", StatusCode::CONFLICT, "Digests differ"),
            Refused::WrongWhole => (
                "wrong-whole-digest",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Wrong whole digest",
            ),
            Refused::Complete => ("upload-complete", StatusCode::CONFLICT, "Upload complete"),
            Refused::Expired => ("upload-expired", StatusCode::GONE, "Upload expired"),
        };
        let problem = Self::new(name, status, title, refused.to_string());
        match refused {
            Refused::Missing { mut missing } => {
                let count = missing.len();
                missing.truncate(MOST_LISTED);
                problem
                    .with("missing", missing)
                    .with("missing_count", count)
            }
            Refused::WrongIndex { chunk_count } => problem.with("chunk_count", chunk_count),
            Refused::WrongLength {
                expected_bytes,
                got_bytes,
            } => problem
                .with("expected_bytes", expected_bytes)
                .with("got_bytes", got_bytes),
            Refused::FileTooLarge { limit_bytes } => problem.with("limit_bytes", limit_bytes),
            _ => problem,
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = "A JSON request of this API has at most 64 KiB.";
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Self::new("too-large", status, "Body too large", detail);
        }
        Self::bad_request(rejection.body_text())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        // The one place where ingest's own failures are answered, hence logged.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a request failed: {error}"
        );
        if let Error::Store(store::Error::Full { .. }) = error {
            let detail = "There is no room left for films here; what was stored is kept.";
            let status = StatusCode::INSUFFICIENT_STORAGE;
            return Self::new("store-full", status, "Store full", detail);
        }
        Self::internal()
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<catalog::Error> for Problem {
    fn from(error: catalog::Error) -> Self {
        Error::from(error).into()
    }
}

const URN: &str = "urn:millrace:";
/// A list of missing chunks longer than this is cut; `missing_count` tells them all.
const MOST_LISTED: usize = 1000;
