//! Any text as a packager's question for keys: a document that can be read again, or a refusal.
#![no_main]

#[path = "../src/speke.rs"]
mod speke;

libfuzzer_sys::fuzz_target!(|data: &[u8]| speke::check(data));
