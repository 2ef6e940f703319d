//! Common Media Client Data: what a player says of itself with a request (CTA-5004, and version 2 in CTA-5004-A and
//! -B).
//!
//! 1. [`of_query`] takes it out of a target; in fields it stands as it is;
//! 2. `read` takes it apart: a dictionary of structured fields (RFC 8941 §3.2), read with some patience, since players
//!    write it by hand;
//! 3. `keys` says which key has what kind of value;
//! 4. [`Report`] is what remains, and writes itself as JSON.
//!
//! Invariants: a pair that is wrong is dropped and counted, and the others stay; what could bear a token is dropped as
//! well; nothing is longer than its bound.

mod keys;
mod read;
mod report;

pub use report::Report;

use read::Value;

/// The data in a target's query, decoded as a form is, for some players write a space as `+`.
#[must_use]
pub fn of_query(target: &str) -> Option<Box<str>> {
    let (_, query) = target.split_once('?')?;
    let mut pairs = query.split('&');
    let data = pairs.find_map(|pair| pair.strip_prefix("CMCD="))?;
    let (data, _) = data.split_at(data.floor_char_boundary(MOST_ENCODED));
    let data = String::from_utf8(decoded(data, b' '));
    let data = data.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Some(data.into_boxed_str())
}

/// The object that the player will ask for next (`nor`), as a relative reference; the first where there are several.
#[must_use]
pub fn next_object(data: &str) -> Option<String> {
    let mut pairs = read::pairs(data).flatten();
    let first = match pairs.find(|pair| pair.key == "nor")?.value {
        list @ Value::List(_) => list.members().next()??.value,
        value => value,
    };
    let Value::Text(said) = first else {
        return None;
    };
    String::from_utf8(decoded(&read::unescaped(said), b'+')).ok()
}

/// Text without its percent-encoding, and with something else for `+`; what is no encoding stays as it is.
fn decoded(text: &str, plus: u8) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let mut byte = *byte;
        if byte == b'+' {
            byte = plus;
        } else if byte == b'%'
            && let Some((code, after)) = after.split_first_chunk()
            && let Some(value) = hex(*code)
        {
            (byte, rest) = (value, after);
        }
        plain.push(byte);
    }
    plain
}

fn hex(code: [u8; 2]) -> Option<u8> {
    let [high, low] = code.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

/// What is read of one query, in bytes before it is decoded.
const MOST_ENCODED: usize = 4096;

#[cfg(test)]
mod tests;
