//! What every adapter of [`Videos`] promises.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a promise that is broken ends the test"
)]

use contracts::asset::Privacy;
use contracts::id::VideoId;

use super::{Event, NewVideo, State, Video, Videos};
use crate::error::Error;

/// Every promise, on a catalogue that is empty.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(videos: &dyn Videos) {
    a_new_film_is_uploading_and_its_id_is_taken(videos).await;
    a_film_is_moved_on_once_and_repeating_changes_nothing(videos).await;
    progress_only_rises_and_only_while_processing(videos).await;
    a_film_says_what_it_waits_for_until_it_is_published(videos).await;
    of_two_changes_at_once_one_wins(videos).await;
    a_film_may_be_watched_while_it_is_processed(videos).await;
    a_failed_film_says_why_and_stays_so_until_it_is_tried_once_more(videos).await;
    a_film_that_failed_after_it_was_shown_is_unfit_until_it_is_taken_back(videos).await;
    a_film_that_was_left_is_tried_once_more_and_watched_meanwhile(videos).await;
    a_film_that_is_ready_says_why_it_lacks_renditions_until_it_has_them(videos).await;
    only_public_and_ready_films_are_listed_in_pages(videos).await;
    a_deleted_film_is_gone_for_good_and_found_until_its_media_are(videos).await;
    what_is_absent_is_none_or_named(videos).await;
    any_words_are_kept_but_for_zero_characters(videos).await;
}

fn id(text: &str) -> VideoId {
    VideoId::parse(text).expect("a test's id is one")
}

async fn make(videos: &dyn Videos, name: &str, privacy: Privacy) -> Video {
    let new = NewVideo {
        id: id(name),
        title: format!("Film {name}"),
        privacy,
        protected: name == "new",
    };
    videos.create(new).await.expect("a new id can be made")
}

async fn publish(videos: &dyn Videos, name: &str) -> Video {
    videos
        .advance(&id(name), Event::Uploaded)
        .await
        .expect("an upload ends");
    let published = Event::Published { duration_ms: 4000 };
    videos
        .advance(&id(name), published)
        .await
        .expect("processing ends")
}

async fn a_new_film_is_uploading_and_its_id_is_taken(videos: &dyn Videos) {
    let made = make(videos, "new", Privacy::Unlisted).await;
    assert_eq!(
        (made.state, made.progress, made.duration_ms),
        (State::Uploading, 0, None)
    );
    assert!(made.protected);
    assert_eq!(videos.find(&id("new")).await.expect("find"), Some(made));
    let again = NewVideo {
        id: id("new"),
        title: String::new(),
        privacy: Privacy::Public,
        protected: false,
    };
    assert!(matches!(
        videos.create(again).await,
        Err(Error::Exists { .. })
    ));
}

async fn a_film_is_moved_on_once_and_repeating_changes_nothing(videos: &dyn Videos) {
    make(videos, "moved", Privacy::Unlisted).await;
    let ready = publish(videos, "moved").await;
    assert_eq!(
        (ready.state, ready.progress, ready.duration_ms),
        (State::Ready, 100, Some(4000))
    );
    let again = videos
        .advance(&id("moved"), Event::Published { duration_ms: 9 })
        .await;
    assert_eq!(
        again.expect("a repetition succeeds").duration_ms,
        Some(4000)
    );
    let late = videos
        .advance(
            &id("moved"),
            Event::Failed {
                reason: "late".into(),
            },
        )
        .await;
    assert!(matches!(
        late,
        Err(Error::Refused {
            state: State::Ready,
            ..
        })
    ));
}

