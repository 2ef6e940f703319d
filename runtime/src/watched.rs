//! A file that is read again when it changes; a broken one leaves what was read before.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

/// What was last read from a file, or what stands for it where there is none.
pub struct Watched<T> {
    path: Option<PathBuf>,
    read: Box<Read<T>>,
    most_bytes: u64,
    current: ArcSwap<T>,
    stamp: Mutex<Option<Stamp>>,
}

type Read<T> = dyn Fn(Vec<u8>) -> Result<T, String> + Send + Sync;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{} is refused: {why}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; holds no secret.
        why: String,
    },
}

/// By which a change of a file is seen: a new one in its place has another number, whatever its time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    inode: u64,
    bytes: u64,
}

impl<T> Watched<T> {
    /// Reads a file, or takes `empty` where there is none. The error of `read` must not hold a secret.
    ///
    /// # Errors
    /// When there is a file that cannot be used.
    pub fn open(
        path: Option<PathBuf>,
        most_bytes: u64,
        empty: T,
        read: impl Fn(Vec<u8>) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, FileError> {
        let watched = Self {
            path,
            read: Box::new(read),
            most_bytes,
            current: ArcSwap::from_pointee(empty),
            stamp: Mutex::new(None),
        };
        watched.refresh()?;
        Ok(watched)
    }

    /// What was last read, for as long as it takes to look something up in it.
    #[must_use]
    pub fn current(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Reads the file again if it has changed; tells whether it had. It blocks, and a file may be large.
    ///
    /// # Errors
    /// When it cannot be used: what was read before stays, and the next call reads it again.
    pub fn refresh(&self) -> Result<bool, FileError> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        let mut seen = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken first: a change in between is then seen as a change.
        let stamp = stamp(path);
        if stamp.is_some() && stamp == *seen {
            return Ok(false);
        }
        let read = (self.read)(self.bytes(path)?);
        let value = read.map_err(|why| FileError::Refused {
            path: path.clone(),
            why,
        })?;
        self.current.store(Arc::new(value));
        *seen = stamp;
        Ok(true)
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(self.most_bytes + 1).read_to_end(&mut bytes));
        read.map_err(|source| FileError::Read {
            path: path.to_owned(),
            source,
        })?;
        if bytes.len() as u64 > self.most_bytes {
            return Err(FileError::Refused {
                path: path.to_owned(),
                why: format!("it has more than {} bytes", self.most_bytes),
            });
        }
        Ok(bytes)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let data = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: data.modified().ok()?,
        inode: data.ino(),
        bytes: data.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: Vec<u8>) -> Result<u64, String> {
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        text.parse().map_err(|_| "no number".to_owned())
    }

    #[test]
    fn a_changed_file_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "1").unwrap();
        let watched = Watched::open(Some(path.clone()), 3, 0, number).unwrap();
        assert_eq!(
            (**watched.current(), watched.refresh().unwrap()),
            (1, false)
        );
        std::fs::write(&path, "22").unwrap();
        assert_eq!(
            (watched.refresh().unwrap(), **watched.current()),
            (true, 22)
        );
        for broken in ["x", "4444"] {
            std::fs::write(&path, broken).unwrap();
            for _look in 0..2 {
                assert!(matches!(watched.refresh(), Err(FileError::Refused { .. })));
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(watched.refresh(), Err(FileError::Read { .. })));
        assert_eq!(**watched.current(), 22);
        assert!(Watched::open(Some(path), 3, 0, number).is_err());
        assert_eq!(**Watched::open(None, 3, 7, number).unwrap().current(), 7);
    }
}
