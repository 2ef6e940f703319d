//! The promises of the memory of uploads, as tests that any adapter runs against its real engine.

#![expect(
    clippy::unwrap_used,
    reason = "a broken promise ends the test that found it"
)]

use contracts::{
    id::{UploadId, UserId, VideoId},
    time::UnixSeconds,
};
use futures_util::future::join_all;
use store::{Digest, layout};

use super::{Claim, State, Upload, Uploads, Way};
use crate::jobs::{NewJob, Queue};

/// Runs every promise against `port` and the `queue` beside it, both empty, and panics at the
/// first that is broken.
pub async fn all(port: &dyn Uploads, queue: &dyn Queue) {
    an_upload_is_found_as_it_was_made(port).await;
    a_place_is_claimed_for_one_content(port).await;
    a_chunk_counts_once_it_is_stored(port).await;
    what_is_removed_takes_nothing_more(port).await;
    what_goes_straight_to_the_store_has_its_name_there(port).await;
    what_was_given_up_is_found_by_those_who_clear_it_only(port).await;
    what_chunks_make_is_known_until_one_is_forgotten(port).await;
    who_puts_an_upload_together_has_it_last(port).await;
    completing_queues_one_job(port, queue).await;
    a_complete_upload_keeps_its_chunks_as_they_are(port).await;
    those_whose_time_is_over_are_listed_longest_first(port).await;
}

async fn an_upload_is_found_as_it_was_made(port: &dyn Uploads) {
    let (plain, promised) = (
        upload("plain"),
        Upload {
            way: Way::Stream,
            owner: Some(UserId::parse("ann").unwrap()),
            sha256: Some(Digest::of(b"")),
            token: Some(Digest::of(b"token")),
            ..upload("promised")
        },
    );
    for upload in [&plain, &promised] {
        port.create(upload).await.unwrap().unwrap();
        assert_eq!(port.find(&upload.id).await.unwrap().as_ref(), Some(upload));
        assert!(port.create(upload).await.is_err(), "the id is taken");
    }
    assert_eq!(port.find(&id("absent")).await.unwrap(), None);
    assert_eq!(port.chunk(&id("absent"), 0).await.unwrap(), None);
    assert_eq!(port.chunks(&plain.id).await.unwrap(), []);
}

async fn a_place_is_claimed_for_one_content(port: &dyn Uploads) {
    let upload = upload("claims");
    port.create(&upload).await.unwrap().unwrap();
    let contents: Vec<Digest> = (0..8_u8).map(|byte| Digest::of(&[byte])).collect();
    let claims = contents
        .iter()
        .map(|digest| port.claim(&upload.id, 0, digest));
    let claims: Vec<Claim> = join_all(claims)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let granted: Vec<usize> = (0..8)
        .filter(|at| claims.get(*at) == Some(&Claim::Granted))
        .collect();
    assert_eq!(granted.len(), 1, "{claims:?}");
    assert!(claims.iter().all(|claim| *claim != Claim::Closed));
    let winner = contents.get(*granted.first().unwrap()).unwrap();
    assert_eq!(
        port.claim(&upload.id, 0, winner).await.unwrap(),
        Claim::Granted,
        "again"
    );
    assert_eq!(
        port.claim(&id("absent"), 0, winner).await.unwrap(),
        Claim::Closed
    );
}

async fn a_chunk_counts_once_it_is_stored(port: &dyn Uploads) {
    let upload = upload("stored");
    port.create(&upload).await.unwrap().unwrap();
    let digest = Digest::of(b"x");
    port.claim(&upload.id, 3, &digest).await.unwrap();
    assert!(!port.chunk(&upload.id, 3).await.unwrap().unwrap().stored);
    assert!(port.stored(&upload.id, 3).await.unwrap());
    port.claim(&upload.id, 3, &digest).await.unwrap();
    let chunk = port.chunk(&upload.id, 3).await.unwrap().unwrap();
    assert!(chunk.stored && chunk.index == 3 && chunk.sha256 == digest);
    assert_eq!(port.chunks(&upload.id).await.unwrap(), [chunk]);
    port.forget(&upload.id, 3).await.unwrap();
    assert_eq!(port.chunks(&upload.id).await.unwrap(), []);
    assert!(!port.stored(&upload.id, 3).await.unwrap());
}

