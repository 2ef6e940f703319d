//! What every adapter of [`Channels`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::asset::Privacy;
use contracts::id::{ChannelId, UserId, VideoId};
use contracts::time::UnixSeconds;

use super::{Channel, Channels};
use crate::error::Error;
use crate::videos::{NewVideo, Videos};

/// Every promise, on a catalogue without channels, with its films.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(channels: &dyn Channels, videos: &dyn Videos) {
    a_channel_is_found_and_listed_by_its_owner(channels).await;
    a_film_is_in_one_channel_at_most(channels, videos).await;
}

fn channel(id: &str, owner: &str) -> Channel {
    Channel {
        id: ChannelId::parse(id).expect("a test's id is one"),
        owner: UserId::parse(owner).expect("a test's id is one"),
        name: format!("Channel {id}"),
        created: UnixSeconds(100),
    }
}

async fn a_channel_is_found_and_listed_by_its_owner(channels: &dyn Channels) {
    let made = [
        channel("A", "ann"),
        channel("B", "ben"),
        channel("a", "ann"),
    ];
    for channel in &made {
        channels.create(channel).await.expect("create");
        let found = channels.find(&channel.id).await.expect("find");
        assert_eq!(found.as_ref(), Some(channel));
    }
    let again = channels.create(&channel("A", "ben")).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    let [first, _, last] = &made;
    let page = channels.list(&first.owner, None, 1).await.expect("list");
    assert_eq!(page, std::slice::from_ref(first), "byte by byte");
    let page = channels.list(&first.owner, Some(&first.id), 9).await;
    assert_eq!(page.expect("list"), std::slice::from_ref(last));
}

async fn a_film_is_in_one_channel_at_most(channels: &dyn Channels, videos: &dyn Videos) {
    let (one, two) = (channel("one", "cat"), channel("two", "cat"));
    for channel in [&one, &two] {
        channels.create(channel).await.expect("create");
    }
    let film = VideoId::parse("in-a-channel").expect("an id");
    let new = NewVideo {
        id: film.clone(),
        title: String::new(),
        privacy: Privacy::Private,
        protected: false,
    };
    videos.create(new).await.expect("create");
    assert_eq!(channels.of(&film).await.expect("of"), None);
    let steps = [
        (None, Some(&one), true),
        (None, Some(&two), false),
        (Some(&two), None, false),
        (Some(&one), Some(&two), true),
        (Some(&two), None, true),
        (None, None, true),
    ];
    let mut now = None;
    for (from, to, done) in steps {
        let (from, target) = (from.map(|from| &from.id), to.map(|to| &to.id));
        let put = channels.put(&film, from, target).await.expect("put");
        assert_eq!(put, done);
        if done {
            now = to.cloned();
        }
        assert_eq!(channels.of(&film).await.expect("of"), now);
    }
    let absent = VideoId::parse("no-such-film").expect("an id");
    let put = channels.put(&absent, None, Some(&one.id)).await;
    assert!(!put.expect("put"));
    assert_eq!(channels.of(&absent).await.expect("of"), None);
}
