//! tus 1.0 (tus.io/protocols/resumable-upload): uploads whose bytes come in order, and go on wherever they ended.
//!
//! 1. [`create`] admits a film as `initiate` does, or a part of one; [`concat`] puts parts together;
//! 2. [`patch`] takes bytes from where the last ones ended: [`intake`] stores them in pieces, and the memory
//!    ([`crate::upload::streams`]) moves the offset once they are durable;
//! 3. [`finish`] joins the pieces of what has arrived whole and queues the film.
//!
//! No process holds what an upload is: two that add to the same bytes are told apart by the database, and the one that
//! lost is told where to go on. Within one process the later one has the earlier one stop ([`places`]).

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::{Body, BodyDataStream},
    extract::State as With,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use contracts::id::{UploadId, VideoId};
use runtime::problem::{Named, Problem};
use store::layout;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    intake::{End, Intake, Source},
    places::Place,
    spoken::Spoken,
    words::{Checksum, Concat, Metadata},
};
use crate::{
    api::{
        App,
        begin::{Begun, Film},
        caller::Caller,
        chunk::{content_length, drain},
        life::{CANCELLED, counted, digest},
        problem::no_upload,
        sender::Sender,
    },
    upload::{
        Refused, Request, State, Token, Upload, Way,
        abandon::abandon,
        streams::{Kind, Running, Stream},
    },
};

mod concat;
mod finish;
mod intake;
mod places;
mod problem;
mod spoken;
mod words;

pub(crate) use finish::follow;
#[cfg(test)]
pub(crate) use finish::take_up;
pub(crate) use places::Places;
pub(crate) use spoken::speak;
pub(crate) use words::{SENT, SHOWN};

/// Where it is spoken, below the version of the API.
const PATH: &str = "/videos/upload/tus";

/// The routes, to be nested below the version of the API.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(head, patch, remove))
}

/// Begins an upload (extension creation), with its first bytes if they are sent (creation-with-upload). With
/// `Upload-Concat` it is a part of one, or put together of parts (concatenation).
#[utoipa::path(post, path = "/videos/upload/tus", tag = "tus", request_body(content = Option<Vec<u8>>, content_type = "application/offset+octet-stream"),
    params(("tus-resumable" = String, Header, pattern = "^1\\.0\\.0$"), ("upload-length" = Option<u64>, Header, description = "the film's length; none where it is put together of parts"),
        ("upload-metadata" = Option<String>, Header, description = "filename, filetype, title, channel_id, privacy, protected, sha256, each with its value in base64"),
        ("upload-concat" = Option<String>, Header, description = "partial, or final; and the addresses of the parts"),
        ("upload-checksum" = Option<String>, Header, description = "sha1 or sha256 and the digest of the body in base64")),
    responses((status = 201, description = "Location says where it goes on, X-Video-Id what it becomes, Upload-Token what opens it, but for what is put together of parts"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 408, body = Problem), (status = 409, body = Problem), (status = 410, body = Problem), (status = 412, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem), (status = 460, body = Problem), (status = 503, body = Problem), (status = 507, body = Problem)))]
async fn create(
    With(app): With<Arc<App>>,
    _: Spoken,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    // What has arrived is set down also when the client has gone.
    let created = tokio::spawn(async move {
        let mut body = body.into_data_stream();
        let created = begin(&worker, &caller, &headers, &mut body).await;
        drained(&worker, created, &mut body).await
    });
    let created = created.await.unwrap_or_else(|_| Err(Problem::internal()));
    counted(&app, created.map_err(problem::of_new))
}

