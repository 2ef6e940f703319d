//! Strong entity tags (RFC 9110 §8.8.3): what determines every byte of a body, in one hash.

use std::time::Duration;

use contracts::address::Item;
use sha2::{Digest, Sha256};

use crate::{asked::Asked, library::Film, lock::Lock};

/// The tag of what is made of a film. Who may watch is part of it, so that a tier which asks whether its copy is
/// current learns of a change of privacy by a whole answer.
pub(crate) fn of_film(film: &Film, asked: &Asked, lock: Option<&Lock>, access: &str) -> String {
    let media = matches!(
        asked.address.item,
        Item::Init(_) | Item::Segment(..) | Item::Iframe(..) | Item::Key(_)
    );
    let digest = if media {
        &film.media_digest
    } else {
        &film.digest
    };
    let mut hash = Sha256::new_with_prefix(digest);
    let length: Duration = film.length(asked.address.view.segment_s);
    hash.update(length.as_millis().to_be_bytes());
    // Of fixed length, so that no two sets of facts are written alike.
    hash.update(lock.map_or([0; 32], |lock| lock.digest));
    hash.update(access);
    hash.update(asked.address.path());
    for rendition in &asked.only {
        hash.update(format!(",{rendition}"));
    }
    quoted(hash)
}

/// The tag of bytes that lie in the store as they are served.
pub(crate) fn of_bytes(bytes: &[u8], generation: u32, asked: &Asked, access: &str) -> String {
    let mut hash = Sha256::new_with_prefix(generation.to_be_bytes());
    hash.update(Sha256::digest(bytes));
    hash.update(access);
    hash.update(asked.address.path());
    quoted(hash)
}

fn quoted(hash: Sha256) -> String {
    let hash = hash.finalize();
    format!("\"{}\"", hex::encode(hash.get(..16).unwrap_or_default()))
}
