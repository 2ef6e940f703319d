//! Any bytes as a document of content keys: keys that no manifest and no text betrays, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::keys::check(data));
