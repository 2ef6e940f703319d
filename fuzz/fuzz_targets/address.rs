//! Any text as a request's target: one spelling for each thing that it may name, or a refusal.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::address::check(data));
