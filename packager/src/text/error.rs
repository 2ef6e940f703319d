//! Why a file is not taken as subtitles.

use super::{MAX_BLOCK_BYTES, MAX_CUES, MAX_FILE_BYTES};

/// A fault of a whole file. A fault of one cue is none: the cue is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It neither begins like WebVTT nor has one SubRip cue.
    #[error("the file is neither WebVTT nor SubRip")]
    NotSubtitles,
    /// It is WebVTT by its signature, but not UTF-8, which WebVTT always is (W3C WebVTT §4.1).
    #[error("the WebVTT file is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// How much of the file is UTF-8.
        offset: usize,
    },
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("the file of subtitles is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// It has more cues than [`MAX_CUES`].
    #[error("the file has more than {MAX_CUES} cues")]
    TooManyCues,
    /// One cue holds more than [`MAX_BLOCK_BYTES`].
    #[error("cue {cue} is larger than {MAX_BLOCK_BYTES} bytes")]
    CueTooLarge {
        /// Which of the cues that are kept, counted from 1.
        cue: usize,
    },
    /// Its styles and regions hold more than [`MAX_BLOCK_BYTES`].
    #[error("the styles and regions are larger than {MAX_BLOCK_BYTES} bytes")]
    HeadTooLarge,
}
