//! Text where a syntax has letters of its own: XML, and the quoted strings of HLS playlists.

use std::fmt::{self, Display, Write};

/// Text as XML wants it, in attributes and elsewhere; characters that XML 1.0 §2.2 forbids are left out.
pub(crate) struct Xml<'a>(pub(crate) &'a str);

impl Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\u{fffe}' | '\u{ffff}' => {}
                letter if letter.is_control() => {}
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// A quoted string of a playlist, quotes included (RFC 8216 §4.2): it knows no escapes, so that what must not be in one
/// is replaced.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for letter in self.0.chars().filter(|letter| !letter.is_control()) {
            f.write_char(if letter == '"' { '\'' } else { letter })?;
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_attribute_or_element() {
        let text = Xml("\"Q&A\" <live>\u{1}\u{fffe}\u{ffff}\u{fffd}\n").to_string();
        assert_eq!(text, "&quot;Q&amp;A&quot; &lt;live&gt;\u{fffd}");
    }

    #[test]
    fn a_quoted_string_cannot_be_left() {
        let text = Quoted("the \"late\" show\r\n#EXTINF:1").to_string();
        assert_eq!(text, "\"the 'late' show#EXTINF:1\"");
    }
}
