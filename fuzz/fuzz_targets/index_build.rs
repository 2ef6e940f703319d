//! Any bytes as a mezzanine: an index that survives the disk and packs the file's own samples, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::mezzanine::check(data));
