//! The promises of quotas, as tests that any adapter runs against its real engine.

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

use super::{Kind, Over, Own, Quotas, Usage};
use crate::{
    jobs::NewJob,
    upload::{
        State, Upload, Uploads, Way,
        streams::{
            Concatenated, Kind as Becomes, Piece, Running, Stream, Streams, conformance::film_of,
        },
    },
};

/// Runs every promise against `port`, the `uploads` and the `streams` beside it, all empty and on a site of 1000 bytes,
/// 4 uploads and 6 films an owner, and panics at the first that is broken.
pub async fn all(port: &dyn Quotas, uploads: &dyn Uploads, streams: &dyn Streams) {
    an_own_quota_is_kept_as_it_was_set(port).await;
    of_those_who_begin_at_once_as_many_do_as_may(port, uploads).await;
    what_ends_is_given_back(port, uploads).await;
    what_is_put_together_counts_once(port, uploads, streams).await;
    nobody_s_uploads_are_not_counted(uploads).await;
}

async fn an_own_quota_is_kept_as_it_was_set(port: &dyn Quotas) {
    let owner = user("set");
    assert_eq!(port.own(&owner).await.unwrap(), Own::default());
    assert_eq!(port.usage(&owner).await.unwrap(), Usage::default());
    for own in [
        Own {
            bytes: Some(7),
            uploads: Some(0),
            films: None,
        },
        Own::default(),
    ] {
        port.set(&owner, own).await.unwrap();
        assert_eq!(port.own(&owner).await.unwrap(), own);
    }
}

async fn of_those_who_begin_at_once_as_many_do_as_may(port: &dyn Quotas, uploads: &dyn Uploads) {
    let begun = |owner: &'static str, each: u64| async move {
        let new: Vec<Upload> = (0..12)
            .map(|at| upload(&format!("{owner}-{at}"), Some(owner), each))
            .collect();
        let begun = join_all(new.iter().map(|new| uploads.create(new))).await;
        let begun: Vec<Result<(), Over>> = begun.into_iter().map(Result::unwrap).collect();
        let refused = begun.iter().find_map(|one| one.err());
        (begun.iter().filter(|one| one.is_ok()).count(), refused)
    };
    let (count, refused) = begun("many", 1).await;
    assert_eq!((count, refused.unwrap().kind), (4, Kind::Uploads));
    let (count, refused) = begun("large", 400).await;
    let over = Over {
        kind: Kind::Bytes,
        limit: 1000,
        used: 800,
    };
    assert_eq!((count, refused), (2, Some(over)));
    let any = Own {
        bytes: Some(0),
        uploads: Some(0),
        films: Some(0),
    };
    port.set(&user("free"), any).await.unwrap();
    assert_eq!(begun("free", 400).await, (12, None));
    let usage = Usage {
        bytes: 4800,
        uploads: 12,
        films: 12,
    };
    assert_eq!(port.usage(&user("free")).await.unwrap(), usage);
}

async fn what_ends_is_given_back(port: &dyn Quotas, uploads: &dyn Uploads) {
    let owner = "back";
    let begin = async |name: &str| {
        let new = upload(&format!("{owner}-{name}"), Some(owner), 100);
        uploads.create(&new).await.unwrap().map(|()| new)
    };
    let usage = async || {
        let usage = port.usage(&user(owner)).await.unwrap();
        (usage.bytes, usage.uploads, usage.films)
    };
    let mut last = begin("0").await.unwrap();
    for at in 1..=6 {
        let job = NewJob::first(last.video.clone(), last.original.clone(), String::new());
        let whole = Digest::of(b"");
        let done = uploads.complete(&last.id, &whole, &job).await;
        assert!(done.unwrap());
        assert_eq!(usage().await, (at * 100, 0, at), "a film is no upload");
        match begin(&at.to_string()).await {
            Ok(next) => last = next,
            Err(over) => assert_eq!((over.kind, at), (Kind::Films, 6)),
        }
    }
    let found = uploads.of(&last.video).await.unwrap();
    assert_eq!(found.map(|found| found.id), Some(last.id.clone()));
    let released = uploads.release(&last.video).await.unwrap();
    assert_eq!(released, Some(last.id));
    assert_eq!(uploads.release(&last.video).await.unwrap(), None);
    assert_eq!(uploads.of(&last.video).await.unwrap(), None);
    assert_eq!(usage().await, (500, 0, 5));
    let next = begin("7").await.unwrap();
    assert_eq!(usage().await, (600, 1, 6));
    assert!(uploads.remove(&next.id).await.unwrap());
    assert_eq!(usage().await, (500, 0, 5));
    let next = begin("8").await.unwrap();
    let released = uploads.release(&next.video).await.unwrap();
    let next = next.id;
    assert_eq!(
        released.as_ref(),
        Some(&next),
        "also one that still receives"
    );
    let left = uploads.leftovers(99).await.unwrap();
    assert!(left.contains(&next), "its parts are there");
    for id in left {
        uploads.cleared(&id).await.unwrap();
    }
    assert_eq!(usage().await, (500, 0, 5));
}

