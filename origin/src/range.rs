//! A single byte range (RFC 9110 §14); anything more is answered with the whole.

use std::ops::Range;

/// What a `Range` field asks of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: there is no field, or one that may be ignored.
    Whole,
    /// These bytes, of which there is at least one.
    Part(Range<usize>),
    /// Nothing that the body has.
    Unsatisfiable,
}

/// Reads a `Range` field against a body of `length` bytes.
pub(crate) fn parse(field: Option<&str>, length: usize) -> Wanted {
    let Some((first, last)) = field
        .and_then(|field| field.strip_prefix("bytes="))
        .and_then(|spec| spec.trim().split_once('-'))
    else {
        return Wanted::Whole;
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return Wanted::Whole,
    };
    if range.start < range.end {
        Wanted::Part(range)
    } else {
        Wanted::Unsatisfiable
    }
}

/// Digits only; what exceeds the machine's numbers lies behind every body's end.
fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_range_are_read() {
        assert_eq!(parse(Some("bytes=0-0"), 10), Wanted::Part(0..1));
        assert_eq!(parse(Some("bytes=4-"), 10), Wanted::Part(4..10));
        assert_eq!(parse(Some("bytes=-3"), 10), Wanted::Part(7..10));
        assert_eq!(
            parse(Some("bytes=5-99999999999999999999999"), 10),
            Wanted::Part(5..10)
        );
        assert_eq!(parse(Some("bytes=-99"), 10), Wanted::Part(0..10));
    }

    #[test]
    fn ranges_outside_the_body_are_unsatisfiable() {
        assert_eq!(parse(Some("bytes=10-"), 10), Wanted::Unsatisfiable);
        assert_eq!(parse(Some("bytes=-0"), 10), Wanted::Unsatisfiable);
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_no_single_range_gets_the_whole() {
        for field in [
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=5-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
        ] {
            assert_eq!(parse(Some(field), 10), Wanted::Whole, "{field}");
        }
        assert_eq!(parse(None, 10), Wanted::Whole);
    }
}
