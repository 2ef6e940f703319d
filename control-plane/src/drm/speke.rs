//! A key server for other packagers (SPEKE 2.0): a CPIX document comes without keys and goes back with them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use contracts::id::VideoId;
use contracts::keys::{ContentKey, KeyId, KeyValue};
use runtime::problem::Problem;

use super::filling::{Filling, Wrong, content_id};
use crate::app::App;
use crate::keys::{self, Keys};
use crate::problem;

/// Fills in the keys that a packager names. Those of a film of ours, whose id is the content's, are the film's; others
/// follow from the content's id and the key's name, so that the same question always has the same answer.
#[utoipa::path(post, path = "/speke",
    params(("X-Speke-Version" = String, Header, description = "`2.0`"), ("millrace-hop" = Option<String>, Header, description = "the credential of `drm.keys_secret`, or the same as the password of HTTP Basic")),
    request_body(content = String, content_type = "application/xml", description = "CPIX 2.3 with `contentId`, the names of keys, and the DRM systems to be told of"),
    responses((status = 200, description = "the same document, filled in: `Cache-Control: no-store`", content_type = "application/xml"), (status = 400, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 500, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn exchange(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    if !(keys.admits(&headers) || keys.admits_basic(&headers)) {
        return Err(problem::no_keys_credential());
    }
    if headers.get(&VERSION).map(|value| value.as_bytes()) != Some(b"2.0") {
        return Err(Problem::bad_request("X-Speke-Version must be 2.0"));
    }
    let body = body.map_err(problem::too_large)?;
    let text = std::str::from_utf8(&body);
    let text = text.map_err(|_| Problem::bad_request("the document is not UTF-8"))?;
    let wrong = |what: Wrong| Problem::bad_request(format!("the document {}", what.0));
    let content = content_id(text).map_err(wrong)?;
    let own = own_keys(&app, keys, &content).await?;
    let draw = |kid: KeyId| key_of(keys, &content, &own, kid);
    let filled = Filling::new(text, &draw).fill().map_err(wrong)?;
    let fields = [
        (header::CONTENT_TYPE, "application/xml"),
        (header::CACHE_CONTROL, "no-store"),
        (VERSION, "2.0"),
        (AGENT, concat!("millrace/", env!("CARGO_PKG_VERSION"))),
    ];
    Ok((StatusCode::OK, fields, filled).into_response())
}

/// The keys of the film whose id this is, if it is one of ours that has keys: those that were replaced, too, while they
/// count.
async fn own_keys(app: &App, keys: &Keys, content: &str) -> Result<Vec<ContentKey>, Problem> {
    let Ok(video) = VideoId::parse(content) else {
        return Ok(Vec::new());
    };
    match keys::of(app, keys, &video).await {
        Ok(sets) => Ok(sets
            .each()
            .flatten()
            .flat_map(|period| period.keys.clone())
            .collect()),
        Err(problem) if problem.kind() == Problem::no_video().kind() => Ok(Vec::new()),
        Err(problem) => Err(problem),
    }
}

fn key_of(keys: &Keys, content: &str, own: &[ContentKey], kid: KeyId) -> ContentKey {
    let found = own.iter().find(|key| key.kid == kid);
    found.cloned().unwrap_or_else(|| {
        let purpose = format!("millrace speke 1\n{content}\n{kid}");
        let derived = keys.derive(purpose.as_bytes());
        ContentKey {
            kid,
            key: KeyValue(derived.first_chunk().copied().unwrap_or_default()),
            iv: None,
            tracks: Vec::new(),
        }
    })
}

const VERSION: HeaderName = HeaderName::from_static("x-speke-version");
const AGENT: HeaderName = HeaderName::from_static("x-speke-user-agent");
