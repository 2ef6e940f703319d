//! Files of the format MaxMind DB: facts about addresses, read again when they change.

use std::path::PathBuf;

use maxminddb::Reader;
use runtime::watched::{FileError, Watched};

/// A file, and what was last read from it; nothing where there is none.
pub(crate) type Database = Watched<Option<Reader<Vec<u8>>>>;

/// Reads a file. The whole of it is checked before a single address is looked up in it.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn open(path: Option<PathBuf>) -> Result<Database, FileError> {
    Watched::open(path, MAX_BYTES, None, |bytes| {
        let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
        reader.verify().map_err(|error| error.to_string())?;
        Ok(Some(reader))
    })
}

/// The largest file; of those that are sold, ones with countries have some 10 MB, with cities some 100.
const MAX_BYTES: u64 = 512 << 20;
