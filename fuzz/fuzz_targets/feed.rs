//! Any bytes as a page of the feed.
#![no_main]

#[path = "../src/feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| feed::check(data));