async fn begin(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, Problem> {
    let metadata = Metadata::of(headers)?;
    let concat = Concat::of(headers)?;
    if let Some(Concat::Final(parts)) = concat {
        return concat::put_together(app, caller, headers, metadata, parts).await;
    }
    if headers.contains_key(words::DEFER_LENGTH) {
        return Err(Problem::bad_request(
            "The length is to be known from the beginning.",
        ));
    }
    let size_bytes = words::number(headers, words::LENGTH)?;
    let size_bytes = size_bytes.ok_or_else(|| Problem::bad_request("Send Upload-Length."))?;
    let claimed = Checksum::of(headers)?;
    let with_bytes = headers.contains_key(header::CONTENT_TYPE) && is_bytes(headers);
    let length = content_length(headers);
    if with_bytes && length.is_some_and(|length| length > size_bytes) {
        return Err(problem::too_long(size_bytes));
    }
    let (stream, token) = match concat {
        Some(_) => part(app, caller, metadata, size_bytes).await?,
        None => film(app, caller, metadata, size_bytes).await?,
    };
    let id = stream.upload.id.clone();
    let begun = [
        (header::LOCATION.as_str(), location(app, &id)),
        (words::TOKEN, token.as_str().to_owned()),
        (header::CACHE_CONTROL.as_str(), "no-store".to_owned()),
    ];
    if !with_bytes {
        return Ok((StatusCode::CREATED, told(&stream), begun).into_response());
    }
    let place = app.places.take(&id).await;
    let stream = match take(app, stream, place, (claimed, length), body).await {
        Ok(stream) => stream,
        Err(refused) => match app.streams.find(&id).await? {
            // There is nothing more to send: it becomes a film as soon as it can.
            Some(stream) if stream.is_whole() && stream.kind == Kind::Whole => stream,
            Some(_) => {
                // Its client was not told of it.
                cancel(app, &id).await?;
                return Err(refused);
            }
            None => return Err(refused),
        },
    };
    Ok((StatusCode::CREATED, told(&stream), begun).into_response())
}

/// Begins an upload of a film, admitted as any is, and tells what opens it.
async fn film(
    app: &App,
    caller: &Caller,
    metadata: Metadata,
    size_bytes: u64,
) -> Result<(Stream, Token), Problem> {
    let film = film_of(&metadata, size_bytes)?;
    let begun = Begun::of(app, caller, film, Way::Stream).await?;
    let stream = new(begun.upload.clone(), Kind::Whole, metadata);
    let token = begun.token.clone();
    app.streams.create(&stream, app.clock.now()).await??;
    begun.announce(app).await?;
    Ok((stream, token))
}

/// Begins an upload of a part of a film, of which nothing is known yet but whose it is, and tells what
/// opens it.
async fn part(
    app: &App,
    caller: &Caller,
    metadata: Metadata,
    size_bytes: u64,
) -> Result<(Stream, Token), Problem> {
    if size_bytes == 0 {
        return Err(Refused::EmptyFile.into());
    }
    let limit_bytes = app.limits.max_film_bytes;
    if size_bytes > limit_bytes {
        return Err(Refused::FileTooLarge { limit_bytes }.into());
    }
    // The name of a film that never comes to be.
    let video = VideoId::from_random(app.draw()?);
    let token = Token::from_random(app.draw()?);
    let upload = Upload {
        id: UploadId::from_random(app.draw()?),
        way: Way::Stream,
        owner: match caller {
            Caller::Operator | Caller::Any => None,
            Caller::Publisher(user) => Some(user.clone()),
        },
        original: layout::original(&video, "part").map_err(|_| Problem::internal())?,
        video,
        size_bytes,
        chunk_size_bytes: app.limits.chunk_size_for(size_bytes),
        sha256: None,
        state: State::Receiving,
        expires: app.clock.now().plus(app.upload_ttl.as_secs()),
        token: Some(token.digest()),
    };
    let stream = new(upload, Kind::Partial, metadata);
    app.streams.create(&stream, app.clock.now()).await??;
    Ok((stream, token))
}

fn new(upload: Upload, kind: Kind, metadata: Metadata) -> Stream {
    Stream {
        upload,
        kind,
        arrived_bytes: 0,
        running: Some(Running::default()),
        metadata: metadata.text,
        parts: Vec::new(),
        became: None,
    }
}

fn film_of(metadata: &Metadata, size_bytes: u64) -> Result<Film, Problem> {
    let file_name = metadata.value(&["filename", "name"])?;
    let file_name = file_name.ok_or_else(problem::no_name)?;
    Ok(Film {
        request: Request {
            file_name,
            size_bytes,
            content_type: metadata.value(&["filetype", "type"])?,
        },
        sha256: digest(metadata.value(&["sha256"])?.as_deref())?,
        title: metadata.value(&["title"])?,
        privacy: metadata.privacy()?,
        protected: metadata.protected()?,
        channel: metadata.value(&["channel_id"])?,
    })
}

/// Tells where an upload goes on; whoever is sending to it at this process stops.
#[utoipa::path(head, path = "/videos/upload/tus/{id}", tag = "tus", params(("id" = String, Path), ("tus-resumable" = String, Header, pattern = "^1\\.0\\.0$")),
    responses((status = 200, description = "Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires, Upload-Concat, X-Video-Id"), (status = 401), (status = 403), (status = 404), (status = 410), (status = 412)))]
