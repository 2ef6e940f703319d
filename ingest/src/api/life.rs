//! The life of an upload: begun, looked at, completed, cancelled.

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        State,
        rejection::{BytesRejection, JsonRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use catalog::videos::{Event, NewVideo};
use contracts::{
    id::{UploadId, VideoId},
    time::UnixSeconds,
};
use runtime::problem::{Named, Problem};
use store::{Digest, Part, layout};

use super::{
    App,
    body::{Complete, Completed, Initiate, Initiated, Progress},
    caller::Caller,
    problem,
};
use crate::{
    Error,
    jobs::NewJob,
    upload::{self, Completion, Plan, Refused, Request, Upload, abandon::abandon},
};

/// Begins an upload: checks what is announced, and tells how to cut the file.
#[utoipa::path(post, path = "/videos/upload/initiate", request_body = Initiate,
    responses((status = 201, body = Initiated), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem)))]
pub(super) async fn initiate(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Result<Json<Initiate>, JsonRejection>,
) -> Result<Response, Problem> {
    counted(&app, begin(&app, &caller, body).await)
}

async fn begin(
    app: &App,
    caller: &Caller,
    body: Result<Json<Initiate>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wish) = body?;
    let channel = app.channel(caller, wish.channel_id.as_deref()).await?;
    let sha256 = digest(wish.sha256.as_deref())?;
    let title = title(&wish)?;
    let request = Request {
        file_name: wish.file_name,
        size_bytes: wish.size_bytes,
        content_type: wish.content_type,
    };
    let plan = Plan::of(&request, app.limits)?;
    let upload = remember(app, plan, sha256).await?;
    let video = NewVideo {
        id: upload.video.clone(),
        title,
        privacy: wish.privacy,
        protected: wish.protected,
    };
    app.videos.create(video).await.map_err(Error::from)?;
    if channel.is_some() {
        // Before anybody is told of the film.
        let put = app.channels.put(&upload.video, None, channel.as_ref());
        put.await.map_err(Error::from)?;
    }
    app.uploads.create(&upload).await?;
    app.metrics.upload("started");
    tracing::info!(upload.id = %upload.id, video.id = %upload.video, size_bytes = upload.size_bytes,
        "upload {} begins for {}", upload.id, upload.video);
    let answer = initiated(app, &upload);
    let location = [(header::LOCATION, answer.status_url.clone())];
    Ok((StatusCode::CREATED, location, Json(answer)).into_response())
}

/// Names a new upload and its video.
async fn remember(app: &App, plan: Plan, sha256: Option<Digest>) -> Result<Upload, Problem> {
    let (mut for_video, mut for_upload) = ([0; 16], [0; 16]);
    (app.random)(&mut for_video)?;
    (app.random)(&mut for_upload)?;
    let video = VideoId::from_random(for_video);
    let id = UploadId::from_random(for_upload);
    let original =
        layout::original(&video, &plan.extension).map_err(|_| Problem::from(Refused::Format))?;
    let lasts = app.upload_ttl.as_secs();
    Ok(Upload {
        id,
        video,
        original,
        size_bytes: plan.size_bytes,
        chunk_size_bytes: plan.chunk_size_bytes,
        sha256,
        state: upload::State::Receiving,
        expires: UnixSeconds(app.clock.now().0.saturating_add(lasts)),
    })
}

fn initiated(app: &App, upload: &Upload) -> Initiated {
    let base = format!("{}/v1/videos/upload/{}", app.public_base, upload.id);
    Initiated {
        upload_id: upload.id.to_string(),
        video_id: upload.video.to_string(),
        chunk_size_bytes: upload.chunk_size_bytes,
        chunk_count: upload.chunk_count(),
        expires_unix_s: upload.expires.0,
        chunk_url: format!("{base}/chunk"),
        complete_url: format!("{base}/complete"),
        status_url: base,
    }
}

/// Tells what has arrived.
#[utoipa::path(get, path = "/videos/upload/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Progress), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    counted(&app, progress(&app, &caller, &id).await)
}

