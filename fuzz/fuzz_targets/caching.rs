//! Any bytes as the fields of a request and of its response, read as a cache reads them.
#![no_main]

#[path = "../src/caching.rs"]
mod caching;
/// The tier's module alone: nothing else in the tier reads these fields.
#[path = "../../tier/src/rfc9111/mod.rs"]
mod rfc9111;

libfuzzer_sys::fuzz_target!(|data: &[u8]| caching::check(data));
