//! Fields that are comma-separated lists of `name` and `name=value` (RFC 9110 §5.6).

use std::borrow::Cow;

use http::HeaderValue;

/// One member of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// As it was written.
    pub(crate) name: &'a str,
    pub(crate) value: Value<'a>,
}

/// What stands behind a member's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Nothing.
    None,
    /// A token, or a quoted string without its quotes and escapes.
    Is(Cow<'a, str>),
    /// Something that the grammar does not allow.
    Unreadable,
}

/// Reads the members of a field's lines, in order. Empty members count as absent (RFC 9110 §5.6.1); lines that are
/// not text, and members without a name, are one unreadable member each, whose name is empty.
pub(crate) fn of<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = Member<'a>> {
    lines.into_iter().flat_map(|line| {
        let text = line.to_str().unwrap_or("?");
        split(text).map(member)
    })
}

/// Splits at the commas that stand outside of quoted strings; members are trimmed, empty ones left out.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |letter| {
        if escaped {
            escaped = false;
            return false;
        }
        match letter {
            '"' => quoted = !quoted,
            '\\' if quoted => escaped = true,
            _ => {}
        }
        letter == ',' && !quoted
    });
    parts
        .map(|part| part.trim_matches([' ', '\t']))
        .filter(|part| !part.is_empty())
}

fn member(text: &str) -> Member<'_> {
    let end = text.find(|letter: char| !is_token(letter));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let value = match rest.strip_prefix('=') {
        _ if name.is_empty() => Value::Unreadable,
        None if rest.is_empty() => Value::None,
        None => Value::Unreadable,
        Some(value) => read(value),
    };
    Member { name, value }
}

fn read(text: &str) -> Value<'_> {
    if !text.is_empty() && text.chars().all(is_token) {
        return Value::Is(Cow::Borrowed(text));
    }
    let Some(inner) = text.strip_prefix('"') else {
        return Value::Unreadable;
    };
    let mut plain = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if letters.as_str().is_empty() => return Value::Is(Cow::Owned(plain)),
            '"' => return Value::Unreadable,
            '\\' => match letters.next() {
                Some(escaped) => plain.push(escaped),
                None => return Value::Unreadable,
            },
            letter => plain.push(letter),
        }
    }
    Value::Unreadable
}

/// RFC 9110 §5.6.2.
pub(crate) const fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || matches!(
            letter,
            '!' | '#'
                | '$'
                | '%'
                | '&'
                | '\''
                | '*'
                | '+'
                | '-'
                | '.'
                | '^'
                | '_'
                | '`'
                | '|'
                | '~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &'static str) -> Vec<(&'static str, Option<String>)> {
        let line = Box::leak(Box::new(HeaderValue::from_static(text)));
        of([&*line])
            .map(|member| match member.value {
                Value::None => (member.name, None),
                Value::Is(value) => (member.name, Some(value.into_owned())),
                Value::Unreadable => (member.name, Some("?".to_owned())),
            })
            .collect()
    }

    #[test]
    fn a_comma_in_quotes_ends_no_member() {
        assert_eq!(
            read_all(r#", a , b="x, \"y\", z",, c=d"#),
            [
                ("a", None),
                ("b", Some("x, \"y\", z".to_owned())),
                ("c", Some("d".to_owned()))
            ]
        );
    }

    #[test]
    fn what_the_grammar_does_not_allow_is_unreadable() {
        for text in [
            "a =1", "a= 1", "a=", "a=\"1", "a=\"1\"2", "a=1;b", "a b", "=1",
        ] {
            let read = read_all(text);
            assert_eq!(read[0].1.as_deref(), Some("?"), "{text}");
        }
    }
}
