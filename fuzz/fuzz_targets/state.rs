//! Any bytes as a state file of purges.
#![no_main]

#[path = "../src/state.rs"]
mod state;

libfuzzer_sys::fuzz_target!(|data: &[u8]| state::check(data));
