//! Uploads whose parts go straight to the store, by addresses that are handed out with the upload.
//!
//! The house sees none of the bytes before it reads them through, when the upload is completed: what counts until then
//! is what the store says has arrived.

use std::time::Duration;

use runtime::problem::Problem;
use store::{Arrived, Digest, Direct, objects::direct};

use super::{
    App,
    body::PartUrl,
    problem,
    whole::{self, is_complete, queue},
};
use crate::{
    Error,
    upload::{self, Refused, Upload},
};

/// An upload that goes straight to the store.
pub(super) struct Going<'a> {
    app: &'a App,
    store: &'a dyn Direct,
    upload: &'a Upload,
    /// What the store calls it.
    name: String,
}

/// Has an upload that nobody knows of yet go straight to the store, and tells what that calls it; `None` where the
/// store cannot take it so.
pub(super) async fn begin(app: &App, upload: &mut Upload) -> Result<Option<String>, Error> {
    let Some(store) = app.store.direct() else {
        return Ok(None);
    };
    let name = store.begin(&upload.original).await?;
    upload.chunk_size_bytes = part_bytes(upload.size_bytes, upload.chunk_size_bytes);
    Ok(Some(name))
}

/// Has the store forget what was begun there of an upload that is none.
pub(super) async fn take_back(app: &App, upload: &Upload, name: &str) {
    let Some(store) = app.store.direct() else {
        return;
    };
    if let Err(error) = store.abort(&upload.original, name).await {
        tracing::warn!(upload.id = %upload.id, %error, "the store keeps what was begun of {}", upload.id);
    }
}

/// How long the parts of an upload are that goes straight to the store: never less than `usual`.
fn part_bytes(size_bytes: u64, usual: u64) -> u64 {
    let mut part_bytes = usual.max(direct::LEAST_PART);
    while size_bytes.div_ceil(part_bytes) > direct::MOST_PARTS {
        part_bytes = part_bytes.saturating_mul(2);
    }
    part_bytes
}

impl<'a> Going<'a> {
    /// An upload, if it goes straight to the store.
    pub(super) async fn find(app: &'a App, upload: &'a Upload) -> Result<Option<Self>, Problem> {
        let Some(name) = app.uploads.direct(&upload.id).await? else {
            return Ok(None);
        };
        let Some(store) = app.store.direct() else {
            tracing::error!(upload.id = %upload.id, "the store of {} takes no parts any more", upload.id);
            return Err(Problem::internal());
        };
        Ok(Some(Self {
            app,
            store,
            upload,
            name,
        }))
    }

    /// The indexes of the parts that are there, whole.
    pub(super) async fn received(&self) -> Result<Vec<u32>, Problem> {
        if self.is_joined().await? {
            return Ok((0..self.upload.chunk_count()).collect());
        }
        let arrived = self.arrived().await?;
        Ok(arrived.iter().map(|part| part.number - 1).collect())
    }

    /// Where to PUT the parts that are not there.
    pub(super) async fn urls(&self, received: &[u32]) -> Result<Vec<PartUrl>, Problem> {
        let left = self.upload.expires.0.saturating_sub(self.app.clock.now().0);
        let mut urls = Vec::new();
        if left == 0 {
            return Ok(urls);
        }
        let lasts = Duration::from_secs(left);
        for index in (0..self.upload.chunk_count()).filter(|index| !received.contains(index)) {
            let key = &self.upload.original;
            let url = self.store.invite(key, &self.name, index + 1, lasts).await;
            let url = url.map_err(Error::from)?;
            urls.push(PartUrl { index, url });
        }
        Ok(urls)
    }

    /// Puts the parts together, reads the whole through, and queues the film; the caller has the upload's turn.
    pub(super) async fn complete(&self, told: Option<Digest>) -> Result<(), Problem> {
        let (app, upload) = (self.app, self.upload);
        let (joined, arrived) = match self.is_joined().await? {
            true => (true, Vec::new()),
            false => (false, self.arrived().await?),
        };
        let here: Vec<u32> = match joined {
            true => (0..upload.chunk_count()).collect(),
            false => arrived.iter().map(|part| part.number - 1).collect(),
        };
        let promised = upload::promised(upload, here.into_iter(), told, app.clock.now())?;
        let Some(promised) = promised else {
            return Ok(());
        };
        whole::compare(app, upload, &promised).await?;
        let whole = whole::kept(app, &upload.id, self.whole(joined, &arrived)).await?;
        if whole == Some(promised) {
            return queue(app, upload, &promised).await;
        }
        if is_complete(app, upload, &promised).await? {
            return Ok(());
        }
        // What was read once may have been read wrongly.
        let again = whole::kept(app, &upload.id, self.digest()).await?;
        match again {
            Some(again) if again == promised => queue(app, upload, &promised).await,
            Some(again) if whole == Some(again) => {
                app.uploads.makes(&upload.id, 0, &again).await?;
                Err(Refused::WrongWhole.into())
            }
            _ => Err(problem::misread(upload)),
        }
    }

    /// Puts the parts together, and tells the digest of what they make.
    async fn whole(&self, joined: bool, arrived: &[Arrived]) -> Result<Option<Digest>, Problem> {
        if !joined {
            let key = &self.upload.original;
            let done = self.store.complete(key, &self.name, arrived).await;
            // Another process may have done so just now.
            if let Err(error) = done
                && !self.is_joined().await?
            {
                return Err(Error::from(error).into());
            }
        }
        self.digest().await
    }

    /// The digest of what lies where the original should.
    async fn digest(&self) -> Result<Option<Digest>, Problem> {
        let whole = self.app.store.digest(&self.upload.original).await;
        Ok(whole.map_err(Error::from)?.map(|whole| whole.sha256))
    }

    /// Whether the parts have been put together.
    async fn is_joined(&self) -> Result<bool, Problem> {
        let size = self.app.store.size(&self.upload.original).await;
        Ok(size.map_err(Error::from)? == Some(self.upload.size_bytes))
    }

    /// The parts that are as long as they should be.
    async fn arrived(&self) -> Result<Vec<Arrived>, Problem> {
        let arrived = self.store.arrived(&self.upload.original, &self.name).await;
        let mut arrived = arrived.map_err(Error::from)?;
        arrived.retain(|part| {
            let index = part.number.checked_sub(1);
            let wanted = index.and_then(|index| self.upload.chunk_bytes(index));
            wanted == Some(part.size_bytes)
        });
        Ok(arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_many_as_a_store_takes_and_no_shorter() {
        let (usual, largest) = (8 << 20, 1 << 40);
        assert_eq!(part_bytes(1, 64 << 10), direct::LEAST_PART);
        assert_eq!(part_bytes(1 << 30, 64 << 20), 64 << 20);
        assert!(largest / part_bytes(largest, usual) <= direct::MOST_PARTS);
        // As long as one request to Amazon's may be.
        assert!(part_bytes(largest, usual) <= 5 << 30);
    }
}
