//! Subtitles of films: the port that remembers which there are, and the one way in which what is
//! published of a film changes.

use async_trait::async_trait;
use catalog::videos::{Event, Video};
use contracts::asset::Asset;
use contracts::id::{Generation, RenditionId, VideoId};
use store::Digest;

use crate::Error;

pub mod conformance;
mod publishing;
pub(crate) mod sql;

pub(crate) use publishing::{Publishing, Stored};

/// The language of a text: a BCP 47 tag in lower case that fits into a rendition's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(RenditionId);

impl Language {
    /// Reads a tag in any case; `None` when it is not formed like one (RFC 5646 §2.1) or is longer
    /// than 11 characters. Whether a subtag is registered is not looked up.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let tag = tag.to_ascii_lowercase();
        let (first, rest) = tag.split_once('-').unwrap_or((&tag, ""));
        let letters = first.bytes().all(|byte| byte.is_ascii_lowercase());
        if !letters || !(2..=8).contains(&first.len()) {
            return None;
        }
        let subtags: Vec<&str> = if tag.len() == first.len() {
            Vec::new()
        } else {
            rest.split('-').collect()
        };
        let formed = subtags.iter().all(|subtag| {
            (1..=8).contains(&subtag.len())
                && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        // A single character introduces what follows it.
        let open = subtags.last().is_some_and(|last| last.len() == 1);
        if !formed || open {
            return None;
        }
        RenditionId::parse(&format!("{PREFIX}{tag}")).ok().map(Self)
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        let id = self.0.as_str();
        id.strip_prefix(PREFIX).unwrap_or(id)
    }

    /// The rendition that a text of this language is.
    #[must_use]
    pub const fn rendition(&self) -> &RenditionId {
        &self.0
    }
}

/// A text of a film as it is remembered; its file lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its language, of which a film has one text.
    pub language: Language,
    /// What viewers choose it by, where the language does not say enough.
    pub label: Option<String>,
    /// The SHA-256 of its file; `None` for a text that was put before this was remembered.
    pub sha256: Option<Digest>,
}

/// The memory of texts, outside any process.
#[async_trait]
pub trait Texts: Send + Sync {
    /// Lists a film's texts by language.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn list(&self, video: &VideoId) -> Result<Vec<Text>, Error>;

    /// Waits for the right to change what is published of a film, which one has at a time, of all
    /// processes. It ends with the [`Change`], or with its holder's process. Others may wait for it
    /// who change other films: whoever has it does not read what may be read before.
    ///
    /// # Errors
    /// [`Error::Catalog`], [`Error::Database`], also when others hold it for too long.
    async fn change(&self, video: &VideoId) -> Result<Box<dyn Change>, Error>;
}

/// A change under way; dropped without [`commit`](Change::commit), nothing of it is remembered.
#[async_trait]
pub trait Change: Send {
    /// The film as the catalogue has it now.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    async fn film(&mut self) -> Result<Option<Video>, Error>;

    /// Lists the film's texts by language, as this change would leave them.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn list(&mut self) -> Result<Vec<Text>, Error>;

    /// Remembers a text in place of what the film has in its language. `false` when it had none.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn put(&mut self, text: &Text) -> Result<bool, Error>;

    /// Forgets the text of a language. `false` when there is none.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn remove(&mut self, language: &Language) -> Result<bool, Error>;

    /// Moves the film on; `false` when what happens to it does not fit its state.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    async fn advance(&mut self, event: Event) -> Result<bool, Error>;

    /// Remembers that what replaces this generation is published with this change.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn replace(&mut self, generation: Generation) -> Result<(), Error>;

    /// Tells the catalogue what the film consists of from now on.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    async fn publish(&mut self, asset: &Asset) -> Result<(), Error>;

    /// Forgets the keys that were drawn for the film; having none is no error.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    async fn forget_keys(&mut self) -> Result<(), Error>;

    /// Makes the change lasting.
    ///
    /// # Errors
    /// [`Error::Database`].
    async fn commit(self: Box<Self>) -> Result<(), Error>;
}

const PREFIX: &str = "text-";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_read_in_any_case_and_refused_when_it_is_none() {
        for (text, tag) in [
            ("en", "en"),
            ("EN-us", "en-us"),
            ("zh-Hant-TW", "zh-hant-tw"),
            ("de-1996", "de-1996"),
            ("en-x-pirate", "en-x-pirate"),
            ("haw", "haw"),
        ] {
            let language = Language::parse(text).unwrap();
            assert_eq!(language.tag(), tag);
            assert_eq!(language.rendition().as_str(), format!("text-{tag}"));
        }
        for fault in [
            "",
            "e",
            "x-y",
            "1a",
            "en-",
            "-en",
            "en--us",
            "en_us",
            "en us",
            "en-x",
            "en/us",
            "ën",
            "zh-hant-tw-x",
            "en-123456789",
            "a-b",
        ] {
            assert_eq!(Language::parse(fault), None, "{fault}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_its_own_canonical_form(text in "[a-zA-Z0-9_-]{0,14}") {
            if let Some(language) = Language::parse(&text) {
                prop_assert!(language.tag().len() <= 11);
                prop_assert_eq!(language.tag(), text.to_ascii_lowercase());
                prop_assert_eq!(Language::parse(language.tag()), Some(language));
            }
        }
    }
}
