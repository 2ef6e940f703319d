//! Parts that arrived apart become one film (extension concatenation).

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use contracts::id::UploadId;
use runtime::problem::Problem;

use super::{
    film_of, finish::finish, location, new, open, own, problem, told, words, words::Metadata,
};
use crate::{
    api::{App, begin::Begun, caller::Caller, problem::no_upload, sender::Sender},
    upload::{
        Upload, Way,
        streams::{Concatenated, Kind, Stream},
    },
};

/// Puts parts together, and finishes the film. Again for the same parts and the same film, it is the same upload.
pub(super) async fn put_together(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    metadata: Metadata,
    parts: Vec<UploadId>,
) -> Result<Response, Problem> {
    if headers.contains_key(words::LENGTH) {
        let detail = "The length of what is put together is that of its parts.";
        return Err(Problem::bad_request(detail));
    }
    let mut size_bytes = 0_u64;
    let sender = Sender::Caller(caller.clone());
    for part in &parts {
        let part = own(app, &sender, part.as_str()).await?;
        open(app, &part)?;
        size_bytes = size_bytes.saturating_add(part.upload.size_bytes);
    }
    let film = film_of(&metadata, size_bytes)?;
    let begun = Begun::of(app, caller, film, Way::Stream).await?;
    // Whoever puts parts together has credentials: there is nothing left to be sent.
    let upload = Upload {
        token: None,
        ..begun.upload.clone()
    };
    let whole = Stream {
        arrived_bytes: size_bytes,
        running: None,
        parts,
        ..new(upload, Kind::Final, metadata)
    };
    let now = app.clock.now();
    let stream = match app.streams.concatenate(&whole, &begun.film, now).await? {
        Concatenated::Made => {
            begun.has_begun(app);
            whole
        }
        Concatenated::Before(id) => app.streams.find(&id).await?.ok_or_else(no_upload)?,
        Concatenated::Over(over) => return Err(over.into()),
        Concatenated::Unready(part) => return Err(problem::unready(&part)),
    };
    finish(app, &stream.upload.id).await?;
    let address = [(header::LOCATION, location(app, &stream.upload.id))];
    Ok((StatusCode::CREATED, told(&stream), address).into_response())
}
