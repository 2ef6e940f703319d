//! Any lines as the fields of a request: a request that HTTP/1.1 reads the same way, or a refusal.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::h3::fields(data));
