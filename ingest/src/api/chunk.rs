//! One chunk: its bytes go from the socket to the store, a small buffer at a time.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, BodyDataStream},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use contracts::id::UploadId;
use futures_util::StreamExt as _;
use runtime::problem::{Named, Problem};
use store::{Digest, Writer, Written, layout};

use super::{
    App, CHUNK_SHA256, CONTENT_DIGEST,
    body::{Stored, Which},
    life::own,
    problem,
    sender::Sender,
};
use crate::{
    Error,
    upload::{self, Claim, Decision, Refused, Upload},
};

/// Stores a chunk. Any order, in parallel, and again: the same bytes under the same index are
/// accepted as often as they come.
#[utoipa::path(put, path = "/videos/upload/{id}/chunk", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(("id" = String, Path), ("index" = u32, Query, description = "counted from 0"),
        ("content-digest" = Option<String>, Header, description = "sha-256=:base64: (RFC 9530); one of the two is needed"),
        ("x-chunk-sha256" = Option<String>, Header, description = "the same in hexadecimal")),
    responses((status = 200, body = Stored), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 408, body = Problem), (status = 409, body = Problem), (status = 410, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem), (status = 507, body = Problem)))]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    sender: Sender,
    Named(id): Named<String>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Stored>, Problem> {
    let mut body = body.into_data_stream();
    let outcome = take(&app, (&sender, &id), which, &headers, &mut body).await;
    if let Err(problem) = &outcome {
        app.metrics.refused(problem.kind());
        // A client that is still sending would not see the answer, were the connection closed.
        drain(&app, &mut body).await;
    }
    outcome.map(Json)
}

