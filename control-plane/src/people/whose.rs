//! `GET /v1/callers/me`: whose a credential is, for roles that are shown it.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use contracts::caller::Caller as Told;
use runtime::problem::Problem;
use utoipa::ToSchema;

use crate::caller::{Caller, Scope};
use crate::problem;

/// [`Told`], as the API's description shows it.
#[derive(ToSchema)]
#[schema(as = Caller)]
#[expect(dead_code, reason = "describes what is written as `Told`")]
struct Described {
    /// `operator`: by the operator key; `user`: somebody with an account, or of an outside issuer; `backend`: an API
    /// key.
    kind: String,
    /// Of a user.
    user_id: Option<String>,
    /// Of a user: `viewer`, `publisher` or `operator`.
    role: Option<String>,
    /// Of a backend.
    api_key_id: Option<String>,
    /// Of a backend: what its key may be used for.
    scopes: Option<Vec<String>>,
}

/// Whose the credential is that is shown. Roles that meet publishers ask this.
#[utoipa::path(get, path = "/callers/me",
    responses((status = 200, body = Described), (status = 401, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(caller: Caller) -> Result<Response, Problem> {
    let told = match caller {
        Caller::Anonymous => return Err(problem::credentials_needed()),
        Caller::Operator => Told::Operator,
        Caller::User(person) => Told::User {
            user_id: person.id,
            role: person.role.as_str().to_owned(),
        },
        Caller::Backend(backend) => Told::Backend {
            api_key_id: backend.key,
            scopes: backend
                .scopes
                .into_iter()
                .map(Scope::as_str)
                .map(str::to_owned)
                .collect(),
        },
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response())
}
