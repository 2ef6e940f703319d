//! CMAF: initialization and media segments (ISO/IEC 23000-19), the same bytes for HLS and DASH.

mod events;
mod init;
mod media;
mod packed;
mod protected;
mod write;

pub use init::init;
pub use media::{iframe, iframe_length, segment, segment_length};
pub use packed::Packed;
