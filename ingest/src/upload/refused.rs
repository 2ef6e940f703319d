//! Why a publisher's wish is not granted, in their words.

use std::fmt;

use crate::media::formats;

/// Why a publisher's wish is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The file has no bytes.
    EmptyFile,
    /// The file is larger than the operator allows.
    FileTooLarge {
        /// What is allowed.
        limit_bytes: u64,
    },
    /// The file's name ends as none of a film.
    Format,
    /// The file's type is none of a film.
    ContentType,
    /// There is no chunk of that index.
    WrongIndex {
        /// How many there are.
        chunk_count: u32,
    },
    /// The body is not as long as the chunk.
    WrongLength {
        /// How long the chunk is.
        expected_bytes: u64,
        /// How long the body is, as far as it was read.
        got_bytes: u64,
    },
    /// The body is not what its digest says.
    WrongDigest,
    /// Other bytes are here under that index.
    OtherChunk,
    /// Chunks have not come yet.
    Missing {
        /// Which.
        missing: Vec<u32>,
    },
    /// No digest of the whole was given, neither at the start nor now.
    NoWholeDigest,
    /// The digest given before, at the start or to complete it, and the one given now differ.
    TwoDigests,
    /// The whole is not what its digest says.
    WrongWhole,
    /// The upload's bytes go straight to the store.
    Direct,
    /// The upload is complete.
    Complete,
    /// The upload took too long.
    Expired,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyFile => f.write_str("The file is empty."),
            Self::FileTooLarge { limit_bytes } => {
                write!(f, "The file is larger than the {limit_bytes} bytes allowed here.")
            }
            Self::Format => write!(
                f,
                "The file's name must end in one of {}.",
                formats::endings().collect::<Vec<_>>().join(", ")
            ),
            Self::ContentType => f.write_str(
                "The file's type is told as that of something else than a video or a sound (video/…, audio/…); if it is one, leave the type out.",
            ),
            Self::WrongIndex { chunk_count } => {
                write!(f, "The upload has the chunks 0 to {}.", chunk_count.saturating_sub(1))
            }
            Self::WrongLength { expected_bytes, got_bytes } => {
                write!(f, "The chunk has {expected_bytes} bytes; {got_bytes} were sent.")
            }
            Self::WrongDigest => f.write_str(
                "The bytes do not have the SHA-256 of the header; send the chunk again.",
            ),
            Self::OtherChunk => f.write_str(
                "Other bytes were sent for this index before; they are kept. To send another file, start another upload.",
            ),
            Self::Missing { missing } => {
                write!(f, "{} chunks have not arrived; send them, then complete again.", missing.len())
            }
            Self::NoWholeDigest => f.write_str(
                "Give the whole file's SHA-256 as sha256, at initiate or at complete.",
            ),
            Self::TwoDigests => f.write_str("The sha256 differs from the one given before, at initiate or at complete."),
            Self::WrongWhole => f.write_str(
                "All chunks arrived whole, but together they do not have the file's SHA-256: the digest is of another, and then completing again with the right one helps, unless this one was given at initiate; or the file changed while it was sent, and then another upload is to be started.",
            ),
            Self::Direct => f.write_str(
                "The chunks of this upload go to the addresses in parts, which its status tells too.",
            ),
            Self::Complete => f.write_str("The upload is complete and takes no change."),
            Self::Expired => f.write_str("The upload took too long and has expired; start another."),
        }
    }
}
