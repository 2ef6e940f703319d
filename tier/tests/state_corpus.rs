//! The corpus of the fuzz target for state files of purges, replayed.
#![expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/state.rs"]
mod state;

#[test]
fn a_line_reads_back_or_is_refused() {
    let count = replay::each("state", |_, input| state::check(input)).unwrap();
    assert!(count >= 7);
}
