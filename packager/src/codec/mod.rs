//! Decoder configurations: what a player must know before the first sample.

pub mod aac;
pub mod avc;
