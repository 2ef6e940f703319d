//! From a publisher's file to mezzanines: what it is, what to make of it, the making, the check.

mod blame;
pub mod child;
pub mod codec;
pub mod colour;
pub mod confine;
pub mod early;
pub(crate) mod formats;
pub mod frame;
mod group;
pub mod join;
pub mod ladder;
pub mod length;
mod level;
pub mod loudness;
pub mod outcome;
pub mod probe;
pub(crate) mod program;
mod progress;
pub mod rate;
mod refusal;
pub mod remux;
pub mod sound;
pub mod still;
pub mod stills;
pub mod subtitles;
pub mod transcode;

pub use refusal::Refusal;
