//! From a store's address to the store: the one table of schemes.

use std::{path::Path, sync::Arc};

#[cfg(feature = "s3")]
use crate::objects::s3;
use crate::{Error, Store, objects::directory::Directory};

/// Opens the store at `url`, making it if it does not exist.
///
/// `file:///absolute/path` keeps objects in a folder of this machine. `s3://bucket/prefix?credentials=/absolute/path`
/// keeps them in a bucket, which must exist, and is not asked for until the first object is; what else may follow is
/// in [`objects::s3::Address`](crate::objects::s3::Address).
///
/// # Errors
/// [`Error::Address`] when the scheme is unknown or what follows is wrong, [`Error::Io`] when a folder cannot be made,
/// [`Error::Credentials`] when those of a bucket cannot be read.
pub fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    match Place::parse(url)? {
        Place::Directory(path) => Ok(Arc::new(Directory::open(path)?)),
        #[cfg(feature = "s3")]
        Place::Bucket(address) => Ok(Arc::new(s3::S3::open(&address)?)),
    }
}

/// As [`open`], for who only reads: makes nothing. Whether the store is there tells [`look`](crate::look).
///
/// # Errors
/// As [`open`].
pub fn find(url: &str) -> Result<Arc<dyn Store>, Error> {
    match Place::parse(url)? {
        Place::Directory(path) => Ok(Arc::new(Directory::at(path))),
        #[cfg(feature = "s3")]
        Place::Bucket(_) => open(url),
    }
}

/// Says what is wrong with a store's address, and opens nothing.
///
/// # Errors
/// [`Error::Address`].
pub fn check_address(url: &str) -> Result<(), Error> {
    Place::parse(url).map(drop)
}

/// Reads the secrets that a store's address names, as [`open`] does, sees that a folder of this machine can be written
/// in, and opens nothing.
///
/// # Errors
/// [`Error::Address`], [`Error::Credentials`], [`Error::Folder`].
pub fn inspect(url: &str) -> Result<(), Error> {
    match Place::parse(url)? {
        Place::Directory(path) => runtime::folder::look(path).map_err(Error::Folder),
        #[cfg(feature = "s3")]
        Place::Bucket(address) => s3::inspect(&address),
    }
}

/// What addresses name.
enum Place<'a> {
    Directory(&'a Path),
    #[cfg(feature = "s3")]
    Bucket(s3::Address),
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self, Error> {
        let address = |why| Error::Address {
            url: shown(url),
            why,
        };
        match url.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Directory(Path::new(path))),
            Some(("file", _)) => Err(address(
                "a file address is absolute, such as file:///var/lib/millrace",
            )),
            #[cfg(feature = "s3")]
            Some(("s3", rest)) => s3::Address::parse(rest).map(Self::Bucket).map_err(address),
            #[cfg(not(feature = "s3"))]
            Some(("s3", _)) => Err(address("this program was built without S3")),
            _ => Err(address(
                "use a directory, such as file:///var/lib/millrace, or a bucket, such as \
                 s3://bucket/prefix?credentials=/etc/millrace/s3",
            )),
        }
    }
}

/// What may be shown of an address: somebody may have put a secret before an `@` or after the `?`.
fn shown(url: &str) -> String {
    let (before, options) = match url.split_once('?') {
        Some((before, _)) => (before, "?…"),
        None => (url, ""),
    };
    match before.rsplit_once('@') {
        Some((_, after)) => format!("…@{after}{options}"),
        None => format!("{before}{options}"),
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
            assert!(matches!(check_address(url), Err(Error::Address { .. })));
        }
    }

    #[test]
    fn what_may_be_a_secret_in_an_address_is_not_shown() {
        for url in [
            "s3://me:s3cret@bucket/x",
            "s3://bucket/x?secret=s3cret",
            "s3://bucket/x?credentials=/a&secret=s3cret@x",
        ] {
            let Err(error) = open(url) else {
                panic!("{url} is no address")
            };
            let told = format!("{error} {error:?}");
            assert!(
                !told.contains("s3cret") && told.contains("bucket"),
                "{told}"
            );
        }
    }
}
