//! What every adapter of [`Feed`] promises.
#![expect(clippy::expect_used, reason = "a promise that is broken ends the test")]

use contracts::feed::{Mode, Order, Page, Purge, Scope, Text};
use contracts::id::{FeedId, SessionId};
use contracts::revocation::{Revocation, Revoked};
use contracts::time::UnixSeconds;

use super::{Extent, Feed};
use crate::error::Error;

/// Every promise, on a catalogue whose feed has not begun.
///
/// # Panics
/// At the first promise that is broken.
pub async fn all(feed: &dyn Feed) {
    a_feed_begins_once_and_beyond_every_millisecond_of_its_first_second(feed).await;
    numbers_rise_with_the_clock_and_against_it(feed).await;
    an_order_comes_back_as_it_was_given(feed).await;
    a_page_has_what_follows_a_number_and_the_next_has_the_rest(feed).await;
    what_is_folded_away_is_a_gap_with_what_is_still_revoked(feed).await;
    revocations_that_no_gap_can_hold_are_not_folded_away(feed).await;
    a_feed_that_is_renewed_says_again_what_is_revoked_and_nothing_else(feed).await;
}

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn id(text: &str) -> FeedId {
    FeedId::parse(text).expect("a test's id is one")
}

fn purge(tag: &str) -> Order {
    Order::Purge(Purge {
        scope: Scope::Tag(Text::parse(tag).expect("a test's tag is one")),
        mode: Mode::Soft,
        tenant: None,
    })
}

fn revoked(session: &str, until: u64) -> Revocation {
    let session = SessionId::parse(session).expect("a test's id is one");
    Revocation {
        what: Revoked::Session(session),
        until: UnixSeconds(until),
    }
}

fn revoke(session: &str, until: u64) -> Order {
    Order::Revoke(revoked(session, until))
}

async fn extent(feed: &dyn Feed) -> Extent {
    let extent = feed.extent().await.expect("extent");
    extent.expect("the feed has begun")
}

async fn append(feed: &dyn Feed, orders: &[Order], now: UnixSeconds) -> u64 {
    feed.append(orders, now).await.expect("append")
}

/// A page as a node reads it.
async fn after(feed: &dyn Feed, seq: u64, now: UnixSeconds) -> Page {
    let page = feed.after(seq, now).await.expect("after");
    let text = serde_json::to_vec(&page).expect("a page is JSON");
    Page::parse(&text, seq).expect("a page that a node takes")
}

async fn a_feed_begins_once_and_beyond_every_millisecond_of_its_first_second(feed: &dyn Feed) {
    assert_eq!(feed.extent().await.expect("extent"), None);
    let early = feed.append(&[purge("x")], NOW).await;
    assert!(matches!(early, Err(Error::Corrupt(_))), "{early:?}");
    feed.begin(&id("f1"), NOW).await.expect("begin");
    feed.begin(&id("f2"), NOW.plus(60))
        .await
        .expect("begin again");
    let begun = extent(feed).await;
    assert_eq!((&begun.id, begun.head), (&id("f1"), begun.folded));
    assert!(begun.head > NOW.0 * 1000 + 999);
    let page = after(feed, 0, NOW).await;
    assert_eq!((page.head, page.through(0)), (begun.head, begun.head));
    assert_eq!(page.feed, Some(id("f1")));
    assert!(page.gap.is_some_and(|gap| gap.revocations.is_empty()));
    let page = after(feed, begun.head, NOW).await;
    assert_eq!((page.gap, page.entries.len()), (None, 0));
}

async fn numbers_rise_with_the_clock_and_against_it(feed: &dyn Feed) {
    let begun = extent(feed).await.head;
    assert_eq!(append(feed, &[purge("a")], NOW).await, begun + 1);
    let later = NOW.plus(60);
    let three = [purge("b"), purge("c"), purge("d")];
    let last = append(feed, &three, later).await;
    assert_eq!(last, later.0 * 1000 + 2);
    assert_eq!(append(feed, &[purge("e")], NOW).await, last + 1);
    assert_eq!(
        append(feed, &[], later).await,
        last + 1,
        "nothing was ordered"
    );
    let far = UnixSeconds(u64::MAX);
    assert_eq!(append(feed, &[purge("f")], far).await, last + 2);
    assert_eq!(extent(feed).await.head, last + 2);
    assert_eq!(feed.count_after(begun).await.expect("count"), 6);
    assert_eq!(feed.count_after(last).await.expect("count"), 2);
    assert_eq!(feed.count_after(last + 2).await.expect("count"), 0);
}

async fn an_order_comes_back_as_it_was_given(feed: &dyn Feed) {
    let orders = [purge("a\"\\b"), revoke("s0", 7)];
    let last = append(feed, &orders, NOW).await;
    for (order, seq) in orders.iter().zip(last - 1..) {
        let found = feed.find(seq).await.expect("find").expect("it is there");
        assert_eq!((found.seq, found.at, &found.order), (seq, NOW, order));
    }
    assert_eq!(feed.find(last + 1).await.expect("find"), None);
    let unreadable = feed.append(&[purge("z"), Order::Unknown], NOW).await;
    assert!(matches!(unreadable, Err(Error::Corrupt(_))));
    assert_eq!(extent(feed).await.head, last, "all or none");
}

