//! From a publisher's file to mezzanines: what it is, what to make of it, the making, the check.

pub mod child;
pub mod ladder;
pub mod length;
pub mod outcome;
pub mod probe;
pub mod rate;
mod refusal;
pub mod sound;
pub mod still;
pub mod transcode;

pub use refusal::Refusal;
