//! How the site is, for its operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use contracts::time::UnixSeconds;
use runtime::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::problem::catalogue;
use crate::routing::rank::Condition;

/// How the site is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Site {
    /// The program's version.
    version: &'static str,
    /// Films by state.
    videos: BTreeMap<&'static str, u64>,
    /// Playback sessions that are neither stopped nor expired.
    sessions: u64,
    /// Edges by name, those of the configuration and nodes that have enrolled and were found to serve.
    edges: BTreeMap<String, Edge>,
    /// Where uploads go.
    ingest: String,
    /// `reachable`; otherwise the call fails with 503.
    catalog: &'static str,
}

/// An edge, as this control plane knows it.
#[derive(Serialize, ToSchema)]
#[schema(as = EdgeStatus)]
pub(crate) struct Edge {
    /// How viewers reach it.
    base: String,
    /// `well`; `unwell`: it does not answer its probe, or is not heard; `lapsed`: it has not asked for orders within its
    /// lease; `draining`. Viewers are sent to those that are well.
    health: &'static str,
    /// How much of what it can do is used, 0 to 1, as far as it says so.
    used: f64,
}

/// How the site is, for its operators and for API keys with the scope `status`.
#[utoipa::path(get, path = "/status", responses((status = 200, body = Site), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Site>, Problem> {
    caller.need(Scope::Status)?;
    let counts = app.catalog.videos.count().await.map_err(catalogue)?;
    let sessions = app.catalog.sessions.count(app.clock.now()).await;
    let sessions = sessions.map_err(catalogue)?;
    let now = app.clock.now();
    let edges = app.routing.overview().into_iter();
    let edges = edges.map(|(target, condition)| {
        let edge = Edge {
            base: target.base,
            health: health(&condition, now),
            used: condition.load,
        };
        (target.node.name, edge)
    });
    Ok(Json(Site {
        version: env!("CARGO_PKG_VERSION"),
        videos: counts
            .into_iter()
            .map(|(state, count)| (state.as_str(), count))
            .collect(),
        sessions,
        edges: edges.collect(),
        ingest: app.settings.ingest_base.clone(),
        catalog: "reachable",
    }))
}

const fn health(condition: &Condition, now: UnixSeconds) -> &'static str {
    match condition {
        Condition { healthy: false, .. } => "unwell",
        Condition {
            lease: Some(until), ..
        } if until.0 <= now.0 => "lapsed",
        Condition { draining: true, .. } => "draining",
        _ => "well",
    }
}
