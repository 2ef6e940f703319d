//! What the API does when another process meddles, the store fails, or the client goes.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::{
    body::Body,
    extract::{Query, State as With},
    http::HeaderMap,
};
use bytes::Bytes;
use catalog::{Catalog, videos::NewVideo};
use contracts::{
    asset::Privacy,
    id::{UploadId, VideoId},
    time::UnixSeconds,
};
use prometheus::Registry;
use runtime::{clock::Fixed, operator::Operator, problem::Named};
use store::{Digest, layout};
use tempfile::TempDir;
use tokio::sync::Barrier;

use self::odd::{Hook, Odd, counting, failing_once, hook};
use super::{caller::Caller, *};
use crate::{
    jobs::{self, NewJob, Queue},
    replaced::{self, Replacements},
    resting::Resting,
    schema::Migrations,
    texts::{self, Texts},
    upload::{State, Upload, Way, abandon::Sweep, quota, sql::Sql, streams},
};

mod left;
mod lost;
mod odd;
mod outages;
mod subtitles;
mod tus;

/// One upload of one chunk, and another process's hands on the same database and store.
struct House {
    folder: TempDir,
    catalog: Catalog,
    uploads: Arc<Sql>,
    streams: streams::sql::Sql,
    quotas: quota::sql::Sql,
    videos: Arc<dyn Videos>,
    texts: Arc<dyn Texts>,
    replacements: Arc<dyn Replacements>,
    channels: Arc<dyn Channels>,
    queue: Arc<dyn Queue>,
    inner: Arc<dyn Store>,
    upload: Upload,
}

const FILM: &[u8] = b"a film";

impl House {
    async fn new() -> Self {
        Self::of(Some(Digest::of(FILM))).await
    }

    /// An upload whose publisher has not told the digest of the whole yet.
    async fn untold() -> Self {
        Self::of(None).await
    }

    async fn of(sha256: Option<Digest>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address =
            |scheme: &str, name: &str| format!("{scheme}://{}", folder.path().join(name).display());
        let clock = Arc::new(Fixed::at(UnixSeconds(5)));
        let catalog = catalog::open(&address("sqlite", "catalog.db"), clock)
            .await
            .unwrap();
        catalog.migrate::<Migrations>().await.unwrap();
        let video = VideoId::parse("v").unwrap();
        let upload = Upload {
            id: UploadId::parse("u").unwrap(),
            way: Way::Chunks,
            owner: None,
            original: layout::original(&video, "mp4").unwrap(),
            video: video.clone(),
            size_bytes: FILM.len() as u64,
            chunk_size_bytes: 100,
            sha256,
            state: State::Receiving,
            expires: UnixSeconds(1000),
            token: None,
        };
        let new = NewVideo {
            id: video,
            title: "v".to_owned(),
            privacy: Privacy::Public,
            protected: false,
        };
        catalog.videos.create(new).await.unwrap();
        let uploads = Arc::new(Sql::new(catalog.connection().clone()));
        uploads.create(&upload).await.unwrap().unwrap();
        let streams = streams::sql::Sql::new(catalog.connection().clone());
        let quotas = quota::sql::Sql::new(catalog.connection().clone());
        Self {
            inner: store::open(&address("file", "store")).unwrap(),
            videos: Arc::clone(&catalog.videos),
            replacements: Arc::new(replaced::sql::Sql::new(catalog.connection().clone())),
            channels: Arc::clone(&catalog.channels),
            catalog: catalog.clone(),
            queue: Arc::new(jobs::sql::Sql::new(catalog.connection().clone())),
            texts: Arc::new(texts::sql::Sql::new(
                catalog,
                Arc::new(Fixed::at(UnixSeconds(5))),
            )),
            folder,
            uploads,
            streams,
            quotas,
            upload,
        }
    }

    fn store(&self) -> Odd {
        Odd::of(Arc::clone(&self.inner))
    }

