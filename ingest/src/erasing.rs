//! Removing the media of films that were deleted.

use std::{sync::Arc, time::Duration};

use catalog::feed::Feed;
use catalog::videos::{Video, Videos};
use contracts::feed::{Mode, Order, Purge, Scope, Text};
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use store::layout;

use crate::{Error, jobs::Queue, texts::Publishing, upload::Uploads};

/// Erases deleted films.
pub(crate) struct Eraser {
    pub(crate) videos: Arc<dyn Videos>,
    pub(crate) publishing: Publishing,
    pub(crate) feed: Arc<dyn Feed>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) uploads: Arc<dyn Uploads>,
    /// How long a job may be worked on after it was given up.
    pub(crate) notice: Duration,
}

impl Eraser {
    /// Erases some films; the next time goes on.
    pub(crate) async fn run(&self, now: UnixSeconds) -> Result<(), Error> {
        for film in self.videos.deleted(AT_ONCE).await? {
            if let Err(error) = self.erase(&film, now).await {
                tracing::warn!(video.id = %film.id, %error, "cannot remove the media of {}; trying again", film.id);
            }
        }
        Ok(())
    }

    /// Removes what there is of a film, again and again until whatever was going on when it was deleted is over; then
    /// has caches forget what they have taken up of it meanwhile.
    async fn erase(&self, film: &Video, now: UnixSeconds) -> Result<(), Error> {
        // Whoever works on it loses its job at the next beat.
        let why = "the video was deleted";
        self.queue.cancel(&film.id, why).await?;
        self.publishing.erase(&film.id).await?;
        // Its publisher has the room back, also of an upload that is under way.
        if let Some(upload) = self.uploads.release(&film.id).await? {
            let store = &self.publishing.store;
            store.delete_prefix(&layout::upload(&upload)).await?;
        }
        let given_up = self.queue.given_up(&film.id).await?;
        let late = self.notice + Duration::from_secs(SETTLED_S);
        if now < film.updated.plus(SETTLED_S) || given_up.is_some_and(|ago| ago < late) {
            return Ok(());
        }
        if self.feed.extent().await?.is_some() {
            self.feed.append(&[purge(&film.id)?], now).await?;
        }
        self.queue.forget(&film.id).await?;
        self.videos.erased(&film.id).await?;
        tracing::info!(video.id = %film.id, "nothing is left of {}", film.id);
        Ok(())
    }
}

/// The order that caches forget all that they hold of a film.
pub(crate) fn purge(video: &VideoId) -> Result<Order, Error> {
    let tag = Text::parse(&format!("a:{video}"));
    let tag = tag.map_err(|error| catalog::Error::Corrupt(error.to_string()))?;
    Ok(Order::Purge(Purge {
        scope: Scope::Tag(tag),
        mode: Mode::Hard,
        tenant: None,
    }))
}

/// So few that nothing else that is looked after waits for long.
const AT_ONCE: u32 = 16;

/// How long after its deletion a film may still be read: origins look at what is published every few seconds
/// (`asset_ttl`), and what they have begun to send they end. So may workers with what they store.
pub(crate) const SETTLED_S: u64 = 60;

#[cfg(test)]
mod tests {
    use catalog::Catalog;
    use catalog::videos::{Event, NewVideo};
    use contracts::asset::Privacy;
    use contracts::id::{FeedId, UploadId, UserId};
    use runtime::clock::{Clock as _, Fixed};
    use store::Store;

    use super::*;
    use crate::{
        jobs::{self, NewJob, conformance::Hand as _},
        replaced,
        schema::{Migrations, tests::ByHand},
        texts,
        upload::{State, Upload, Way},
    };

