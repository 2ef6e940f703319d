//! Taking a dictionary apart (RFC 8941 §4.2), pair by pair, so that a wrong one costs only itself.

use std::borrow::Cow;

use super::keys::Kind;

/// One pair, of the kind that its key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub(super) key: &'a str,
    pub(super) kind: Kind,
    pub(super) value: Value<'a>,
}

/// A value, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Digits, with a sign and a point where there are such.
    Number(&'a str),
    Flag(bool),
    /// What stands between the quotes, backslashes included.
    Text(&'a str),
    /// A token, in the words of RFC 8941.
    Word(&'a str),
    /// What stands between the parentheses.
    List(&'a str),
}

/// A member of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    pub(super) value: Value<'a>,
    /// The type of object that it is of: a parameter without a value.
    pub(super) of: Option<&'a str>,
    /// The range of the object that it names (`r`).
    pub(super) range: Option<&'a str>,
}

/// The pairs of a dictionary; `None` in the place of each that is wrong. Each of those may be looked through to the
/// end of all, so after so many nothing more is read.
pub(super) fn pairs(data: &str) -> impl Iterator<Item = Option<Pair<'_>>> {
    let (mut rest, mut wrong) = (data, 0);
    std::iter::from_fn(move || {
        let (_, text) = split(rest, |byte| matches!(byte, b',' | b' ' | b'\t'));
        if text.is_empty() || wrong == MOST_WRONG {
            return None;
        }
        let read = Pair::read(text);
        wrong += u32::from(read.is_none());
        // Only what is wrong is looked through for its end.
        rest = read.map_or_else(|| behind(text), |(_, rest)| rest);
        Some(read.map(|(pair, _)| pair))
    })
}

/// The members of a list; after a wrong one, `None` in its place and no more.
fn members(list: &str) -> impl Iterator<Item = Option<Member<'_>>> {
    let mut rest = Some(list.trim_matches(' '));
    std::iter::from_fn(move || {
        let text = rest.take().filter(|text| !text.is_empty())?;
        let member = Member::read(text);
        let (member, after) = member.unzip();
        rest = after;
        Some(member)
    })
}

/// No player is so wrong.
const MOST_WRONG: u32 = 16;

/// What stands behind the first comma outside of quotes.
fn behind(data: &str) -> &str {
    let end = outside_quotes(data, b',').unwrap_or(data.len());
    data.get(end..).unwrap_or_default()
}

/// Where a byte stands first that is not within quotes.
fn outside_quotes(data: &str, sought: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    data.bytes().position(|byte| {
        let found = byte == sought && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && quoted && !escaped;
        found
    })
}

/// What is of such bytes, which are ASCII, and what follows.
fn split(text: &str, is_of: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is_of(byte));
    text.split_at(end.unwrap_or(text.len()))
}

impl<'a> Pair<'a> {
    /// The first pair, and what stands behind it.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (key, rest) = split(text, is_of_key);
        let kind = Kind::of(key)?;
        let (value, rest) = match rest.strip_prefix('=') {
            Some(rest) => value(rest)?,
            None => (Value::Flag(true), rest),
        };
        let (_, rest) = parameters(rest)?;
        let (_, rest) = split(rest, |byte| matches!(byte, b' ' | b'\t'));
        let value = kind.take(value)?;
        let is_end = rest.is_empty() || rest.starts_with(',');
        is_end.then_some((Self { key, kind, value }, rest))
    }
}

impl<'a> Member<'a> {
    /// The first member, and what stands behind it.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (value, rest) = bare(text)?;
        let ((of, range), rest) = parameters(rest)?;
        let after = rest.trim_start_matches(' ');
        let apart = after.is_empty() || after.len() < rest.len();
        apart.then_some((Self { value, of, range }, after))
    }
}

impl<'a> From<Value<'a>> for Member<'a> {
    fn from(value: Value<'a>) -> Self {
        Self {
            value,
            of: None,
            range: None,
        }
    }
}

impl<'a> Value<'a> {
    /// The members, where it is a list.
    pub(super) fn members(self) -> impl Iterator<Item = Option<Member<'a>>> {
        members(match self {
            Self::List(list) => list,
            _ => "",
        })
    }
}

/// A value, and what stands behind it.
fn value(text: &str) -> Option<(Value<'_>, &str)> {
    let Some(list) = text.strip_prefix('(') else {
        return bare(text);
    };
    let end = outside_quotes(list, b')')?;
    let (list, rest) = list.split_at(end);
    Some((Value::List(list), rest.strip_prefix(')')?))
}

/// A value that is no list, and what stands behind it (RFC 8941 §4.2.3.1).
fn bare(text: &str) -> Option<(Value<'_>, &str)> {
    let (first, rest) = text.as_bytes().split_first()?;
    match first {
        b'"' => {
            let inside = text.strip_prefix('"')?;
            let end = end_of_text(inside)?;
            let (inside, rest) = inside.split_at(end);
            Some((Value::Text(inside), rest.strip_prefix('"')?))
        }
        b'?' => {
            let said = match rest.first()? {
                b'1' => true,
                b'0' => false,
                _ => return None,
            };
            Some((Value::Flag(said), text.get(2..)?))
        }
        b'-' | b'0'..=b'9' => {
            let of_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
            let (number, rest) = split(text, of_number);
            is_number(number).then_some((Value::Number(number), rest))
        }
        b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
            let (word, rest) = split(text, is_of_word);
            Some((Value::Word(word), rest))
        }
        _ => None,
    }
}

/// Where a text ends that began with a quote; `None` when it does not, or holds what none may.
fn end_of_text(inside: &str) -> Option<usize> {
    let mut bytes = inside.bytes().enumerate();
    loop {
        match bytes.next()? {
            (at, b'"') => return Some(at),
            (_, b'\\') => {
                bytes
                    .next()
                    .filter(|(_, byte)| matches!(byte, b'"' | b'\\'))?;
            }
            (_, byte) if byte.is_ascii_control() => return None,
            _ => {}
        }
    }
}

/// At most 15 digits, and a point within them.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.len() <= 16 && whole.len() <= 15 && are_digits(whole) && are_digits(part)
}

/// The parameters that stand first, as far as they are of use, and what stands behind them.
#[expect(clippy::type_complexity, reason = "two parameters and the rest")]
fn parameters(text: &str) -> Option<((Option<&str>, Option<&str>), &str)> {
    let (mut of, mut range, mut rest) = (None, None, text);
    while let Some(after) = rest.strip_prefix(';') {
        let after = after.trim_start_matches(' ');
        let (key, after) = split(after, is_of_key);
        if key.is_empty() || key.len() > MOST_PARAMETER {
            return None;
        }
        rest = match after.strip_prefix('=') {
            None => {
                of = of.or(Some(key));
                after
            }
            Some(after) => {
                let (value, after) = bare(after)?;
                if let ("r", Value::Text(text)) = (key, value) {
                    range = range.or_else(|| is_range(text).then_some(text));
                }
                after
            }
        };
    }
    Some(((of, range), rest))
}

fn is_range(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

const fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'*')
}

const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
                | b':'
                | b'/'
        )
}

/// A text without the backslashes before its quotes and backslashes.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// Bytes of a parameter's key.
const MOST_PARAMETER: usize = 8;
