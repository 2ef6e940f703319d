//! What every adapter of [`Events`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use std::collections::BTreeSet;
use std::sync::Arc;

use contracts::id::{ChannelId, UserId, VideoId};
use contracts::time::UnixSeconds;

use super::{Event, Events, Kind};
use crate::channels::{Channel, Channels};
use crate::videos::{self, NewVideo, Videos};

const NOW: UnixSeconds = UnixSeconds(1_900_000_000);

/// Every promise; other films may have been moved on before.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(events: Arc<dyn Events>, videos: Arc<dyn Videos>, channels: &dyn Channels) {
    let before = last(events.as_ref()).await;
    each_change_is_told_once(events.as_ref(), videos.as_ref(), before).await;
    an_owner_sees_its_own(events.as_ref(), videos.as_ref(), channels).await;
    numbers_rise_whoever_looks(&events, &videos).await;
    one_tells_at_a_time(events.as_ref()).await;
    what_is_too_old_is_passed_over_at_once(events.as_ref()).await;
}

async fn each_change_is_told_once(events: &dyn Events, videos: &dyn Videos, before: u64) {
    let id = film(videos, "told").await;
    let advance = async |event| videos.advance(&id, event).await.expect("advance");
    advance(videos::Event::Uploaded).await;
    assert!(
        after(events, before).await.is_empty(),
        "nothing to watch yet"
    );
    for _ in 0..2 {
        advance(videos::Event::Playable { duration_ms: 900 }).await;
    }
    let reason = "no picture".to_owned();
    advance(videos::Event::Failed { reason }).await;
    videos.taken_back(&id).await.expect("taken back");
    advance(videos::Event::Retried).await;
    for _ in 0..2 {
        advance(videos::Event::Published { duration_ms: 1000 }).await;
    }
    // What it was to have besides could not be made at first.
    let reason = "no encoder".to_owned();
    advance(videos::Event::Left { reason }).await;
    advance(videos::Event::Published { duration_ms: 1000 }).await;
    let told = after(events, before).await;
    let short = |event: &Event| (event.kind, event.duration_ms, event.reason.clone());
    assert_eq!(
        told.iter().map(short).collect::<Vec<_>>(),
        [
            (Kind::Playable, Some(900), None),
            (Kind::Failed, Some(900), Some("no picture".to_owned())),
            (Kind::Ready, Some(1000), None)
        ]
    );
    assert!(
        told.iter()
            .all(|event| event.video == id && event.title == "told" && event.owner.is_none())
    );
    assert!(told.is_sorted_by(|one, next| one.id < next.id));
    assert_eq!(after(events, before).await, told, "they stay as they are");
    let second = told.get(1).expect("three events");
    let next = events.after(second.id, None, 1, NOW).await.expect("after");
    assert_eq!(next.len(), 1, "as many as are asked for");
    advance(videos::Event::Deleted).await;
    assert_eq!(
        after(events, before).await,
        told,
        "also of a film that went"
    );
}

async fn an_owner_sees_its_own(events: &dyn Events, videos: &dyn Videos, channels: &dyn Channels) {
    let before = last(events).await;
    let owner = UserId::parse("owner-of-events").expect("an id");
    let id = ChannelId::parse("channel-of-events").expect("an id");
    let channel = Channel {
        id: id.clone(),
        owner: owner.clone(),
        name: "x".to_owned(),
        created: NOW,
    };
    channels.create(&channel).await.expect("create");
    for name in ["owned", "others"] {
        let film = film(videos, name).await;
        if name == "owned" {
            channels.put(&film, None, Some(&id)).await.expect("put");
        }
        let reason = "x".to_owned();
        let failed = videos::Event::Failed { reason };
        videos.advance(&film, failed).await.expect("advance");
    }
    let own = events
        .after(before, Some(&owner), 9, NOW)
        .await
        .expect("after");
    let names: Vec<&str> = own.iter().map(|event| event.video.as_str()).collect();
    assert_eq!(names, ["owned"]);
    assert!(own.iter().all(|event| event.owner.as_ref() == Some(&owner)));
    assert_eq!(after(events, before).await.len(), 2);
}

