//! Any bytes as a decoder configuration: it heads every kind of segment, or is an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::config::check(data));
