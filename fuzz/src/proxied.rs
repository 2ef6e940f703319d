//! Any bytes as a PROXY protocol header: read in the steps that the parser asks for, and never beyond its end.

use crate::parser::{Progress, parse};

/// Reads `data` as a connection's first bytes.
pub fn check(data: &[u8]) {
    let mut seen = 0;
    loop {
        match parse(&data[..seen]) {
            Ok(Progress::Needs(more)) => {
                assert!(more > 0 && seen + more <= MOST, "{seen} and {more}");
                seen += more;
                if seen > data.len() {
                    return;
                }
            }
            // It is complete with its last byte and not before; one more is a fault.
            Ok(Progress::Complete(_)) => {
                assert!(data.get(..=seen).is_none_or(|more| parse(more).is_err()));
                return;
            }
            Err(_) => return,
        }
    }
}

/// The longest header that is read.
const MOST: usize = 16 + 2048;
