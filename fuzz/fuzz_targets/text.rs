//! Any bytes as subtitles: what parses is written, reads back as itself, and is all in its segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::text::check(data));