async fn progress(app: &App, caller: &Caller, id: &str) -> Result<Response, Problem> {
    let upload = own(app, caller, id).await?;
    let received: Vec<u32> = if upload.state == upload::State::Complete {
        (0..upload.chunk_count()).collect()
    } else {
        let chunks = app.uploads.chunks(&upload.id).await?;
        let stored = chunks.iter().filter(|chunk| chunk.stored);
        stored.map(|chunk| chunk.index).collect()
    };
    let bytes = received
        .iter()
        .filter_map(|index| upload.chunk_bytes(*index));
    let answer = Progress {
        upload_id: upload.id.to_string(),
        video_id: upload.video.to_string(),
        state: upload.state.as_str(),
        size_bytes: upload.size_bytes,
        received_bytes: bytes.sum(),
        chunk_size_bytes: upload.chunk_size_bytes,
        chunk_count: upload.chunk_count(),
        received,
        expires_unix_s: upload.expires.0,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Completes an upload: compares the whole with its digest, and queues the video. May be repeated.
#[utoipa::path(post, path = "/videos/upload/{id}/complete", params(("id" = String, Path)), request_body(content = Option<Complete>),
    responses((status = 202, body = Completed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 410, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 507, body = Problem)))]
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    // Joining a large film takes its time; a client that gives up waiting must not undo it.
    let finished = tokio::spawn(async move { finish(&worker, &caller, &id, body).await }).await;
    counted(&app, finished.unwrap_or_else(|_| Err(Problem::internal())))
}

