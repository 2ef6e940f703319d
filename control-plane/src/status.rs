//! How the site is, for its operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use runtime::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
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

/// How the site is. Needs the operator key where there is one.
#[utoipa::path(get, path = "/status", responses((status = 200, body = Site), (status = 401, body = Problem), (status = 403, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<Site>, Problem> {
    app.operator.admit(&headers)?;
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
