//! The corpus of the fuzz target for Common Access Tokens, replayed under a ceiling of memory.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/cat.rs"]
mod cat;

use std::{fs, path::Path};

use peak_alloc::PeakAlloc;

/// Counts what is allocated, in this test alone.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn no_token_gets_another_verdict_for_being_remembered_or_takes_much_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/cat");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        // What is made once, for all inputs, is made in the first run.
        cat::check(&input);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        cat::check(&input);
        let took = MEMORY.peak_usage().saturating_sub(before);
        assert!(took < CEILING, "{took} bytes for {} of input", input.len());
        count += 1;
    }
    assert!(count > 40);
}

/// What any input may take: it has 3 KiB at most, and a CBOR item of one byte takes some forty.
const CEILING: usize = 1 << 20;
