//! The corpus of the fuzz target for what players say, replayed.
#![expect(
    clippy::panic,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/cmcd.rs"]
mod cmcd;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

mod parser {
    pub use contracts::cmcd::{Report, next_object, of_query};
}

#[test]
fn what_players_say_is_an_object_or_nothing() {
    let count = replay::each("cmcd", |_, input| cmcd::check(input)).unwrap();
    assert!(count >= 6);
}
