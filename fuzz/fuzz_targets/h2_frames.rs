//! Any bytes as HTTP/2 frames.
#![no_main]

#[path = "../src/frames.rs"]
mod frames;
/// The parser's file alone: the rest of the tier is not needed.
#[path = "../../tier/src/frames.rs"]
mod parser;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frames::check(data));
