//! Any parameter sets and NAL units as pictures: packed and encrypted whole, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::slices::check(data));
