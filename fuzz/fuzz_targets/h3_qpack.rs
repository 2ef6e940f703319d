//! Any bytes as a QPACK field section or instruction stream: bounded fields, or an error.
#![no_main]

#[path = "../src/h3.rs"]
#[expect(dead_code, reason = "the other targets of HTTP/3 ask for the rest")]
mod h3;

libfuzzer_sys::fuzz_target!(|data: &[u8]| h3::qpack(data));
