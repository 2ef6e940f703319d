//! Any bytes as a segment file of the disk cache: what is read from it lies within it.
#![no_main]

/// Mounted, so that the target is built without the tiers and all that they bring.
#[allow(dead_code, reason = "a check asks for less than the cache does")]
#[path = "../../tier/src/cache/disk/format.rs"]
mod format;
#[path = "../src/segment.rs"]
mod segment;

libfuzzer_sys::fuzz_target!(|data: &[u8]| segment::check(data));
