//! Any bytes in the header fields of tus: what is read of them stands there and is bounded, or they are refused.
#![no_main]

#[path = "../src/tus.rs"]
mod tus;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tus::check(data));
