//! What ingest alone refuses, and what it answers when something of its own fails.

use std::time::Duration;

use axum::{extract::rejection::BytesRejection, http::StatusCode};
use runtime::problem::Problem;

use crate::{
    Error,
    upload::{
        Refused, Upload,
        quota::{Kind, Over},
    },
};

pub(crate) fn no_upload() -> Problem {
    let detail = "There is no upload with this id; it may have been cancelled.";
    Problem::new(
        "upload-not-found",
        StatusCode::NOT_FOUND,
        "No such upload",
        detail,
    )
}

/// 401: what was shown does not count, or nothing was shown.
pub(crate) fn credentials(were_shown: bool) -> Problem {
    let detail = match were_shown {
        true => {
            "The access token, API key, operator key or upload token that was sent does not count here, or no longer."
        }
        false => {
            "Send an access token, an API key or the operator key as Authorization: Bearer; clients that follow a redirect may leave it out."
        }
    };
    Problem::new(
        "unauthorized",
        StatusCode::UNAUTHORIZED,
        "Credentials needed",
        detail,
    )
}

pub(crate) fn not_allowed() -> Problem {
    let detail = "Publishers may upload, and API keys with the scope upload.";
    Problem::new("forbidden", StatusCode::FORBIDDEN, "Not allowed", detail)
}

pub(crate) fn operators_only() -> Problem {
    let detail = "Operators see and set quotas, and publishers see their own.";
    Problem::new("forbidden", StatusCode::FORBIDDEN, "Not allowed", detail)
}

pub(crate) fn no_user() -> Problem {
    let detail = "There is no such account.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("user-not-found", status, "No such account", detail)
}

pub(crate) fn channel_needed() -> Problem {
    let detail = "Name the channel that the film is for in channel_id: one of your own.";
    let status = StatusCode::BAD_REQUEST;
    Problem::new("channel-needed", status, "Channel needed", detail)
}

pub(crate) fn no_channel() -> Problem {
    let detail = "There is no such channel, or it is not yours.";
    let status = StatusCode::NOT_FOUND;
    Problem::new("channel-not-found", status, "No such channel", detail)
}

pub(crate) fn too_many() -> Problem {
    let detail = "Too many credentials that do not count came from there; try again in a moment.";
    let status = StatusCode::TOO_MANY_REQUESTS;
    let problem = Problem::new("too-many-requests", status, "Too many requests", detail);
    problem.retry_after(MINUTE)
}

pub(crate) fn nobody_to_ask() -> Problem {
    let detail = "Who calls cannot be found out now; try again in a moment.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new("unavailable", status, "Unavailable", detail).retry_after(SOON)
}

pub(crate) fn failed() -> Problem {
    let detail = "This video cannot be made; its status tells why.";
    Problem::new("video-failed", StatusCode::CONFLICT, "Failed video", detail)
}

pub(crate) fn not_failed() -> Problem {
    let detail = "Only a video that has failed, or has fewer renditions than it was to have, can be tried once more.";
    Problem::new("not-failed", StatusCode::CONFLICT, "Not failed", detail)
}

/// A video that failed after it was shown, and that caches are still made to forget.
pub(crate) fn still_shown() -> Problem {
    let detail = "What could be watched of this video is being taken back; it can be tried once more when that is done, in a minute or two.";
    let status = StatusCode::CONFLICT;
    Problem::new("still-shown", status, "Still shown", detail).retry_after(LATER)
}

pub(crate) fn no_original() -> Problem {
    let detail = "The video's file is not here, or never came whole; upload it again.";
    Problem::new("original-gone", StatusCode::CONFLICT, "File gone", detail)
}

pub(crate) fn no_text(language: &str) -> Problem {
    let detail = format!("The video has no subtitles in {language:?}.");
    let status = StatusCode::NOT_FOUND;
    Problem::new("subtitles-not-found", status, "No such subtitles", detail)
}

pub(crate) fn no_subtitles(why: &str) -> Problem {
    let detail = format!("Not taken: {why}. Send WebVTT, or SubRip (.srt).");
    let status = StatusCode::BAD_REQUEST;
    Problem::new("not-subtitles", status, "No subtitles", detail)
}

pub(crate) fn too_many_texts() -> Problem {
    let detail = "The video has as many subtitles as it may have; remove some first.";
    let status = StatusCode::CONFLICT;
    Problem::new("too-many-subtitles", status, "Too many subtitles", detail)
}

pub(crate) fn busy() -> Problem {
    let detail = "As many subtitles as may come at once are coming; send these again in a moment.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new("busy", status, "Busy", detail).retry_after(SOON)
}

/// A body that was to be JSON, and could not be read.
pub(crate) fn body(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "A JSON request of this API has at most 64 KiB.";
            Problem::new("too-large", status, "Body too large", detail)
        }
        _ => Problem::bad_request(rejection.body_text()),
    }
}

pub(crate) fn text_too_large() -> Problem {
    let detail = "A file of subtitles has at most 2 MiB.";
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Problem::new("too-large", status, "Body too large", detail)
}

pub(crate) fn bad_language() -> Problem {
    let detail = "The language is a BCP 47 tag of at most 11 characters, such as en or pt-br.";
    let status = StatusCode::BAD_REQUEST;
    Problem::new("bad-language", status, "Not a language", detail)
}