async fn what_is_put_together_counts_once(
    port: &dyn Quotas,
    uploads: &dyn Uploads,
    streams: &dyn Streams,
) {
    let owner = "parts";
    let usage = async || {
        let usage = port.usage(&user(owner)).await.unwrap();
        (usage.bytes, usage.uploads, usage.films)
    };
    let mut parts = Vec::new();
    for name in ["one", "two"] {
        let part = stream(
            upload(&format!("{owner}-{name}"), Some(owner), 500),
            Becomes::Partial,
        );
        streams.create(&part, NOW).await.unwrap().unwrap();
        let pieces = [Piece {
            start_bytes: 0,
            size_bytes: 500,
            object: layout::piece_from(&part.upload.id, 0, [0; 8]),
        }];
        let running = Running::default();
        let added = streams
            .append(&part.upload.id, 0, &pieces, &running, NOW)
            .await;
        assert!(added.unwrap());
        parts.push(part.upload.id);
    }
    assert_eq!(usage().await, (1000, 2, 0));
    let more = stream(upload("parts-more", Some(owner), 1), Becomes::Whole);
    let refused = streams.create(&more, NOW).await.unwrap().unwrap_err();
    assert_eq!(refused.kind, Kind::Bytes);
    assert!(streams.find(&more.upload.id).await.unwrap().is_none());
    let mut whole = stream(upload("parts-all", Some(owner), 1000), Becomes::Final);
    whole.arrived_bytes = 1000;
    whole.parts = parts;
    let made = streams
        .concatenate(&whole, &film_of(&whole), NOW)
        .await
        .unwrap();
    assert_eq!(made, Concatenated::Made);
    assert_eq!(usage().await, (1000, 1, 1));
    let given_up = uploads.give_up(&whole.upload, "another", NOW).await;
    assert!(given_up.unwrap());
    assert!(uploads.remove(&whole.upload.id).await.unwrap());
    assert_eq!(usage().await, (1000, 2, 0), "they are parts again");
    whole.upload = stream(upload("parts-too", Some(owner), 1000), Becomes::Final).upload;
    let made = streams.concatenate(&whole, &film_of(&whole), NOW).await;
    assert_eq!(made.unwrap(), Concatenated::Made);
    uploads.release(&whole.upload.video).await.unwrap();
    assert_eq!(usage().await, (1000, 2, 0), "its film was taken away");
    whole.upload = stream(upload("parts-last", Some(owner), 1000), Becomes::Final).upload;
    let made = streams.concatenate(&whole, &film_of(&whole), NOW).await;
    assert_eq!(made.unwrap(), Concatenated::Made);
    let upload = &whole.upload;
    let job = NewJob::first(upload.video.clone(), upload.original.clone(), String::new());
    let digest = Digest::of(b"");
    let done = uploads.complete(&upload.id, &digest, &job).await;
    assert!(done.unwrap());
    uploads.release(&upload.video).await.unwrap();
    assert_eq!(usage().await, (0, 0, 0), "its parts were used up");
}

async fn nobody_s_uploads_are_not_counted(uploads: &dyn Uploads) {
    for at in 0..9 {
        let new = upload(&format!("nobody-{at}"), None, 5000);
        uploads.create(&new).await.unwrap().unwrap();
    }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn upload(name: &str, owner: Option<&str>, size_bytes: u64) -> Upload {
    let video = VideoId::parse(name).unwrap();
    Upload {
        id: UploadId::parse(name).unwrap(),
        way: Way::Chunks,
        owner: owner.map(user),
        original: layout::original(&video, "mp4").unwrap(),
        video,
        size_bytes,
        chunk_size_bytes: 100,
        sha256: None,
        state: State::Receiving,
        expires: UnixSeconds(1000),
        token: None,
    }
}

fn stream(upload: Upload, kind: Becomes) -> Stream {
    Stream {
        upload: Upload {
            way: Way::Stream,
            ..upload
        },
        kind,
        arrived_bytes: 0,
        running: Some(Running::default()),
        metadata: String::new(),
        parts: Vec::new(),
        became: None,
    }
}

const NOW: UnixSeconds = UnixSeconds(5);
