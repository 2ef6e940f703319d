//! All films' keys under another key-encryption key: `POST /v1/vault/reseal`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use catalog::keys::Sealed;
use contracts::id::VideoId;
use runtime::body;
use runtime::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Keys, internal};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::catalogue;

/// Where to go on.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ResealWish)]
pub(crate) struct Wish {
    /// `next` of the answer before.
    after: Option<String>,
}

/// How far it has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct Resealed {
    /// How many films' keys this sealed with the first key.
    resealed: u64,
    /// Films whose keys open with none of the keys: they stay as they are.
    shut: Vec<String>,
    /// There may be more: ask again with this as `after`. Absent: there were none beyond.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Seals the keys of the next 200 films that are sealed with another than the first of `drm.key_encryption_key`. Beside
/// whatever else goes on, and as often as one likes. For operators.
#[utoipa::path(post, path = "/vault/reseal", request_body = Option<Wish>,
    responses((status = 200, body = Resealed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "`not-found`: there is no `[drm]` here"),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 500, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn reseal(
    State(app): State<Arc<App>>,
    caller: Caller,
    wish: Result<Option<Json<Value>>, JsonRejection>,
) -> Result<Json<Resealed>, Problem> {
    caller.operator()?;
    let wish: Wish = body::object_if_any(wish)?;
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    let after = wish.after.as_deref().map(VideoId::parse).transpose();
    let after = after.map_err(|error| Problem::bad_request(format!("after: {error}")))?;
    let films = app
        .catalog
        .keys
        .sealed_otherwise(keys.vault.name(), after.as_ref(), AT_ONCE);
    let films = films.await.map_err(catalogue)?;
    let (mut resealed, mut shut) = (0, Vec::new());
    for film in &films {
        match one(&app, keys, film).await? {
            Done::Resealed => resealed += 1,
            Done::Shut => shut.push(film.to_string()),
            Done::Otherwise => {}
        }
    }
    tracing::info!(
        resealed,
        shut = shut.len(),
        "the keys of {resealed} films are sealed anew"
    );
    let full = films.len() == usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
    let last = films.last().filter(|_| full);
    Ok(Json(Resealed {
        resealed,
        shut,
        next: last.map(ToString::to_string),
    }))
}

/// What became of a film's keys.
enum Done {
    Resealed,
    Shut,
    /// They are gone, or somebody else changed them meanwhile.
    Otherwise,
}

async fn one(app: &App, keys: &Keys, film: &VideoId) -> Result<Done, Problem> {
    let kept = app.catalog.keys.find(film).await.map_err(catalogue)?;
    let Some(kept) = kept else {
        return Ok(Done::Otherwise);
    };
    let Ok(sets) = keys.vault.open(film, &kept) else {
        tracing::error!(video.id = %film, "the sealed keys of {film} open with no key-encryption key");
        return Ok(Done::Shut);
    };
    let sealed = keys.vault.seal(film, &sets);
    let sealed = Sealed {
        due: kept.due,
        ..sealed.map_err(|error| internal(&error))?
    };
    let replaced = app.catalog.keys.replace(film, &kept.bytes, &sealed).await;
    Ok(match replaced.map_err(catalogue)? {
        true => Done::Resealed,
        false => Done::Otherwise,
    })
}

/// How many films are looked at in one answer.
const AT_ONCE: u32 = 200;