async fn head(
    With(app): With<Arc<App>>,
    _: Spoken,
    sender: Sender,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    counted(&app, look(&app, &sender, &id).await)
}

async fn look(app: &App, sender: &Sender, id: &str) -> Result<Response, Problem> {
    let stream = own(app, sender, id).await?;
    // What has come over a connection that its client has given up counts first.
    let place = app.places.take(&stream.upload.id).await;
    let stream = own(app, sender, id).await?;
    drop(place);
    let mut answer = (open(app, &stream).map(|()| StatusCode::OK)?, told(&stream)).into_response();
    let headers = answer.headers_mut();
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    headers.insert(words::LENGTH, stream.upload.size_bytes.into());
    let concat = match stream.kind {
        Kind::Whole => None,
        Kind::Partial => Some("partial".to_owned()),
        Kind::Final => {
            let parts: Vec<String> = stream
                .parts
                .iter()
                .map(|part| location(app, part))
                .collect();
            Some(format!("final;{}", parts.join(" ")))
        }
    };
    let metadata = Some(stream.metadata).filter(|text| !text.is_empty());
    for (name, value) in [(words::METADATA, metadata), (words::CONCAT, concat)] {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(answer)
}

/// Takes bytes from where the last ones ended. Those that came before a connection broke count, but for a body with a
/// checksum, which counts whole or not at all.
#[utoipa::path(patch, path = "/videos/upload/tus/{id}", tag = "tus", request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    params(("id" = String, Path), ("tus-resumable" = String, Header, pattern = "^1\\.0\\.0$"), ("upload-offset" = u64, Header, description = "where the body begins"),
        ("upload-checksum" = Option<String>, Header, description = "sha1 or sha256 and the digest of the body in base64")),
    responses((status = 204, description = "Upload-Offset says where it goes on"), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 408, body = Problem), (status = 409, body = Problem), (status = 410, body = Problem), (status = 412, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem), (status = 460, body = Problem), (status = 503, body = Problem), (status = 507, body = Problem)))]
async fn patch(
    With(app): With<Arc<App>>,
    _: Spoken,
    sender: Sender,
    Named(id): Named<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    // What has arrived is set down also when the client has gone, and joining goes on.
    let added = tokio::spawn(async move {
        let mut body = body.into_data_stream();
        let added = add(&worker, (&sender, &id), &headers, &mut body).await;
        drained(&worker, added, &mut body).await
    });
    let added = added.await;
    counted(&app, added.unwrap_or_else(|_| Err(Problem::internal())))
}

