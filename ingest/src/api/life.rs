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
use contracts::id::UploadId;
use runtime::problem::{Named, Problem};
use store::{Digest, Part};

use super::{
    App,
    begin::{self, Begun, Film},
    body::{Complete, Completed, Initiate, Initiated, PartUrl, Progress},
    caller::Caller,
    direct::{self, Going},
    problem,
    sender::Sender,
    whole::{self, Joined},
};
use crate::{
    Error,
    upload::{
        self, Chunk, Completion, Refused, Request, Token, Upload, Way, abandon::abandon,
        streams::Running,
    },
};

/// Begins an upload: checks what is announced, and tells how to cut the file.
#[utoipa::path(post, path = "/videos/upload/initiate", request_body = Initiate,
    responses((status = 201, body = Initiated), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 429, body = Problem)))]
pub(super) async fn initiate(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Result<Json<Initiate>, JsonRejection>,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    // A client that gives up waiting must not leave it half begun.
    let begun = tokio::spawn(async move { begin(&worker, &caller, body).await }).await;
    counted(&app, begun.unwrap_or_else(|_| Err(Problem::internal())))
}

async fn begin(
    app: &App,
    caller: &Caller,
    body: Result<Json<Initiate>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wish) = body?;
    let film = Film {
        request: Request {
            file_name: wish.file_name,
            size_bytes: wish.size_bytes,
            content_type: wish.content_type,
        },
        sha256: digest(wish.sha256.as_deref())?,
        title: wish.title,
        privacy: wish.privacy,
        protected: wish.protected,
        channel: wish.channel_id,
    };
    let mut begun = Begun::of(app, caller, film, Way::Chunks).await?;
    let going = match wish.direct {
        true => direct::begin(app, &mut begun.upload).await?,
        false => None,
    };
    let upload = begun.upload.clone();
    match enter(app, begun, going.as_deref()).await {
        Ok(answer) => {
            let told = [
                (header::LOCATION, answer.status_url.clone()),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            Ok((StatusCode::CREATED, told, Json(answer)).into_response())
        }
        Err(refused) => {
            begin::take_back(app, &upload).await;
            if let Some(name) = going {
                direct::take_back(app, &upload, &name).await;
            }
            Err(refused)
        }
    }
}

/// Remembers an upload, which the store calls so if it goes straight to it.
async fn enter(app: &App, begun: Begun, going: Option<&str>) -> Result<Initiated, Problem> {
    app.uploads.create(&begun.upload).await??;
    if let Some(name) = going {
        app.uploads.go_direct(&begun.upload.id, name).await?;
    }
    let token = begun.token.clone();
    let upload = begun.announce(app).await?;
    let mut answer = initiated(app, &upload, &token);
    if let Some(going) = Going::find(app, &upload).await? {
        answer.parts = going.urls(&[]).await?;
    }
    Ok(answer)
}

fn initiated(app: &App, upload: &Upload, token: &Token) -> Initiated {
    let base = format!("{}/v1/videos/upload/{}", app.public_base, upload.id);
    Initiated {
        upload_id: upload.id.to_string(),
        video_id: upload.video.to_string(),
        chunk_size_bytes: upload.chunk_size_bytes,
        chunk_count: upload.chunk_count(),
        expires_unix_s: upload.expires.0,
        upload_token: token.as_str().to_owned(),
        chunk_url: format!("{base}/chunk"),
        complete_url: format!("{base}/complete"),
        status_url: base,
        parts: Vec::new(),
    }
}

/// Tells what has arrived.
#[utoipa::path(get, path = "/videos/upload/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Progress), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    sender: Sender,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    counted(&app, progress(&app, &sender, &id).await)
}