async fn a_page_has_what_follows_a_number_and_the_next_has_the_rest(feed: &dyn Feed) {
    let before = extent(feed).await.head;
    let many: Vec<Order> = (0..1500)
        .map(|number| purge(&format!("m{number}")))
        .collect();
    let last = append(feed, &many, NOW).await;
    let (mut at, mut seen) = (before, Vec::new());
    while at < last {
        let page = after(feed, at, NOW).await;
        assert!(page.gap.is_none() && page.head == last);
        at = page.through(at);
        seen.extend(page.entries.into_iter().map(|entry| entry.order));
    }
    assert_eq!(seen, many);
    let page = after(feed, last - 1, NOW).await;
    assert_eq!(page.entries.len(), 1);
}

async fn what_is_folded_away_is_a_gap_with_what_is_still_revoked(feed: &dyn Feed) {
    let old = NOW.plus(1000);
    let orders = [
        revoke("long", old.0 + 5000),
        revoke("short", old.0 + 50),
        purge("g"),
    ];
    let folded = append(feed, &orders, old).await;
    let young = old.plus(10);
    let kept = append(feed, &[purge("h"), revoke("young", old.0 + 5000)], young).await;
    assert!(feed.fold(young, young).await.expect("fold") > 1500);
    assert_eq!(extent(feed).await.folded, folded);
    assert_eq!(feed.find(folded).await.expect("find"), None);
    assert_eq!(feed.find(folded - 2).await.expect("find"), None);
    for seq in [0, folded - 3, folded - 1] {
        let page = after(feed, seq, young).await;
        let gap = page.gap.as_ref().expect("a gap");
        let both = [revoked("long", old.0 + 5000), revoked("short", old.0 + 50)];
        assert_eq!((gap.through, &gap.revocations[..]), (folded, &both[..]));
        assert_eq!((page.entries.len(), page.through(seq)), (2, kept));
    }
    let page = after(feed, folded, young).await;
    assert_eq!((page.gap, page.entries.len()), (None, 2));
    // What has ended is told no more, and goes with the next fold.
    let then = UnixSeconds(old.0 + 50);
    let gap = after(feed, 0, then).await.gap.expect("a gap");
    assert_eq!(gap.revocations, [revoked("long", old.0 + 5000)]);
    assert_eq!(feed.fold(young, then).await.expect("fold"), 1);
    assert_eq!(feed.fold(young, then).await.expect("fold"), 0);
    assert_eq!(extent(feed).await.head, kept);
}

async fn revocations_that_no_gap_can_hold_are_not_folded_away(feed: &dyn Feed) {
    let at = NOW.plus(10_000);
    let end = at.0 + 100;
    let many: Vec<Order> = (0..10_010).map(|n| revoke(&format!("s{n}"), end)).collect();
    let last = append(feed, &many, at).await;
    feed.fold(at.plus(1), at).await.expect("fold");
    assert_eq!(extent(feed).await.folded, last - 10);
    let page = after(feed, 0, at).await;
    let summed = page.gap.as_ref().map(|gap| gap.revocations.len());
    assert_eq!((summed, page.entries.len()), (Some(10_000), 10));
    feed.fold(at.plus(1), UnixSeconds(end)).await.expect("fold");
    assert_eq!(extent(feed).await.folded, last);
    let page = after(feed, 0, UnixSeconds(end)).await;
    assert!(page.gap.is_some_and(|gap| gap.revocations.is_empty()));
}

async fn a_feed_that_is_renewed_says_again_what_is_revoked_and_nothing_else(feed: &dyn Feed) {
    let at = NOW.plus(20_000);
    let orders = [
        revoke("over", at.0 + 1),
        revoke("on", at.0 + 900),
        purge("p"),
        revoke("too", at.0 + 900),
    ];
    let last = append(feed, &orders, at).await;
    let now = at.plus(1);
    let begins = feed.renew(&id("f9"), now).await.expect("renew");
    assert!(begins > last && begins > now.0 * 1000 + 999);
    let page = after(feed, last, now).await;
    assert_eq!((&page.feed, page.head), (&Some(id("f9")), begins + 2));
    let gap = page.gap.as_ref().expect("a gap");
    assert_eq!((gap.through, gap.revocations.len()), (begins, 0));
    let told: Vec<&Order> = page.entries.iter().map(|entry| &entry.order).collect();
    assert_eq!(told, [&orders[1], &orders[3]]);
    assert_eq!(feed.find(last).await.expect("find"), None);
    assert_eq!(append(feed, &[purge("q")], at).await, begins + 3);
    // A clock that was put back makes no beginning that was given before.
    assert_eq!(
        feed.renew(&id("f10"), NOW).await.expect("renew"),
        begins + 4
    );
}
