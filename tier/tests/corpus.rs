//! The corpora of the fuzz targets for the PROXY protocol and for HTTP/2 frames, replayed.
#![expect(
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/frames.rs"]
mod frames;
#[path = "../../fuzz/src/proxied.rs"]
mod proxied;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

mod parser {
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
