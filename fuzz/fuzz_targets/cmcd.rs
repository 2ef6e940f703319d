//! Any bytes as what a player says of itself (CMCD).
#![no_main]

use contracts::cmcd as parser;

#[path = "../src/cmcd.rs"]
mod cmcd;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cmcd::check(data));
