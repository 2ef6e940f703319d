//! The corpus of the fuzz target for the PROXY protocol, replayed.
#![expect(
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "the checks are those of the fuzz target, which must fail"
)]

#[path = "../../fuzz/src/proxied.rs"]
mod proxied;

use std::{fs, path::Path};

use tier::proxied as parser;

#[test]
fn no_header_is_read_beyond_its_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/proxied");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        proxied::check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5);
}
