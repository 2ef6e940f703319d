//! New keys for a film: `POST /v1/videos/{id}/keys/rotate`.
//!
//! What is encrypted with a set of keys is under addresses that name it, so that nothing of two sets ever comes together.
//! What remains is to have caches forget what they hold: once the new keys count, and once the old ones have ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use catalog::keys::Sealed;
use catalog::videos::State as Life;
use contracts::feed::{Folder, Mode, Purge, Scope};
use contracts::id::VideoId;
use contracts::keys::KeySet;
use contracts::time::UnixSeconds;
use runtime::body;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::sets::Sets;
use super::{Keys, find_or_draw, internal, of};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{self, catalogue};
use crate::vault::Vault;

/// How a film's keys are to be replaced.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = RotationWish)]
pub(crate) struct Wish {
    /// For how long players that began with the old keys may go on with them, in seconds, up to 30 days; `0`: not at
    /// all. Without it, as long as tokens for the film last that were given by now.
    #[schema(maximum = 2_592_000)]
    grace_s: Option<u64>,
}

/// The keys of a film that count, by their public names.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rotated {
    video_id: String,
    /// The number of the new set of keys: `@k{set}` in addresses.
    #[schema(value_type = u32)]
    set: KeySet,
    /// The names of its keys, 32 hexadecimal digits each.
    key_ids: Vec<String>,
    /// Those that were replaced and still count.
    retired: Vec<Retired>,
    /// The number of the purge of what is cached.
    purge: u64,
    /// Where to ask how far that has come.
    state_url: String,
}

/// A set of keys that was replaced.
#[derive(Serialize, ToSchema)]
#[schema(as = RetiredSet)]
struct Retired {
    /// Its number.
    #[schema(value_type = u32)]
    set: KeySet,
    /// When it ends, in Unix seconds.
    until: u64,
}

/// Draws new keys for a protected film, which count from now on: whoever begins gets them, and caches are ordered to
/// forget what they hold of the film. For operators. Again, it draws others again.
#[utoipa::path(post, path = "/videos/{id}/keys/rotate", params(("id" = String, Path)), request_body = Option<Wish>,
    responses((status = 200, body = Rotated), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem, description = "`video-not-found`: no such film, or one that has failed; `not-found`: there is no `[drm]` here"),
        (status = 409, body = Problem, description = "`not-protected`: the film is in the clear"), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 500, body = Problem, description = "`keys-shut`: its keys open with none of the key-encryption keys"), (status = 503, body = Problem)))]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    wish: Result<Option<Json<Value>>, JsonRejection>,
) -> Result<Json<Rotated>, Problem> {
    caller.operator()?;
    let wish: Wish = body::object_if_any(wish)?;
    if wish.grace_s.is_some_and(|grace| grace > LONGEST_S) {
        return Err(Problem::bad_request("grace_s is at most 2592000, 30 days"));
    }
    let keys = app.keys.as_ref().ok_or_else(Problem::no_route)?;
    let video = VideoId::parse(&id).map_err(|_| Problem::no_video())?;
    let film = app.catalog.videos.find(&video).await.map_err(catalogue)?;
    if film.is_some_and(|film| !film.protected && film.state != Life::Deleted) {
        return Err(problem::not_protected());
    }
    let (found, sets) = replace(&app, keys, &video, wish.grace_s).await?;
    let purge = settle(&app, keys, &video, found, sets.clone()).await?;
    let sets = sets.living(app.clock.now());
    let set = sets.set();
    tracing::info!(video.id = %video, %set, purge, "the keys of {video} are rotated: set {set} counts");
    let new = sets.periods().iter().flat_map(|period| &period.keys);
    let retired = sets.retired().map(|(set, until)| Retired {
        set,
        until: until.0,
    });
    Ok(Json(Rotated {
        video_id: video.to_string(),
        set,
        key_ids: new.map(|key| key.kid.to_string()).collect(),
        retired: retired.collect(),
        purge,
        state_url: format!("{}/v1/purge/{purge}", app.public_base),
    }))
}

