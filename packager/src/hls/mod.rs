//! HLS playlists (RFC 8216 and its second edition): on demand, the same for every viewer, relative URLs only.

mod master;
mod media;
mod names;
mod write;

use contracts::{address::Flavour, id::RenditionId};

use crate::{
    presentation::{Presentation, THUMBS},
    thumbs,
};

pub use master::master;

/// Writes the media playlist of a picture, a sound, subtitles, or of the thumbnails; none when the film has no such
/// rendition, or the flavour cannot carry it. The thumbnails' is of no flavour and counts as CMAF.
#[must_use]
pub fn playlist(film: &Presentation, id: &RenditionId, flavour: Flavour) -> Option<String> {
    if let Some(rendition) = film.find(id) {
        return media::playlist(film, rendition, flavour);
    }
    if film.text(id).is_some() {
        return Some(media::subtitles(film, flavour));
    }
    let thumbs = film
        .thumbs()
        .filter(|_| id.as_str() == THUMBS && flavour == Flavour::Cmaf)?;
    Some(thumbs::playlist(thumbs, film.duration()))
}

/// Writes the playlist of a picture's I-frames; none when the film has no such rendition, it is sound, or the
/// flavour cannot carry it.
#[must_use]
pub fn iframes(film: &Presentation, id: &RenditionId, flavour: Flavour) -> Option<String> {
    media::iframes(film.find(id)?, flavour)
}

/// Whether a language is a tag of RFC 5646's alphabet; anything else is left out rather than quoted.
pub(crate) fn is_tag(language: &str) -> bool {
    (2..=35).contains(&language.len())
        && language
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
