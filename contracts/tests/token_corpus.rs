//! The corpus of the fuzz target for what a client shows the gate, replayed.
#![expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/token.rs"]
mod token;

#[test]
fn what_is_shown_is_accepted_for_a_path_or_refused() {
    let count = replay::each("token", |_, input| token::check(input)).unwrap();
    assert!(count >= 20);
}