async fn progress(app: &App, sender: &Sender, id: &str) -> Result<Response, Problem> {
    let upload = own(app, sender, id).await?;
    let (received, parts) = received(app, &upload).await?;
    let bytes = received
        .iter()
        .filter_map(|index| upload.chunk_bytes(*index));
    let answer = Progress {
        upload_id: upload.id.to_string(),
        video_id: upload.video.to_string(),
        state: match upload.is_over(app.clock.now()) {
            true => "expired",
            false => upload.state.as_str(),
        },
        size_bytes: upload.size_bytes,
        received_bytes: bytes.sum(),
        chunk_size_bytes: upload.chunk_size_bytes,
        chunk_count: upload.chunk_count(),
        received,
        expires_unix_s: upload.expires.0,
        parts,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Which chunks are here, and where those go to that are missing, if not to ingest.
async fn received(app: &App, upload: &Upload) -> Result<(Vec<u32>, Vec<PartUrl>), Problem> {
    if upload.state == upload::State::Complete {
        return Ok(((0..upload.chunk_count()).collect(), Vec::new()));
    }
    if let Some(going) = Going::find(app, upload).await? {
        let received = going.received().await?;
        let parts = going.urls(&received).await?;
        return Ok((received, parts));
    }
    let chunks = app.uploads.chunks(&upload.id).await?;
    let stored = chunks.iter().filter(|chunk| chunk.stored);
    Ok((stored.map(|chunk| chunk.index).collect(), Vec::new()))
}

/// Completes an upload: compares the whole with its digest, and queues the video. May be repeated.
#[utoipa::path(post, path = "/videos/upload/{id}/complete", params(("id" = String, Path)), request_body(content = Option<Complete>),
    responses((status = 202, body = Completed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 410, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem, description = "the catalogue or the store does not answer, or gives other bytes each time that they are read; Retry-After tells when to complete again"), (status = 507, body = Problem)))]
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    sender: Sender,
    Named(id): Named<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    counted(&app, in_turn(&app, &sender, &id, body).await)
}

async fn in_turn(
    app: &Arc<App>,
    sender: &Sender,
    id: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let upload = own(app, sender, id).await?;
    // Who gives up waiting for a turn has none: what nobody waits for would else pile up.
    let turn = app.turns.wait(&upload.id).await;
    let (app, id) = (Arc::clone(app), upload.id.to_string());
    // Joining a large film takes its time; a client that gives up waiting then must not undo it.
    let finished = tokio::spawn(async move {
        let _turn = turn;
        finish(&app, &id, body).await
    });
    finished.await.unwrap_or_else(|_| Err(Problem::internal()))
}

