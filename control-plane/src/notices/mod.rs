//! What became of films, told to those who ask, and to the webhook that the operator named ([`hook`]).

pub(crate) mod config;
pub(crate) mod hook;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use catalog::events::Event;
use catalog::users::Role;
use contracts::id::UserId;
use runtime::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::page_of::{Page, page};
use crate::problem::catalogue;

/// Something that happened to a film.
#[derive(Serialize, ToSchema)]
pub(crate) struct Notice {
    /// Its number, by which it is told from all others; later ones have higher numbers.
    id: u64,
    /// `video-playable`, `video-ready` or `video-failed`.
    r#type: &'static str,
    video_id: String,
    /// What the film is called now.
    title: String,
    /// The account that has the film's channel now.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// When it happened, in Unix seconds.
    at_unix_s: u64,
    /// The film's length in seconds, where it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_s: Option<f64>,
    /// Why the film failed, or has fewer renditions than it was to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Event> for Notice {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            r#type: event.kind.as_str(),
            video_id: event.video.to_string(),
            title: event.title,
            owner: event.owner.as_ref().map(UserId::to_string),
            at_unix_s: event.at.0,
            duration_s: event.duration_ms.map(crate::videos::in_seconds),
            reason: event.reason,
        }
    }
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct Notices {
    events: Vec<Notice>,
    /// What to give as `next` for the following page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What became of films, oldest first: of all of them for operators and API keys with the scope `videos`, for
/// publishers of those in their channels. `next` may be the `id` of any event: who gives the last one that it knows
/// is told what came since.
#[utoipa::path(get, path = "/events", params(Page), responses((status = 200, body = Notices), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Notices>, Problem> {
    let owner = match &caller {
        all if all.may(Scope::Videos) => None,
        Caller::User(person) if person.role >= Role::Publisher => Some(&person.id),
        _ => return Err(caller.refused()),
    };
    let (limit, after) = page(asked, str::parse::<u64>)?;
    let (events, now) = (&app.catalog.events, app.clock.now());
    let found = events.after(after.unwrap_or(0), owner, limit.ask(), now);
    let (found, next) = limit.cut(found.await.map_err(catalogue)?, |event| {
        event.id.to_string()
    });
    Ok(Json(Notices {
        events: found.into_iter().map(Notice::from).collect(),
        next,
    }))
}
