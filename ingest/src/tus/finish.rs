//! An upload that has arrived whole becomes a film: by whoever took its last bytes, or, where that one died or failed, by
//! whichever process comes first.

use std::{sync::Arc, time::Duration};

use contracts::{id::UploadId, time::UnixSeconds};
use runtime::{problem::Problem, shutdown::Shutdown};
use store::{Digest, Part, layout};

use super::problem;
use crate::{
    Error,
    api::{
        App,
        problem::no_upload,
        whole::{self, Joined},
    },
    upload::{
        State,
        abandon::abandon,
        streams::{Kind, Piece, Running, Stream},
    },
};

/// Joins an upload that has arrived whole, and queues its film. May be repeated.
pub(super) async fn finish(app: &App, id: &UploadId) -> Result<(), Problem> {
    let _turn = app.turns.wait(id).await;
    let stream = app.streams.find(id).await?.ok_or_else(no_upload)?;
    if stream.upload.state == State::Complete {
        return Ok(());
    }
    let touch = || app.streams.touch(id, app.clock.now());
    whole::beside(id, join(app, &stream), touch).await
}

/// Finishes uploads that are whole, and that nobody is at.
pub(crate) async fn follow(app: Arc<App>, mut shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = take_up(&app) => {}
        }
    }
}

/// Finishes all that are left.
pub(crate) async fn take_up(app: &App) {
    let now = app.clock.now();
    let before = UnixSeconds(now.0.saturating_sub(LEFT_S));
    loop {
        let id = match app.streams.take_whole(before, now, 1).await {
            Ok(taken) => taken.into_iter().next(),
            Err(error) => {
                tracing::warn!(%error, "cannot look for uploads that are whole");
                return;
            }
        };
        let Some(id) = id else { return };
        match finish(app, &id).await {
            Ok(()) => {
                tracing::info!(upload.id = %id, "upload {id} was left whole, and is finished")
            }
            Err(problem) => {
                let problem = problem.kind();
                tracing::warn!(upload.id = %id, problem, "cannot finish {id}: {problem}");
            }
        }
    }
}

async fn join(app: &App, stream: &Stream) -> Result<(), Problem> {
    let pieces = app.streams.pieces(&stream.upload.id).await?;
    let parts: Vec<Part> = pieces.into_iter().map(Piece::part).collect();
    let mut found = put_together(app, stream, &parts).await?;
    if found.is_doubtful(stream) {
        // What was read once may have been read wrongly, and nobody sends it again.
        let again = put_together(app, stream, &parts).await?;
        let differs = again.is_doubtful(stream) && again != found;
        if differs && !is_late(app, stream) {
            return Err(problem::misread(&stream.upload.id));
        }
        found = again;
    }
    match found {
        Found::Joined(Joined::Queued) => {}
        Found::Joined(Joined::Missing) => return missing(app, stream, &parts).await,
        Found::Joined(Joined::Damaged(_)) => return damaged(app, stream).await,
        Found::Another(_) => {
            give_up(app, stream, WRONG_WHOLE).await?;
            return Err(match stream.kind {
                Kind::Final => problem::wrong_parts(),
                Kind::Whole | Kind::Partial => problem::wrong_whole(),
            });
        }
    }
    for part in &stream.parts {
        // What cannot be removed now goes when the part expires.
        if let Err(error) = app.store.delete_prefix(&layout::upload(part)).await {
            tracing::warn!(upload.id = %part, %error, "cannot remove the pieces of {part}");
        }
    }
    Ok(())
}

/// What the pieces of an upload were found to make.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// What joining them came to, or would have.
    Joined(Joined),
    /// Another whole than was promised.
    Another(Digest),
}

impl Found {
    /// Whether reading again may find something else.
    const fn is_doubtful(self, stream: &Stream) -> bool {
        match self {
            Self::Joined(joined) => matches!(joined, Joined::Damaged(_)),
            // What came was hashed on its way here, but for what was put together.
            Self::Another(_) => stream.running.is_none(),
        }
    }
}

async fn put_together(app: &App, stream: &Stream, parts: &[Part]) -> Result<Found, Problem> {
    let upload = &stream.upload;
    let digest = match &stream.running {
        Some(running) => Ok(running.digest()),
        None => digest(app, parts).await?,
    };
    Ok(match digest {
        Ok(digest) if upload.whole(Some(digest)).is_err() => Found::Another(digest),
        Ok(digest) => Found::Joined(whole::join(app, upload, parts, &digest).await?),
        Err(joined) => Found::Joined(joined),
    })
}

/// The digest of what was put together, of which nobody saw all bytes; or why some cannot be had.
async fn digest(app: &App, parts: &[Part]) -> Result<Result<Digest, Joined>, Error> {
    let mut running = Running::default();
    for part in parts {
        match whole::read(app, part, |bytes| running.add(bytes)).await {
            Ok(true) => {}
            Ok(false) => return Ok(Err(Joined::Missing)),
            Err(store::Error::Corrupt { .. }) => return Ok(Err(Joined::Damaged(None))),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok(running.digest()))
}

/// Whether an upload has waited for a better store until long after its time.
fn is_late(app: &App, stream: &Stream) -> bool {
    app.clock.now() >= stream.upload.expires.plus(WAITED_S)
}

/// A store that is not mounted is empty, and has lost nothing: an upload of which it has no piece at all waits for it
/// until long after its time.
async fn missing(app: &App, stream: &Stream, parts: &[Part]) -> Result<(), Problem> {
    if is_late(app, stream) || has_some(app, parts).await? {
        return damaged(app, stream).await;
    }
    let id = &stream.upload.id;
    let found = app.uploads.find(id).await?.ok_or_else(no_upload)?;
    if found.state == State::Complete {
        return Ok(());
    }
    tracing::error!(upload.id = %id, "the store has nothing of {id}; is it the one that it was? {id} is kept");
    Err(problem::away())
}

/// Whether the store has any of these, or of a good many of them.
async fn has_some(app: &App, parts: &[Part]) -> Result<bool, Error> {
    let step = parts.len().div_ceil(LOOKED_AT).max(1);
    for part in parts.iter().step_by(step) {
        if app.store.size(&part.key).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Nobody sends again what has arrived, and so ends the upload; unless another process has finished it, and removed what
/// was looked for here.
async fn damaged(app: &App, stream: &Stream) -> Result<(), Problem> {
    // A store that is away has lost nothing.
    store::look(&*app.store).await.map_err(Error::from)?;
    let id = &stream.upload.id;
    let found = app.uploads.find(id).await?.ok_or_else(no_upload)?;
    if found.state == State::Complete {
        return Ok(());
    }
    tracing::error!(upload.id = %id, "the store lost or spoilt a piece of {id}");
    give_up(app, stream, DAMAGED).await?;
    Err(problem::damaged())
}

async fn give_up(app: &App, stream: &Stream, reason: &str) -> Result<(), Error> {
    let (uploads, now) = (&*app.uploads, app.clock.now());
    abandon(uploads, &app.publishing, &stream.upload, reason, now).await?;
    app.metrics.upload("damaged");
    Ok(())
}

/// How long nobody says so before another one takes it up.
const LEFT_S: u64 = 60;
const LOOK: Duration = Duration::from_secs(2);
/// How long after its time an upload is kept whose pieces are all away, or other ones each time that they are read: as
/// long as films wait for what is away.
const WAITED_S: u64 = 2 * 24 * 3600;
const LOOKED_AT: usize = 64;
const WRONG_WHOLE: &str = "what was uploaded does not have the SHA-256 that was promised";
const DAMAGED: &str = "the store lost bytes of the upload; upload the film again";
