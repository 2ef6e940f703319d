//! Subtitles of a film over HTTP: put, listed, removed.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, BodyDataStream},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use catalog::videos::{self, Video};
use contracts::id::VideoId;
use packager::text::{self, Encoding};
use runtime::problem::{Named, Problem};
use store::Digest;

use super::{
    App,
    body::{Label, Put, Subtitles, Texts},
    caller::Caller,
    chunk::{content_length, drain, next},
    life::counted,
    problem,
};
use crate::{
    Error,
    texts::{Language, Stored, Text},
};

/// Stores the film's subtitles of a language, in place of those that it has. They may come as soon
/// as the upload has begun, and are published with the film.
#[utoipa::path(put, path = "/videos/{id}/subtitles/{lang}", request_body(content = String, content_type = "text/vtt", description = "WebVTT or SubRip, at most 2 MiB"),
    params(("id" = String, Path), ("lang" = String, Path, description = "a BCP 47 tag of at most 11 characters"),
        ("label" = Option<String>, Query, description = "what viewers choose them by, where the language does not say enough; at most 100 characters")),
    responses((status = 200, body = Put, description = "in place of others"), (status = 201, body = Put), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 408, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 503, body = Problem, description = "too many come at once; Retry-After tells when to send them again")))]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named((id, tag)): Named<(String, String)>,
    label: Result<Query<Label>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut body = body.into_data_stream();
    let outcome = take(&app, (&caller, &id, &tag), label, &headers, &mut body).await;
    if outcome.is_err() {
        // A client that is still sending would not see the answer, were the connection closed.
        drain(&app, &mut body).await;
    }
    counted(&app, outcome)
}

