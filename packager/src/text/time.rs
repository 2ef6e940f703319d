//! Moments as subtitles write them: `00:01:02.500 --> 00:01:04.000`.

use std::{fmt::Write, time::Duration};

/// What stands between the two moments of a cue.
pub(crate) const ARROW: &str = "-->";

/// How a format writes a moment.
pub(crate) struct Notation {
    /// What may stand between seconds and milliseconds.
    pub(crate) points: &'static [char],
    /// Whether numbers must have all their digits: two, of milliseconds three.
    pub(crate) padded: bool,
}

/// Reads a cue's timing line: when it starts, when it ends, and what else the line says.
pub(crate) fn read_line<'a>(
    line: &'a str,
    notation: &Notation,
) -> Option<(Duration, Duration, &'a str)> {
    let (start, rest) = read(skip_space(line), notation)?;
    let rest = skip_space(rest).strip_prefix(ARROW)?;
    let (end, rest) = read(skip_space(rest), notation)?;
    Some((start, end, rest))
}

/// Reads a moment and returns what follows it (W3C WebVTT §6.2, "collect a WebVTT timestamp").
///
/// Hours may be absent, and have as many digits as they like.
fn read<'a>(text: &'a str, notation: &Notation) -> Option<(Duration, &'a str)> {
    let (first, rest) = digits(text);
    let (second, rest) = digits(rest.strip_prefix(':')?);
    let ((hours, minutes, seconds), rest) = match rest.strip_prefix(':') {
        Some(rest) => {
            let (third, rest) = digits(rest);
            ((first, second, third), rest)
        }
        None => (("0", first, second), rest),
    };
    let (millis, rest) = digits(rest.strip_prefix(notation.points)?);
    let is_long = |number: &str, full: usize| {
        number.len() == full || (!notation.padded && (1..full).contains(&number.len()))
    };
    if !(is_long(minutes, 2) && is_long(seconds, 2) && is_long(millis, 3)) {
        return None;
    }
    let below_60 = |number: &str| number.parse().ok().filter(|&number: &u64| number < 60);
    let hours = hours.parse::<u64>().ok()?;
    let minutes = hours.checked_mul(60)?.checked_add(below_60(minutes)?)?;
    let seconds = minutes.checked_mul(60)?.checked_add(below_60(seconds)?)?;
    let millis = seconds
        .checked_mul(1000)?
        .checked_add(millis.parse().ok()?)?;
    Some((Duration::from_millis(millis), rest))
}

/// Writes a moment with all digits, hours included.
fn write(out: &mut String, moment: Duration) {
    let (seconds, millis) = (moment.as_secs(), moment.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}.{millis:03}");
}

/// Writes a cue's timing line, without settings and end of line.
pub(crate) fn write_line(out: &mut String, start: Duration, end: Duration) {
    write(out, start);
    let _ = write!(out, " {ARROW} ");
    write(out, end);
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|char: char| !char.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// What may stand around moments (ASCII whitespace, but for the ends of lines).
pub(crate) const SPACE: [char; 3] = [' ', '\t', '\u{c}'];

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(SPACE)
}
