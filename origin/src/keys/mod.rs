//! The port: where the content keys of protected films come from.

mod cached;
#[cfg(test)]
mod conformance;
mod file;
mod http;
mod open;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::{id::VideoId, keys::ContentKeys, reason::Reason};

use crate::fault::Fault;

pub(crate) use cached::{Cached, Since};
pub use open::Source;
pub(crate) use open::open;

/// Knows content keys.
///
/// Promises of every adapter:
/// - The answer is about the film that was asked for, and has at least one key.
/// - A film without keys is `None`, not an error.
/// - No key reaches a log or an error, and none is written anywhere.
/// - Memory and time of an answer are bounded, whatever stands on the other side.
#[async_trait]
pub(crate) trait Keys: Send + Sync {
    /// The keys of a film.
    ///
    /// # Errors
    /// [`Reason::Unreachable`] when nobody could be asked or the answer is nonsense, [`Reason::TooSlow`] when there
    /// was none in time.
    async fn of(&self, video: &VideoId) -> Result<Known, Fault>;
}

/// What is known of a film's keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Its keys, if it has any.
    pub(crate) keys: Option<Arc<ContentKeys>>,
    /// The number of the newest order of the feed that had been given before the keys were looked at, where whoever
    /// knows the keys knows the feed.
    pub(crate) seq: Option<u64>,
}

/// The longest document that is read, in bytes: thousands of keys.
const MAX_DOCUMENT: usize = 64 << 10;

/// Reads a document. What is wrong with it is told by place, never by content: the text is a secret.
fn read(document: &[u8], video: &VideoId) -> Result<Arc<ContentKeys>, Fault> {
    let nonsense = |what: &str| Fault::new(Reason::Unreachable, format!("the key document {what}"));
    if document.len() > MAX_DOCUMENT {
        return Err(nonsense("is larger than 64 KiB"));
    }
    let keys: ContentKeys = serde_json::from_slice(document).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        nonsense(&format!(
            "is not what it should be at line {line}, column {column}"
        ))
    })?;
    if keys.video != *video {
        return Err(nonsense("is of another film"));
    }
    if keys.periods.iter().all(|period| period.keys.is_empty()) {
        return Err(nonsense("has no key"));
    }
    Ok(Arc::new(keys))
}
