//! What every upload ends with, whichever way its bytes came: they are joined, and the film is queued.

use std::time::Duration;

use catalog::videos::Event;
use contracts::id::UploadId;
use runtime::problem::Problem;
use store::{Digest, Part};

use super::{App, problem};
use crate::{
    Error,
    jobs::NewJob,
    upload,
    upload::{Refused, Upload, abandon::tidy},
};

/// What became of joining an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The film is queued.
    Queued,
    /// What the store has of the parts does not make the whole, but this, where all could be read.
    Damaged(Option<Digest>),
    /// The store does not have a part: it lost it, or is another one than it was, such as one that is not mounted.
    Missing,
}

/// Joins the parts of an upload, and queues its film; the caller has the upload's turn.
pub(crate) async fn join(
    app: &App,
    upload: &Upload,
    parts: &[Part],
    promised: &Digest,
) -> Result<Joined, Problem> {
    let Err(error) = app.store.join(parts, &upload.original, promised).await else {
        queue(app, upload, promised).await?;
        return Ok(Joined::Queued);
    };
    if is_complete(app, upload, promised).await? {
        return Ok(Joined::Queued);
    }
    match error {
        store::Error::DigestMismatch { found, .. } => Ok(Joined::Damaged(Some(found))),
        store::Error::Corrupt { .. } => Ok(Joined::Damaged(None)),
        store::Error::PartMissing { .. } => Ok(Joined::Missing),
        error => Err(Error::from(error).into()),
    }
}

/// Reads an object of which that many bytes are known through, a piece at a time; `false` when there is none.
pub(crate) async fn read(
    app: &App,
    part: &Part,
    mut take: impl FnMut(&[u8]) + Send,
) -> Result<bool, store::Error> {
    let mut at = 0;
    while at < part.size_bytes {
        let until = part.size_bytes.min(at + READ_AT_ONCE);
        let Some(bytes) = app.store.read_range(&part.key, at..until).await? else {
            return Ok(false);
        };
        take(&bytes);
        at = until;
    }
    Ok(true)
}

/// Has an upload last while something is done with its bytes: other processes give up those whose time is over.
pub(crate) async fn kept<T>(
    app: &App,
    id: &UploadId,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let keep = || {
        let now = app.clock.now();
        app.uploads.keep(id, now, now.plus(KEPT_S))
    };
    beside(id, work, keep).await
}

/// Does something long, and says now and then that somebody is at it. Both go on at once: what is said may have to wait
/// for the work's own transaction. That it cannot be said is no reason to begin anew with what may have taken hours.
pub(crate) async fn beside<T, S: Future<Output = Result<(), Error>>>(
    id: &UploadId,
    work: impl Future<Output = T>,
    say: impl Fn() -> S,
) -> T {
    let beats = async {
        let mut beats = tokio::time::interval(BEAT);
        loop {
            beats.tick().await;
            if let Err(error) = say().await {
                tracing::warn!(upload.id = %id, %error, "cannot say that somebody is at {id}");
            }
        }
    };
    tokio::select! {
        done = work => done,
        never = beats => never,
    }
}

/// Refused when what has arrived is known to make another whole than is promised.
pub(crate) async fn compare(app: &App, upload: &Upload, promised: &Digest) -> Result<(), Problem> {
    match app.uploads.made(&upload.id).await? {
        Some(made) if made != *promised => Err(Refused::WrongWhole.into()),
        _ => Ok(()),
    }
}

/// Whether another process has completed it by now, and removed its parts; refused when it was
/// cancelled, or completed as another whole than was promised here.
pub(crate) async fn is_complete(
    app: &App,
    upload: &Upload,
    promised: &Digest,
) -> Result<bool, Problem> {
    let found = app.uploads.find(&upload.id).await?;
    let found = found.ok_or_else(problem::no_upload)?;
    found.whole(Some(*promised))?;
    Ok(found.state == upload::State::Complete)
}

pub(crate) async fn is_there(app: &App, upload: &Upload) -> Result<bool, Error> {
    Ok(app.uploads.find(&upload.id).await?.is_some())
}

/// Queues the film of an upload whose whole lies where its original should.
pub(crate) async fn queue(app: &App, upload: &Upload, whole: &Digest) -> Result<(), Problem> {
    let channel = app.channels.of(&upload.video).await.map_err(Error::from)?;
    let owner = channel.map_or_else(String::new, |channel| channel.owner.to_string());
    let job = NewJob::first(upload.video.clone(), upload.original.clone(), owner);
    let first = app.uploads.complete(&upload.id, whole, &job).await?;
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
        // That they cannot be removed is not the client's matter; a sweep goes on.
        if let Err(error) = tidy(&*app.uploads, &*app.store, &upload.id).await {
            tracing::warn!(upload.id = %upload.id, %error, "cannot remove the parts of {}", upload.id);
        }
    }
    Ok(())
}

const READ_AT_ONCE: u64 = 4 << 20;
/// How often whoever joins an upload says so.
const BEAT: Duration = Duration::from_secs(15);
/// How long an upload lasts after that.
const KEPT_S: u64 = 60;