    fn app(&self, store: Odd) -> Arc<App> {
        let uploads: Arc<dyn Uploads> = Arc::<Sql>::clone(&self.uploads);
        let store: Arc<dyn Store> = Arc::new(store);
        Arc::new(App {
            uploads,
            streams: Arc::new(self.streams.clone()),
            places: Places::default(),
            turns: Arc::default(),
            videos: Arc::clone(&self.videos),
            queue: Arc::clone(&self.queue),
            publishing: Publishing {
                store: Arc::clone(&store),
                texts: Arc::clone(&self.texts),
                replacements: Arc::clone(&self.replacements),
            },
            store,
            texts: Arc::new(Semaphore::new(TEXTS_AT_ONCE)),
            clock: Arc::new(Fixed::at(UnixSeconds(5))),
            metrics: Metrics::new(&Registry::new()).unwrap(),
            wake: Arc::default(),
            limits: Limits {
                max_film_bytes: 1000,
                chunk_size_bytes: 100,
            },
            upload_ttl: Duration::from_secs(1000),
            quotas: Arc::new(self.quotas.clone()),
            quota: Quota::default(),
            public_base: String::new(),
            control_base: String::new(),
            channels: Arc::clone(&self.channels),
            door: Door::new(Operator::anybody(), Vec::new(), None).unwrap(),
            allowed_origins: Vec::new(),
            random: |_| Ok(()),
        })
    }

    /// What another process does that completes the upload.
    fn completed_elsewhere(&self) -> Hook {
        let (uploads, store) = (Arc::clone(&self.uploads), Arc::clone(&self.inner));
        let (id, job) = (
            self.upload.id.clone(),
            NewJob::first(
                self.upload.video.clone(),
                self.upload.original.clone(),
                String::new(),
            ),
        );
        hook(move || {
            let (uploads, store) = (Arc::clone(&uploads), Arc::clone(&store));
            let (id, job) = (id.clone(), job.clone());
            async move {
                let whole = Digest::of(FILM);
                uploads.complete(&id, &whole, &job).await.unwrap();
                store.delete_prefix(&layout::upload(&id)).await
            }
        })
    }

    async fn found(&self) -> Option<Upload> {
        self.uploads.find(&self.upload.id).await.unwrap()
    }

    async fn failure(&self) -> Option<String> {
        let video = self.videos.find(&self.upload.video).await.unwrap();
        video.unwrap().failure
    }
}

async fn put(app: &Arc<App>) -> u16 {
    sent(app).await.status().as_u16()
}

/// Sends the one chunk.
async fn sent(app: &Arc<App>) -> Response {
    let mut headers = HeaderMap::new();
    let digest = Digest::of(FILM).to_string();
    headers.insert(CHUNK_SHA256, HeaderValue::from_str(&digest).unwrap());
    let which = Query::try_from_uri(&"/?index=0".parse().unwrap());
    let body = Body::from(FILM);
    let id = Named("u".to_owned());
    let answer = chunk::put(
        With(Arc::clone(app)),
        Caller::Any.into(),
        id,
        which,
        headers,
        body,
    )
    .await;
    answer.into_response()
}

async fn complete(app: &Arc<App>) -> u16 {
    complete_as(app, Bytes::new()).await
}

async fn complete_as(app: &Arc<App>, told: Bytes) -> u16 {
    let (id, any) = (Named("u".to_owned()), Caller::Any.into());
    let answer = life::complete(With(Arc::clone(app)), any, id, Ok(told)).await;
    answer.into_response().status().as_u16()
}

fn sweep(app: &App) -> Sweep {
    Sweep {
        uploads: Arc::clone(&app.uploads),
        publishing: app.publishing.clone(),
        turns: Arc::clone(&app.turns),
        metrics: app.metrics.clone(),
        resting: Resting::default(),
    }
}

fn whole(film: &[u8]) -> Bytes {
    let told = serde_json::json!({"sha256": Digest::of(film).to_string()});
    told.to_string().into()
}

async fn cancel(app: Arc<App>) -> u16 {
    let (id, any) = (Named("u".to_owned()), Caller::Any.into());
    let answer = life::cancel(With(app), any, id).await;
    answer.into_response().status().as_u16()
}

