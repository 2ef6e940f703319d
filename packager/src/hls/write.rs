//! The syntax of playlists: tags with attribute lists, and lengths.

use std::fmt::{Display, Write};

use crate::{escape::Quoted, lengths::SECOND};

/// A tag with an attribute list (RFC 8216 §4.2), finished by [`Tag::end`].
pub(super) struct Tag<'a> {
    out: &'a mut String,
    separator: char,
}

impl<'a> Tag<'a> {
    pub(super) fn new(out: &'a mut String, name: &str) -> Self {
        let _ = write!(out, "#{name}");
        Self {
            out,
            separator: ':',
        }
    }

    /// A number, a resolution or an enumerated string.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _ = write!(self.out, "{}{name}={value}", self.separator);
        self.separator = ',';
        self
    }

    /// A quoted string.
    pub(super) fn quoted(&mut self, name: &str, value: &str) -> &mut Self {
        self.plain(name, Quoted(value))
    }

    pub(super) fn end(&mut self) {
        self.out.push('\n');
    }

    /// Ends the tag; the next line is the address that it is about.
    pub(super) fn end_with(&mut self, url: &str) {
        let _ = writeln!(self.out, "\n{url}");
    }
}

/// The head that all playlists on demand share.
pub(super) fn head(out: &mut String, version: u32, target: u64) {
    let _ = write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:1\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n"
    );
}

/// The segments, `{prefix}{n}{suffix}` each, and the end. A long film has thousands, so digits are pushed, not formatted.
pub(super) fn segments(out: &mut String, lengths: &[u64], prefix: &str, suffix: &str) {
    out.reserve(lengths.len() * (prefix.len() + suffix.len() + 30));
    for (number, micros) in (1u64..).zip(lengths) {
        out.push_str("#EXTINF:");
        digits(out, micros / SECOND, 1);
        out.push('.');
        digits(out, micros % SECOND, 6);
        out.push_str(",\n");
        out.push_str(prefix);
        digits(out, number, 1);
        out.push_str(suffix);
        out.push('\n');
    }
    out.push_str("#EXT-X-ENDLIST\n");
}

/// A decimal number of at least `least` digits.
fn digits(out: &mut String, mut number: u64, least: usize) {
    let mut buffer = [b'0'; 20];
    let mut from = buffer.len();
    for (at, digit) in buffer.iter_mut().enumerate().rev() {
        if number == 0 && from + least <= 20 {
            break;
        }
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        from = at;
    }
    let digits = buffer.get(from..).unwrap_or_default();
    out.extend(digits.iter().map(|&digit| char::from(digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for (number, least, text) in [
            (0, 1, "0"),
            (7, 1, "7"),
            (40, 6, "000040"),
            (999_999, 6, "999999"),
            (1_234_567, 6, "1234567"),
            (u64::MAX, 1, "18446744073709551615"),
        ] {
            let mut out = String::new();
            digits(&mut out, number, least);
            assert_eq!(out, text);
        }
    }
}