async fn of_two_changes_at_once_one_wins(videos: &dyn Videos) {
    for round in 0..8 {
        let name = format!("race{round}");
        make(videos, &name, Privacy::Unlisted).await;
        videos
            .advance(&id(&name), Event::Uploaded)
            .await
            .expect("an upload ends");
        let failed = Event::Failed { reason: "x".into() };
        let key = id(&name);
        let (published, failed) = tokio::join!(
            videos.advance(&key, Event::Published { duration_ms: 1 }),
            videos.advance(&key, failed),
        );
        let end = videos.find(&key).await.expect("find").expect("it is there");
        match (published, failed) {
            (Ok(won), Err(Error::Refused { state, .. }))
            | (Err(Error::Refused { state, .. }), Ok(won)) => {
                assert_eq!((won.state, won), (state, end));
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn progress_only_rises_and_only_while_processing(videos: &dyn Videos) {
    make(videos, "rising", Privacy::Unlisted).await;
    let seen = async |percent| {
        videos
            .progress(&id("rising"), percent)
            .await
            .expect("progress");
        videos
            .find(&id("rising"))
            .await
            .expect("find")
            .expect("it is there")
            .progress
    };
    assert_eq!(seen(10).await, 0, "not while uploading");
    videos
        .advance(&id("rising"), Event::Uploaded)
        .await
        .expect("an upload ends");
    assert_eq!(seen(40).await, 40);
    assert_eq!(seen(30).await, 40);
    assert_eq!(seen(100).await, 99, "only a published film is done");
}

async fn a_film_says_what_it_waits_for_until_it_is_published(videos: &dyn Videos) {
    make(videos, "waiting", Privacy::Unlisted).await;
    let said = async |reason| {
        videos.waits(&id("waiting"), reason).await.expect("waits");
        let found = videos.find(&id("waiting")).await.expect("find");
        found.expect("it is there").failure
    };
    assert_eq!(said(Some("no room")).await, None, "not while uploading");
    let moved = async |event| {
        let moved = videos.advance(&id("waiting"), event).await;
        moved.expect("it moves on").failure
    };
    moved(Event::Uploaded).await;
    assert_eq!(said(Some("no room")).await.as_deref(), Some("no room"));
    assert_eq!(said(None).await, None);
    said(Some("no room")).await;
    let duration_ms = 7;
    assert_eq!(moved(Event::Published { duration_ms }).await, None);
    assert_eq!(said(Some("no room")).await, None, "it is ready");
}

async fn a_film_may_be_watched_while_it_is_processed(videos: &dyn Videos) {
    let playable = |duration_ms| Event::Playable { duration_ms };
    let left = || Event::Left {
        reason: "no room".into(),
    };
    let made = make(videos, "early", Privacy::Public).await;
    assert!(!made.is_playable());
    let too_soon = videos.advance(&made.id, playable(1)).await;
    assert!(matches!(too_soon, Err(Error::Refused { .. })));
    let uploaded = videos.advance(&made.id, Event::Uploaded).await;
    assert!(!uploaded.expect("an upload ends").is_playable());
    let alone = videos.advance(&made.id, left()).await;
    assert!(
        matches!(alone, Err(Error::Refused { .. })),
        "nothing is there"
    );
    videos.progress(&made.id, 30).await.expect("progress");
    for duration_ms in [5000, 7000] {
        let shown = videos.advance(&made.id, playable(duration_ms)).await;
        let shown = shown.expect("first renditions are there");
        assert!(shown.is_playable());
        assert_eq!(
            (shown.state, shown.progress, shown.duration_ms),
            (State::Processing, 30, Some(5000))
        );
        assert_eq!(
            videos.find(&made.id).await.expect("find"),
            Some(shown.clone())
        );
        let listed = videos.list(None, 100).await.expect("list");
        assert!(listed.contains(&shown), "it can be watched");
    }
    let again = videos.advance(&made.id, Event::Uploaded).await;
    assert!(again.expect("a worker begins anew").is_playable());
    let stays = videos.advance(&made.id, left()).await.expect("it stays");
    assert_eq!((stays.state, stays.progress), (State::Ready, 100));
    assert_eq!(stays.failure.as_deref(), Some("no room"));
    let second = make(videos, "early2", Privacy::Public).await;
    for event in [
        Event::Uploaded,
        playable(5000),
        Event::Published { duration_ms: 5010 },
    ] {
        videos
            .advance(&second.id, event)
            .await
            .expect("in this order");
    }
    let whole = videos.find(&second.id).await.expect("find");
    let whole = whole.expect("it is there");
    assert_eq!(
        (whole.state, whole.progress, whole.duration_ms),
        (State::Ready, 100, Some(5010))
    );
    for id in [&made.id, &second.id] {
        videos
            .advance(id, Event::Deleted)
            .await
            .expect("any film is deleted");
        videos.erased(id).await.expect("nothing is left");
    }
}

async fn a_film_that_failed_after_it_was_shown_is_unfit_until_it_is_taken_back(
    videos: &dyn Videos,
) {
    let [shown, failed] = ["shown1", "shown2"];
    for name in [shown, failed] {
        make(videos, name, Privacy::Unlisted).await;
        for event in [Event::Uploaded, Event::Playable { duration_ms: 5000 }] {
            videos.advance(&id(name), event).await.expect("in order");
        }
    }
    let reason = Event::Failed { reason: "x".into() };
    videos.advance(&id(failed), reason).await.expect("it fails");
    for name in [shown, failed] {
        let unfit = videos.unfit(9).await.expect("unfit");
        let unfit: Vec<_> = unfit.into_iter().map(|film| film.id).collect();
        assert_eq!(unfit, [id(failed)]);
        let again = videos.advance(&id(failed), Event::Retried).await;
        assert!(matches!(again, Err(Error::Refused { .. })), "not yet");
        videos.taken_back(&id(name)).await.expect("taken back");
    }
    assert!(videos.unfit(9).await.expect("unfit").is_empty());
    let again = videos.advance(&id(failed), Event::Retried).await;
    assert_eq!(again.expect("by now").state, State::Processing);
    let stays = videos.find(&id(shown)).await.expect("find");
    assert!(stays.is_some_and(|film| film.is_playable()));
}

async fn a_film_that_was_left_is_tried_once_more_and_watched_meanwhile(videos: &dyn Videos) {
    make(videos, "left", Privacy::Unlisted).await;
    let reason = "no room".into();
    for event in [
        Event::Uploaded,
        Event::Playable { duration_ms: 5000 },
        Event::Left { reason },
    ] {
        videos.advance(&id("left"), event).await.expect("in order");
    }
    let again = videos.advance(&id("left"), Event::Retried).await;
    let again = again.expect("what is missing may be made");
    assert_eq!(
        (again.state, again.progress, again.failure.as_deref()),
        (State::Processing, 0, None)
    );
    assert!(again.is_playable());
    let whole = publish(videos, "left").await;
    assert_eq!((whole.state, whole.progress), (State::Ready, 100));
    let needless = videos.advance(&id("left"), Event::Retried).await;
    assert!(matches!(needless, Err(Error::Refused { .. })));
}

async fn a_film_that_is_ready_says_why_it_lacks_renditions_until_it_has_them(videos: &dyn Videos) {
    let made = make(videos, "lacks", Privacy::Unlisted).await;
    let ready = publish(videos, "lacks").await;
    for reason in ["no encoder", "later"] {
        let reason = reason.to_owned();
        let lacks = videos.advance(&made.id, Event::Left { reason }).await;
        let lacks = lacks.expect("it stays");
        assert_eq!((lacks.state, lacks.progress), (State::Ready, 100));
        assert_eq!(lacks.failure.as_deref(), Some("no encoder"));
        assert!(lacks.is_unmade() && lacks.is_playable());
    }
    let published = Event::Published { duration_ms: 4000 };
    let whole = videos.advance(&made.id, published).await;
    let whole = whole.expect("they are there");
    assert_eq!(
        whole,
        Video {
            updated: whole.updated,
            ..ready
        }
    );
}

async fn a_failed_film_says_why_and_stays_so_until_it_is_tried_once_more(videos: &dyn Videos) {
    make(videos, "failed", Privacy::Unlisted).await;
    let failed = Event::Failed {
        reason: "no picture".into(),
    };
    let video = videos
        .advance(&id("failed"), failed)
        .await
        .expect("a film can fail");
    assert_eq!(
        (video.state, video.failure.as_deref()),
        (State::Failed, Some("no picture"))
    );
    let revived = videos.advance(&id("failed"), Event::Uploaded).await;
    assert!(matches!(revived, Err(Error::Refused { .. })));
    let again = videos.advance(&id("failed"), Event::Retried).await;
    let again = again.expect("it may be tried once more");
    assert_eq!((again.state, again.failure), (State::Processing, None));
    let found = videos.find(&id("failed")).await.expect("find");
    assert_eq!(found.expect("it is there").failure, None);
    let twice = videos.advance(&id("failed"), Event::Retried).await;
    assert!(matches!(twice, Err(Error::Refused { .. })));
}

async fn a_deleted_film_is_gone_for_good_and_found_until_its_media_are(videos: &dyn Videos) {
    for name in ["d1", "d2"] {
        make(videos, name, Privacy::Public).await;
        publish(videos, name).await;
        for _ in 0..2 {
            let gone = videos.advance(&id(name), Event::Deleted).await;
            assert_eq!(gone.expect("any film").state, State::Deleted);
        }
    }
    let revived = videos.advance(&id("d1"), Event::Uploaded).await;
    assert!(matches!(revived, Err(Error::Refused { .. })));
    let left = async |limit| {
        let left = videos.deleted(limit).await.expect("deleted");
        let names = left.into_iter().map(|video| video.id.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        (left(1).await, left(9).await.len()),
        (vec!["d1".to_owned()], 2)
    );
    make(videos, "there", Privacy::Public).await;
    for name in ["d1", "there", "absent"] {
        videos.erased(&id(name)).await.expect("nothing happens");
    }
    assert_eq!(left(9).await, ["d2"]);
    let there = videos.find(&id("d1")).await.expect("find");
    assert_eq!(there.map(|film| film.state), Some(State::Deleted));
    let listed = videos.list(None, 100).await.expect("list");
    assert!(listed.iter().all(|film| film.id != id("d2")));
}

async fn only_public_and_ready_films_are_listed_in_pages(videos: &dyn Videos) {
    for name in ["p1", "p2", "p3"] {
        make(videos, name, Privacy::Public).await;
        publish(videos, name).await;
    }
    make(videos, "p4", Privacy::Public).await;
    make(videos, "p5", Privacy::Private).await;
    publish(videos, "p5").await;
    let names = |page: Vec<Video>| {
        page.into_iter()
            .map(|video| video.id.to_string())
            .collect::<Vec<_>>()
    };
    let first = names(videos.list(None, 2).await.expect("list"));
    assert_eq!(first, ["p3", "p2"]);
    assert_eq!(
        names(videos.list(Some(&id("p2")), 2).await.expect("list")),
        ["p1"]
    );
    assert!(
        videos
            .list(Some(&id("p1")), 2)
            .await
            .expect("list")
            .is_empty()
    );
    let counts = videos.count().await.expect("count");
    assert!(
        counts
            .iter()
            .any(|(state, count)| *state == State::Ready && *count >= 4),
        "{counts:?}"
    );
}

async fn what_is_absent_is_none_or_named(videos: &dyn Videos) {
    assert_eq!(videos.find(&id("absent")).await.expect("find"), None);
    match videos.advance(&id("absent"), Event::Uploaded).await {
        Err(Error::NoVideo(video)) => assert_eq!(video, id("absent")),
        other => panic!("{other:?}"),
    }
    videos
        .progress(&id("absent"), 1)
        .await
        .expect("progress of nothing changes nothing");
}

async fn any_words_are_kept_but_for_zero_characters(videos: &dyn Videos) {
    let new = NewVideo {
        id: id("words"),
        title: "Ein \u{fffe}'\"\\ Film \u{1f3ac}\0".to_owned(),
        privacy: Privacy::Unlisted,
        protected: false,
    };
    let made = videos.create(new).await.expect("any title");
    assert_eq!(made.title, "Ein \u{fffe}'\"\\ Film \u{1f3ac}\u{fffd}");
    assert_eq!(
        videos.find(&made.id).await.expect("find"),
        Some(made.clone())
    );
    let reason = "ffmpeg said \0".to_owned();
    let failed = videos.advance(&made.id, Event::Failed { reason }).await;
    let failed = failed.expect("any reason");
    assert_eq!(failed.failure.as_deref(), Some("ffmpeg said \u{fffd}"));
    assert_eq!(videos.find(&made.id).await.expect("find"), Some(failed));
}