/// Ends what is due, and has caches forget it: what a process that was killed left to be done, too.
pub(crate) async fn tend(app: &App) -> Result<(), Problem> {
    let Some(keys) = &app.keys else {
        return Ok(());
    };
    let due = app.catalog.keys.due(app.clock.now(), AT_ONCE).await;
    for video in due.map_err(catalogue)? {
        let kept = app.catalog.keys.find(&video).await.map_err(catalogue)?;
        let Some(kept) = kept else {
            continue;
        };
        let sets = match keys.vault.open(&video, &kept) {
            Ok(sets) => sets,
            Err(error) => {
                tracing::error!(video.id = %video, "old keys of {video} cannot be ended: {error}");
                // However many do not open, they keep no others waiting.
                let later = Sealed {
                    due: Some(app.clock.now().plus(SHUT_S)),
                    ..kept.clone()
                };
                exchange(app, &video, &kept, &later).await?;
                continue;
            }
        };
        let purge = settle(app, keys, &video, kept, sets).await?;
        tracing::info!(video.id = %video, purge, "old keys of {video} have ended");
    }
    Ok(())
}

/// Puts new keys in the place of those that count. Until caches are ordered to forget what they hold, that is due.
async fn replace(
    app: &App,
    keys: &Keys,
    video: &VideoId,
    grace_s: Option<u64>,
) -> Result<(Sealed, Sets), Problem> {
    for _ in 0..TRIES {
        of(app, keys, video).await?;
        let now = app.clock.now();
        let (found, sets) = find_or_draw(app, keys, video).await?;
        let until = match grace_s {
            Some(grace) => now.plus(grace),
            None => last_token(app, video).await?,
        };
        let drawn = Vault::draw().map_err(|error| internal(&error))?;
        let sets = sets.living(now).rotate(drawn, until);
        let sets = sets.ok_or_else(Problem::internal)?;
        let sealed = keys.vault.seal(video, &sets);
        let mut sealed = sealed.map_err(|error| internal(&error))?;
        sealed.due = Some(now);
        let replaced = app.catalog.keys.replace(video, &found.bytes, &sealed).await;
        if replaced.map_err(catalogue)? {
            return Ok((sealed, sets));
        }
    }
    Err(problem::unavailable(
        "The film's keys are being changed; try again in a moment.",
    ))
}

/// Leaves only the keys that count, then has caches forget the film, then notes when the next ones end. In this order:
/// a node that asks an origin after the purge gets nothing that was given before it, and whoever is killed in between
/// leaves all of it to be done again.
async fn settle(
    app: &App,
    keys: &Keys,
    video: &VideoId,
    found: Sealed,
    sets: Sets,
) -> Result<u64, Problem> {
    let living = sets.clone().living(app.clock.now());
    let mut kept = found;
    if living != sets {
        let sealed = keys.vault.seal(video, &living);
        let sealed = Sealed {
            due: kept.due,
            ..sealed.map_err(|error| internal(&error))?
        };
        exchange(app, video, &kept, &sealed).await?;
        kept = sealed;
    }
    let folder = Folder::parse(&format!("/v/{video}/")).map_err(|_| Problem::internal())?;
    let purge = app.orders.purge(Purge {
        scope: Scope::Prefix(folder),
        mode: Mode::Hard,
        tenant: None,
    });
    let purge = purge.await.map_err(catalogue)?;
    let settled = Sealed {
        due: living.due(),
        ..kept.clone()
    };
    exchange(app, video, &kept, &settled).await?;
    Ok(purge)
}

/// Replaces what was found, unless somebody else has: then that one goes on.
async fn exchange(
    app: &App,
    video: &VideoId,
    found: &Sealed,
    sealed: &Sealed,
) -> Result<(), Problem> {
    let replaced = app.catalog.keys.replace(video, &found.bytes, sealed).await;
    replaced.map(drop).map_err(catalogue)
}

/// When tokens for a film end that were given by now.
async fn last_token(app: &App, video: &VideoId) -> Result<UnixSeconds, Problem> {
    let film = app.catalog.videos.find(video).await.map_err(catalogue)?;
    let film = film.ok_or_else(Problem::no_video)?;
    Ok(app.last_token(&film, app.clock.now()))
}

/// The longest time for which old keys may count, in seconds.
const LONGEST_S: u64 = 30 * 86_400;
/// How often a change that somebody else's comes before is tried again.
const TRIES: u32 = 8;
/// When keys are looked at again that do not open, in seconds: which key-encryption key it lacks an operator may mend.
const SHUT_S: u64 = 600;
/// How many films are looked at at once.
const AT_ONCE: u32 = 100;
