//! API keys over HTTP: by which backends call.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use catalog::SecretDigest;
use catalog::api_keys::ApiKey;
use contracts::id::ApiKeyId;
use contracts::time::UnixSeconds;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{secret, words};
use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::page_of::{Page, page};
use crate::problem::{self, catalogue};
use crate::random;

/// What the secrets of API keys begin with.
pub(crate) const API_KEY: &str = "mk_";

/// A key that is wished.
#[derive(Deserialize, ToSchema)]
#[schema(as = ApiKeyWish)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// What it is for, 1 to 100 characters.
    name: String,
    /// What it may be used for: `playback`, `videos`, `status`, `grants`, `purge`, `remove`, `upload`; at least one.
    scopes: Vec<String>,
    /// When it ends, in Unix seconds; never without it.
    #[serde(default)]
    expires_at: Option<u64>,
}

/// An API key.
#[derive(Serialize, ToSchema)]
pub(crate) struct Key {
    api_key_id: String,
    name: String,
    scopes: Vec<String>,
    created_unix_s: u64,
    /// Unix seconds; `null` for never.
    expires_at: Option<u64>,
}

/// A new API key.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    #[serde(flatten)]
    key: Key,
    /// To be sent as `Authorization: Bearer`. It is shown this once.
    secret: String,
}

/// A page of API keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct Keys {
    api_keys: Vec<Key>,
    /// What to give as `next` for the following page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Makes an API key. For operators.
#[utoipa::path(post, path = "/api-keys", request_body = Wish,
    responses((status = 201, body = NewKey), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, Problem> {
    caller.operator()?;
    let Json(wish) = wish?;
    let now = app.clock.now();
    if wish.expires_at.is_some_and(|at| at <= now.0) {
        return Err(Problem::bad_request("expires_at must be in the future"));
    }
    let key = ApiKey {
        id: ApiKeyId::from_random(random::bits()?),
        name: words::name(&wish.name)?,
        scopes: scopes(&wish.scopes)?,
        created: now,
        expires: wish.expires_at.map(UnixSeconds),
    };
    let secret = secret(API_KEY)?;
    let digest = SecretDigest::of(&secret);
    let made = app.catalog.api_keys.create(&key, &digest).await;
    made.map_err(catalogue)?;
    tracing::info!(api_key.id = %key.id, "API key {} is made", key.id);
    let new = NewKey {
        key: key.into(),
        secret,
    };
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, no_store, Json(new)).into_response())
}

/// The API keys of the site, without their secrets. For operators.
#[utoipa::path(get, path = "/api-keys", params(Page),
    responses((status = 200, body = Keys), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Keys>, Problem> {
    caller.operator()?;
    let (limit, after) = page(asked, ApiKeyId::parse)?;
    let keys = app.catalog.api_keys.list(after.as_ref(), limit.ask()).await;
    let (keys, next) = limit.cut(keys.map_err(catalogue)?, |key| key.id.to_string());
    Ok(Json(Keys {
        api_keys: keys.into_iter().map(Key::from).collect(),
        next,
    }))
}

/// Removes an API key: nothing can be done with it from the next request on, at ingest from ten seconds later on. For
/// operators.
#[utoipa::path(delete, path = "/api-keys/{id}", params(("id" = String, Path)),
    responses((status = 204, description = "it is gone"), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    caller.operator()?;
    let id = ApiKeyId::parse(&id).map_err(|_| problem::no_api_key())?;
    let removed = app.catalog.api_keys.remove(&id).await.map_err(catalogue)?;
    if !removed {
        return Err(problem::no_api_key());
    }
    tracing::info!(api_key.id = %id, "API key {id} is removed");
    Ok(StatusCode::NO_CONTENT)
}

fn scopes(words: &[String]) -> Result<Vec<String>, Problem> {
    let mut known = Scope::ALL.to_vec();
    known.retain(|scope| words.iter().any(|word| word == scope.as_str()));
    let each = |word: &String| Scope::parse(word).is_some();
    if known.is_empty() || !words.iter().all(each) {
        let names = Scope::ALL.map(Scope::as_str).join(", ");
        return Err(Problem::bad_request(format!(
            "scopes must be at least one of {names}"
        )));
    }
    Ok(known
        .into_iter()
        .map(|scope| scope.as_str().to_owned())
        .collect())
}

impl From<ApiKey> for Key {
    fn from(key: ApiKey) -> Self {
        Self {
            api_key_id: key.id.to_string(),
            name: key.name,
            scopes: key.scopes,
            created_unix_s: key.created.0,
            expires_at: key.expires.map(|expires| expires.0),
        }
    }
}
