//! The corpus of the fuzz target for state files of purges, replayed.
#![expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/state.rs"]
mod state;

use std::{fs, path::Path};

#[test]
fn a_line_reads_back_or_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/state");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        state::check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 6);
}
