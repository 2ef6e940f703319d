//! CMAF: initialization and media segments (ISO/IEC 23000-19), the same bytes for HLS and DASH.

mod init;
mod media;
mod write;

pub use init::init;
pub use media::{segment, segment_length};
