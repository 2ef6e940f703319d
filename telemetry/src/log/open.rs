//! From an address to a log: the one place that knows which there are.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Embedded, Error, Limits, Shared};

/// Opens the log at `file:///absolute/path`, a folder, which is made where it is missing.
///
/// # Errors
/// [`Error::Address`] for another address, [`Error::InUse`] when another process has it, and
/// [`Error::Disk`].
pub async fn open(address: &str, limits: Limits) -> Result<Shared, Error> {
    let folder = parse(address)?;
    Ok(Arc::new(Embedded::open(folder, limits).await?))
}

/// Whether an address is one that [`open`] takes; touches nothing.
///
/// # Errors
/// [`Error::Address`] when it is not.
pub fn check_address(address: &str) -> Result<(), Error> {
    parse(address).map(drop)
}

fn parse(address: &str) -> Result<PathBuf, Error> {
    let path = address.strip_prefix("file://");
    let path = path.filter(|path| path.starts_with('/') && path.len() > 1);
    path.map(PathBuf::from).ok_or_else(|| Error::Address {
        address: address.to_owned(),
    })
}