async fn finish(
    app: &App,
    id: &str,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(problem::body)?;
    let told: Complete = match &*body {
        b"" => Complete::default(),
        json => Json::from_bytes(json)?.0,
    };
    let sha256 = digest(told.sha256.as_deref())?;
    // Whoever had the turn before may have completed it.
    let upload = find(app, id).await?;
    match Going::find(app, &upload).await? {
        Some(going) => going.complete(sha256).await?,
        None => join(app, &upload, sha256).await?,
    }
    let answer = Completed {
        video_id: upload.video.to_string(),
        status_url: format!("{}/v1/videos/{}/status", app.control_base, upload.video),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Joins the chunks that came through here.
async fn join(app: &App, upload: &Upload, sha256: Option<Digest>) -> Result<(), Problem> {
    let chunks = app.uploads.chunks(&upload.id).await?;
    let completion = upload::complete(upload, &chunks, sha256, app.clock.now())?;
    let Completion::Join { parts, promised } = completion else {
        return Ok(());
    };
    whole::compare(app, upload, &promised).await?;
    let joining = async {
        match whole::join(app, upload, &parts, &promised).await? {
            Joined::Queued => Ok(()),
            Joined::Damaged(made) => blame(app, upload, (&parts, &promised), made).await,
            Joined::Missing => blame(app, upload, (&parts, &promised), None).await,
        }
    };
    whole::kept(app, &upload.id, joining).await
}

/// Finds out why chunks that arrived whole do not make the whole: those that the store has lost or
/// spoilt are forgotten, so that they can be sent again; if there is none, the promise was wrong, or what was read.
async fn blame(
    app: &App,
    upload: &Upload,
    (parts, promised): (&[Part], &Digest),
    made: Option<Digest>,
) -> Result<(), Problem> {
    // A store that is away has lost nothing.
    store::look(&*app.store).await.map_err(Error::from)?;
    let chunks = app.uploads.chunks(&upload.id).await?;
    let (mut missing, mut whole) = (Vec::new(), Running::default());
    for (index, part) in (0..).zip(parts) {
        let at = chunks.binary_search_by_key(&index, |chunk| chunk.index);
        let sound = match at.ok().and_then(|at| chunks.get(at)) {
            Some(chunk) => is_sound(app, chunk, part, &mut whole).await?,
            // Another process has found out before.
            None => false,
        };
        if !sound {
            missing.push(index);
        }
    }
    if whole::is_complete(app, upload, promised).await? {
        return Ok(());
    }
    for &index in &missing {
        tracing::error!(upload.id = %upload.id, index, "the store lost or spoilt a chunk of {}", upload.id);
        app.uploads.forget(&upload.id, index).await?;
    }
    if !missing.is_empty() {
        return Err(Refused::Missing { missing }.into());
    }
    let found = whole.digest();
    if found == *promised {
        // Of two readings one was wrong, and not this one.
        return match whole::join(app, upload, parts, promised).await? {
            Joined::Queued => Ok(()),
            Joined::Damaged(_) | Joined::Missing => Err(problem::misread(upload)),
        };
    }
    match made {
        Some(made) if made == found => {
            // Who asks again, with whatever digest, is answered by this.
            let chunks = upload.chunk_count();
            app.uploads.makes(&upload.id, chunks, &made).await?;
            Err(Refused::WrongWhole.into())
        }
        Some(_) => Err(problem::misread(upload)),
        None => Err(Refused::WrongWhole.into()),
    }
}

/// Whether a chunk is in the store as it came; its bytes are added to the whole.
async fn is_sound(
    app: &App,
    chunk: &Chunk,
    part: &Part,
    whole: &mut Running,
) -> Result<bool, Error> {
    if app.store.size(&part.key).await? != Some(part.size_bytes) {
        return Ok(false);
    }
    let mut own = Running::default();
    let read = whole::read(app, part, |bytes| {
        own.add(bytes);
        whole.add(bytes);
    });
    match read.await {
        Ok(there) => Ok(there && own.digest() == chunk.sha256),
        Err(store::Error::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Cancels an upload and removes what has arrived.
#[utoipa::path(delete, path = "/videos/upload/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    sender: Sender,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    // A client that gives up waiting must not leave it half cancelled.
    let removed = tokio::spawn(async move { remove(&worker, &sender, &id).await }).await;
    counted(&app, removed.unwrap_or_else(|_| Err(Problem::internal())))
}

async fn remove(app: &App, sender: &Sender, id: &str) -> Result<Response, Problem> {
    let upload = own(app, sender, id).await?;
    let _turn = app.turns.wait(&upload.id).await;
    let upload = find(app, id).await?;
    if upload.state == upload::State::Complete {
        return Err(Refused::Complete.into());
    }
    let (uploads, now) = (&*app.uploads, app.clock.now());
    let removed = abandon(uploads, &app.publishing, &upload, CANCELLED, now).await?;
    if !removed && whole::is_there(app, &upload).await? {
        return Err(Refused::Complete.into());
    }
    app.metrics.upload("cancelled");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An upload that is there, for whoever may see and change it.
pub(super) async fn own(app: &App, sender: &Sender, id: &str) -> Result<Upload, Problem> {
    let upload = find(app, id).await?;
    app.admit(sender, &upload).await?;
    Ok(upload)
}

async fn find(app: &App, id: &str) -> Result<Upload, Problem> {
    let id = UploadId::parse(id).map_err(|_| problem::no_upload())?;
    let found = app.uploads.find(&id).await?;
    // Those that come in order have an API of their own.
    let found = found.filter(|upload| upload.way == Way::Chunks);
    found.ok_or_else(problem::no_upload)
}

pub(crate) fn digest(hex: Option<&str>) -> Result<Option<Digest>, Problem> {
    let wrong = || Problem::bad_request("sha256 is 64 hexadecimal digits.");
    hex.map(|hex| Digest::from_hex(hex).ok_or_else(wrong))
        .transpose()
}

/// Counts a refusal.
pub(crate) fn counted(app: &App, outcome: Result<Response, Problem>) -> Result<Response, Problem> {
    if let Err(problem) = &outcome {
        app.metrics.refused(problem.kind());
    }
    outcome
}

pub(crate) const CANCELLED: &str = "the upload was cancelled";