async fn what_is_removed_takes_nothing_more(port: &dyn Uploads) {
    let upload = upload("removed");
    port.create(&upload).await.unwrap().unwrap();
    port.claim(&upload.id, 0, &Digest::of(b"x")).await.unwrap();
    assert!(port.remove(&upload.id).await.unwrap());
    assert!(!port.remove(&upload.id).await.unwrap());
    assert_eq!(port.find(&upload.id).await.unwrap(), None);
    assert_eq!(port.chunks(&upload.id).await.unwrap(), []);
    assert!(!port.stored(&upload.id, 0).await.unwrap());
}

async fn what_goes_straight_to_the_store_has_its_name_there(port: &dyn Uploads) {
    let (plain, direct) = (upload("through"), upload("direct"));
    for upload in [&plain, &direct] {
        port.create(upload).await.unwrap().unwrap();
    }
    port.go_direct(&direct.id, "a name/with+all=of it")
        .await
        .unwrap();
    let name = port.direct(&direct.id).await.unwrap();
    assert_eq!(name.as_deref(), Some("a name/with+all=of it"));
    assert_eq!(port.direct(&plain.id).await.unwrap(), None);
    assert!(port.remove(&direct.id).await.unwrap());
    assert_eq!(port.direct(&direct.id).await.unwrap(), None);
}

async fn what_was_given_up_is_found_by_those_who_clear_it_only(port: &dyn Uploads) {
    let upload = upload("given-up");
    port.create(&upload).await.unwrap().unwrap();
    port.claim(&upload.id, 0, &Digest::of(b"x")).await.unwrap();
    let give_up = || port.give_up(&upload, "cancelled", UnixSeconds(5));
    let both = join_all([give_up(), give_up()]).await;
    let both = both.into_iter().map(Result::unwrap);
    assert_eq!(both.filter(|first| *first).count(), 1);
    assert_eq!(port.find(&upload.id).await.unwrap(), None);
    assert!(!port.stored(&upload.id, 0).await.unwrap());
    let claim = port.claim(&upload.id, 1, &Digest::of(b"x")).await.unwrap();
    assert_eq!(claim, Claim::Closed);
    let job = NewJob::first(upload.video.clone(), upload.original.clone(), String::new());
    let whole = Digest::of(b"film");
    let completed = port.complete(&upload.id, &whole, &job);
    assert!(!completed.await.unwrap(), "it is given up");
    let left = port.expired(UnixSeconds(0), 9).await.unwrap();
    let left: Vec<_> = left.iter().map(|left| (&left.id, left.state)).collect();
    assert_eq!(left, [(&upload.id, State::Abandoned)]);
    assert!(port.remove(&upload.id).await.unwrap());
    assert_eq!(port.expired(UnixSeconds(0), 9).await.unwrap(), []);
}

async fn what_chunks_make_is_known_until_one_is_forgotten(port: &dyn Uploads) {
    let upload = upload("makes");
    port.create(&upload).await.unwrap().unwrap();
    let whole = Digest::of(b"what they make");
    for index in 0..2 {
        let digest = Digest::of(b"x");
        port.claim(&upload.id, index, &digest).await.unwrap();
        assert!(port.stored(&upload.id, index).await.unwrap());
    }
    port.makes(&upload.id, 3, &whole).await.unwrap();
    assert_eq!(port.made(&upload.id).await.unwrap(), None, "of others");
    port.makes(&upload.id, 2, &whole).await.unwrap();
    assert_eq!(port.made(&upload.id).await.unwrap(), Some(whole));
    port.forget(&upload.id, 1).await.unwrap();
    assert_eq!(port.made(&upload.id).await.unwrap(), None);
    assert_eq!(port.made(&id("absent")).await.unwrap(), None);
}

