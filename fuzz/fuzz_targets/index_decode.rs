//! Any bytes as an index, its checksum made to fit: it packs nothing but the file that it was made of, or is an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::index::check(data));
