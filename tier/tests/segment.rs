//! The corpus of the fuzz target for what is read from a disk, replayed under a ceiling of memory.
#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/segment.rs"]
mod segment;

use peak_alloc::PeakAlloc;
use tier::cache::disk::format;

/// Counts what is allocated, in this test alone.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn nothing_is_read_beyond_a_segment_and_nothing_wrong_within() {
    let count = replay::each("segment", |name, input| {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        segment::check(input);
        let took = MEMORY.peak_usage() - before;
        let most = CEILING + 8 * input.len();
        assert!(took <= most, "{name} took {took} bytes");
    });
    assert!(count.unwrap() >= 6);
}

/// What any input may take, beside eight times its own length.
const CEILING: usize = 64 << 10;