async fn numbers_rise_whoever_looks(events: &Arc<dyn Events>, videos: &Arc<dyn Videos>) {
    let before = last(events.as_ref()).await;
    let mut looks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (events, videos) = (Arc::clone(events), Arc::clone(videos));
        looks.spawn(async move {
            let id = film(videos.as_ref(), &format!("at-once-{number}")).await;
            let reason = "x".to_owned();
            let failed = videos::Event::Failed { reason };
            videos.advance(&id, failed).await.expect("advance");
            let mut seen = Vec::new();
            let mut mark = before;
            for _ in 0..3 {
                let page = after(events.as_ref(), mark).await;
                mark = page.last().map_or(mark, |event| event.id);
                seen.extend(page);
            }
            (mark, seen)
        });
    }
    let all = looks.join_all().await;
    let whole = after(events.as_ref(), before).await;
    assert_eq!(whole.len(), 8);
    let ids: BTreeSet<u64> = whole.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 8);
    for (mark, seen) in all {
        let up_to: Vec<&Event> = whole.iter().filter(|event| event.id <= mark).collect();
        assert_eq!(
            seen.iter().collect::<Vec<_>>(),
            up_to,
            "none was passed over"
        );
    }
}

async fn one_tells_at_a_time(events: &dyn Events) {
    let until = |after_s: u64| UnixSeconds(NOW.0 + after_s);
    let take = async |holder, now, end| events.take(holder, now, end).await.expect("take");
    assert_eq!(take("one", NOW, until(30)).await, Some(0));
    assert_eq!(take("other", until(29), until(90)).await, None);
    assert!(!events.told("other", 5).await.expect("told"));
    assert!(events.told("one", 7).await.expect("told"));
    assert!(!events.told("one", 6).await.expect("told"), "never back");
    assert_eq!(take("one", until(29), until(60)).await, Some(7));
    assert_eq!(take("other", until(59), until(90)).await, None);
    assert_eq!(take("other", until(60), until(90)).await, Some(7));
    assert!(!events.told("one", 8).await.expect("told"));
}

async fn what_is_too_old_is_passed_over_at_once(events: &dyn Events) {
    let all = after(events, 0).await;
    let (first, last) = (all.first().expect("some"), all.last().expect("some"));
    assert!(first.at <= last.at);
    let until = |after_s: u64| UnixSeconds(NOW.0 + after_s);
    let told = events.take("late", until(200), until(300)).await;
    assert_eq!(told.expect("take"), Some(7));
    let pass = async |holder, limit| events.pass_over(holder, limit).await.expect("pass");
    assert_eq!(pass("other", until(200)).await, 0, "another has the right");
    assert_eq!(pass("late", first.at).await, 0, "none is older");
    let many = u64::try_from(all.len()).expect("few");
    assert_eq!(pass("late", UnixSeconds(last.at.0 + 1)).await, many);
    assert_eq!(pass("late", UnixSeconds(last.at.0 + 1)).await, 0);
    let told = events.take("late", until(200), until(300)).await;
    assert_eq!(told.expect("take"), Some(last.id));
}

async fn film(videos: &dyn Videos, name: &str) -> VideoId {
    let id = VideoId::parse(name).expect("a test's id is one");
    let new = NewVideo {
        id: id.clone(),
        title: name.to_owned(),
        privacy: contracts::asset::Privacy::Private,
        protected: false,
    };
    videos.create(new).await.expect("create");
    id
}

async fn after(events: &dyn Events, id: u64) -> Vec<Event> {
    events.after(id, None, 1000, NOW).await.expect("after")
}

async fn last(events: &dyn Events) -> u64 {
    after(events, 0).await.last().map_or(0, |event| event.id)
}
