//! What is refused over tus alone. Where tus names a status, it is that one.

use std::time::Duration;

use axum::http::StatusCode;
use contracts::id::UploadId;
use runtime::problem::Problem;

use super::words::{BYTES, Fault, VERSION};

pub(super) fn version() -> Problem {
    let detail = format!("Send Tus-Resumable: {VERSION}.");
    let status = StatusCode::PRECONDITION_FAILED;
    Problem::new("tus-version", status, "Another version of tus", detail)
}

pub(super) fn not_bytes() -> Problem {
    let detail = format!("Send the bytes as Content-Type: {BYTES}.");
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Problem::new("not-bytes", status, "Not bytes of an upload", detail)
}

pub(super) fn wrong_offset(offset: u64) -> Problem {
    let detail = format!("The next bytes begin at {offset}; ask where to go on with HEAD.");
    let status = StatusCode::CONFLICT;
    Problem::new("wrong-offset", status, "Wrong offset", detail).with("offset", offset)
}

pub(super) fn wrong_checksum() -> Problem {
    let detail = "The body does not have the checksum that was sent; nothing of it was kept.";
    // Of tus, extension checksum.
    let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new("wrong-checksum", status, "Checksum mismatch", detail)
}

pub(super) fn too_long(size_bytes: u64) -> Problem {
    let detail = format!("The upload has {size_bytes} bytes; more were sent.");
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Problem::new("upload-too-long", status, "Longer than announced", detail)
        .with("size_bytes", size_bytes)
}

pub(super) fn no_more() -> Problem {
    let detail = "An upload that was put together of others takes no bytes.";
    let status = StatusCode::FORBIDDEN;
    Problem::new("upload-is-final", status, "Final upload", detail)
}

pub(super) fn unready(part: &UploadId) -> Problem {
    let detail = format!(
        "{part} is no partial upload of yours that has arrived whole and that no other upload was put together of."
    );
    let status = StatusCode::CONFLICT;
    Problem::new("part-not-ready", status, "Part not ready", detail)
}

pub(super) fn cut_off() -> Problem {
    let detail = "The body stalled or broke off; ask where to go on with HEAD.";
    let status = StatusCode::REQUEST_TIMEOUT;
    Problem::new("body-cut-off", status, "Body cut off", detail)
}

pub(super) fn overtaken() -> Problem {
    let detail = "Another request goes on with this upload; ask where to go on with HEAD.";
    let status = StatusCode::CONFLICT;
    Problem::new("upload-overtaken", status, "Overtaken", detail)
}

pub(super) fn damaged() -> Problem {
    let detail =
        "The store has lost or spoilt bytes of this upload, and it was given up; start another.";
    let status = StatusCode::GONE;
    Problem::new("upload-damaged", status, "Upload damaged", detail)
}

pub(super) fn wrong_whole() -> Problem {
    let detail = "All bytes arrived, but together they do not have the SHA-256 that was promised: the file changed while it was sent, or the digest is of another. Begin another upload.";
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let title = "Wrong whole digest";
    Problem::new("wrong-whole-digest", status, title, detail)
}

/// The same of what was put together.
pub(super) fn wrong_parts() -> Problem {
    let detail = "The parts do not have the SHA-256 that was promised: they stand in another order, one is of another file, or the digest is. They are parts again, and may be put together once more.";
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let title = "Wrong whole digest";
    Problem::new("wrong-whole-digest", status, title, detail)
}

pub(super) fn no_name() -> Problem {
    let detail = "Send the file's name in Upload-Metadata, as filename and its base64; its ending tells what it is.";
    let status = StatusCode::BAD_REQUEST;
    Problem::new("unknown-format", status, "Not a video format", detail)
}

/// 503: read twice, the store gave other bytes.
pub(super) fn misread(id: &UploadId) -> Problem {
    tracing::error!(upload.id = %id, "the store does not give the same bytes of {id} twice; it is kept");
    let detail = "The store does not give the same bytes each time. The upload is kept, and becomes a film once they are read as they came; there is nothing more to do.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new("unavailable", status, "Unavailable", detail).retry_after(A_WHILE)
}

pub(super) fn away() -> Problem {
    let detail = "The store has none of this upload's bytes now. The upload is kept, and becomes a film once the store is back; there is nothing more to do.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new("store-away", status, "Store away", detail).retry_after(A_WHILE)
}

/// A refusal of a new upload; tus names the status of one that is too large.
pub(super) fn of_new(refused: Problem) -> Problem {
    match refused.kind() {
        "file-too-large" => refused.as_status(StatusCode::PAYLOAD_TOO_LARGE),
        _ => refused,
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::bad_request(fault.to_string())
    }
}

/// How soon whoever is told that the store is away, or wrong, may ask again.
const A_WHILE: Duration = Duration::from_secs(60);