    #[tokio::test]
    async fn of_a_deleted_film_nothing_is_left_and_caches_are_told_once_nobody_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let address =
            |scheme: &str, name: &str| format!("{scheme}://{}", folder.path().join(name).display());
        let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
        let catalog = catalog::open(&address("sqlite", "catalog.db"), Arc::clone(&clock) as _)
            .await
            .unwrap();
        catalog.migrate::<Migrations>().await.unwrap();
        let hand = ByHand::of(catalog.connection()).await;
        let advance = async |seconds| {
            clock.advance(seconds);
            hand.set(clock.now().0).await;
        };
        advance(0).await;
        let feed = FeedId::parse("f1").unwrap();
        catalog.feed.begin(&feed, clock.now()).await.unwrap();
        let store = store::open(&address("file", "store")).unwrap();
        let eraser = eraser(&catalog, &store, &clock);
        let [gone, kept] = ["gone", "kept"].map(|id| VideoId::parse(id).unwrap());
        for id in [&gone, &kept] {
            make(&catalog, &store, id).await;
        }
        catalog.videos.advance(&gone, Event::Deleted).await.unwrap();
        let uploads = Arc::clone(&eraser.uploads);
        for id in [&gone, &kept] {
            complete(&*uploads, id).await;
        }
        let there = async |id| {
            let mut count = 0;
            for key in files(id) {
                count += usize::from(store.read(&key).await.unwrap().is_some());
            }
            count
        };
        let orders = async || {
            let page = catalog.feed.after(0, clock.now()).await.unwrap();
            page.entries.len()
        };
        eraser.run(clock.now()).await.unwrap();
        assert_eq!(
            (there(&gone).await, there(&kept).await),
            (0, files(&kept).len())
        );
        let counted = async |id: &VideoId| {
            let found = uploads.find(&UploadId::parse(id.as_str()).unwrap()).await;
            found.unwrap().is_some()
        };
        assert!(!counted(&gone).await && counted(&kept).await);
        // A worker that did not know yet.
        let late = &files(&gone)[0];
        store.put(late, b"bytes".to_vec().into()).await.unwrap();
        let notice = eraser.notice.as_secs();
        advance(SETTLED_S + notice - 1).await;
        eraser.run(clock.now()).await.unwrap();
        assert_eq!((there(&gone).await, orders().await), (0, 0));
        advance(1).await;
        for _ in 0..2 {
            eraser.run(clock.now()).await.unwrap();
            assert_eq!(orders().await, 1);
        }
        assert!(catalog.videos.deleted(9).await.unwrap().is_empty());
        // Deleted long before anybody came to tell its worker.
        catalog.videos.advance(&kept, Event::Deleted).await.unwrap();
        let job = NewJob::first(kept.clone(), files(&kept)[4].clone(), String::new());
        eraser.queue.forget(&kept).await.unwrap();
        eraser.queue.add(&job).await.unwrap();
        let taken = eraser.queue.take(Duration::from_secs(60)).await;
        assert!(taken.unwrap().is_some());
        advance(SETTLED_S).await;
        eraser.run(clock.now()).await.unwrap();
        let late = &files(&kept)[0];
        store.put(late, b"bytes".to_vec().into()).await.unwrap();
        for wait in [SETTLED_S + notice - 1, 1] {
            assert_eq!(orders().await, 1, "its worker may not know yet");
            advance(wait).await;
            eraser.run(clock.now()).await.unwrap();
            assert_eq!(there(&kept).await, 0);
        }
        assert_eq!(orders().await, 2);
    }

    fn eraser(catalog: &Catalog, store: &Arc<dyn Store>, clock: &Arc<Fixed>) -> Eraser {
        Eraser {
            videos: Arc::clone(&catalog.videos),
            publishing: Publishing {
                store: Arc::clone(store),
                texts: Arc::new(texts::sql::Sql::new(
                    catalog.clone(),
                    Arc::clone(clock) as _,
                )),
                keys: Arc::clone(&catalog.keys),
                replacements: Arc::new(replaced::sql::Sql::new(catalog.connection().clone())),
            },
            feed: Arc::clone(&catalog.feed),
            queue: Arc::new(jobs::sql::Sql::by(
                catalog.connection().clone(),
                ByHand::NOW,
            )),
            uploads: Arc::new(crate::upload::sql::Sql::new(catalog.connection().clone())),
            notice: Duration::from_secs(20),
        }
    }

    /// A film with all that there may be of one.
    async fn make(catalog: &Catalog, store: &Arc<dyn Store>, id: &VideoId) {
        let new = NewVideo {
            id: id.clone(),
            title: "x".to_owned(),
            privacy: Privacy::Public,
            protected: false,
        };
        catalog.videos.create(new).await.unwrap();
        for key in files(id) {
            store.put(&key, b"bytes".to_vec().into()).await.unwrap();
        }
    }

    async fn complete(uploads: &dyn Uploads, id: &VideoId) {
        let upload = Upload {
            id: UploadId::parse(id.as_str()).unwrap(),
            way: Way::Chunks,
            owner: Some(UserId::parse("ann").unwrap()),
            original: layout::original(id, "mp4").unwrap(),
            video: id.clone(),
            size_bytes: 5,
            chunk_size_bytes: 5,
            sha256: None,
            state: State::Receiving,
            expires: UnixSeconds(2000),
        };
        uploads.create(&upload).await.unwrap().unwrap();
        let job = NewJob::first(id.clone(), upload.original, String::new());
        let whole = store::Digest::of(b"bytes");
        let done = uploads.complete(&upload.id, &whole, &job).await;
        assert!(done.unwrap());
    }

    fn files(id: &VideoId) -> Vec<store::Key> {
        let german = contracts::id::RenditionId::parse("text-de").unwrap();
        vec![
            layout::index(id, contracts::id::Generation(1), &german),
            layout::asset(id),
            layout::poster(id),
            layout::subtitles(id, &german),
            layout::original(id, "mp4").unwrap(),
            layout::plan(id, 1),
        ]
    }
}
