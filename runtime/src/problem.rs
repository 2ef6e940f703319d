//! Refusals of the house's APIs, as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::plain;

/// A refusal: what a client is told stands in the members.
///
/// What every API refuses has its constructor here; what one API alone refuses is made with
/// [`Problem::new`] in that API's own `problem.rs`. Its response holds it as an extension, so that
/// a layer around the routes can count it by [`Problem::kind`].
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
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
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// A refusal of the kind `urn:millrace:{name}`.
    pub fn new(
        name: &str,
        status: StatusCode,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            r#type: format!("{URN}{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            more: Map::new(),
            retry_after: None,
        }
    }

    /// The same with a member that only this kind has.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The same with `Retry-After` (RFC 9110 §10.2.3), in whole seconds.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same under another status, where another protocol names it.
    #[must_use]
    pub const fn as_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    /// The kind, for metrics: the type without `urn:millrace:`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.r#type.strip_prefix(URN).unwrap_or_default()
    }

    /// 404: no video has this id, or none that may be known of.
    #[must_use]
    pub fn no_video() -> Self {
        let detail = "There is no video with this id.";
        let status = StatusCode::NOT_FOUND;
        Self::new("video-not-found", status, "No such video", detail)
    }

    /// 404: the API has nothing there.
    #[must_use]
    pub fn no_route() -> Self {
        let detail = "The API has nothing at this path; /v1/openapi.json lists what it has.";
        Self::new("not-found", StatusCode::NOT_FOUND, "Nothing here", detail)
    }

    /// 405: the path takes other methods.
    #[must_use]
    pub fn method() -> Self {
        let detail = "This path does not take this method; /v1/openapi.json tells which it takes.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new("method-not-allowed", status, "Method not allowed", detail)
    }

    /// 400: the request is not what it should be; `detail` says what it should be.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new("bad-request", status, "Bad request", detail)
    }

    /// 401: the operator key is needed, and none was shown.
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "Send the operator key as Authorization: Bearer.";
        let status = StatusCode::UNAUTHORIZED;
        Self::new("unauthorized", status, "Operator key needed", detail)
    }

    /// 403: what was shown is not the operator key.
    #[must_use]
    pub fn forbidden() -> Self {
        let detail = "The key that was sent is not the operator key.";
        let status = StatusCode::FORBIDDEN;
        Self::new("forbidden", status, "Not the operator key", detail)
    }

    /// 500: the fault is this process's, and its log tells it.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "Something is wrong here; the log of the server tells what.";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new("internal", status, "Internal error", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let fixed = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (status, fixed, Json(&self)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, wait.as_secs().into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = "A JSON request of this API has at most 64 KiB.";
                Self::new("too-large", status, "Body too large", detail)
            }
            status @ StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                let detail = "Send JSON, with Content-Type: application/json.";
                Self::new("not-json", status, "Not JSON", detail)
            }
            _ => Self::bad_request(plain::body(&rejection)),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(plain::path(&rejection))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(plain::query(&rejection))
    }
}

/// What a path names, or a problem when it is no text.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(Problem))]
pub struct Named<T>(pub T);

const URN: &str = "urn:millrace:";

#[cfg(test)]
mod tests {
    use super::*;

    async fn members(response: Response) -> Value {
        let body = axum::body::to_bytes(response.into_body(), 4096).await;
        serde_json::from_slice(&body.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_members_and_kept_by_no_cache() {
        let problem = Problem::bad_request("limit must be 1 to 100").with("limit", 100);
        assert_eq!(problem.kind(), "bad-request");
        let response = problem.into_response();
        assert_eq!(response.status(), 400);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(!headers.contains_key("www-authenticate"));
        assert!(!headers.contains_key("retry-after"));
        let kept = response.extensions().get::<Problem>();
        assert_eq!(kept.map(Problem::kind), Some("bad-request"));
        let told = serde_json::json!({"type": "urn:millrace:bad-request", "title": "Bad request",
            "status": 400, "detail": "limit must be 1 to 100", "limit": 100});
        assert_eq!(members(response).await, told);
    }

    #[tokio::test]
    async fn who_shows_no_key_is_told_the_scheme_and_who_comes_too_early_when_to_come() {
        let response = Problem::unauthorized().into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let busy = Problem::new("busy", StatusCode::SERVICE_UNAVAILABLE, "Busy", "later");
        let response = busy.retry_after(Duration::from_secs(3)).into_response();
        assert_eq!(response.headers()["retry-after"], "3");
        assert!(members(response).await.get("retry_after").is_none());
    }
}
