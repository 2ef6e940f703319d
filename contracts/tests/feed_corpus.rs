//! The corpus of the fuzz target for pages of the feed, replayed.
#![expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/feed.rs"]
mod feed;

use std::{fs, path::Path};

#[test]
fn a_page_is_in_order_and_reads_back_or_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/feed");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        feed::check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 8);
}
