//! What can go wrong with the store, said so that the caller knows what to do.

use std::io;

use crate::{Digest, Key};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address names no store this build can open.
    #[error("cannot open the store {url:?}: {why}")]
    Address {
        /// The address as given.
        url: String,
        /// What is wrong with it, and what would be right.
        why: &'static str,
    },
    /// The store's folder cannot be written in, or made.
    #[error("the store's folder cannot be used: {0}")]
    Folder(String),
    /// The file with the credentials of a bucket cannot be used.
    #[error("the store's credentials cannot be used: {why}")]
    Credentials {
        /// Which file, and what is wrong with it; holds no secret.
        why: String,
    },
    /// The answer would not fit in the memory one read may take; read a range or fetch a file.
    #[error("{key}: {size_bytes} bytes are more than one read may hold ({limit_bytes})")]
    TooLarge {
        /// The object.
        key: Key,
        /// How much was asked for.
        size_bytes: u64,
        /// How much one read may hold.
        limit_bytes: u64,
    },
    /// The object is there, but not as long as the caller knows it to be.
    #[error("{key}: needed {needed_bytes} bytes, found {found_bytes}")]
    Corrupt {
        /// The object.
        key: Key,
        /// The length that the caller relies on.
        needed_bytes: u64,
        /// The length found.
        found_bytes: u64,
    },
    /// A part of a join is not there.
    #[error("{key}: the part is missing")]
    PartMissing {
        /// The part.
        key: Key,
    },
    /// The bytes are not those that were promised: to be joined, and then nothing was stored, or
    /// when they were stored.
    #[error("{key}: the whole has SHA-256 {found}, promised was {promised}")]
    DigestMismatch {
        /// Where the whole lies, or would have been stored.
        key: Key,
        /// The digest that was given for it.
        promised: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// There is no store: no folder, no bucket. Nothing is known of any object then.
    #[error("there is no store at {place}: {hint}")]
    Absent {
        /// Where it should be.
        place: String,
        /// What may be done.
        hint: &'static str,
    },
    /// The disk or bucket has no room left.
    #[error("{key}: no space left in the store")]
    Full {
        /// The object that found no room.
        key: Key,
    },
    /// As much as the process has memory for is on its way to the bucket; trying again soon helps.
    #[error("{key}: there is no memory for more that is on its way")]
    Busy {
        /// The object that found no room.
        key: Key,
    },
    /// The engine failed; trying again may help.
    #[error("{subject}: {action} failed")]
    Io {
        /// The object, or the folder, it happened to.
        subject: String,
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// An error and all that caused it, each told once, in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        source = cause.source();
    }
    text
}
