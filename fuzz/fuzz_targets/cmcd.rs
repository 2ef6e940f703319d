//! Any bytes as what a player says of itself (CMCD).
#![no_main]

#[path = "../src/cmcd.rs"]
mod cmcd;
/// What the parser writes with.
#[path = "../../tier/src/json.rs"]
mod json;
/// The parser's files alone: the rest of the tier is not needed.
#[path = "../../tier/src/cmcd/mod.rs"]
mod parser;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cmcd::check(data));
