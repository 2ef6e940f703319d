//! The port: what the house asks of whatever holds its films.

use std::{ops::Range, path::Path};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use self::direct::Direct;
use crate::{Digest, Error, Key};

mod buffers;
pub mod conformance;
pub mod direct;
pub mod directory;
#[cfg(feature = "s3")]
pub mod s3;

/// The most bytes that [`Store::read`] and [`Store::read_range`] hold in memory: 64 MiB. What holds them may be longer
/// by a quarter.
pub const READ_LIMIT: u64 = 64 * 1024 * 1024;

/// Holds objects under keys.
///
/// Promises of every adapter:
/// - **Atomic**: an object is seen whole, as one writer wrote it, or not at all. The later of two
///   writers wins.
/// - **Durable**: when a write has returned, the object outlives a power cut.
/// - **Read your write**: a read that starts after a write has returned sees it, in any process.
/// - An object that is absent is `None` or `false`, not an error; a store that is absent is [`Error::Absent`], or in
///   a bucket [`Error::Io`].
#[async_trait]
pub trait Store: Send + Sync {
    /// Asks whether the store is there; cheap enough for every few seconds. May take as long as whatever holds it is
    /// silent: see [`look`](crate::look).
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Io`].
    async fn ping(&self) -> Result<(), Error>;

    /// Reads a whole object.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond [`READ_LIMIT`], [`Error::DigestMismatch`] where the store keeps digests and the
    /// bytes are not what was stored.
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error>;

    /// Reads exactly the bytes of `range`. An empty range of an object that exists is empty.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the object ends before the range does, [`Error::TooLarge`] when the
    /// range is longer than [`READ_LIMIT`].
    async fn read_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>, Error>;

    /// Returns an object's length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    async fn size(&self, key: &Key) -> Result<Option<u64>, Error>;

    /// Stores `bytes`, replacing what was there.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`]; what was there is then still there.
    async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error>;

    /// Stores the content of the file `local`, which the caller gives away: nobody may write to it from
    /// now on, and once this has returned without an error, it is gone.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`]; what was there is then still there.
    async fn put_file(&self, key: &Key, local: &Path) -> Result<(), Error>;

    /// Starts an object whose bytes come bit by bit. Nothing is seen under `key` before
    /// [`Writer::commit`].
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`].
    async fn writer(&self, key: &Key) -> Result<Box<dyn Writer>, Error>;

    /// Stores under `into` the bytes of `parts` in their order, provided that their SHA-256 is
    /// `promised`, and returns how many there are. Memory does not grow with the parts, which
    /// stay as they are.
    ///
    /// # Errors
    /// [`Error::PartMissing`] and [`Error::Corrupt`] name a part that is absent or not as long as
    /// the caller says; [`Error::DigestMismatch`]. Nothing is stored then.
    ///
    /// # Cancel safety
    /// May go on after the future was dropped, and may then still store the whole.
    async fn join(&self, parts: &[Part], into: &Key, promised: &Digest) -> Result<u64, Error>;

    /// Makes the object's bytes available in the file `local`, which must not exist yet and must
    /// only be read: it may be the stored file itself. `false` when there is no such object.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`read`](Self::read) where the bytes are not what was stored.
    async fn fetch(&self, key: &Key, local: &Path) -> Result<bool, Error>;

    /// Removes an object; one that is not there counts as removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    async fn delete(&self, key: &Key) -> Result<(), Error>;

    /// Removes every object whose key is `prefix` followed by `/` and more. Not atomic: after an
    /// error some may be left, and a second call removes them.
    ///
    /// # Errors
    /// [`Error::Io`].
    async fn delete_prefix(&self, prefix: &Key) -> Result<(), Error>;

    /// Reads an object through, a piece at a time, and tells its length and its digest.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] when it is replaced by a shorter one meanwhile.
    async fn digest(&self, key: &Key) -> Result<Option<Written>, Error> {
        let Some(size_bytes) = self.size(key).await? else {
            return Ok(None);
        };
        let (mut hasher, mut at) = (Sha256::new(), 0);
        while at < size_bytes {
            let end = size_bytes.min(at.saturating_add(PIECE));
            let Some(bytes) = self.read_range(key, at..end).await? else {
                return Ok(None);
            };
            // A buffer of this length is no matter of a moment.
            let hashed = tokio::task::spawn_blocking(move || {
                hasher.update(&bytes);
                hasher
            });
            hasher = hashed.await.map_err(|stopped| Error::Io {
                subject: key.to_string(),
                action: "reading",
                source: std::io::Error::other(stopped),
            })?;
            at = end;
        }
        Ok(Some(Written {
            size_bytes,
            sha256: Digest::of_hasher(hasher),
        }))
    }

    /// The store as one that takes parts straight from clients, if it can.
    fn direct(&self) -> Option<&dyn Direct> {
        None
    }
}

/// What [`Store::digest`] reads at once.
const PIECE: u64 = 4 << 20;

/// An object that is being written; dropped without [`commit`](Writer::commit), it leaves nothing.
#[async_trait]
pub trait Writer: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Busy`] where others hold the memory for what is on its way, [`Error::Io`].
    ///
    /// # Cancel safety
    /// A writer whose `write` was dropped half-way must be dropped too.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Tells what was written so far.
    fn written(&self) -> Written;

    /// Makes the object visible, replacing what was there.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`].
    async fn commit(self: Box<Self>) -> Result<(), Error>;
}

/// What a [`Writer`] has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How many bytes.
    pub size_bytes: u64,
    /// Their SHA-256.
    pub sha256: Digest,
}

/// One piece of a [`Store::join`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it lies.
    pub key: Key,
    /// How long it is.
    pub size_bytes: u64,
}
