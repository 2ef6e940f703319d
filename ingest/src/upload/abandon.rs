//! Giving uploads up: those that are cancelled, and those that were not finished in time.

use std::sync::Arc;

use contracts::{id::UploadId, time::UnixSeconds};
use store::{Store, layout};

use super::{State, Upload, Uploads, turn::Turns};
use crate::{Error, metrics::Metrics, resting::Resting, texts::Publishing};

/// Gives up an upload that receives; the caller has its turn. `false` when another process completed
/// or removed it in the meantime.
///
/// It is given up by one commit, which decides between this and whoever completes it. What has arrived goes
/// afterwards: when that fails, or this process dies, a [`Sweep`] goes on.
pub(crate) async fn abandon(
    uploads: &dyn Uploads,
    publishing: &Publishing,
    upload: &Upload,
    reason: &str,
    now: UnixSeconds,
) -> Result<bool, Error> {
    if !uploads.give_up(upload, reason, now).await? {
        return Ok(false);
    }
    if let Err(error) = clear(uploads, publishing, upload).await {
        tracing::warn!(upload.id = %upload.id, %error, "cannot remove what has arrived of {}; trying again", upload.id);
    }
    Ok(true)
}

/// Removes what there is of an upload that was given up, and forgets it.
async fn clear(
    uploads: &dyn Uploads,
    publishing: &Publishing,
    upload: &Upload,
) -> Result<(), Error> {
    publishing.forget(&upload.video).await?;
    let store = &publishing.store;
    close(uploads, &**store, upload).await?;
    let chunks = layout::upload(&upload.id);
    store.delete_prefix(&chunks).await?;
    // Somebody may have put it together and died; nobody can make a film of it any more.
    store.delete(&upload.original).await?;
    uploads.remove(&upload.id).await?;
    // Those that were granted their place before it was given up, and were stored after the first look.
    store.delete_prefix(&chunks).await?;
    Ok(())
}

/// Removes the parts of an upload that is complete, for they are in the original now, or whose film was deleted.
pub(crate) async fn tidy(
    uploads: &dyn Uploads,
    store: &dyn Store,
    id: &UploadId,
) -> Result<(), Error> {
    store.delete_prefix(&layout::upload(id)).await?;
    uploads.cleared(id).await
}

/// Has the store take nothing more of an upload that goes straight to it, and remove what it has.
pub(crate) async fn close(
    uploads: &dyn Uploads,
    store: &dyn Store,
    upload: &Upload,
) -> Result<(), Error> {
    let name = uploads.direct(&upload.id).await?;
    if let (Some(name), Some(taker)) = (name, store.direct()) {
        taker.abort(&upload.original, &name).await?;
    }
    Ok(())
}

/// Gives up what was not finished in time, and removes what is left of what was.
pub(crate) struct Sweep {
    pub(crate) uploads: Arc<dyn Uploads>,
    pub(crate) publishing: Publishing,
    pub(crate) turns: Arc<Turns>,
    pub(crate) metrics: Metrics,
    pub(crate) resting: Resting,
}

impl Sweep {
    /// Gives up some of the uploads whose time has been over for [`GRACE_S`]; the next sweep goes on.
    pub(crate) async fn run(&self, now: UnixSeconds) -> Result<(), Error> {
        let over = UnixSeconds(now.0.saturating_sub(GRACE_S));
        let resting = &self.resting;
        let expired = self.uploads.expired(over, resting.and(AT_ONCE)).await?;
        for upload in resting.up(AT_ONCE, now, expired, |upload| upload.id.as_str()) {
            let outcome = self.end(&upload, over, now).await;
            resting.note(upload.id.as_str(), &outcome, now);
            if let Err(error) = outcome {
                tracing::warn!(upload.id = %upload.id, %error, "cannot give up {}; trying again", upload.id);
            }
        }
        let leftovers = self.uploads.leftovers(resting.and(AT_ONCE)).await?;
        for id in resting.up(AT_ONCE, now, leftovers, UploadId::as_str) {
            // Whoever completes it removes them just now.
            let Some(_turn) = self.turns.now(&id) else {
                continue;
            };
            let outcome = tidy(&*self.uploads, &*self.publishing.store, &id).await;
            resting.note(id.as_str(), &outcome, now);
            if let Err(error) = outcome {
                tracing::warn!(upload.id = %id, %error, "cannot remove the parts of {id}; trying again");
            }
        }
        Ok(())
    }

