//! The corpora of the fuzz targets for the PROXY protocol, for HTTP/2 frames and for what players say, replayed.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/cmcd.rs"]
mod cmcd;
#[path = "../../fuzz/src/frames.rs"]
mod frames;
#[path = "../../fuzz/src/proxied.rs"]
mod proxied;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

mod parser {
    pub use tier::cmcd::{Report, next_object, of_query};
    pub use tier::frames::Frames;
    pub use tier::proxied::{Progress, parse};
}

#[test]
fn no_header_is_read_beyond_its_end() {
    let count = replay::each("proxied", |_, input| proxied::check(input)).unwrap();
    assert!(count >= 6);
}

#[test]
fn frames_are_seen_alike_whole_and_in_pieces() {
    let count = replay::each("h2_frames", |_, input| frames::check(input)).unwrap();
    assert!(count >= 6);
}

#[test]
fn what_players_say_is_an_object_or_nothing() {
    let count = replay::each("cmcd", |_, input| cmcd::check(input)).unwrap();
    assert!(count >= 6);
}
