//! Objects whose parts come straight from those who have them, not through the house.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Key};

/// Takes the parts of an object from clients that hold an address for each, and no credentials.
///
/// What is begun is completed or given up; nothing is seen under its key before it is completed.
#[async_trait]
pub trait Direct: Send + Sync {
    /// Begins an object, and names it for the other calls: the name means nothing elsewhere.
    ///
    /// # Errors
    /// [`Error::Io`].
    async fn begin(&self, key: &Key) -> Result<String, Error>;

    /// An address to which one part, counted from 1, may be PUT for a while, as often as need be: the last one counts.
    /// It is a secret.
    ///
    /// # Errors
    /// [`Error::Io`].
    async fn invite(
        &self,
        key: &Key,
        name: &str,
        number: u32,
        lasts: Duration,
    ) -> Result<String, Error>;

    /// Lists the parts that are there, in their order; none once it was completed or given up.
    ///
    /// # Errors
    /// [`Error::Io`].
    async fn arrived(&self, key: &Key, name: &str) -> Result<Vec<Arrived>, Error>;

    /// Makes the object visible, of these parts.
    ///
    /// # Errors
    /// [`Error::Io`], also when it was completed or given up before.
    async fn complete(&self, key: &Key, name: &str, parts: &[Arrived]) -> Result<(), Error>;

    /// Gives it up, and removes its parts; one that is not under way counts as given up.
    ///
    /// # Errors
    /// [`Error::Io`].
    async fn abort(&self, key: &Key, name: &str) -> Result<(), Error>;
}

/// A part that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its place, from 1.
    pub number: u32,
    /// How long it is.
    pub size_bytes: u64,
    /// By what the store knows it.
    pub tag: String,
}

/// The shortest part but the last.
pub const LEAST_PART: u64 = 8 << 20;
/// The most parts of one object: as many as are listed at once.
pub const MOST_PARTS: u64 = 1000;
/// How long an address is good, at most.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