    async fn end(&self, upload: &Upload, over: UnixSeconds, now: UnixSeconds) -> Result<(), Error> {
        // Somebody may be at it since before its time was over.
        let Some(_turn) = self.turns.now(&upload.id) else {
            return Ok(());
        };
        if upload.state == State::Abandoned {
            return clear(&*self.uploads, &self.publishing, upload).await;
        }
        let found = self.uploads.find(&upload.id).await?;
        let Some(upload) = found.filter(|upload| upload.expires <= over) else {
            return Ok(());
        };
        if abandon(&*self.uploads, &self.publishing, &upload, TOO_LATE, now).await? {
            self.metrics.upload("expired");
            tracing::info!(upload.id = %upload.id, video.id = %upload.video, "upload {} was not finished in time", upload.id);
        }
        Ok(())
    }
}

/// How long the publisher of an upload is told that it has expired before it is gone; and by how much the clocks of
/// two processes may differ of which one puts it together, and has it last meanwhile.
const GRACE_S: u64 = 600;
/// So few that a sweep never holds up what else is looked after.
const AT_ONCE: u32 = 16;
const TOO_LATE: &str = "the upload was not finished in time";

#[cfg(test)]
mod tests {
    use contracts::id::{UploadId, VideoId};
    use runtime::clock::System;

    use super::*;
    use crate::{
        replaced,
        schema::Migrations,
        texts,
        upload::{Way, sql::Sql},
    };

    #[tokio::test]
    async fn a_sweep_gives_up_so_many_at_once_and_none_that_somebody_is_at() {
        let folder = tempfile::tempdir().unwrap();
        let address =
            |scheme: &str, name: &str| format!("{scheme}://{}", folder.path().join(name).display());
        let catalog = catalog::open(&address("sqlite", "catalog.db"), Arc::new(System))
            .await
            .unwrap();
        catalog.migrate::<Migrations>().await.unwrap();
        let sweep = Sweep {
            uploads: Arc::new(Sql::new(catalog.connection().clone())),
            publishing: Publishing {
                store: store::open(&address("file", "store")).unwrap(),
                texts: Arc::new(texts::sql::Sql::new(catalog.clone(), Arc::new(System))),
                replacements: Arc::new(replaced::sql::Sql::new(catalog.connection().clone())),
            },
            turns: Arc::default(),
            metrics: Metrics::new(&prometheus::Registry::new()).unwrap(),
            resting: Resting::default(),
        };
        for at in 0..=AT_ONCE {
            let video = VideoId::parse(&format!("v{at:02}")).unwrap();
            let upload = Upload {
                id: UploadId::parse(&format!("u{at:02}")).unwrap(),
                way: Way::Chunks,
                owner: None,
                original: layout::original(&video, "mp4").unwrap(),
                video,
                size_bytes: 1,
                chunk_size_bytes: 1,
                sha256: None,
                state: State::Receiving,
                expires: UnixSeconds(1000 + u64::from(at)),
                token: None,
            };
            sweep.uploads.create(&upload).await.unwrap().unwrap();
        }
        let left = async || {
            let left = sweep.uploads.expired(UnixSeconds(9999), 99).await.unwrap();
            left.len()
        };
        let all = AT_ONCE as usize + 1;
        sweep.run(UnixSeconds(1000 + GRACE_S - 1)).await.unwrap();
        assert_eq!(left().await, all, "none is late enough");
        let held = sweep.turns.wait(&UploadId::parse("u00").unwrap()).await;
        sweep.run(UnixSeconds(9999)).await.unwrap();
        assert_eq!(left().await, 2, "the held one, and the one too many");
        drop(held);
        sweep.run(UnixSeconds(9999)).await.unwrap();
        assert_eq!(left().await, 0);
    }
}
