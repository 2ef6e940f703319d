//! The corpus of the fuzz target for Common Access Tokens, replayed under a ceiling of memory.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/cat.rs"]
mod cat;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use peak_alloc::PeakAlloc;

/// Counts what is allocated, in this test alone.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn no_token_gets_another_verdict_for_being_remembered_or_takes_much_memory() {
    let count = replay::each("cat", |name, input| {
        // What is made once, for all inputs, is made in the first run.
        cat::check(input);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        cat::check(input);
        let took = MEMORY.peak_usage().saturating_sub(before);
        assert!(took < CEILING, "{name} took {took} bytes");
    });
    assert!(count.unwrap() >= 41);
}

/// What any input may take: it has 3 KiB at most, and a CBOR item of one byte takes some forty.
const CEILING: usize = 1 << 20;
