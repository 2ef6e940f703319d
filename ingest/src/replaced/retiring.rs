//! Removing generations that others took the place of, once nobody can be served of them any more.
//!
//! Each goes the same way, of which every step is remembered, so that any instance goes on where another ended:
//! caches are ordered to forget the film at once, and again when the last origin has seen the new generation; then
//! it is waited until every node has done so or has stopped, and for as long as the operator keeps what was replaced.

use std::{sync::Arc, time::Duration};

use catalog::{
    feed::Feed,
    nodes::{
        Nodes,
        standing::{Standing, State},
    },
};
use contracts::time::UnixSeconds;
use store::layout;

use super::{Replaced, Replacements};
use crate::{
    Error,
    erasing::{SETTLED_S, purge},
    texts::Publishing,
};

/// Retires replaced generations.
pub(crate) struct Retirer {
    pub(crate) replacements: Arc<dyn Replacements>,
    pub(crate) publishing: Publishing,
    pub(crate) feed: Arc<dyn Feed>,
    pub(crate) nodes: Arc<dyn Nodes>,
    /// How long what was replaced is kept.
    pub(crate) keep: Duration,
}

impl Retirer {
    /// Takes some of them a step on; the next time goes on.
    pub(crate) async fn run(&self, now: UnixSeconds) -> Result<(), Error> {
        for found in self.replacements.due(now, AT_ONCE).await? {
            if let Err(error) = self.step(&found, now).await {
                let (video, generation) = (&found.video, found.generation);
                tracing::warn!(video.id = %video, %generation, %error, "cannot retire generation {generation} of {video}; trying again");
            }
        }
        Ok(())
    }

    async fn step(&self, found: &Replaced, now: UnixSeconds) -> Result<(), Error> {
        // It was noted before the other was to be published, which may not have come to pass yet, or never will.
        let current = self.publishing.current(&found.video).await?;
        if current.is_some_and(|current| current <= found.generation) {
            if found.due == UnixSeconds(0) {
                return self.put_off(found, now.plus(NOTED_S)).await.map(drop);
            }
            return self.replacements.forget(found).await;
        }
        let (Some(since), purged) = (found.since, found.purge) else {
            return self.begin(found, now).await;
        };
        let Some(purged) = purged else {
            return self.purge_again(found, since, now).await;
        };
        let over = since.plus(self.keep.as_secs());
        if now < over || self.is_pending(purged, now).await? {
            let due = over.max(now.plus(LOOK_S));
            return self.put_off(found, due).await.map(drop);
        }
        let files = layout::generation(&found.video, found.generation);
        self.publishing.store.delete_prefix(&files).await?;
        self.replacements.forget(found).await?;
        let (video, generation) = (&found.video, found.generation);
        tracing::info!(video.id = %video, %generation, "generation {generation} of {video}, which was replaced, is removed");
        Ok(())
    }

    /// Has caches forget the film, so that players get all of it from the generation that is there now.
    async fn begin(&self, found: &Replaced, now: UnixSeconds) -> Result<(), Error> {
        let begun = Replaced {
            due: now.plus(SETTLED_S),
            since: Some(now),
            ..found.clone()
        };
        if self.replacements.advance(found, &begun).await? {
            self.order(found, now).await?;
        }
        Ok(())
    }

    /// Has them forget what they have taken up since then from origins that did not know yet.
    async fn purge_again(
        &self,
        found: &Replaced,
        since: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<(), Error> {
        let Some(held) = self.put_off(found, now.plus(LOOK_S)).await? else {
            return Ok(());
        };
        let purged = Replaced {
            due: since.plus(self.keep.as_secs()).max(now.plus(1)),
            purge: Some(self.order(found, now).await?),
            ..held.clone()
        };
        self.replacements.advance(&held, &purged).await.map(drop)
    }

    /// Comes back to it later; `None` when somebody else is at it.
    async fn put_off(&self, found: &Replaced, due: UnixSeconds) -> Result<Option<Replaced>, Error> {
        let later = Replaced {
            due,
            ..found.clone()
        };
        let own = self.replacements.advance(found, &later).await?;
        Ok(own.then_some(later))
    }

    /// The number of the purge; 0 where nobody follows any.
    async fn order(&self, found: &Replaced, now: UnixSeconds) -> Result<u64, Error> {
        if self.feed.extent().await?.is_none() {
            return Ok(0);
        }
        Ok(self.feed.append(&[purge(&found.video)?], now).await?)
    }

    /// Whether some node may still serve what was purged.
    async fn is_pending(&self, purged: u64, now: UnixSeconds) -> Result<bool, Error> {
        let Some(extent) = self.feed.extent().await? else {
            return Ok(false);
        };
        let nodes = self.nodes.list().await?;
        let standing = Standing::of(purged, &extent.id, nodes, now);
        Ok(standing.state == State::Pending)
    }
}

/// So few that nothing else that is looked after waits for long.
const AT_ONCE: u32 = 16;
/// How long somebody may take between noting what they are about to replace and replacing it.
const NOTED_S: u64 = 600;
/// How often it is looked at whether nodes have heard.
const LOOK_S: u64 = 10;

#[cfg(test)]
mod tests {
    use catalog::{
        Catalog,
        nodes::Sighting,
        videos::{self, NewVideo},
    };
    use contracts::{
        asset::{Asset, Privacy},
        fleet::Kind,
        id::{FeedId, Generation, NodeId, VideoId},
    };
    use runtime::clock::{Clock as _, Fixed};
    use store::Key;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        replaced,
        schema::Migrations,
        texts::{self, Change, Text, Texts},
    };

