//! Any bytes as asset.json: an asset that reads back as itself, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::asset::check(data));