async fn who_puts_an_upload_together_has_it_last(port: &dyn Uploads) {
    let upload = upload("lasts");
    port.create(&upload).await.unwrap().unwrap();
    let kept = async |now, until| {
        let keep = port.keep(&upload.id, UnixSeconds(now), UnixSeconds(until));
        keep.await.unwrap();
        port.find(&upload.id).await.unwrap().unwrap().expires.0
    };
    assert_eq!(kept(900, 960).await, 1000, "no less");
    assert_eq!(kept(990, 1050).await, 1050);
    assert_eq!(kept(1050, 1110).await, 1050, "its time was over");
}

async fn completing_queues_one_job(port: &dyn Uploads, queue: &dyn Queue) {
    let upload = upload("complete");
    port.create(&upload).await.unwrap().unwrap();
    let job = NewJob::first(upload.video.clone(), upload.original.clone(), String::new());
    let whole = Digest::of(b"film");
    let completions = (0..4).map(|_| port.complete(&upload.id, &whole, &job));
    let completions = join_all(completions).await.into_iter().map(Result::unwrap);
    assert_eq!(completions.filter(|first| *first).count(), 1);
    assert_eq!(queue.counts().await.unwrap().queued, 1);
    let found = port.find(&upload.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.sha256), (State::Complete, Some(whole)));
    let left = async || port.leftovers(9).await.unwrap();
    assert_eq!(
        left().await,
        std::slice::from_ref(&upload.id),
        "its parts are there"
    );
    assert_eq!(port.leftovers(0).await.unwrap(), []);
    port.cleared(&upload.id).await.unwrap();
    assert_eq!(left().await, []);
    let claim = port.claim(&upload.id, 0, &Digest::of(b"x")).await.unwrap();
    assert_eq!(claim, Claim::Closed);
    assert!(!port.remove(&upload.id).await.unwrap(), "it is a video now");
    let given_up = port.give_up(&upload, "late", UnixSeconds(6)).await.unwrap();
    assert!(!given_up, "it is a video now");
}

async fn a_complete_upload_keeps_its_chunks_as_they_are(port: &dyn Uploads) {
    let upload = upload("closed");
    port.create(&upload).await.unwrap().unwrap();
    for index in 0..2 {
        port.claim(&upload.id, index, &Digest::of(b"x"))
            .await
            .unwrap();
    }
    assert!(port.stored(&upload.id, 0).await.unwrap());
    let job = NewJob::first(upload.video.clone(), upload.original.clone(), String::new());
    let whole = Digest::of(b"film");
    let completed = port.complete(&upload.id, &whole, &job);
    assert!(completed.await.unwrap());
    let before = port.chunks(&upload.id).await.unwrap();
    port.forget(&upload.id, 0).await.unwrap();
    assert!(!port.stored(&upload.id, 1).await.unwrap(), "it came late");
    assert_eq!(port.chunks(&upload.id).await.unwrap(), before);
}

async fn those_whose_time_is_over_are_listed_longest_first(port: &dyn Uploads) {
    let names = ["late-1", "late-2", "late-3"];
    for (name, expires) in names.iter().zip([300, 100, 200]) {
        let upload = Upload {
            expires: UnixSeconds(expires),
            ..upload(name)
        };
        port.create(&upload).await.unwrap().unwrap();
    }
    let listed = async |now, limit| -> Vec<String> {
        let expired = port.expired(UnixSeconds(now), limit).await.unwrap();
        expired.iter().map(|upload| upload.id.to_string()).collect()
    };
    assert_eq!(listed(99, 9).await, [""; 0]);
    assert_eq!(listed(200, 9).await, ["late-2", "late-3"]);
    assert_eq!(listed(999, 2).await, ["late-2", "late-3"]);
    let all = port.expired(UnixSeconds(u64::MAX), 99).await.unwrap();
    assert!(all.iter().all(|upload| upload.state == State::Receiving));
}

fn id(text: &str) -> UploadId {
    UploadId::parse(text).unwrap()
}

fn upload(name: &str) -> Upload {
    let video = VideoId::parse(&format!("video-{name}")).unwrap();
    Upload {
        id: id(name),
        original: layout::original(&video, "mp4").unwrap(),
        video,
        way: Way::Chunks,
        owner: None,
        size_bytes: 100,
        chunk_size_bytes: 10,
        sha256: None,
        state: State::Receiving,
        expires: UnixSeconds(1000),
        token: None,
    }
}