    const KEEP_S: u64 = 600;

    struct House {
        folder: TempDir,
        clock: Arc<Fixed>,
        catalog: Catalog,
        video: VideoId,
        feed: FeedId,
    }

    impl House {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(Fixed::at(UnixSeconds(10_000)));
            let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
            let catalog = catalog::open(&address, Arc::clone(&clock) as _).await;
            let catalog = catalog.unwrap();
            catalog.migrate::<Migrations>().await.unwrap();
            let house = Self {
                folder,
                clock,
                catalog,
                video: VideoId::parse("film").unwrap(),
                feed: FeedId::parse("f1").unwrap(),
            };
            let feed = &house.catalog.feed;
            feed.begin(&house.feed, house.clock.now()).await.unwrap();
            let new = NewVideo {
                id: house.video.clone(),
                title: "x".to_owned(),
                privacy: Privacy::Public,
                protected: false,
            };
            house.catalog.videos.create(new).await.unwrap();
            house
        }

        /// What a process knows that has just been started.
        fn retirer(&self) -> Retirer {
            let address = format!("file://{}", self.folder.path().join("store").display());
            let replacements: Arc<dyn Replacements> =
                Arc::new(replaced::sql::Sql::new(self.catalog.connection().clone()));
            Retirer {
                publishing: Publishing {
                    store: store::open(&address).unwrap(),
                    texts: Arc::new(texts::sql::Sql::new(
                        self.catalog.clone(),
                        Arc::clone(&self.clock) as _,
                    )),
                    replacements: Arc::clone(&replacements),
                },
                replacements,
                feed: Arc::clone(&self.catalog.feed),
                nodes: Arc::clone(&self.catalog.nodes),
                keep: Duration::from_secs(KEEP_S),
            }
        }

        /// Publishes a generation of the film.
        async fn publish(&self, generation: u32) {
            self.publish_by(&self.retirer().publishing, generation)
                .await;
        }

        async fn publish_by(&self, publishing: &Publishing, generation: u32) {
            let file = self.file(generation);
            publishing.store.put(&file, "x".into()).await.unwrap();
            let asset = Asset {
                video: self.video.clone(),
                generation: Generation(generation),
                title: "x".to_owned(),
                privacy: Privacy::Public,
                duration_ms: 1000,
                renditions: Vec::new(),
                thumbs: None,
                stills: Vec::new(),
                protected: false,
            };
            // One generation follows another while the film is being made.
            replaced::sql::tests::are_made_anew(self.catalog.connection()).await;
            assert!(
                publishing
                    .reveal(asset, videos::State::Processing)
                    .await
                    .unwrap()
            );
        }

        fn file(&self, generation: u32) -> Key {
            let id = contracts::id::RenditionId::parse("720p").unwrap();
            layout::mezzanine(&self.video, Generation(generation), &id)
        }

        /// A process looks after what is due, and is gone.
        async fn look(&self) {
            self.retirer().run(self.clock.now()).await.unwrap();
        }

        async fn purges(&self) -> Vec<u64> {
            let page = self.catalog.feed.after(0, self.clock.now()).await.unwrap();
            page.entries.iter().map(|entry| entry.seq).collect()
        }

        /// Which of these generations the store has.
        async fn there(&self, generations: &[u32]) -> Vec<u32> {
            let store = self.retirer().publishing.store;
            let mut there = Vec::new();
            for generation in generations {
                if store.size(&self.file(*generation)).await.unwrap().is_some() {
                    there.push(*generation);
                }
            }
            there
        }

