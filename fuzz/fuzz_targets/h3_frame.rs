//! Any bytes as an HTTP/3 stream, whole and in pieces: the same frames, or the same fault.
#![no_main]

#[path = "../src/h3.rs"]
#[expect(dead_code, reason = "the other targets of HTTP/3 ask for the rest")]
mod h3;

libfuzzer_sys::fuzz_target!(|data: &[u8]| h3::frames(data));
