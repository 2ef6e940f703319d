//! Any bytes as what a session tells: each event, and each line of client data, is read within its bounds or refused,
//! and what is remembered of it reads back.

use serde_json::Value;

use crate::parser::{Event, Line, MOST_MS, MOST_SEQ, STARTED};

/// Reads `data` as JSON, an event or a list of such, and as lines.
pub fn check(data: &[u8]) {
    match serde_json::from_slice(data) {
        Ok(Value::Array(all)) => all.iter().for_each(event),
        Ok(one) => event(&one),
        Err(_) => {}
    }
    for line in String::from_utf8_lossy(data).lines() {
        if let Ok(event) = Line::read(line).and_then(|line| line.event(STARTED)) {
            within_bounds(&event);
        }
    }
}

fn event(said: &Value) {
    if let Ok(event) = Event::read(said) {
        within_bounds(&event);
    }
}

fn within_bounds(event: &Event) {
    assert!(event.seq <= MOST_SEQ && event.at_ms <= MOST_MS);
    assert!(event.bitrate_kbps.is_none_or(|kbps| kbps <= 1_000_000));
    assert!(event.startup_ms.is_none_or(|ms| ms <= 3_600_000));
    assert!(
        event
            .edge
            .as_ref()
            .is_none_or(|edge| (1..=128).contains(&edge.len()))
    );
    let kept = serde_json::to_vec(event).unwrap_or_default();
    assert_eq!(
        serde_json::from_slice::<Event>(&kept).ok().as_ref(),
        Some(event)
    );
}