        /// A node says how far it is.
        async fn heard(&self, applied: u64, stops_s: Option<u64>) {
            let seen = Sighting {
                name: NodeId::parse("edge-1").unwrap(),
                kind: Kind::Edge,
                at: self.clock.now(),
                feed: Some(self.feed.clone()),
                applied,
                stops_s,
            };
            self.catalog.nodes.note(&[seen]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_generation_goes_once_its_purge_was_heard_and_its_time_is_over() {
        let house = House::new().await;
        house.publish(1).await;
        house.look().await;
        assert_eq!(house.purges().await, [0; 0], "nothing was replaced");
        house.publish(2).await;
        house.heard(0, None).await;
        for _ in 0..2 {
            house.look().await;
            assert_eq!(house.purges().await.len(), 1, "at once, and once");
        }
        // Origins believe what they have read for a minute at most.
        house.clock.advance(SETTLED_S);
        for _ in 0..2 {
            house.look().await;
            assert_eq!(house.purges().await.len(), 2);
        }
        let last = house.purges().await[1];
        house.heard(last, None).await;
        house.clock.advance(KEEP_S - SETTLED_S - 1);
        house.look().await;
        assert_eq!(house.there(&[1, 2]).await, [1, 2], "it is kept");
        house.clock.advance(1);
        house.look().await;
        assert_eq!(house.there(&[1, 2]).await, [2]);
        house.clock.advance(KEEP_S * 9);
        house.look().await;
        assert_eq!(house.purges().await.len(), 2);
        assert_eq!(house.there(&[1, 2]).await, [2]);
    }

    #[tokio::test]
    async fn a_generation_stays_as_long_as_some_node_may_serve_it() {
        let house = House::new().await;
        house.publish(1).await;
        house.publish(2).await;
        house.heard(0, None).await;
        house.look().await;
        house.clock.advance(SETTLED_S);
        house.look().await;
        for _ in 0..3 {
            house.clock.advance(KEEP_S);
            house.look().await;
            assert_eq!(house.there(&[1, 2]).await, [1, 2], "it never stops");
        }
        // It is away, and stops by itself.
        house.heard(0, Some(90)).await;
        house.clock.advance(90);
        house.look().await;
        assert_eq!(house.there(&[1, 2]).await, [1, 2], "a moment more");
        house.clock.advance(LOOK_S);
        house.look().await;
        assert_eq!(house.there(&[1, 2]).await, [2]);
    }

    #[tokio::test]
    async fn without_nodes_only_the_time_counts_and_each_generation_has_its_own() {
        let house = House::new().await;
        house.publish(1).await;
        house.publish(2).await;
        house.look().await;
        house.clock.advance(KEEP_S / 2);
        house.publish(5).await;
        house.look().await;
        house.clock.advance(KEEP_S / 2);
        house.look().await;
        house.look().await;
        assert_eq!(house.there(&[1, 2, 5]).await, [2, 5]);
        house.clock.advance(KEEP_S);
        house.look().await;
        assert_eq!(house.there(&[1, 2, 5]).await, [5]);
    }

    /// Somebody who is held up for so long whenever they are about to change a film that others look meanwhile.
    struct Slow {
        texts: Arc<dyn Texts>,
        others: Retirer,
        clock: Arc<Fixed>,
        holds_s: u64,
    }

    #[async_trait::async_trait]
    impl Texts for Slow {
        async fn list(&self, video: &VideoId) -> Result<Vec<Text>, Error> {
            self.texts.list(video).await
        }

        async fn change(&self, video: &VideoId) -> Result<Box<dyn Change>, Error> {
            for _ in 0..2 {
                self.others.run(self.clock.now()).await?;
                self.clock.advance(self.holds_s);
                self.others.run(self.clock.now()).await?;
            }
            self.texts.change(video).await
        }
    }

    #[tokio::test]
    async fn what_is_replaced_late_is_kept_and_purged_as_if_it_were_not() {
        for holds_s in [0, 7, NOTED_S] {
            let house = House::new().await;
            house.publish(1).await;
            let mut publishing = house.retirer().publishing;
            publishing.texts = Arc::new(Slow {
                texts: Arc::clone(&publishing.texts),
                others: house.retirer(),
                clock: Arc::clone(&house.clock),
                holds_s,
            });
            house.publish_by(&publishing, 2).await;
            let noted = house.retirer().replacements.of(&house.video).await;
            assert_eq!(noted.unwrap(), [Generation(1)], "after {holds_s} s");
            house.look().await;
            assert_eq!(house.purges().await.len(), 1, "after {holds_s} s");
            house.clock.advance(KEEP_S);
            house.look().await;
            house.clock.advance(1);
            house.look().await;
            assert_eq!(house.there(&[1, 2]).await, [2]);
        }
    }

    #[tokio::test]
    async fn what_is_still_published_is_never_taken_for_replaced() {
        let house = House::new().await;
        house.publish(1).await;
        // Somebody was about to publish another, and died.
        let retirer = house.retirer();
        let noted = retirer.replacements.note(&house.video, Generation(1));
        noted.await.unwrap();
        house.look().await;
        house.clock.advance(KEEP_S * 2);
        house.look().await;
        assert_eq!(house.there(&[1]).await, [1]);
        assert_eq!(house.purges().await, [0; 0]);
        assert_eq!(retirer.replacements.of(&house.video).await.unwrap(), []);
    }
}
