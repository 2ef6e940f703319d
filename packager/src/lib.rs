//! From a mezzanine to playable bytes: pure functions, no async, no sockets, no clock.
//!
//! A mezzanine is a CMAF file with one track in fragments, H.264, H.265, AV1 or VP9, AAC or Opus: what
//! `ffmpeg … -c:v libx264 … -movflags +cmaf+frag_keyframe` writes for pictures. For sound one must add
//! `+delay_moov -use_editlist 1`, or the file does not tell how much of its beginning is encoder priming.
//!
//! The main path, in the order in which a film walks it:
//! 1. [`index::build`] reads a mezzanine once, at publishing, and [`index::Index::encode`] puts the outcome beside it;
//! 2. [`index::Index::decode`] brings it back when the film is first asked for;
//! 3. [`Presentation::new`] puts the renditions on one timeline and cuts it at GOPs that all share;
//! 4. [`hls::master`], [`hls::playlist`] and [`dash::manifest`] write what players read first;
//! 5. [`Rendition::segment`] plans a segment: its samples and the one range of the mezzanine that holds them;
//! 6. [`fmp4::init`], [`fmp4::segment`] and [`ts::segment`] pack it;
//! 7. for a protected film, [`protect::Protection`] says with which key a rendition is encrypted, and
//!    [`protect::signalling`] how its players are told.
//!
//! Beside it go [`text`], subtitles on the same timeline, and [`thumbs`], the pictures along a player's time line.
//!
//! Invariants:
//! - Bytes from outside give a value or an [`Error`], never a panic, and never size an allocation by their word alone.
//! - The segments of a rendition partition its samples; decoding times continue over every boundary.
//! - A segment has samples: where a rendition has nothing to begin, it is not cut, and counts its segments by itself.
//! - An event of the mezzanine is in exactly one segment, however long segments are.
//! - The first picture and the first sound present at 0 (later only if the mezzanine says so); there are no edit lists.
//! - A sample is compared with its CRC before it is packed: a changed mezzanine is an error, not a wrong byte.
//! - The same input gives the same bytes, on every machine, at every time.

mod boxes;
mod bytes;
pub mod codec;
pub mod dash;
mod error;
mod escape;
pub mod fmp4;
pub mod hls;
pub mod index;
mod lengths;
mod presentation;
pub mod protect;
mod rates;
mod rendition;
mod source;
pub mod text;
pub mod thumbs;
mod timeline;
pub mod ts;

pub use error::Error;
pub use presentation::{IFrame, Parts, Presentation, Rendition, Segment, Shares, Source};
pub use rates::Rates;
