//! What can go wrong between a mezzanine and playable bytes.

/// A fault of the mezzanine, of its index, or of how renditions fit together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The mezzanine could not be read.
    #[error("the mezzanine cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The mezzanine's structure contradicts itself or ends too early.
    #[error("the mezzanine is damaged: {what} at byte {offset}")]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// Where: counted from the file's start for top-level boxes, else from the start of the box that holds it.
        offset: u64,
    },
    /// The mezzanine is sound, but not of the shape that the packager packs.
    #[error("the mezzanine cannot be packed: {0}")]
    Unsupported(&'static str),
    /// An encoded index does not decode.
    #[error("the index is damaged: {0}")]
    Index(&'static str),
    /// The bytes of a sample are not those that were indexed.
    #[error("the mezzanine differs from its index at sample {sample}")]
    Mismatch {
        /// The sample's place in decoding order, from 0.
        sample: usize,
    },
    /// A film's keys do not fit it, or cannot be used.
    #[error("the film's keys cannot be used: {0}")]
    Keys(&'static str),
    /// Renditions of one film do not fit together.
    #[error("the renditions do not make a film: {0}")]
    Presentation(&'static str),
}
