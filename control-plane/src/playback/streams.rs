//! How many streams an account may watch at once, and which it watches.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use catalog::sessions::Session;
use contracts::id::UserId;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::config::MOST_STREAMS;
use super::viewer::Viewer;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{self, catalogue};

/// An account's streams.
#[derive(Serialize, ToSchema)]
pub(crate) struct Streams {
    /// How many it may watch at once; `null` for any number.
    limit: Option<u32>,
    /// Its own limit, 0 for any number; `null` where the site's counts.
    own_limit: Option<u32>,
    /// Those that it watches, oldest first.
    active: Vec<Stream>,
}

/// A session that is watched now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stream {
    session_id: String,
    video_id: String,
    /// What it plays on, as `device` of its start said: its `name`, else its `type`, else its `id`.
    device: Option<String>,
    /// When it began, in Unix seconds.
    since_unix_s: u64,
}

/// A limit that is wished.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// 1 to 1000; 0 for any number; `null` for the site's.
    // It must be there: nobody takes something away by leaving it out.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    limit: Option<u32>,
}

/// What an account watches now. For operators and for oneself.
#[utoipa::path(get, path = "/users/{id}/streams", params(("id" = String, Path, description = "an account; `x-…` of an outside issuer; `v-…` of a viewer whom a backend named; `me`")),
    responses((status = 200, body = Streams), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
) -> Result<Json<Streams>, Problem> {
    let account = match (id.as_str(), caller.person()) {
        ("me", own) => own?.id.clone(),
        (id, Ok(own)) if own.id.as_str() == id => own.id.clone(),
        (id, _) => {
            caller.operator()?;
            let id = parse(id)?;
            app.may_come(&id).await?;
            id
        }
    };
    app.streams(&account).await.map(Json)
}

/// Gives an account a limit of its own. It counts from the next start on. For operators.
#[utoipa::path(put, path = "/users/{id}/streams", params(("id" = String, Path, description = "an account; `x-…` of an outside issuer; `v-…` of a viewer whom a backend named")), request_body = Limit,
    responses((status = 200, body = Streams), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    limit: Result<Json<Limit>, JsonRejection>,
) -> Result<Json<Streams>, Problem> {
    caller.operator()?;
    let Json(Limit { limit }) = limit?;
    let account = parse(&id)?;
    if limit.is_some_and(|limit| limit > MOST_STREAMS) {
        return Err(Problem::bad_request(format!(
            "limit must be 0 to {MOST_STREAMS}, or null"
        )));
    }
    app.may_come(&account).await?;
    let set = app.catalog.sessions.set_limit(&account, limit).await;
    set.map_err(catalogue)?;
    app.streams(&account).await.map(Json)
}

impl App {
    /// Whether somebody's streams are counted.
    pub(crate) async fn is_limited(&self, viewer: &Viewer) -> Result<bool, Problem> {
        let Some(account) = &viewer.account else {
            return Ok(false);
        };
        let own = self.catalog.sessions.limit(account).await;
        let own = own.map_err(catalogue)?;
        let site = self.settings.playback.streams.is_some();
        Ok(own.map_or(site, |own| own > 0))
    }

    async fn streams(&self, account: &UserId) -> Result<Streams, Problem> {
        let sessions = &self.catalog.sessions;
        let own_limit = sessions.limit(account).await.map_err(catalogue)?;
        let active = sessions.streams(account, self.clock.now()).await;
        let active = active
            .map_err(catalogue)?
            .iter()
            .map(Stream::from)
            .collect();
        let site = self.settings.playback.streams;
        Ok(Streams {
            limit: own_limit.map_or(site, |own| (own > 0).then_some(own)),
            own_limit,
            active,
        })
    }
}

impl From<&Session> for Stream {
    fn from(session: &Session) -> Self {
        Self {
            session_id: session.id.to_string(),
            video_id: session.video.to_string(),
            device: session.device.clone(),
            since_unix_s: session.started.0,
        }
    }
}

fn parse(id: &str) -> Result<UserId, Problem> {
    UserId::parse(id).map_err(|_| problem::no_user())
}
