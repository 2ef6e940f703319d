//! The gate's parsers: target, token, claims and the plain form, on whatever a client may send.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::token::check(data));
