//! Any bytes as a mezzanine: an index that survives the disk, or an error.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use packager::index::{self, Index};

fuzz_target!(|data: &[u8]| {
    if let Ok(index) = index::build(Cursor::new(data)) {
        let again = Index::decode(&index.encode()).expect("what was built is well formed");
        assert_eq!(again, index);
    }
});
