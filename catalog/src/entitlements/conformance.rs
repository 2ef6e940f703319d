//! What every adapter of [`Entitlements`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::asset::Privacy;
use contracts::id::{ChannelId, GrantId, UserId, VideoId};
use contracts::time::UnixSeconds;

use super::{Covers, Entitlements, Grant, Granted, Wanted};
use crate::channels::{Channel, Channels};
use crate::videos::{NewVideo, Videos};

/// Every promise, on a catalogue without grants, with its films and channels.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(entitlements: &dyn Entitlements, videos: &dyn Videos, channels: &dyn Channels) {
    what_is_granted_is_found_listed_and_taken_back_once(entitlements).await;
    an_id_stands_for_one_grant(entitlements).await;
    an_account_s_grants_hold_a_film_in_three_ways(entitlements, videos, channels).await;
    what_counts_comes_before_what_does_not(entitlements).await;
}

fn video(id: &str) -> VideoId {
    VideoId::parse(id).expect("a test's id is one")
}

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a test's id is one")
}

fn id(id: &str) -> GrantId {
    GrantId::parse(id).expect("a test's id is one")
}

fn grant(name: &str, account: &str, covers: Covers) -> Grant {
    Grant {
        id: id(name),
        account: user(account),
        covers,
        from: UnixSeconds(100),
        until: Some(UnixSeconds(200)),
        created: UnixSeconds(50),
    }
}

async fn add(entitlements: &dyn Entitlements, grant: &Grant) {
    let granted = entitlements.grant(grant).await.expect("grant");
    assert_eq!(granted, Granted::New);
}

fn names(grants: &[Grant]) -> Vec<&str> {
    grants.iter().map(|grant| grant.id.as_str()).collect()
}

async fn what_is_granted_is_found_listed_and_taken_back_once(entitlements: &dyn Entitlements) {
    let made = [
        grant("A", "ann", Covers::Video(video("one"))),
        grant("B", "ann", Covers::Site),
        Grant {
            until: None,
            ..grant("a", "ben", Covers::Video(video("one")))
        },
    ];
    for grant in &made {
        add(entitlements, grant).await;
        let found = entitlements.find(&grant.id).await.expect("find");
        assert_eq!(found.as_ref(), Some(grant));
    }
    let list = async |account: Option<&str>, covers: Option<Covers>, after: Option<&str>, limit| {
        let account = account.map(user);
        let wanted = Wanted { account, covers };
        let after = after.map(id);
        let listed = entitlements.list(&wanted, after.as_ref(), limit).await;
        names(&listed.expect("list")).join(" ")
    };
    let one = || Some(Covers::Video(video("one")));
    assert_eq!(list(None, None, None, 9).await, "A B a");
    assert_eq!(list(None, None, Some("A"), 1).await, "B");
    assert_eq!(list(Some("ann"), None, None, 9).await, "A B");
    assert_eq!(list(None, one(), None, 9).await, "A a");
    assert_eq!(list(Some("ben"), one(), None, 9).await, "a");
    assert_eq!(list(Some("ben"), Some(Covers::Site), None, 9).await, "");
    for grant in &made {
        let gone = entitlements.take_back(&grant.id).await.expect("take back");
        assert_eq!(gone.as_ref(), Some(grant));
        let again = entitlements.take_back(&grant.id).await.expect("again");
        assert_eq!(again, None);
    }
    assert_eq!(list(None, None, None, 9).await, "");
}

async fn an_id_stands_for_one_grant(entitlements: &dyn Entitlements) {
    let first = grant("once", "ann", Covers::Site);
    add(entitlements, &first).await;
    let again = Grant {
        created: UnixSeconds(60),
        ..first.clone()
    };
    let granted = entitlements.grant(&again).await.expect("grant");
    assert_eq!(granted, Granted::Same(first.clone()));
    let other = Grant {
        until: None,
        ..first.clone()
    };
    let granted = entitlements.grant(&other).await.expect("grant");
    assert_eq!(granted, Granted::Conflict);
    entitlements.take_back(&first.id).await.expect("take back");
}

async fn an_account_s_grants_hold_a_film_in_three_ways(
    entitlements: &dyn Entitlements,
    videos: &dyn Videos,
    channels: &dyn Channels,
) {
    let channel = Channel {
        id: ChannelId::parse("granted").expect("a test's id is one"),
        owner: user("pub"),
        name: "Films".into(),
        created: UnixSeconds(1),
    };
    channels.create(&channel).await.expect("create");
    for name in ["within", "without"] {
        let new = NewVideo {
            id: video(name),
            title: name.into(),
            privacy: Privacy::Private,
            protected: false,
        };
        videos.create(new).await.expect("create");
    }
    let put = channels
        .put(&video("within"), None, Some(&channel.id))
        .await;
    assert!(put.expect("put"));
    add(
        entitlements,
        &grant("c", "cat", Covers::Channel(channel.id.clone())),
    )
    .await;
    add(
        entitlements,
        &grant("v", "cat", Covers::Video(video("within"))),
    )
    .await;
    add(
        entitlements,
        &grant("w", "cat", Covers::Video(video("without"))),
    )
    .await;
    add(entitlements, &grant("s", "dan", Covers::Site)).await;
    let of = async |account, film| {
        let grants = entitlements
            .of(&user(account), &video(film), UnixSeconds(150))
            .await;
        names(&grants.expect("of")).join(" ")
    };
    assert_eq!(of("cat", "within").await, "c v");
    assert_eq!(of("cat", "without").await, "w");
    assert_eq!(of("cat", "another").await, "");
    assert_eq!(of("dan", "without").await, "s");
    assert_eq!(of("dan", "another").await, "s");
    let put = channels
        .put(&video("within"), Some(&channel.id), None)
        .await;
    assert!(put.expect("put"));
    assert_eq!(of("cat", "within").await, "v");
}

async fn what_counts_comes_before_what_does_not(entitlements: &dyn Entitlements) {
    let window = |name: String, from, until: Option<u64>| Grant {
        from: UnixSeconds(from),
        until: until.map(UnixSeconds),
        ..grant(&name, "eve", Covers::Site)
    };
    for number in 0..40 {
        let future = window(format!("f{number:02}"), 900, Some(1000 + number));
        add(entitlements, &future).await;
    }
    add(entitlements, &window("long".into(), 100, Some(300))).await;
    add(entitlements, &window("short".into(), 100, Some(200))).await;
    add(entitlements, &window("ever".into(), 100, None)).await;
    add(entitlements, &window("over".into(), 100, Some(150))).await;
    let grants = entitlements
        .of(&user("eve"), &video("any"), UnixSeconds(150))
        .await;
    let grants = grants.expect("of");
    assert_eq!(grants.len(), 32);
    assert_eq!(
        names(&grants).get(..4),
        Some(&["ever", "long", "short", "f39"][..])
    );
    let counts = grants.iter().filter(|grant| grant.counts(UnixSeconds(150)));
    assert_eq!(counts.count(), 3);
}
