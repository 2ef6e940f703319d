//! A text file as lines, whatever ends them.

use std::borrow::Cow;

/// Makes every line end in one LF and drops a byte order mark, as W3C WebVTT §6.1 begins. NUL, which may not stand
/// in a file, becomes the character that says so.
pub(super) fn normalise(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.contains(['\r', '\0']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    Cow::Owned(text.replace('\0', "\u{fffd}"))
}

/// Reads line by line and may look at the next one before taking it.
pub(super) struct Lines<'a> {
    /// Nothing when the last line was taken.
    rest: Option<&'a str>,
}

impl<'a> Lines<'a> {
    /// `text` is normalised.
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        let rest = self.rest?;
        Some(rest.split_once('\n').map_or(rest, |(line, _)| line))
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let (line, rest) = match rest.split_once('\n') {
            Some((line, rest)) => (line, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(line)
    }

    /// Takes the next line if it is wanted.
    pub(super) fn next_if(&mut self, wanted: impl FnOnce(&str) -> bool) -> Option<&'a str> {
        self.peek().filter(|line| wanted(line))?;
        self.next()
    }

    /// Takes lines as long as they are wanted, and returns them as they stand, without the last one's LF.
    pub(super) fn take_while(&mut self, wanted: impl Fn(&str) -> bool) -> &'a str {
        let from = self.rest.unwrap_or_default();
        let mut taken = 0;
        while let Some(line) = self.next_if(&wanted) {
            taken += line.len() + 1;
        }
        from.get(..taken.saturating_sub(1)).unwrap_or_default()
    }
}
