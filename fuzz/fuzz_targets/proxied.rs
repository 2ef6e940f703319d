//! Any bytes as a PROXY protocol header.
#![no_main]

/// The parser's file alone: the rest of the tier is not needed.
#[path = "../../tier/src/proxied.rs"]
mod parser;
#[path = "../src/proxied.rs"]
mod proxied;

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxied::check(data));
