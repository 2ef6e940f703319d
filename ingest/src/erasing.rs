//! Removing the media of films that were deleted, or that failed after they could be watched.

use std::{sync::Arc, time::Duration};

use catalog::feed::Feed;
use catalog::videos::{Video, Videos};
use contracts::feed::{Mode, Order, Purge, Scope, Text};
use contracts::id::VideoId;
use contracts::time::UnixSeconds;

use crate::{
    Error,
    jobs::Queue,
    resting::Resting,
    texts::Publishing,
    upload::{
        Uploads,
        abandon::{close, tidy},
    },
};

/// Erases deleted films, and takes back those that failed after they were shown.
pub(crate) struct Eraser {
    pub(crate) videos: Arc<dyn Videos>,
    pub(crate) publishing: Publishing,
    pub(crate) feed: Arc<dyn Feed>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) uploads: Arc<dyn Uploads>,
    /// How long a job may be worked on after it was given up.
    pub(crate) notice: Duration,
    pub(crate) resting: Resting,
}

impl Eraser {
    /// Erases some films, and takes some back; the next time goes on.
    pub(crate) async fn run(&self, now: UnixSeconds) -> Result<(), Error> {
        let resting = &self.resting;
        let unfit = self.videos.unfit(resting.and(AT_ONCE)).await?;
        for film in resting.up(AT_ONCE, now, unfit, |film| film.id.as_str()) {
            let outcome = self.take_back(&film, now).await;
            self.note(&film, &outcome, now).await?;
            if let Err(error) = outcome {
                tracing::warn!(video.id = %film.id, %error, "cannot take {} back, which failed; trying again", film.id);
            }
        }
        let deleted = self.videos.deleted(resting.and(AT_ONCE)).await?;
        for film in resting.up(AT_ONCE, now, deleted, |film| film.id.as_str()) {
            let outcome = self.erase(&film, now).await;
            self.note(&film, &outcome, now).await?;
            if let Err(error) = outcome {
                tracing::warn!(video.id = %film.id, %error, "cannot remove the media of {}; trying again", film.id);
            }
        }
        Ok(())
    }

    /// Has a film rest that cannot be removed; but none, and no other has its turn, while the store is away: all go on
    /// once it is back.
    async fn note(
        &self,
        film: &Video,
        outcome: &Result<(), Error>,
        now: UnixSeconds,
    ) -> Result<(), Error> {
        if outcome.is_err() {
            store::look(&*self.publishing.store).await?;
        }
        self.resting.note(film.id.as_str(), outcome, now);
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
        if let Some(upload) = self.uploads.of(&film.id).await? {
            let (uploads, store) = (&*self.uploads, &*self.publishing.store);
            // First: what is forgotten cannot be closed any more.
            close(uploads, store, &upload).await?;
            uploads.release(&film.id).await?;
            // Should this fail, or the process die, a sweep goes on.
            tidy(uploads, store, &upload.id).await?;
        }
        if self.is_settled(film, now).await? {
            self.purge(&film.id, now).await?;
            self.queue.forget(&film.id).await?;
            self.videos.erased(&film.id).await?;
            tracing::info!(video.id = %film.id, "nothing is left of {}", film.id);
        }
        Ok(())
    }

    /// Removes what could be watched of a film that failed, and has caches forget it. So does whoever gave it up,
    /// unless they died or the store was away: it is done again, and last when nobody can have read it any more.
    async fn take_back(&self, film: &Video, now: UnixSeconds) -> Result<(), Error> {
        self.publishing.forget(&film.id).await?;
        if self.is_settled(film, now).await? {
            self.purge(&film.id, now).await?;
            self.videos.taken_back(&film.id).await?;
            tracing::info!(video.id = %film.id, "{}, which failed, is shown no more", film.id);
        }
        Ok(())
    }

    /// Whether all is over that went on when the film came to its end: it is read no more, and nobody works on it.
    async fn is_settled(&self, film: &Video, now: UnixSeconds) -> Result<bool, Error> {
        let given_up = self.queue.given_up(&film.id).await?;
        let late = self.notice + Duration::from_secs(SETTLED_S);
        Ok(now >= film.updated.plus(SETTLED_S) && given_up.is_none_or(|ago| ago >= late))
    }

