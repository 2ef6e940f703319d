//! Any bytes as a Common Access Token, and as the claims of a genuine one.
#![no_main]

#[path = "../src/cat.rs"]
mod cat;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cat::check(data));
