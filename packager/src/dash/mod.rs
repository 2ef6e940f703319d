//! The DASH manifest (ISO/IEC 23009-1): static, one period, one timeline, relative URLs only.

mod sets;
mod write;

use crate::{
    Error,
    dash::write::{bound, exact},
    presentation::{Presentation, ticks_to_duration},
    protect::Protection,
    thumbs,
};

/// Writes the manifest of a film; none where whole segments or transport streams are encrypted, which it cannot
/// tell. Its segments are those of the CMAF playlists.
///
/// # Errors
/// [`Error::Keys`] when a rendition has no key.
pub fn manifest(
    film: &Presentation,
    protection: Option<&Protection>,
) -> Result<Option<String>, Error> {
    if protection.is_some_and(|protection| protection.scheme().is_none()) {
        return Ok(None);
    }
    let media = film
        .renditions()
        .iter()
        .flat_map(|rendition| {
            let timescale = rendition.index().track().timescale;
            rendition
                .segments()
                .map(move |segment| ticks_to_duration(segment.duration, timescale))
        })
        .max()
        .unwrap_or_default();
    // A text is one segment, and a sheet shows something for as long as it has tiles (§5.3.1.2: of any representation).
    let whole = film.texts().next().map(|_| film.duration());
    let sheet = film
        .thumbs()
        .map(|sheets| thumbs::facts(sheets, film.duration()));
    let sheet = sheet.map(|facts| facts.sheet_duration);
    let longest = media
        .max(whole.unwrap_or_default())
        .max(sheet.unwrap_or_default());
    // Rates are measured over runs of up to one and a half of the longest segment of media, which must be bridged.
    let (duration, longest, least) = (exact(film.duration()), bound(longest), bound(media));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" type=\"static\" \
         mediaPresentationDuration=\"{duration}\" maxSegmentDuration=\"{longest}\" minBufferTime=\"{least}\">\n\
         <Period id=\"0\" start=\"PT0S\">\n"
    );
    let mut sets = sets::Sets::new(film, protection);
    sets.videos(&mut out)?;
    sets.audios(&mut out)?;
    sets.texts(&mut out);
    sets.thumbnails(&mut out);
    out.push_str("</Period>\n</MPD>\n");
    Ok(Some(out))
}
