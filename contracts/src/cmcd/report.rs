//! What a player said with one request, from wherever it stood in it.

use std::borrow::Cow;

use super::read::{Member, Pair, Value, pairs, unescaped};
use crate::id::{is_drawn, marked};
use crate::json;

/// What a player said with one request; of a key that was said twice, the last.
#[derive(Debug, Default)]
pub struct Report<'a> {
    pairs: Vec<Pair<'a>>,
    /// The last of the keys so far, in their order: players sort them, so that one is seldom to be looked for.
    last: &'a str,
    dropped: usize,
}

impl<'a> Report<'a> {
    /// Reads what was said in one place; any key may stand in any of them.
    pub fn read(&mut self, data: &'a str) {
        let (data, more) = data.split_at(data.floor_char_boundary(MOST_BYTES));
        self.dropped += usize::from(!more.is_empty());
        for pair in pairs(data) {
            match pair {
                Some(pair) => self.take(pair),
                None => self.dropped += 1,
            }
        }
    }

    /// Counts data that is no text.
    pub const fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// How many pairs were wrong, too many, or could have borne a token.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Whether nothing of use was said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether a flag was raised.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.find(key) == Some(Value::Flag(true))
    }

    /// A text or a word, or the first of a list.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        let value = match self.find(key)? {
            list @ Value::List(_) => list.members().next()??.value,
            value => value,
        };
        match value {
            Value::Text(text) | Value::Word(text) => Some(unescaped(text)),
            _ => None,
        }
    }

    /// A number, or the first of a list.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        let value = match self.find(key)? {
            list @ Value::List(_) => list.members().next()??.value,
            value => value,
        };
        match value {
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Writes it as a JSON object. Keys that may have several values have an array of objects, always; numbers are in
    /// the units of the standard. Of a session that may be one of ours its mark is written: whoever knows its id acts
    /// for the player.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, pair) in self.pairs.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            // Keys and words are letters, digits and what JSON lets stand as it is.
            out.push(b'"');
            out.extend_from_slice(pair.key.as_bytes());
            out.extend_from_slice(b"\":");
            match pair.value {
                Value::Text(said) if pair.key == "sid" && is_drawn(said) => {
                    json::string(out, marked(said).as_bytes());
                }
                list @ Value::List(_) => write_all(out, list.members().flatten()),
                value if pair.kind.has_list() => write_all(out, std::iter::once(value.into())),
                value => write(out, value),
            }
        }
        out.push(b'}');
    }

    fn find(&self, key: &str) -> Option<Value<'a>> {
        let found = self.pairs.iter().find(|pair| pair.key == key);
        found.map(|pair| pair.value)
    }

    fn take(&mut self, pair: Pair<'a>) {
        if self.pairs.is_empty() {
            self.pairs.reserve(16);
        }
        let new = pair.key > self.last;
        let said = self.pairs.iter_mut().filter(|_| !new);
        if let Some(said) = { said }.find(|said| said.key == pair.key) {
            *said = pair;
        } else if self.pairs.len() < MOST_PAIRS {
            self.last = self.last.max(pair.key);
            self.pairs.push(pair);
        } else {
            self.dropped += 1;
        }
    }
}

fn write_all<'a>(out: &mut Vec<u8>, members: impl Iterator<Item = Member<'a>>) {
    out.push(b'[');
    for (at, member) in members.enumerate() {
        out.extend_from_slice(if at > 0 {
            b",{\"value\":"
        } else {
            b"{\"value\":"
        });
        write(out, member.value);
        for (name, said) in [
            (&b",\"ot\":\""[..], member.of),
            (b",\"range\":\"", member.range),
        ] {
            if let Some(said) = said {
                out.extend_from_slice(name);
                out.extend_from_slice(said.as_bytes());
                out.push(b'"');
            }
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn write(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Flag(true) => out.extend_from_slice(b"true"),
        Value::Flag(false) => out.extend_from_slice(b"false"),
        Value::Number(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            if digits.len() < text.len() {
                out.push(b'-');
            }
            let digits = digits.trim_start_matches('0');
            // JSON has a digit before the point, and no zero before another digit.
            if digits.is_empty() || digits.starts_with('.') {
                out.push(b'0');
            }
            out.extend_from_slice(digits.as_bytes());
        }
        Value::Text(text) | Value::Word(text) => json::string(out, unescaped(text).as_bytes()),
        Value::List(_) => out.extend_from_slice(b"null"),
    }
}

/// What is read of one place, in bytes.
const MOST_BYTES: usize = 4096;
/// Pairs of one request; the standard knows some fifty keys.
const MOST_PAIRS: usize = 64;