async fn add(
    app: &App,
    (sender, id): (&Sender, &str),
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, Problem> {
    if !is_bytes(headers) {
        return Err(problem::not_bytes());
    }
    let from = words::number(headers, words::OFFSET)?;
    let from = from.ok_or_else(|| Problem::bad_request("Send Upload-Offset."))?;
    let claimed = Checksum::of(headers)?;
    let length = content_length(headers);
    let stream = own(app, sender, id).await?;
    open(app, &stream)?;
    if stream.kind == Kind::Final {
        return Err(problem::no_more());
    }
    // Not in order to wait: whoever is there stops.
    if from > stream.upload.size_bytes || from < stream.arrived_bytes {
        return Err(problem::wrong_offset(stream.arrived_bytes));
    }
    let place = app.places.take(&stream.upload.id).await;
    let stream = own(app, sender, id).await?;
    if stream.arrived_bytes != from {
        return Err(problem::wrong_offset(stream.arrived_bytes));
    }
    let stream = take(app, stream, place, (claimed, length), body).await?;
    Ok((StatusCode::NO_CONTENT, told(&stream)).into_response())
}

/// Takes bytes into an upload, and finishes it when it is whole.
async fn take(
    app: &App,
    mut stream: Stream,
    mut place: Place,
    (claimed, length): (Option<Checksum>, Option<u64>),
    body: &mut BodyDataStream,
) -> Result<Stream, Problem> {
    let size_bytes = stream.upload.size_bytes;
    let left = size_bytes - stream.arrived_bytes.min(size_bytes);
    if length.is_some_and(|length| length > left) {
        return Err(problem::too_long(size_bytes));
    }
    let id = stream.upload.id.clone();
    let source = Source::new(body, &mut place, length);
    let (offset, end) = Intake::new(app, stream.clone(), claimed, source)
        .run()
        .await?;
    drop(place);
    stream.arrived_bytes = offset;
    if stream.is_whole() && stream.kind == Kind::Whole {
        finish::finish(app, &id).await?;
    }
    match end {
        End::Whole => Ok(stream),
        End::CutOff => Err(problem::cut_off()),
        End::Overtaken => Err(problem::overtaken()),
    }
}

/// Gives an upload up (extension termination).
#[utoipa::path(delete, path = "/videos/upload/tus/{id}", tag = "tus", params(("id" = String, Path), ("tus-resumable" = String, Header, pattern = "^1\\.0\\.0$")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 412, body = Problem)))]
async fn remove(
    With(app): With<Arc<App>>,
    _: Spoken,
    sender: Sender,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    // A client that gives up waiting must not leave it half given up.
    let removed = tokio::spawn(async move {
        let stream = own(&worker, &sender, &id).await?;
        cancel(&worker, &stream.upload.id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    });
    let removed = removed.await;
    counted(&app, removed.unwrap_or_else(|_| Err(Problem::internal())))
}

async fn cancel(app: &App, id: &UploadId) -> Result<(), Problem> {
    // Whoever is sending stops.
    let _place = app.places.take(id).await;
    let _turn = app.turns.wait(id).await;
    let stream = app.streams.find(id).await?.ok_or_else(no_upload)?;
    if stream.upload.state == State::Complete || stream.became.is_some() {
        return Err(Refused::Complete.into());
    }
    let (uploads, now) = (&*app.uploads, app.clock.now());
    let removed = abandon(uploads, &app.publishing, &stream.upload, CANCELLED, now).await?;
    if !removed && app.uploads.find(id).await?.is_some() {
        return Err(Refused::Complete.into());
    }
    app.metrics.upload("cancelled");
    Ok(())
}

/// An upload that this one may see and change; of others' one does not learn.
async fn own(app: &App, sender: &Sender, id: &str) -> Result<Stream, Problem> {
    let id = UploadId::parse(id).map_err(|_| no_upload())?;
    let found = app.streams.find(&id).await?;
    let own = |stream: &Stream| match sender {
        Sender::Caller(Caller::Operator | Caller::Any) => true,
        Sender::Caller(Caller::Publisher(user)) => stream.upload.owner.as_ref() == Some(user),
        Sender::Holder(held) => *held == stream.upload.id,
    };
    found.filter(own).ok_or_else(no_upload)
}

/// Whether an upload has not expired; what is a film by now, or waits to be joined to one, does not.
fn open(app: &App, stream: &Stream) -> Result<(), Problem> {
    let waits = stream.is_whole() && stream.kind != Kind::Partial;
    match stream.upload.is_over(app.clock.now()) && !waits {
        true => Err(Refused::Expired.into()),
        false => Ok(()),
    }
}

/// What every answer about an upload tells.
fn told(stream: &Stream) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(words::OFFSET, stream.arrived_bytes.into());
    // A part that has arrived whole still waits for somebody to put it together with others.
    if !stream.is_whole() || stream.kind == Kind::Partial {
        let expires = Duration::from_secs(stream.upload.expires.0);
        let expires = UNIX_EPOCH.checked_add(expires).map(httpdate::fmt_http_date);
        if let Some(Ok(expires)) = expires.map(HeaderValue::try_from) {
            headers.insert(words::EXPIRES, expires);
        }
    }
    if stream.kind != Kind::Partial
        && let Ok(video) = HeaderValue::try_from(stream.upload.video.as_str())
    {
        headers.insert(words::VIDEO, video);
    }
    headers
}

fn location(app: &App, id: &UploadId) -> String {
    format!("{}/v1{PATH}/{id}", app.public_base)
}

fn is_bytes(headers: &HeaderMap) -> bool {
    let told = headers.get(header::CONTENT_TYPE);
    let told = told.and_then(|told| told.to_str().ok()?.split(';').next());
    told.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(words::BYTES))
}

/// A client that is still sending would not see a refusal, were the connection closed.
async fn drained(
    app: &App,
    outcome: Result<Response, Problem>,
    body: &mut BodyDataStream,
) -> Result<Response, Problem> {
    if outcome.is_err() {
        drain(app, body).await;
    }
    outcome
}
