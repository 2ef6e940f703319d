//! Any bytes as an HTTP/3 stream, whole and in pieces: the same frames, or the same fault.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::h3::frames(data));
