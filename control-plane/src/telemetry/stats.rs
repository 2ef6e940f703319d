//! How a film is watched, for its publisher.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use catalog::plays::By;
use runtime::problem::{Named, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::quality::{Quality, hours, seconds};
use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::problem::catalogue;

/// Of which hours.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Within {
    /// From the hour of this Unix second on; a day before `to` without it.
    from: Option<u64>,
    /// Up to the end of the hour before this Unix second, 31 days after `from` at most; now without it.
    #[param(maximum = 253_402_300_800_u64)]
    to: Option<u64>,
}

/// How a film is watched.
#[derive(Serialize, ToSchema)]
pub(crate) struct Stats {
    video_id: String,
    /// When the first hour begins, and the last one ends, in Unix seconds.
    from_unix_s: u64,
    to_unix_s: u64,
    /// All views that it ever had.
    views_total: u64,
    /// Views within these hours.
    views: u64,
    /// How long it ran within these hours.
    watched_s: f64,
    /// How well it played within these hours.
    quality: Quality,
    /// Hours in which it was watched, oldest first.
    hours: Vec<Hour>,
}

/// An hour.
#[derive(Serialize, ToSchema)]
pub(crate) struct Hour {
    /// When it begins.
    hour_unix_s: u64,
    views: u64,
    watched_s: f64,
}

/// How a film is watched: for operators, for the publisher of its channel, and for API keys with the scope `videos`.
/// What players told is counted some seconds later.
#[utoipa::path(get, path = "/videos/{id}/stats", params(("id" = String, Path), Within),
    responses((status = 200, body = Stats), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    caller: Caller,
    within: Result<Query<Within>, QueryRejection>,
) -> Result<Json<Stats>, Problem> {
    let video = app.visible(&id, &caller).await?;
    if !caller.may(Scope::Videos) && !app.owns_to_publish(&caller, &video.id).await? {
        return Err(caller.refused());
    }
    let Query(within) = within?;
    let mut wanted = hours(within.from, within.to, app.clock.now())?;
    wanted.video = Some(video.id.clone());
    let (from, to) = (wanted.from_unix_s, wanted.to_unix_s);
    let plays = &app.catalog.plays;
    let views_total = plays.views(&video.id).await.map_err(catalogue)?;
    let found = plays.hours(&video.id, from, to).await.map_err(catalogue)?;
    let groups = plays.groups(By::Nothing, &wanted, 1).await;
    let groups = groups.map_err(catalogue)?;
    let sum = groups.into_iter().next().map(|(_, figures)| figures);
    let ran = |ms: u64| seconds(i64::try_from(ms).unwrap_or(i64::MAX));
    Ok(Json(Stats {
        video_id: video.id.to_string(),
        from_unix_s: from,
        to_unix_s: to,
        views_total,
        views: found.iter().map(|hour| hour.views).sum(),
        watched_s: ran(found.iter().map(|hour| hour.watch_ms).sum()),
        quality: Quality::from(&sum.unwrap_or_default()),
        hours: found
            .iter()
            .map(|hour| Hour {
                hour_unix_s: hour.hour_unix_s,
                views: hour.views,
                watched_s: ran(hour.watch_ms),
            })
            .collect(),
    }))
}