pub(crate) fn no_digest() -> Problem {
    let detail = "Send the chunk's SHA-256 as Content-Digest: sha-256=:base64: or as X-Chunk-SHA256 in hexadecimal.";
    Problem::new(
        "digest-needed",
        StatusCode::BAD_REQUEST,
        "Digest needed",
        detail,
    )
}

pub(crate) fn bad_index(text: &str) -> Problem {
    let detail = format!("{text:?} is no chunk's index; send ?index=N, counted from 0.");
    Problem::new(
        "wrong-index",
        StatusCode::BAD_REQUEST,
        "Wrong index",
        detail,
    )
}

/// 503: read twice, the store gave other bytes.
pub(super) fn misread(upload: &Upload) -> Problem {
    tracing::error!(upload.id = %upload.id, "the store does not give the same bytes of {} twice", upload.id);
    let detail = "The store does not give the same bytes each time; what arrived is kept. Complete again in a moment.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new("unavailable", status, "Unavailable", detail).retry_after(AWAY)
}

pub(crate) fn cut_off() -> Problem {
    let detail = "The body stalled or broke off; nothing of it was kept. Send it again.";
    Problem::new(
        "body-cut-off",
        StatusCode::REQUEST_TIMEOUT,
        "Body cut off",
        detail,
    )
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (name, status, title) = match refused {
            Refused::EmptyFile => ("empty-file", StatusCode::BAD_REQUEST, "Empty file"),
            Refused::FileTooLarge { .. } => {
                ("file-too-large", StatusCode::BAD_REQUEST, "File too large")
            }
            Refused::Format | Refused::ContentType => (
                "unknown-format",
                StatusCode::BAD_REQUEST,
                "Not a video format",
            ),
            Refused::WrongIndex { .. } => ("wrong-index", StatusCode::BAD_REQUEST, "Wrong index"),
            Refused::WrongLength { .. } => (
                "wrong-length",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Wrong length",
            ),
            Refused::WrongDigest => (
                "wrong-digest",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Wrong digest",
            ),
            Refused::OtherChunk => ("other-chunk", StatusCode::CONFLICT, "Other chunk"),
            Refused::Missing { .. } => ("chunks-missing", StatusCode::CONFLICT, "Chunks missing"),
            Refused::NoWholeDigest => (
                "whole-digest-needed",
                StatusCode::BAD_REQUEST,
                "Whole digest needed",
            ),
            Refused::TwoDigests => ("digests-differ", StatusCode::CONFLICT, "Digests differ"),
            Refused::WrongWhole => (
                "wrong-whole-digest",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Wrong whole digest",
            ),
            Refused::Direct => (
                "parts-go-to-the-store",
                StatusCode::CONFLICT,
                "Parts go to the store",
            ),
            Refused::Complete => ("upload-complete", StatusCode::CONFLICT, "Upload complete"),
            Refused::Expired => ("upload-expired", StatusCode::GONE, "Upload expired"),
        };
        let problem = Self::new(name, status, title, refused.to_string());
        match refused {
            Refused::Missing { mut missing } => {
                let count = missing.len();
                missing.truncate(MOST_LISTED);
                problem
                    .with("missing", missing)
                    .with("missing_count", count)
            }
            Refused::WrongIndex { chunk_count } => problem.with("chunk_count", chunk_count),
            Refused::WrongLength {
                expected_bytes,
                got_bytes,
            } => problem
                .with("expected_bytes", expected_bytes)
                .with("got_bytes", got_bytes),
            Refused::FileTooLarge { limit_bytes } => problem.with("limit_bytes", limit_bytes),
            _ => problem,
        }
    }
}

impl From<Over> for Problem {
    fn from(over: Over) -> Self {
        let (name, status, title) = match over.kind {
            Kind::Bytes | Kind::Films => {
                ("quota-exceeded", StatusCode::FORBIDDEN, "Quota exceeded")
            }
            Kind::Uploads => (
                "too-many-uploads",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many uploads",
            ),
        };
        Self::new(name, status, title, over.to_string())
            .with("quota", over.kind.as_str())
            .with("limit", over.limit)
            .with("used", over.used)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if let Error::Store(store::Error::Busy { .. }) = error {
            let detail = "As much as this instance has memory for is on its way to the store; send this again in a moment.";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Self::new("busy", status, "Busy", detail).retry_after(SOON);
        }
        // The one place where ingest's own failures are answered, hence logged.
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a request failed: {error}"
        );
        if let Error::Store(store::Error::Full { .. }) = error {
            let detail = "There is no room left for films here; what was stored is kept.";
            let status = StatusCode::INSUFFICIENT_STORAGE;
            return Self::new("store-full", status, "Store full", detail);
        }
        if error.is_away() {
            let detail = "The catalogue or the store does not answer; try again in a moment.";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Self::new("unavailable", status, "Unavailable", detail).retry_after(AWAY);
        }
        Self::internal()
    }
}

/// One file of subtitles is taken in far less.
const SOON: Duration = Duration::from_secs(1);
/// What is away is not back at once, and clients come together.
const AWAY: Duration = Duration::from_secs(5);
/// What was watched is taken back within a minute or two.
const LATER: Duration = Duration::from_secs(15);
/// How long credentials are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// A list of missing chunks longer than this is cut; `missing_count` tells them all.
const MOST_LISTED: usize = 1000;
