//! How the site is, for its operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use runtime::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::{Caller, Scope};
use crate::problem::catalogue;

/// How the site is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Site {
    /// The program's version.
    version: &'static str,
    /// Films by state.
    videos: BTreeMap<&'static str, u64>,
    /// Playback sessions that are neither stopped nor expired.
    sessions: u64,
    /// Edges by name, with how viewers reach them.
    edges: BTreeMap<String, String>,
    /// Where uploads go.
    ingest: String,
    /// `reachable`; otherwise the call fails with 503.
    catalog: &'static str,
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
    let edges = app
        .settings
        .edges
        .iter()
        .map(|edge| (edge.name.clone(), edge.base.clone()));
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
