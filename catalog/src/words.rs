//! Texts as every engine takes them.

/// A text of somebody else's, its zero characters replaced: `PostgreSQL` takes none.
#[must_use]
pub fn words(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
