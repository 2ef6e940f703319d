//! Subtitles: read from WebVTT or SubRip, cut at the film's segment boundaries, written as WebVTT.
//!
//! The path of a file of subtitles:
//! 1. [`parse`] finds out which format it is and makes a [`Document`] of it ([`webvtt::parse`], [`srt::parse`]);
//! 2. [`webvtt::write`] writes the whole in one canonical form, which is what is kept of an upload;
//! 3. [`segment()`] writes what a player fetches: the cues of one interval of the film;
//! 4. [`Track::rates`] says what they take of a line.
//!
//! Invariants:
//! - A document's cues rise by their starts, each ends after it starts, and each can be written as WebVTT: there is
//!   no way to make one but to parse it.
//! - A broken cue is dropped, a file that is no subtitles is refused, and neither panics.

mod document;
mod error;
mod lines;
mod markup;
mod segment;
pub mod srt;
pub(crate) mod time;
mod track;
mod utf16;
pub mod webvtt;

pub use document::{Block, Cue, Document, Encoding};
pub use error::Error;
pub use segment::segment;
pub use track::Track;

/// Parses a file of subtitles: WebVTT when it begins with its signature, else SubRip. Either may be in UTF-16, where a
/// byte order mark says so.
///
/// # Errors
/// As [`webvtt::parse`] and [`srt::parse`]; a file that is neither is [`Error::NotSubtitles`].
pub fn parse(file: &[u8]) -> Result<Document, Error> {
    if file.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge);
    }
    match utf16::decode(file) {
        Some(text) => Ok(in_utf_8(text.as_bytes())?.read_from(Encoding::Utf16)),
        None => in_utf_8(file),
    }
}

fn in_utf_8(file: &[u8]) -> Result<Document, Error> {
    if webvtt::is_webvtt(file) {
        webvtt::parse(file)
    } else {
        srt::parse(file)
    }
}

/// The largest file that is read, in bytes: a film's subtitles take a hundredth of it.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// The most cues that a file may have.
pub const MAX_CUES: usize = 200_000;
/// The most that one cue may hold in its id, settings and text, and that all styles and regions may hold together,
/// in bytes: both are repeated in every segment that they concern.
pub const MAX_BLOCK_BYTES: usize = 64 << 10;
