//! Subtitles that meet a cancellation, others who write, and more of their kind.

use catalog::videos::Event;
use contracts::{asset::Asset, id::Generation};
use futures_util::{Stream, StreamExt as _, stream};

use super::*;
use crate::texts::Language;

const VTT: &str = "WEBVTT\n\n00:01.000 --> 00:02.000\nA word\n";
const AA: &str = "WEBVTT\n\n00:01.000 --> 00:02.000\nAnother word\n";

/// Sends English subtitles, or those of another language, in one piece.
async fn put_text(app: &Arc<App>, lang: &str, file: &'static str) -> Response {
    put_text_from(app, lang, stream::iter([file.to_owned()])).await
}

async fn put_text_from(
    app: &Arc<App>,
    lang: &str,
    pieces: impl Stream<Item = String> + Send + 'static,
) -> Response {
    let place = Named(("v".to_owned(), lang.to_owned()));
    let label = Query::try_from_uri(&"/".parse().unwrap());
    let body = Body::from_stream(pieces.map(Ok::<_, std::io::Error>));
    let app = With(Arc::clone(app));
    let answer =
        crate::api::subtitles::put(app, Caller::Any, place, label, HeaderMap::new(), body).await;
    answer.into_response()
}

#[tokio::test]
async fn subtitles_that_come_while_their_upload_is_cancelled_leave_nothing() {
    let house = House::new().await;
    let app = house.app(house.store());
    let other = Arc::clone(&app);
    let pieces = stream::once(async move {
        assert_eq!(cancel(other).await, 204);
        VTT.to_owned()
    });
    let answer = put_text_from(&app, "en", pieces).await;
    assert_eq!(answer.status(), 409);
    assert_eq!(house.texts.list(&house.upload.video).await.unwrap(), []);
    let english = Language::parse("en").unwrap();
    let key = layout::subtitles(&house.upload.video, english.rendition());
    assert_eq!(house.inner.size(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_film_that_was_deleted_is_not_there() {
    let house = House::new().await;
    let app = house.app(house.store());
    assert_eq!(put_text(&app, "en", VTT).await.status(), 201);
    let deleted = house.videos.advance(&house.upload.video, Event::Deleted);
    deleted.await.unwrap();
    assert_eq!(put_text(&app, "en", VTT).await.status(), 404);
    let place = || Named("v".to_owned());
    let app = || With(Arc::clone(&app));
    let listed = crate::api::subtitles::list(app(), Caller::Any, place()).await;
    assert_eq!(listed.into_response().status(), 404);
    let retried = retry::retry(app(), Caller::Any, place()).await;
    assert_eq!(retried.into_response().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_files_of_texts_are_read_others_may_write() {
    let house = House::new().await;
    publish(&house).await;
    let mut store = house.store();
    let reads = Arc::new(AtomicU32::new(0));
    let (counted, texts) = (Arc::clone(&reads), Arc::clone(&house.texts));
    store.read = hook(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let texts = Arc::clone(&texts);
        async move {
            let another = VideoId::parse("another").unwrap();
            // Refused, after some seconds, were the right to write held.
            texts.change(&another).await.unwrap();
            Ok(())
        }
    });
    let app = house.app(store);
    for lang in ["en", "de"] {
        assert_eq!(put_text(&app, lang, VTT).await.status(), 201);
    }
    let german = Language::parse("de").unwrap();
    let removed = app.publishing.remove(&house.upload.video, &german).await;
    assert!(removed.unwrap());
    assert!(reads.load(Ordering::Relaxed) > 0);
}

/// A film without pictures, as if it were published.
async fn publish(house: &House) {
    let asset = Asset {
        video: house.upload.video.clone(),
        generation: Generation(1),
        title: "v".to_owned(),
        privacy: Privacy::Public,
        duration_ms: 1000,
        renditions: Vec::new(),
        thumbs: None,
        stills: Vec::new(),
        protected: false,
    };
    let json = serde_json::to_vec(&asset).unwrap();
    let key = layout::asset(&asset.video);
    house.inner.put(&key, json.into()).await.unwrap();
}

/// Sees that every text that is published is named with the digest of its file, and how many are.
async fn published(house: &House) -> usize {
    let video = &house.upload.video;
    let json = house.inner.read(&layout::asset(video)).await.unwrap();
    let asset: Asset = serde_json::from_slice(&json.unwrap()).unwrap();
    for text in &asset.renditions {
        let file = house.inner.read(&layout::subtitles(video, &text.id)).await;
        let digest = Digest::of(&file.unwrap().unwrap()).to_string();
        assert_eq!(text.sha256.as_deref(), Some(digest.as_str()), "{}", text.id);
    }
    asset.renditions.len()
}

#[tokio::test]
async fn a_text_whose_replacement_failed_half_way_is_named_as_it_lies_there() {
    let house = House::new().await;
    publish(&house).await;
    let app = house.app(house.store());
    assert_eq!(put_text(&app, "en", VTT).await.status(), 201);
    assert_eq!(published(&house).await, 1);
    let english = Language::parse("en").unwrap();
    let key = layout::subtitles(&house.upload.video, english.rendition());
    let half = Bytes::from_static(b"WEBVTT\n");
    house.inner.put(&key, half).await.unwrap();
    assert_eq!(put_text(&app, "de", VTT).await.status(), 201);
    assert_eq!(published(&house).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_replaced_and_restored_while_files_are_read_is_named_as_it_lies_there() {
    let house = House::new().await;
    publish(&house).await;
    let other = house.app(house.store());
    for lang in ["aa", "bb"] {
        assert_eq!(put_text(&other, lang, VTT).await.status(), 201);
    }
    let mut store = house.store();
    let reads = Arc::new(AtomicU32::new(0));
    store.read = hook(move || {
        let (other, read) = (Arc::clone(&other), reads.fetch_add(1, Ordering::Relaxed));
        async move {
            // Before the first is read it is replaced, before the second is read it is restored.
            let file = [AA, VTT].get(read as usize);
            if let Some(file) = file {
                assert_eq!(put_text(&other, "aa", file).await.status(), 200);
            }
            Ok(())
        }
    });
    let app = house.app(store);
    assert_eq!(put_text(&app, "cc", VTT).await.status(), 201);
    assert_eq!(published(&house).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_subtitles_that_come_at_once_so_many_are_taken_and_others_told_when_to_come() {
    let house = House::new().await;
    let app = house.app(house.store());
    let gate = Arc::new(Semaphore::new(0));
    let at_it = Arc::new(Barrier::new(TEXTS_AT_ONCE + 1));
    let coming: Vec<_> = (b'a'..)
        .take(TEXTS_AT_ONCE)
        .map(|letter| {
            let (app, gate, at_it) = (Arc::clone(&app), Arc::clone(&gate), Arc::clone(&at_it));
            let pieces = stream::once(async move {
                at_it.wait().await;
                drop(gate.acquire().await.unwrap());
                VTT.to_owned()
            });
            let lang = format!("x{}", char::from(letter));
            tokio::spawn(async move { put_text_from(&app, &lang, pieces).await })
        })
        .collect();
    at_it.wait().await;
    let refused = put_text(&app, "en", VTT).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    gate.add_permits(1);
    for taken in coming {
        assert_eq!(taken.await.unwrap().status(), 201);
    }
    assert_eq!(put_text(&app, "en", VTT).await.status(), 201);
}