#[tokio::test]
async fn completions_at_once_join_once_and_are_all_accepted() {
    let house = House::new().await;
    let joins = Arc::new(AtomicU32::new(0));
    let (counted, both) = (Arc::clone(&joins), Arc::new(Barrier::new(2)));
    let mut store = house.store();
    store.join = hook(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let both = Arc::clone(&both);
        async move {
            // Time for a second one to come here, if nothing keeps it.
            let _ = tokio::time::timeout(Duration::from_millis(300), both.wait()).await;
            Ok(())
        }
    });
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(tokio::join!(complete(&app), complete(&app)), (202, 202));
    assert_eq!(joins.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_completion_that_nobody_waits_for_any_more_is_not_begun() {
    let house = House::new().await;
    let (count, joins) = counting();
    let mut store = house.store();
    store.join = count;
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    let turn = app.turns.wait(&house.upload.id).await;
    let wait = tokio::time::timeout(Duration::from_millis(300), complete(&app));
    assert!(wait.await.is_err(), "somebody else is at it");
    drop(turn);
    // Whoever had waited before would have its turn before this.
    drop(app.turns.wait(&house.upload.id).await);
    assert_eq!(joins.load(Ordering::Relaxed), 0);
    assert_eq!(complete(&app).await, 202);
    assert_eq!(joins.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_join_that_another_process_overtook_is_accepted_and_forgets_nothing() {
    let house = House::new().await;
    let mut store = house.store();
    store.join = house.completed_elsewhere();
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(complete(&app).await, 202);
    let chunks = house.uploads.chunks(&house.upload.id).await.unwrap();
    assert_eq!(chunks.len(), 1);
}

#[tokio::test]
async fn a_digest_that_differs_from_that_of_a_completion_elsewhere_is_refused() {
    let house = House::untold().await;
    let mut store = house.store();
    store.join = house.completed_elsewhere();
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(complete_as(&app, whole(b"another film")).await, 409);
    assert_eq!(complete_as(&app, whole(FILM)).await, 202);
}

#[tokio::test]
async fn an_upload_that_was_cancelled_while_it_was_joined_leaves_no_original() {
    let house = House::new().await;
    let mut store = house.store();
    let (uploads, id) = (Arc::clone(&house.uploads), house.upload.id.clone());
    store.join = hook(move || {
        let (uploads, id) = (Arc::clone(&uploads), id.clone());
        async move {
            assert!(uploads.remove(&id).await.unwrap());
            Ok(())
        }
    });
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(complete(&app).await, 404);
    let original = house.inner.size(&house.upload.original).await.unwrap();
    assert_eq!(original, None);
}

#[tokio::test]
async fn a_chunk_that_is_stored_after_the_upload_was_completed_is_removed() {
    let house = House::new().await;
    let mut store = house.store();
    store.commit = Arc::new(house.completed_elsewhere());
    let app = house.app(store);
    assert_eq!(put(&app).await, 409);
    let chunk = layout::chunk(&house.upload.id, 0);
    assert_eq!(house.inner.size(&chunk).await.unwrap(), None);
}

#[tokio::test]
async fn a_cancellation_that_failed_half_way_counts_and_the_sweep_goes_on() {
    let house = House::new().await;
    let mut store = house.store();
    let key = house.upload.original.clone();
    store.delete = failing_once(move || store::Error::Full { key: key.clone() });
    let app = house.app(store);
    assert_eq!(put(&app).await, 200);
    assert_eq!(cancel(Arc::clone(&app)).await, 204);
    let reason = "the upload was cancelled";
    assert_eq!(house.failure().await.as_deref(), Some(reason));
    assert!(house.found().await.is_none());
    let chunk = layout::chunk(&house.upload.id, 0);
    let there = async || house.inner.size(&chunk).await.unwrap().is_some();
    assert!(there().await, "it could not be removed");
    let sweep = sweep(&app);
    sweep.run(UnixSeconds(5)).await.unwrap();
    assert!(!there().await);
    let left = house.uploads.expired(UnixSeconds(5), 9).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_cancellation_goes_on_when_its_client_has_gone() {
    let house = House::new().await;
    let mut store = house.store();
    let gate = Arc::new(Barrier::new(2));
    let (reached, opened) = (Arc::clone(&gate), Arc::new(AtomicU32::new(0)));
    store.delete = hook(move || {
        let (reached, first) = (
            Arc::clone(&reached),
            opened.fetch_add(1, Ordering::Relaxed) == 0,
        );
        async move {
            if first {
                reached.wait().await;
                reached.wait().await;
            }
            Ok(())
        }
    });
    let app = house.app(store);
    let client = tokio::spawn(cancel(Arc::clone(&app)));
    gate.wait().await;
    client.abort();
    assert!(client.await.is_err());
    tokio::time::timeout(Duration::from_secs(20), gate.wait())
        .await
        .expect("the cancellation goes on");
    // Its turn ends with it.
    drop(app.turns.wait(&house.upload.id).await);
    assert!(house.found().await.is_none());
}
