//! The gate's parsers: target, token, claims and the plain form, on whatever a client may send.
#![no_main]

#[path = "../src/token.rs"]
mod token;

libfuzzer_sys::fuzz_target!(|data: &[u8]| token::check(data));
