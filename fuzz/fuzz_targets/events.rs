//! Any bytes as what a session tells of a playback.
#![no_main]

/// The parsers' files alone: what folds events is not needed.
#[path = "../../telemetry/src/cmcd.rs"]
mod cmcd;
#[path = "../../telemetry/src/event.rs"]
mod event;
#[path = "../src/events.rs"]
mod events;

mod parser {
    pub use crate::cmcd::Line;
    pub use crate::event::{Event, MOST_MS, MOST_SEQ};

    /// When the session began that lines are of.
    pub const STARTED: contracts::time::UnixSeconds = contracts::time::UnixSeconds(1_800_000_000);
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| events::check(data));