async fn take(
    app: &Arc<App>,
    (caller, id, tag): (&Caller, &str, &str),
    label: Result<Query<Label>, QueryRejection>,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, Problem> {
    let video = find(app, caller, id).await?;
    if video.state == videos::State::Failed {
        return Err(problem::failed());
    }
    let language = language(tag)?;
    let Query(Label { label }) = label.map_err(|fault| Problem::bad_request(fault.body_text()))?;
    let label = self::label(label)?;
    let places = Arc::clone(&app.texts);
    let place = places.try_acquire_owned().map_err(|_| problem::busy())?;
    let file = tokio::time::timeout(WHOLE, whole(body, content_length(headers))).await;
    let file = file.unwrap_or_else(|_| Err(problem::cut_off()))?;
    let read = tokio::task::spawn_blocking(move || canonical(&file)).await;
    let (answer, sha256, file) = read.map_err(|_| Problem::internal())??;
    let text = Text {
        language,
        label,
        sha256: Some(sha256),
    };
    let answer = Put {
        subtitles: told(&text),
        ..answer
    };
    tracing::info!(video.id = %video.id, rendition = %text.language.rendition(), "{} of {} are taken", text.language.rendition(), video.id);
    let worker = Arc::clone(app);
    // A client that gives up waiting must not leave it half done.
    let stored = tokio::spawn(async move {
        let _place = place;
        worker.publishing.put(&video.id, &text, file).await
    });
    let status = match stored.await.map_err(|_| Problem::internal())?? {
        Stored::New => StatusCode::CREATED,
        Stored::Replaced => StatusCode::OK,
        Stored::TooMany => return Err(problem::too_many_texts()),
        Stored::Unwanted => return Err(problem::failed()),
    };
    Ok((status, Json(answer)).into_response())
}

/// Reads a body that is no longer than subtitles may be.
async fn whole(body: &mut BodyDataStream, length: Option<u64>) -> Result<Vec<u8>, Problem> {
    if length.is_some_and(|length| length > MAX_BYTES) {
        return Err(problem::text_too_large());
    }
    let mut file = BytesMut::new();
    while let Some(frame) = next(body).await? {
        if (file.len() + frame.len()) as u64 > MAX_BYTES {
            return Err(problem::text_too_large());
        }
        file.extend_from_slice(&frame);
    }
    Ok(file.into())
}

/// What is kept of a file: its cues, as WebVTT.
fn canonical(file: &[u8]) -> Result<(Put, Digest, Bytes), Problem> {
    let document = text::parse(file).map_err(|fault| problem::no_subtitles(&fault.to_string()))?;
    if document.cues().is_empty() {
        return Err(problem::no_subtitles(
            "the file has no cue that can be shown",
        ));
    }
    let file = Bytes::from(text::webvtt::write(&document));
    let sha256 = Digest::of(&file);
    let answer = Put {
        subtitles: Subtitles::default(),
        cues: document.cues().len(),
        encoding: match document.encoding() {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16 => "utf-16",
            Encoding::Windows1252 => "windows-1252",
        },
        sha256: sha256.to_string(),
    };
    Ok((answer, sha256, file))
}

/// Lists the film's subtitles by language.
#[utoipa::path(get, path = "/videos/{id}/subtitles", params(("id" = String, Path)),
    responses((status = 200, body = Texts), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    counted(&app, all(&app, &caller, &id).await)
}

async fn all(app: &App, caller: &Caller, id: &str) -> Result<Response, Problem> {
    let video = find(app, caller, id).await?;
    let texts = app.publishing.list(&video.id).await?;
    let answer = Texts {
        video_id: video.id.to_string(),
        subtitles: texts.iter().map(told).collect(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Removes the film's subtitles of a language.
#[utoipa::path(delete, path = "/videos/{id}/subtitles/{lang}", params(("id" = String, Path), ("lang" = String, Path)),
    responses((status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Named((id, tag)): Named<(String, String)>,
) -> Result<Response, Problem> {
    let worker = Arc::clone(&app);
    let removed = tokio::spawn(async move { without(&worker, &caller, &id, &tag).await }).await;
    counted(&app, removed.unwrap_or_else(|_| Err(Problem::internal())))
}

async fn without(app: &App, caller: &Caller, id: &str, tag: &str) -> Result<Response, Problem> {
    let video = find(app, caller, id).await?;
    let language = language(tag)?;
    if !app.publishing.remove(&video.id, &language).await? {
        return Err(problem::no_text(language.tag()));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A film that this caller may change; of others' one does not learn here.
pub(super) async fn find(app: &App, caller: &Caller, id: &str) -> Result<Video, Problem> {
    let id = VideoId::parse(id).map_err(|_| Problem::no_video())?;
    let video = app.videos.find(&id).await.map_err(Error::from)?;
    let there = video.filter(|video| video.state != videos::State::Deleted);
    let video = there.ok_or_else(Problem::no_video)?;
    match app.may(caller, &video.id).await? {
        true => Ok(video),
        false => Err(Problem::no_video()),
    }
}

fn language(tag: &str) -> Result<Language, Problem> {
    Language::parse(tag).ok_or_else(problem::bad_language)
}

fn label(label: Option<String>) -> Result<Option<String>, Problem> {
    let label = label.map(|label| label.trim().to_owned());
    let label = label.filter(|label| !label.is_empty());
    // It stands between quotes in playlists (RFC 8216 §4.2).
    let fits = |label: &String| {
        label.chars().count() <= MAX_LABEL && !label.chars().any(|c| c.is_control() || c == '"')
    };
    if !label.as_ref().is_none_or(fits) {
        let detail =
            "label has at most 100 characters, no control characters and no double quotes.";
        return Err(Problem::bad_request(detail));
    }
    Ok(label)
}

fn told(text: &Text) -> Subtitles {
    Subtitles {
        language: text.language.tag().to_owned(),
        rendition: text.language.rendition().to_string(),
        label: text.label.clone(),
    }
}

const MAX_BYTES: u64 = 2 << 20;
/// How long subtitles may take to arrive, since they hold one of few places meanwhile.
const WHOLE: Duration = Duration::from_secs(120);
const MAX_LABEL: usize = 100;