async fn take(
    app: &App,
    (sender, id): (&Sender, &str),
    which: Result<Query<Which>, QueryRejection>,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Stored, Problem> {
    let (upload, index) = find(app, sender, id, which).await?;
    if app.uploads.direct(&upload.id).await?.is_some() {
        return Err(Refused::Direct.into());
    }
    let claimed = claimed_digest(headers)?;
    let length = content_length(headers);
    let known = app.uploads.chunk(&upload.id, index).await?;
    let now = app.clock.now();
    let decision = upload::decide(&upload, index, &claimed, length, known.as_ref(), now)?;
    let (size_bytes, repeated) = match decision {
        Decision::Store { size_bytes } => (size_bytes, false),
        Decision::Repeat { size_bytes } => (size_bytes, true),
    };
    if repeated {
        let written = hash(body, size_bytes).await?;
        upload::received(&written, size_bytes, &claimed)?;
    } else {
        store(app, &upload, index, size_bytes, &claimed, body).await?;
        app.metrics.upload_bytes.inc_by(size_bytes);
    }
    Ok(Stored {
        index,
        size_bytes,
        sha256: claimed.to_string(),
        repeated,
    })
}

async fn find(
    app: &App,
    sender: &Sender,
    id: &str,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<(Upload, u32), Problem> {
    let upload = own(app, sender, id).await?;
    let Query(Which { index }) = which.map_err(|_| problem::bad_index(""))?;
    let shown: String = index.chars().take(20).collect();
    let index = index.parse().map_err(|_| problem::bad_index(&shown))?;
    Ok((upload, index))
}

/// The claim comes between the check and the moment in which the bytes become visible: so the
/// store never shows bytes under a place that other bytes hold.
async fn store(
    app: &App,
    upload: &Upload,
    index: u32,
    size_bytes: u64,
    claimed: &Digest,
    body: &mut BodyDataStream,
) -> Result<(), Problem> {
    let key = layout::chunk(&upload.id, index);
    let mut writer = app.store.writer(&key).await.map_err(Error::from)?;
    let written = copy(body, size_bytes, &mut *writer).await?;
    upload::received(&written, size_bytes, claimed)?;
    match app.uploads.claim(&upload.id, index, claimed).await? {
        Claim::Granted => {}
        Claim::Taken => return Err(Refused::OtherChunk.into()),
        Claim::Closed => return Err(closed(app, &upload.id).await?),
    }
    writer.commit().await.map_err(Error::from)?;
    while !app.uploads.stored(&upload.id, index).await? {
        match app.uploads.claim(&upload.id, index, claimed).await? {
            // Somebody found an earlier copy spoilt, and forgot it; these bytes are sound.
            Claim::Granted => {}
            Claim::Taken => return Err(Refused::OtherChunk.into()),
            Claim::Closed => {
                // Cancelled in the meantime, or completed with the same bytes that somebody else sent.
                let removed = app.store.delete_prefix(&layout::upload(&upload.id)).await;
                removed.map_err(Error::from)?;
                return Err(closed(app, &upload.id).await?);
            }
        }
    }
    Ok(())
}

async fn closed(app: &App, id: &UploadId) -> Result<Problem, Problem> {
    let there = app.uploads.find(id).await?.is_some();
    Ok(if there {
        Refused::Complete.into()
    } else {
        problem::no_upload()
    })
}

/// Copies the body, and stops reading when it is longer than it may be.
async fn copy(
    body: &mut BodyDataStream,
    size_bytes: u64,
    writer: &mut dyn Writer,
) -> Result<Written, Problem> {
    let mut got_bytes = 0;
    while let Some(frame) = next(body).await? {
        got_bytes += frame.len() as u64;
        if got_bytes > size_bytes {
            return Err(too_long(size_bytes, got_bytes));
        }
        writer.write(frame).await.map_err(Error::from)?;
    }
    Ok(writer.written())
}

async fn hash(body: &mut BodyDataStream, size_bytes: u64) -> Result<Written, Problem> {
    use sha2::{Digest as _, Sha256};
    let (mut hasher, mut got_bytes) = (Sha256::new(), 0);
    while let Some(frame) = next(body).await? {
        got_bytes += frame.len() as u64;
        if got_bytes > size_bytes {
            return Err(too_long(size_bytes, got_bytes));
        }
        hasher.update(&frame);
    }
    Ok(Written {
        size_bytes: got_bytes,
        sha256: Digest::from_bytes(hasher.finalize().into()),
    })
}

fn too_long(expected_bytes: u64, got_bytes: u64) -> Problem {
    Refused::WrongLength {
        expected_bytes,
        got_bytes,
    }
    .into()
}

/// The next bytes of a body; who sends nothing for a minute has gone.
pub(super) async fn next(body: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(STALL, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(Some(Err(_))) | Err(_) => Err(problem::cut_off()),
    }
}

/// Reads and drops what is left of a body that is refused, up to a bound.
pub(crate) async fn drain(app: &App, body: &mut BodyDataStream) {
    let mut left = app.limits.chunk_size_bytes.saturating_mul(2).max(DRAINED);
    while left > 0 {
        let Ok(Some(frame)) = next(body).await else {
            return;
        };
        left = left.saturating_sub(frame.len() as u64);
    }
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The digest that the client says the chunk has, in either spelling; two that differ are none.
fn claimed_digest(headers: &HeaderMap) -> Result<Digest, Problem> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let standard = text(CONTENT_DIGEST).map(structured);
    let plain = text(CHUNK_SHA256).map(Digest::from_hex);
    match (standard, plain) {
        (Some(Some(one)), Some(Some(other))) if one == other => Ok(one),
        (Some(Some(one)), None) | (None, Some(Some(one))) => Ok(one),
        _ => Err(problem::no_digest()),
    }
}

/// The `sha-256` member of a `Content-Digest` (RFC 9530 §2, a dictionary of RFC 8941).
fn structured(value: &str) -> Option<Digest> {
    let member = value
        .split(',')
        .find_map(|member| member.trim().strip_prefix("sha-256="))?;
    let base64 = member.trim().strip_prefix(':')?.strip_suffix(':')?;
    let bytes = STANDARD.decode(base64).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

const STALL: Duration = Duration::from_secs(60);
/// As much of what is refused is read at least: a part that should have gone straight to the store may be longer than
/// chunks are here.
const DRAINED: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn claim(pairs: &[(&'static str, String)]) -> Option<Digest> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        claimed_digest(&headers).ok()
    }

    #[test]
    fn a_digest_is_read_in_both_spellings_and_contradictions_are_refused() {
        let digest = Digest::of(b"abc");
        let base64 = STANDARD.encode(digest.as_bytes());
        let standard = ("content-digest", format!("sha-256=:{base64}:"));
        let among = ("content-digest", format!("md5=:AAAA:, sha-256=:{base64}:"));
        let hex = ("x-chunk-sha256", digest.to_string());
        let other = ("x-chunk-sha256", Digest::of(b"x").to_string());
        assert_eq!(claim(std::slice::from_ref(&standard)), Some(digest));
        assert_eq!(claim(&[among]), Some(digest));
        assert_eq!(claim(std::slice::from_ref(&hex)), Some(digest));
        assert_eq!(claim(&[standard.clone(), hex]), Some(digest));
        assert_eq!(claim(&[standard, other]), None);
        assert_eq!(claim(&[]), None);
        for fault in [
            "",
            "sha-256=",
            "sha-256=:AAAA:",
            "sha-256=abc",
            "sha-512=:AAAA:",
        ] {
            assert_eq!(
                claim(&[("content-digest", fault.to_owned())]),
                None,
                "{fault}"
            );
        }
    }
}
