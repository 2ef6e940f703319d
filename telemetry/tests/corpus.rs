//! The corpus of the fuzz target for what sessions tell, replayed.
#![expect(unreachable_pub, reason = "the checks are those of the fuzz target")]

#[path = "../../fuzz/src/events.rs"]
mod events;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

mod parser {
    pub(crate) use telemetry::cmcd::Line;
    pub(crate) use telemetry::event::{Event, MOST_MS, MOST_SEQ};

    /// When the session began that lines are of.
    pub(crate) const STARTED: contracts::time::UnixSeconds =
        contracts::time::UnixSeconds(1_800_000_000);
}

#[test]
fn what_is_told_is_within_its_bounds_or_refused() {
    let count = replay::each("events", |_, input| events::check(input)).unwrap();
    assert!(count >= 6);
}
