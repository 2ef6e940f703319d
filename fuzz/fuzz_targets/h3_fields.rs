//! Any lines as the fields of a request: a request that HTTP/1.1 reads the same way, or a refusal.
#![no_main]

#[path = "../src/h3.rs"]
#[expect(dead_code, reason = "the other targets of HTTP/3 ask for the rest")]
mod h3;

libfuzzer_sys::fuzz_target!(|data: &[u8]| h3::fields(data));