    async fn purge(&self, film: &VideoId, now: UnixSeconds) -> Result<(), Error> {
        if self.feed.extent().await?.is_some() {
            self.feed.append(&[purge(film)?], now).await?;
        }
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
    use catalog::videos::{self, Event, NewVideo};
    use contracts::asset::Privacy;
    use contracts::id::{FeedId, UploadId, UserId};
    use runtime::clock::{Clock as _, Fixed};
    use store::{Store, layout};

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
        let house = House::new().await;
        let (catalog, store) = (&house.catalog, &house.store);
        let (eraser, clock) = (&house.eraser, &house.clock);
        let advance = |seconds| house.advance(seconds);
        let [gone, kept] = ["gone", "kept"].map(|id| VideoId::parse(id).unwrap());
        for id in [&gone, &kept] {
            make(catalog, store, id).await;
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
        let orders = || house.orders();
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

    #[tokio::test]
    async fn a_film_that_failed_after_it_was_shown_is_taken_back_also_when_who_gave_it_up_died() {
        let house = House::new().await;
        let (eraser, clock, store) = (&house.eraser, &house.clock, &house.store);
        let film = VideoId::parse("film").unwrap();
        make(&house.catalog, store, &film).await;
        let original = layout::original(&film, "mp4").unwrap();
        let job = NewJob::first(film.clone(), original.clone(), String::new());
        eraser.queue.add(&job).await.unwrap();
        let held = eraser.queue.take(Duration::from_secs(60)).await;
        let held = held.unwrap().unwrap();
        for event in [Event::Uploaded, Event::Playable { duration_ms: 9 }] {
            house.catalog.videos.advance(&film, event).await.unwrap();
        }
        let is_shown = async || {
            let asset = store.size(&layout::asset(&film)).await.unwrap();
            asset.is_some()
        };
        eraser.run(clock.now()).await.unwrap();
        assert!(is_shown().await, "it has not failed");
        // The worker's last word.
        assert!(eraser.queue.bury(&held, "damaged").await.unwrap());
        eraser.run(clock.now()).await.unwrap();
        assert!(!is_shown().await);
        assert_eq!(house.orders().await, 0, "origins may still believe in it");
        house.advance(SETTLED_S + eraser.notice.as_secs()).await;
        for _ in 0..2 {
            eraser.run(clock.now()).await.unwrap();
            assert_eq!(house.orders().await, 1);
        }
        let failed = house.catalog.videos.find(&film).await.unwrap().unwrap();
        assert_eq!(
            (failed.state, failed.duration_ms),
            (videos::State::Failed, None)
        );
        assert!(
            store.size(&original).await.unwrap().is_some(),
            "it may be tried once more"
        );
    }

    #[tokio::test]
    async fn what_could_not_be_removed_while_the_store_was_away_is_when_it_is_back() {
        let house = House::new().await;
        let film = VideoId::parse("film").unwrap();
        make(&house.catalog, &house.store, &film).await;
        let videos = &house.catalog.videos;
        videos.advance(&film, Event::Deleted).await.unwrap();
        let [there, away] = ["store", "away"].map(|name| house.folder.path().join(name));
        std::fs::rename(&there, &away).unwrap();
        for _ in 0..9 {
            assert!(house.eraser.run(house.clock.now()).await.is_err());
        }
        std::fs::rename(&away, &there).unwrap();
        house.eraser.run(house.clock.now()).await.unwrap();
        let left = house.store.size(&layout::asset(&film)).await.unwrap();
        assert_eq!(left, None);
    }

    /// A catalogue whose feed is followed, a store, and who erases there.
    struct House {
        clock: Arc<Fixed>,
        /// The database's.
        hand: ByHand,
        catalog: Catalog,
        store: Arc<dyn Store>,
        eraser: Eraser,
        folder: tempfile::TempDir,
    }

    impl House {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let address = |scheme: &str, name: &str| {
                format!("{scheme}://{}", folder.path().join(name).display())
            };
            let clock = Arc::new(Fixed::at(UnixSeconds(1000)));
            let catalog = catalog::open(&address("sqlite", "catalog.db"), Arc::clone(&clock) as _)
                .await
                .unwrap();
            catalog.migrate::<Migrations>().await.unwrap();
            let feed = FeedId::parse("f1").unwrap();
            catalog.feed.begin(&feed, clock.now()).await.unwrap();
            let store = store::open(&address("file", "store")).unwrap();
            let hand = ByHand::of(catalog.connection()).await;
            hand.set(clock.now().0).await;
            Self {
                eraser: eraser(&catalog, &store, &clock),
                clock,
                hand,
                catalog,
                store,
                folder,
            }
        }

        async fn advance(&self, seconds: u64) {
            self.clock.advance(seconds);
            self.hand.set(self.clock.now().0).await;
        }

        /// How many purges were ordered.
        async fn orders(&self) -> usize {
            let page = self.catalog.feed.after(0, self.clock.now()).await;
            page.unwrap().entries.len()
        }
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
                replacements: Arc::new(replaced::sql::Sql::new(catalog.connection().clone())),
            },
            feed: Arc::clone(&catalog.feed),
            queue: Arc::new(jobs::sql::Sql::by(
                catalog.connection().clone(),
                ByHand::NOW,
            )),
            uploads: Arc::new(crate::upload::sql::Sql::new(catalog.connection().clone())),
            notice: Duration::from_secs(20),
            resting: Resting::default(),
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
            token: None,
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
