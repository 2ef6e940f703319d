//! The name of an object inside the store, parsed so that it cannot lead outside.

use std::fmt;

/// A path of plain segments joined by `/`, relative to the store's root.
///
/// A segment is 1 to 200 of `A–Z a–z 0–9 . _ -` and does not start with a dot, so that neither
/// `..` nor a store's own hidden files can be named. A key has at most 512 bytes.
///
/// ```
/// # use store::Key;
/// assert!(Key::parse("encoded/abc/asset.json").is_ok());
/// assert!(Key::parse("encoded/../asset.json").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    /// [`KeyError`] names the first rule that is broken.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > MAX_KEY {
            return Err(KeyError::TooLong);
        }
        text.split('/').try_for_each(check_segment)?;
        Ok(Self(text.to_owned()))
    }

    /// Returns the key as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For keys built of parsed ids and fixed words, which are within the grammar by construction.
    pub(crate) fn trusted(text: String) -> Self {
        debug_assert!(Self::parse(&text).is_ok(), "{text} is no key");
        Self(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

/// Why a text is no [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is nothing, or nothing between two slashes, or a slash at an end.
    #[error("a key has no empty segment")]
    Empty,
    /// A segment starts with a dot.
    #[error("a segment of a key does not start with a dot")]
    Hidden,
    /// A byte is outside the grammar.
    #[error("a key is made of A-Z a-z 0-9 . _ - and /")]
    Character,
    /// The key or one of its segments is too long.
    #[error("a key has at most 512 bytes, a segment at most 200")]
    TooLong,
}

fn check_segment(segment: &str) -> Result<(), KeyError> {
    if segment.is_empty() {
        return Err(KeyError::Empty);
    }
    if segment.starts_with('.') {
        return Err(KeyError::Hidden);
    }
    if segment.len() > MAX_SEGMENT {
        return Err(KeyError::TooLong);
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !segment.bytes().all(plain) {
        return Err(KeyError::Character);
    }
    Ok(())
}

const MAX_KEY: usize = 512;
const MAX_SEGMENT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_keys() {
        for text in ["a", "a/b.c", "uploads/u_1/chunk_0", "encoded/v/1/720p.mp4"] {
            assert_eq!(Key::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn nothing_that_could_leave_the_store_is_a_key() {
        let long = "a".repeat(201);
        let deep = vec!["abcdefgh"; 60].join("/");
        for (text, why) in [
            ("", KeyError::Empty),
            ("/etc/passwd", KeyError::Empty),
            ("a//b", KeyError::Empty),
            ("a/", KeyError::Empty),
            ("a/../b", KeyError::Hidden),
            ("..", KeyError::Hidden),
            (".tmp/x", KeyError::Hidden),
            ("a/./b", KeyError::Hidden),
            ("a\\b", KeyError::Character),
            ("a b", KeyError::Character),
            ("a\0", KeyError::Character),
            ("ä", KeyError::Character),
            ("a%2e", KeyError::Character),
            (long.as_str(), KeyError::TooLong),
            (deep.as_str(), KeyError::TooLong),
        ] {
            assert_eq!(Key::parse(text), Err(why), "{text:?}");
        }
    }
}
