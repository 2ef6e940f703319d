//! HLS playlists (RFC 8216 and its second edition): on demand, the same for every viewer, relative URLs only.

mod master;
mod media;
mod names;
mod write;

use contracts::{
    address::{Flavour, Protection as Method},
    id::RenditionId,
};

use crate::{
    Error,
    presentation::{Presentation, Rendition, THUMBS},
    protect::{Protection, sample_aes, signalling::hls::KeyTag},
    thumbs,
};

pub use master::master;

/// Writes the media playlist of a picture, a sound, subtitles, or of the thumbnails; none when the film has no such
/// rendition, or the flavour cannot carry it or be encrypted so. The thumbnails' is of no flavour and counts as CMAF.
///
/// # Errors
/// [`Error::Keys`] when the film's systems bring no key to players of this playlist.
pub fn playlist(
    film: &Presentation,
    id: &RenditionId,
    flavour: Flavour,
    protection: Option<&Protection>,
) -> Result<Option<String>, Error> {
    if let Some(rendition) = film.find(id) {
        return media::playlist(film, rendition, flavour, protection);
    }
    if film.text(id).is_some() {
        return Ok(Some(media::subtitles(film, flavour)));
    }
    let thumbs = film
        .thumbs()
        .filter(|_| id.as_str() == THUMBS && flavour == Flavour::Cmaf);
    Ok(thumbs.map(|thumbs| thumbs::playlist(thumbs, film.duration())))
}

/// Writes the playlist of a picture's I-frames; none when the film has no such rendition, it is sound, or the
/// flavour cannot carry it or be encrypted so.
///
/// # Errors
/// As [`playlist`].
pub fn iframes(
    film: &Presentation,
    id: &RenditionId,
    flavour: Flavour,
    protection: Option<&Protection>,
) -> Result<Option<String>, Error> {
    match film.find(id) {
        Some(rendition) => media::iframes(rendition, flavour, protection),
        None => Ok(None),
    }
}

/// Whether segments of a flavour can carry a rendition and be encrypted so: `cenc` and `cbcs` are schemes of CMAF, and
/// not every codec is encrypted by samples in transport streams.
fn is_offered(rendition: &Rendition, flavour: Flavour, protection: Option<&Protection>) -> bool {
    let has_method = match (flavour, protection.map(Protection::method)) {
        (_, None | Some(Method::Aes128)) | (Flavour::Cmaf, Some(_)) => true,
        (Flavour::Ts, Some(Method::Cenc | Method::Cbcs)) => false,
        (Flavour::Ts, Some(Method::SampleAes)) => {
            sample_aes::covers(&rendition.index().track().media).is_ok()
        }
    };
    has_method && rendition.is_in(flavour)
}

/// The key tags of a rendition; none in clear films.
fn key_tags(rendition: &Rendition, protection: Option<&Protection>) -> Result<Vec<KeyTag>, Error> {
    let Some(protection) = protection else {
        return Ok(Vec::new());
    };
    let key = protection.key(rendition);
    protection.hls_keys(key.ok_or(Error::Keys("none is for such a track"))?)
}

/// Whether a language is a tag of RFC 5646's alphabet; anything else is left out rather than quoted.
pub(crate) fn is_tag(language: &str) -> bool {
    (2..=35).contains(&language.len())
        && language
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
