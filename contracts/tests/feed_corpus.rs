//! The corpus of the fuzz target for pages of the feed, replayed.
#![expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/feed.rs"]
mod feed;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn a_page_is_in_order_and_reads_back_or_is_refused() {
    let count = replay::each("feed", |_, input| feed::check(input)).unwrap();
    assert!(count >= 9);
}
