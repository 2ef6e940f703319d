//! The public parts of the keys of licence tokens, for licence servers elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use runtime::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::keyring::PublicKey;
use crate::app::App;

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Serialize, ToSchema)]
#[schema(as = LicenseKeys)]
struct Set {
    keys: Vec<PublicKey>,
}

/// The keys with which licence tokens are verified: the public parts of those that have one. What verifies and signs in
/// one is never told.
#[utoipa::path(get, path = "/.well-known/jwks.json",
    responses((status = 200, body = Set), (status = 404, body = Problem, description = "`not-found`: there is no `[drm]` here")))]
pub(crate) async fn show(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    let keys = keys.licensing.keyring.current().public();
    // A key is added some minutes before it signs.
    let fields = [(header::CACHE_CONTROL, "public, max-age=60")];
    Ok((fields, Json(Set { keys })).into_response())
}
