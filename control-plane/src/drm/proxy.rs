//! Licences of vendors' systems: what a player's content decryption module says goes to the vendor as it is, once the
//! token allows it, and the vendor's answer comes back as it is.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use contracts::keys::System;
use packager::protect::challenge::{self, Challenge, Unreadable};
use runtime::problem::Problem;

use super::admission::{self, Asked, Shown};
use super::{Licensing, PATIENCE};
use crate::app::App;
use crate::problem;

/// Passes a Widevine challenge on.
#[utoipa::path(post, path = "/drm/widevine/license", params(Shown, ("Authorization" = Option<String>, Header, description = "`Bearer` and the licence token")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "as the content decryption module says it"),
    responses((status = 200, description = "what the vendor says, with its status: any is passed on", content_type = "application/octet-stream"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 502, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem), (status = 504, body = Problem)))]
pub(crate) async fn widevine(
    State(app): State<Arc<App>>,
    query: Asked,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    pass(&app, System::Widevine, query, &headers, body).await
}

/// Passes a PlayReady challenge on.
#[utoipa::path(post, path = "/drm/playready/license", params(Shown, ("Authorization" = Option<String>, Header, description = "`Bearer` and the licence token")),
    request_body(content = String, content_type = "text/xml", description = "as the content decryption module says it"),
    responses((status = 200, description = "what the vendor says, with its status: any is passed on", content_type = "text/xml"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 502, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem), (status = 504, body = Problem)))]
pub(crate) async fn playready(
    State(app): State<Arc<App>>,
    query: Asked,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    pass(&app, System::PlayReady, query, &headers, body).await
}

/// Passes a FairPlay message on. It does not say in the clear which keys it is for: the token's film counts.
#[utoipa::path(post, path = "/drm/fairplay/license", params(Shown, ("Authorization" = Option<String>, Header, description = "`Bearer` and the licence token")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "as the player sends it"),
    responses((status = 200, description = "what the vendor says, with its status: any is passed on", content_type = "application/octet-stream"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 502, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem), (status = 504, body = Problem)))]
pub(crate) async fn fairplay(
    State(app): State<Arc<App>>,
    query: Asked,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    pass(&app, System::FairPlay, query, &headers, body).await
}

async fn pass(
    app: &App,
    system: System,
    query: Asked,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    let Licensing {
        services, client, ..
    } = &keys.licensing;
    let service = services.get(&system).ok_or_else(|| {
        let offered = keys.licensing.offered().map(System::as_str);
        problem::no_such_drm(offered)
    })?;
    let (licence, _) = admission::admit(app, keys, system, headers, query).await?;
    let body = body.map_err(problem::too_large)?;
    let asks = read(system, &body).map_err(|what| Problem::bad_request(what.to_string()))?;
    let vendor = async {
        let dressed = service.dress(&licence, app.clock.now()).ok_or_else(|| {
            tracing::error!("the message to the licence service cannot be made");
            Problem::internal()
        })?;
        let request = forward(client.post(&dressed.url), dressed.header, headers, body)?;
        let answered = tokio::time::timeout(PATIENCE, answer(request)).await;
        answered.unwrap_or_else(|_| Err(problem::slow_vendor()))
    };
    let kids = match &asks {
        // Whoever has a token has it.
        Some(Challenge::Certificate) => return vendor.await,
        Some(Challenge::Keys(kids)) => Some(kids.as_slice()),
        None => None,
    };
    admission::take(app, keys, &licence, kids)?;
    let answered = vendor.await;
    match answered.as_ref().map(Response::status) {
        Ok(status) if status.is_success() => admission::given(app, &licence),
        Ok(status) if !status.is_server_error() => {}
        // The player may repeat what was not its fault.
        _ => keys.licensing.uses.give_back(&licence, kids),
    }
    answered
}

/// What the body asks for, where it can be read.
fn read(system: System, body: &[u8]) -> Result<Option<Challenge>, Unreadable> {
    match system {
        System::Widevine => challenge::widevine(body).map(Some),
        System::PlayReady => Ok(Some(Challenge::Keys(challenge::playready(body)?))),
        _ if body.is_empty() => Err(Unreadable("is empty")),
        _ => Ok(None),
    }
}

/// The player's bytes as they are, with the fields that say what they are and what the vendor wants to know.
fn forward(
    mut request: reqwest::RequestBuilder,
    dressed: Option<(String, String)>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<reqwest::RequestBuilder, Problem> {
    for field in PASSED {
        if let Some(value) = headers.get(&field) {
            request = request.header(field, value);
        }
    }
    if let Some((field, value)) = dressed {
        let mut value = HeaderValue::try_from(value).map_err(|_| Problem::internal())?;
        value.set_sensitive(true);
        request = request.header(field, value);
    }
    Ok(request.body(body))
}

/// The vendor's status, type and bytes.
async fn answer(request: reqwest::RequestBuilder) -> Result<Response, Problem> {
    let mut answer = request.send().await.map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        if bytes.len() + chunk.len() > LARGEST {
            return Err(problem::bad_vendor("said more than 64 KiB"));
        }
        bytes.extend_from_slice(&chunk);
    }
    let status = answer.status();
    // A redirect would lead the player, and its challenge, elsewhere.
    if status.is_redirection() || status.is_informational() {
        return Err(problem::bad_vendor("answered with a redirect"));
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
    if status != StatusCode::OK {
        tracing::warn!(
            status = status.as_u16(),
            "the licence service answered {}",
            status.as_u16()
        );
    }
    Ok(response)
}

/// The address may hold a secret: it is not told.
fn failed(error: &reqwest::Error) -> Problem {
    let what = match error {
        error if error.is_timeout() => return problem::slow_vendor(),
        error if error.is_connect() => "cannot be reached",
        _ => "did not finish its answer",
    };
    problem::bad_vendor(what)
}

/// What of the player's request the vendor gets beside the body.
const PASSED: [HeaderName; 2] = [header::CONTENT_TYPE, HeaderName::from_static("soapaction")];
/// The longest answer, in bytes.
const LARGEST: usize = 64 << 10;
