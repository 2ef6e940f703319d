//! Any bytes as what a player says: they are read or dropped, and what is written is one JSON object within its bounds.

use serde_json::Value;

use crate::parser::{Report, next_object, of_query};

/// Reads `data` as a field and as a query.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let in_query = of_query(&format!("/v/a/b?CMCD={text}"));
    for said in [Some(&*text), in_query.as_deref()].into_iter().flatten() {
        let _ = next_object(said);
        let mut report = Report::default();
        report.read(said);
        let mut out = Vec::new();
        report.write(&mut out);
        assert!(out.iter().all(u8::is_ascii) && out.len() <= 16 * said.len() + 2);
        let Ok(Value::Object(all)) = serde_json::from_slice(&out) else {
            panic!("{} is no object", String::from_utf8_lossy(&out));
        };
        assert!(all.len() <= 64 && all.is_empty() == report.is_empty());
        all.values().for_each(bears_no_token);
    }
}

fn bears_no_token(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.contains(['~', '?', '#']) && text.len() <= 2048),
        Value::Array(all) => {
            assert!(all.len() <= 16);
            all.iter().for_each(bears_no_token);
        }
        Value::Object(all) => all.values().for_each(bears_no_token),
        _ => {}
    }
}