async fn finish(
    app: &App,
    caller: &Caller,
    id: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let upload = own(app, caller, id).await?;
    let body = body.map_err(problem::body)?;
    let told: Complete = match &*body {
        b"" => Complete::default(),
        json => serde_json::from_slice(json).map_err(|fault| {
            Problem::bad_request(format!("The body is not as expected: {fault}"))
        })?,
    };
    let sha256 = digest(told.sha256.as_deref())?;
    let _turn = app.turns.wait(&upload.id).await;
    // Whoever had the turn before may have completed it.
    let upload = find(app, id).await?;
    let chunks = app.uploads.chunks(&upload.id).await?;
    match upload::complete(&upload, &chunks, sha256, app.clock.now())? {
        Completion::Already => {}
        Completion::Join { parts, promised } => join(app, &upload, &parts, &promised).await?,
    }
    let answer = Completed {
        video_id: upload.video.to_string(),
        status_url: format!("{}/v1/videos/{}/status", app.control_base, upload.video),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

async fn join(
    app: &App,
    upload: &Upload,
    parts: &[Part],
    promised: &Digest,
) -> Result<(), Problem> {
    let Err(error) = app.store.join(parts, &upload.original, promised).await else {
        return queue(app, upload, promised).await;
    };
    if is_complete(app, upload, promised).await? {
        return Ok(());
    }
    match error {
        store::Error::DigestMismatch { .. }
        | store::Error::PartMissing { .. }
        | store::Error::Corrupt { .. } => blame(app, upload, promised).await,
        error => Err(Error::from(error).into()),
    }
}

/// Whether another process has completed it by now, and removed the chunks; refused when it was
/// cancelled, or completed as another whole than was promised here.
async fn is_complete(app: &App, upload: &Upload, promised: &Digest) -> Result<bool, Problem> {
    let found = app.uploads.find(&upload.id).await?;
    let found = found.ok_or_else(problem::no_upload)?;
    found.whole(Some(*promised))?;
    Ok(found.state == upload::State::Complete)
}

/// Finds out why chunks that arrived whole do not make the whole: those that the store has lost or
/// spoilt are forgotten, so that they can be sent again; if there is none, the promise was wrong.
async fn blame(app: &App, upload: &Upload, promised: &Digest) -> Result<(), Problem> {
    let mut missing = Vec::new();
    for chunk in app.uploads.chunks(&upload.id).await? {
        let bytes = app
            .store
            .read(&layout::chunk(&upload.id, chunk.index))
            .await
            .map_err(Error::from)?;
        let sound = bytes.is_some_and(|bytes| Digest::of(&bytes) == chunk.sha256);
        if !sound {
            missing.push(chunk.index);
        }
    }
    if is_complete(app, upload, promised).await? {
        return Ok(());
    }
    for &index in &missing {
        tracing::error!(upload.id = %upload.id, index, "the store lost or spoilt a chunk of {}", upload.id);
        app.uploads.forget(&upload.id, index).await?;
    }
    Err(if missing.is_empty() {
        Refused::WrongWhole.into()
    } else {
        Refused::Missing { missing }.into()
    })
}

async fn queue(app: &App, upload: &Upload, whole: &Digest) -> Result<(), Problem> {
    let channel = app.channels.of(&upload.video).await.map_err(Error::from)?;
    let owner = channel.map_or_else(String::new, |channel| channel.owner.to_string());
    let job = NewJob::first(upload.video.clone(), upload.original.clone(), owner);
    let first = app
        .uploads
        .complete(&upload.id, whole, &job, app.clock.now())
        .await?;
    if !first && !is_there(app, upload).await? {
        // Cancelled while it was joined.
        let removed = app.store.delete(&upload.original).await;
        removed.map_err(Error::from)?;
        return Err(problem::no_upload());
    }
    // The job itself moves the video on, too, should this process die between the two.
    match app.videos.advance(&upload.video, Event::Uploaded).await {
        Ok(_) | Err(catalog::Error::Refused { .. }) => {}
        Err(error) => return Err(Error::from(error).into()),
    }
    if first {
        app.metrics.upload("completed");
        tracing::info!(upload.id = %upload.id, video.id = %upload.video, "upload {} is whole", upload.id);
        app.wake.notify_one();
        // The chunks are in the original now. That they cannot be removed is not the client's matter.
        if let Err(error) = app.store.delete_prefix(&layout::upload(&upload.id)).await {
            tracing::warn!(upload.id = %upload.id, %error, "cannot remove the chunks of {}", upload.id);
        }
    }
    Ok(())
}

async fn is_there(app: &App, upload: &Upload) -> Result<bool, Error> {
    Ok(app.uploads.find(&upload.id).await?.is_some())
}

/// Cancels an upload and removes what has arrived.
#[utoipa::path(delete, path = "/videos/upload/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    // A client that gives up waiting must not leave it half cancelled.
    let removed = tokio::spawn(async move { remove(&worker, &caller, &id).await }).await;
    counted(&app, removed.unwrap_or_else(|_| Err(Problem::internal())))
}

async fn remove(app: &App, caller: &Caller, id: &str) -> Result<Response, Problem> {
    let upload = own(app, caller, id).await?;
    let _turn = app.turns.wait(&upload.id).await;
    let upload = find(app, id).await?;
    if upload.state == upload::State::Complete {
        return Err(Refused::Complete.into());
    }
    let (uploads, videos) = (&*app.uploads, &*app.videos);
    let removed = abandon(uploads, videos, &app.publishing, &upload, CANCELLED).await?;
    if !removed && is_there(app, &upload).await? {
        return Err(Refused::Complete.into());
    }
    app.metrics.upload("cancelled");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An upload that this caller may see and change; of others' one does not learn.
pub(super) async fn own(app: &App, caller: &Caller, id: &str) -> Result<Upload, Problem> {
    let upload = find(app, id).await?;
    match app.may(caller, &upload.video).await? {
        true => Ok(upload),
        false => Err(problem::no_upload()),
    }
}

async fn find(app: &App, id: &str) -> Result<Upload, Problem> {
    let id = UploadId::parse(id).map_err(|_| problem::no_upload())?;
    app.uploads.find(&id).await?.ok_or_else(problem::no_upload)
}

fn digest(hex: Option<&str>) -> Result<Option<Digest>, Problem> {
    let wrong = || Problem::bad_request("sha256 is 64 hexadecimal digits.");
    hex.map(|hex| Digest::from_hex(hex).ok_or_else(wrong))
        .transpose()
}

fn title(wish: &Initiate) -> Result<String, Problem> {
    let title = wish
        .title
        .as_deref()
        .map(str::trim)
        .filter(|title| !title.is_empty());
    let title = title.map_or_else(|| upload::title_of(&wish.file_name), str::to_owned);
    let faulty = title.chars().count() > MAX_TITLE || title.chars().any(char::is_control);
    if faulty {
        return Err(Problem::bad_request(
            "title, or the file's name in its place, has at most 200 characters and no control characters.",
        ));
    }
    Ok(title)
}

/// Counts a refusal.
pub(super) fn counted(app: &App, outcome: Result<Response, Problem>) -> Result<Response, Problem> {
    if let Err(problem) = &outcome {
        app.metrics.refused(problem.kind());
    }
    outcome
}

const MAX_TITLE: usize = 200;
const CANCELLED: &str = "the upload was cancelled";
