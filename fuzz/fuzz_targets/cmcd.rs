//! Any bytes as what a player says of itself (CMCD).
#![no_main]

#[path = "../src/cmcd.rs"]
mod cmcd;
/// What the parser writes with.
#[allow(dead_code, reason = "the contracts write more with it than the target does")]
#[path = "../../contracts/src/json.rs"]
mod json;
/// The parser's files alone: the rest of the contracts is not needed.
#[allow(dead_code, reason = "the contracts read more with it than the target does")]
#[path = "../../contracts/src/cmcd/mod.rs"]
mod parser;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cmcd::check(data));
