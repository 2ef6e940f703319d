//! How well films play, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use catalog::plays::By;
use contracts::id::VideoId;
use runtime::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::quality::{Quality, hours};
use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::problem::catalogue;

/// What is asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// From the hour of this Unix second on; a day before `to` without it.
    from: Option<u64>,
    /// Up to the end of the hour before this Unix second, 31 days after `from` at most; now without it.
    #[param(maximum = 253_402_300_800_u64)]
    to: Option<u64>,
    /// By what it is put together: `edge`, `isp`, `video` or `hour`; without it, all in one.
    by: Option<String>,
    /// Of one edge.
    edge: Option<String>,
    /// Of one network.
    isp: Option<String>,
    /// Of one film.
    video: Option<String>,
    /// The most groups, 1 to 1000; 100 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// How well films play.
#[derive(Serialize, ToSchema)]
pub(crate) struct Qoe {
    /// When the first hour begins, and the last one ends, in Unix seconds.
    from_unix_s: u64,
    to_unix_s: u64,
    /// Those with the most sessions first.
    groups: Vec<Group>,
}

/// How well films play in one group.
#[derive(Serialize, ToSchema)]
pub(crate) struct Group {
    /// The edge, the network, the film, or the Unix second at which the hour begins; empty where all is in one.
    /// `unknown` stands for an edge or a network that is not known.
    name: String,
    #[serde(flatten)]
    quality: Quality,
}

/// How well films play, by edge, by network, by film or by hour: for operators, and API keys with the scope `status`.
#[utoipa::path(get, path = "/qoe", params(Asked),
    responses((status = 200, body = Qoe), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Qoe>, Problem> {
    caller.need(Scope::Status)?;
    let Query(asked) = asked?;
    let mut wanted = hours(asked.from, asked.to, app.clock.now())?;
    let by = match asked.by.as_deref() {
        None => By::Nothing,
        Some("edge") => By::Edge,
        Some("isp") => By::Isp,
        Some("video") => By::Video,
        Some("hour") => By::Hour,
        Some(_) => {
            let rule = "by must be one of edge, isp, video, hour";
            return Err(Problem::bad_request(rule));
        }
    };
    let limit = asked.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad_request("limit must be 1 to 1000"));
    }
    let video = asked.video.as_deref().map(VideoId::parse).transpose();
    wanted.video = video.map_err(|error| Problem::bad_request(format!("video: {error}")))?;
    for text in [&asked.edge, &asked.isp].into_iter().flatten() {
        // What no database takes for a text.
        if text.contains('\0') {
            return Err(Problem::bad_request("edge and isp must not hold NUL"));
        }
    }
    (wanted.edge, wanted.isp) = (asked.edge, asked.isp);
    let groups = app.catalog.plays.groups(by, &wanted, limit).await;
    let groups = groups.map_err(catalogue)?.into_iter();
    Ok(Json(Qoe {
        from_unix_s: wanted.from_unix_s,
        to_unix_s: wanted.to_unix_s,
        groups: groups
            .map(|(name, figures)| Group {
                name,
                quality: Quality::from(&figures),
            })
            .collect(),
    }))
}
