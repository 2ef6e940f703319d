//! Any bytes as a mezzanine: an index that survives the disk and packs the file's own samples, or an error.

use std::io::Cursor;

use packager::index::{self, Index};

use super::packing;

/// Indexes `data` and packs it.
pub fn check(data: &[u8]) {
    let Ok(index) = index::build(Cursor::new(data)) else {
        return;
    };
    assert_eq!(index.file().length, data.len() as u64);
    let again = Index::decode(&index.encode()).expect("what was built is well formed");
    assert_eq!(again, index);
    packing::check(index, data);
}
