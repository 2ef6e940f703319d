//! Refusals, as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{FromRequestParts, Path};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contracts::id::VideoId;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A refusal. `Display` is never used: what a client is told stands in the members.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
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
            r#type: format!("urn:millrace:{name}"),
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
        self.r#type
            .strip_prefix("urn:millrace:")
            .unwrap_or_default()
    }

    pub(crate) fn no_video() -> Self {
        Self::new(
            "video-not-found",
            StatusCode::NOT_FOUND,
            "No such video",
            "There is no video with this id.",
        )
    }

    pub(crate) fn no_session() -> Self {
        Self::new(
            "session-not-found",
            StatusCode::NOT_FOUND,
            "No such session",
            "There is no playback session with this id.",
        )
    }

    pub(crate) fn session_over() -> Self {
        Self::new(
            "session-over",
            StatusCode::GONE,
            "Session over",
            "The playback session was stopped or has expired; start a new one.",
        )
        .with("action", "stop")
    }

    pub(crate) fn no_route() -> Self {
        Self::new(
            "not-found",
            StatusCode::NOT_FOUND,
            "Nothing here",
            "The API has nothing at this path; /v1/openapi.json lists what it has.",
        )
    }

    pub(crate) fn method() -> Self {
        Self::new(
            "method-not-allowed",
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed",
            "This path does not take this method; /v1/openapi.json tells which it takes.",
        )
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            "bad-request",
            StatusCode::BAD_REQUEST,
            "Bad request",
            detail,
        )
    }

    pub(crate) fn not_ready(
        video: &VideoId,
        state: &str,
        progress: u8,
        reason: Option<&str>,
    ) -> Self {
        let detail = match reason {
            Some(reason) => format!("Video {video} cannot be watched: {reason}"),
            None => format!("Video {video} is {state} ({progress} %); ask again later."),
        };
        Self::new(
            "video-not-ready",
            StatusCode::CONFLICT,
            "Video not ready",
            detail,
        )
        .with("state", state)
        .with("progress", progress)
    }

    pub(crate) fn repeated_key() -> Self {
        Self::new(
            "idempotency-key-reused",
            StatusCode::UNPROCESSABLE_ENTITY,
            "Idempotency key reused",
            "This Idempotency-Key stood for another request; use a new key for a new request.",
        )
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            "unauthorized",
            StatusCode::UNAUTHORIZED,
            "Operator key needed",
            "Send the operator key as Authorization: Bearer.",
        )
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(
            "forbidden",
            StatusCode::FORBIDDEN,
            "Not the operator key",
            "The key that was sent is not this control plane's operator key.",
        )
    }

    pub(crate) fn no_tier() -> Self {
        Self::new(
            "hop-refused",
            StatusCode::FORBIDDEN,
            "Not a tier's credential",
            "Content keys are for origins that show the credential of the tiers.",
        )
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            "unavailable",
            StatusCode::SERVICE_UNAVAILABLE,
            "Not available now",
            detail,
        )
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            "internal",
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error",
            "Something is wrong here; the log of the control plane tells what.",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json!(self))).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(
                "too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Body too large",
                "A request of this API has at most 64 KiB.",
            );
        }
        if rejection.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return Self::new(
                "not-json",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Not JSON",
                "Send JSON, with Content-Type: application/json.",
            );
        }
        Self::bad_request(rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

/// What a path names, or a problem when it is no text.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(Problem))]
pub(crate) struct Named<T>(pub(crate) T);

impl From<catalog::Error> for Problem {
    fn from(error: catalog::Error) -> Self {
        // The one place where the catalogue's failures are answered, hence logged.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the catalogue failed: {error}"
        );
        match error {
            catalog::Error::Engine(_) => {
                Self::unavailable("The catalogue does not answer; try again in a moment.")
            }
            _ => Self::internal(),
        }
    }
}
