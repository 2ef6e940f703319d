//! Trying a film once more that could not be made.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use runtime::problem::{Named, Problem};

use super::{App, body::Completed, caller::Caller, life::counted, problem, subtitles::find};
use crate::Error;

/// Tries a film once more that failed, or was left as it was sent or without some codecs, from the file that was uploaded.
#[utoipa::path(post, path = "/videos/{id}/retry", params(("id" = String, Path)),
    responses((status = 202, body = Completed), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`not-failed`: it is being made or has all renditions; `original-gone`: its file is not here; `still-shown`: it failed after it could be watched, and that is being taken back (`Retry-After`)")))]
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    counted(&app, again(&app, &caller, &id).await)
}

async fn again(app: &App, caller: &Caller, id: &str) -> Result<Response, Problem> {
    let video = find(app, caller, id).await?;
    if !video.is_unmade() {
        return Err(problem::not_failed());
    }
    if video.is_unfit() {
        return Err(problem::still_shown());
    }
    let original = app.queue.original(&video.id).await?;
    let original = original.ok_or_else(problem::no_original)?;
    let size = app.store.size(&original).await.map_err(Error::from)?;
    if size.is_none() {
        return Err(problem::no_original());
    }
    if !app.queue.retry(&video.id).await? {
        return Err(problem::not_failed());
    }
    tracing::info!(video.id = %video.id, "{} is tried once more", video.id);
    app.wake.notify_one();
    let answer = Completed {
        status_url: format!("{}/v1/videos/{}/status", app.control_base, video.id),
        video_id: video.id.to_string(),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}
