//! Giving uploads up: those that are cancelled, and those that were not finished in time.

use std::sync::Arc;

use catalog::videos::{Event, Videos};
use contracts::time::UnixSeconds;
use store::layout;

use super::{State, Upload, Uploads, turn::Turns};
use crate::{Error, metrics::Metrics, texts::Publishing};

/// Gives up an upload that receives; the caller has its turn. `false` when another process completed
/// or removed it in the meantime.
///
/// The video comes first and the upload's own row last but for a chunk that is just being stored:
/// whatever fails in between, the upload is still found, and giving it up again ends it.
pub(crate) async fn abandon(
    uploads: &dyn Uploads,
    videos: &dyn Videos,
    publishing: &Publishing,
    upload: &Upload,
    reason: &str,
) -> Result<bool, Error> {
    let event = Event::Failed {
        reason: reason.to_owned(),
    };
    match videos.advance(&upload.video, event).await {
        Ok(_) | Err(catalog::Error::Refused { .. } | catalog::Error::NoVideo(_)) => {}
        Err(error) => return Err(error.into()),
    }
    publishing.forget(&upload.video).await?;
    let store = &publishing.store;
    let direct = uploads.direct(&upload.id).await?;
    if let (Some(name), Some(taker)) = (direct, store.direct()) {
        taker.abort(&upload.original, &name).await?;
    }
    let chunks = layout::upload(&upload.id);
    store.delete_prefix(&chunks).await?;
    let removed = uploads.remove(&upload.id).await?;
    // Those that were granted their place before the row went, and were stored after the first look.
    store.delete_prefix(&chunks).await?;
    if removed {
        // Somebody may have put it together and died; nobody can make a film of it any more.
        store.delete(&upload.original).await?;
    }
    Ok(removed)
}

/// Gives up what was not finished in time.
pub(crate) struct Sweep {
    pub(crate) uploads: Arc<dyn Uploads>,
    pub(crate) videos: Arc<dyn Videos>,
    pub(crate) publishing: Publishing,
    pub(crate) turns: Arc<Turns>,
    pub(crate) metrics: Metrics,
}

impl Sweep {
    /// Gives up some of the uploads whose time has been over for [`GRACE_S`]; the next sweep goes on.
    pub(crate) async fn run(&self, now: UnixSeconds) -> Result<(), Error> {
        let over = UnixSeconds(now.0.saturating_sub(GRACE_S));
        for upload in self.uploads.expired(over, AT_ONCE).await? {
            if let Err(error) = self.end(&upload).await {
                tracing::warn!(upload.id = %upload.id, %error, "cannot give up {}; trying again", upload.id);
            }
        }
        Ok(())
    }

    async fn end(&self, upload: &Upload) -> Result<(), Error> {
        // Somebody may be joining it since before its time was over.
        let Some(_turn) = self.turns.now(&upload.id) else {
            return Ok(());
        };
        let found = self.uploads.find(&upload.id).await?;
        let Some(upload) = found.filter(|upload| upload.state == State::Receiving) else {
            return Ok(());
        };
        let (uploads, videos) = (&*self.uploads, &*self.videos);
        if abandon(uploads, videos, &self.publishing, &upload, TOO_LATE).await? {
            self.metrics.upload("expired");
            tracing::info!(upload.id = %upload.id, video.id = %upload.video, "upload {} was not finished in time", upload.id);
        }
        Ok(())
    }
}

/// How long an upload may still be joined by another process, and its publisher be told that it has
/// expired, before it is gone.
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
            videos: Arc::clone(&catalog.videos),
            publishing: Publishing {
                store: store::open(&address("file", "store")).unwrap(),
                texts: Arc::new(texts::sql::Sql::new(catalog.clone(), Arc::new(System))),
                keys: Arc::clone(&catalog.keys),
                replacements: Arc::new(replaced::sql::Sql::new(catalog.connection().clone())),
            },
            turns: Arc::default(),
            metrics: Metrics::new(&prometheus::Registry::new()).unwrap(),
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
