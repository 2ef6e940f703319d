//! What every request and every answer of tus has, whatever it is about.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts},
    middleware::Next,
    response::Response,
};
use runtime::problem::Problem;

use super::{
    PATH, problem,
    words::{ALGORITHMS, EXTENSIONS, OVERRIDE, RESUMABLE, VERSION},
};

/// A request in the version of tus that is spoken here; whatever is not is refused before anything else is looked at.
pub(super) struct Spoken;

impl<S: Sync> FromRequestParts<S> for Spoken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let told = parts.headers.get(RESUMABLE);
        match told.is_some_and(|told| told == VERSION) {
            true => Ok(Self),
            false => Err(problem::version()),
        }
    }
}

/// Reads the method that is meant, and says in each answer what is spoken; the state is the largest upload.
pub(crate) async fn speak(
    State(max_bytes): State<u64>,
    mut request: Request,
    next: Next,
) -> Response {
    if !is_tus(request.uri().path()) {
        return next.run(request).await;
    }
    let asked = *request.method() == Method::OPTIONS;
    if let Some(method) = meant(request.headers()) {
        *request.method_mut() = method;
    }
    let mut answer = next.run(request).await;
    let version = HeaderValue::from_static(VERSION);
    let told = asked || answer.status() == StatusCode::PRECONDITION_FAILED;
    let headers = answer.headers_mut();
    headers.insert(RESUMABLE, version.clone());
    if told {
        headers.insert(HeaderName::from_static("tus-version"), version);
    }
    if asked {
        for (name, value) in [
            ("tus-extension", EXTENSIONS.into()),
            ("tus-checksum-algorithm", ALGORITHMS.into()),
            ("tus-max-size", max_bytes.to_string()),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
    answer
}

/// The method that clients mean who cannot send it.
fn meant(headers: &HeaderMap) -> Option<Method> {
    let told = headers.get(OVERRIDE)?;
    [Method::POST, Method::HEAD, Method::PATCH, Method::DELETE]
        .into_iter()
        .find(|method| told == method.as_str())
}

fn is_tus(path: &str) -> bool {
    let path = path.strip_prefix("/api").unwrap_or(path);
    let below = path
        .strip_prefix("/v1")
        .and_then(|path| path.strip_prefix(PATH));
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}
