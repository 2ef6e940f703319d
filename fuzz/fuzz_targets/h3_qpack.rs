//! Any bytes as a QPACK field section or instruction stream: bounded fields, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::h3::qpack(data));
