//! From a store's address to the store: the one table of schemes.

use std::{path::Path, sync::Arc};

use crate::{Error, Store, objects::directory::Directory};

/// Opens the store at `url`, making it if it does not exist.
///
/// `file:///absolute/path` keeps objects in a folder of this machine.
///
/// # Errors
/// [`Error::Address`] when the scheme is unknown or the path is not absolute, [`Error::Io`] when
/// the folder cannot be made.
pub fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    let address = |why| Error::Address {
        url: url.to_owned(),
        why,
    };
    match url.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => {
            Ok(Arc::new(Directory::open(Path::new(path))?))
        }
        Some(("file", _)) => Err(address(
            "a file address is absolute, such as file:///var/lib/millrace",
        )),
        _ => Err(address("use a directory, such as file:///var/lib/millrace")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_file_addresses_open() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(&format!("file://{}/a/b", folder.path().display())).is_ok());
        for url in ["", "file://relative", "/var/lib", "s3://bucket", "file:x"] {
            assert!(matches!(open(url), Err(Error::Address { .. })), "{url}");
        }
    }
}
