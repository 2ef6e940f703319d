//! Files of the format MaxMind DB: facts about addresses.

use std::path::Path;

use maxminddb::Reader;
use runtime::secret::Unusable;

/// Reads a file. The whole of it is checked before a single address is looked up in it.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn read(path: &Path) -> Result<Reader<Vec<u8>>, Unusable> {
    let fault = |fault: String| Unusable::new(path, fault);
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    let size = size.map_err(|error| fault(format!("cannot be read: {error}")))?;
    if size > MAX_BYTES {
        return Err(fault(format!("has more than {MAX_BYTES} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let reader = Reader::from_source(bytes).map_err(|error| fault(error.to_string()))?;
    reader.verify().map_err(|error| fault(error.to_string()))?;
    Ok(reader)
}

/// The largest file; of those that are sold, ones with countries have some 10 MB, with cities some 100.
const MAX_BYTES: u64 = 512 << 20;
