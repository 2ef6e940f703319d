//! Any bytes as a licence challenge: the names of a few keys, which are there in the bytes, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::challenge::check(data));
