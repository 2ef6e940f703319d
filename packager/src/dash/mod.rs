//! The DASH manifest (ISO/IEC 23009-1): static, one period, one timeline, relative URLs only.

mod sets;
mod write;

use crate::{
    Error,
    dash::write::{bound, exact},
    presentation::{Presentation, ticks_to_duration},
    protect::Protection,
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
    let longest = film
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
    let (duration, longest) = (exact(film.duration()), bound(longest));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" type=\"static\" \
         mediaPresentationDuration=\"{duration}\" maxSegmentDuration=\"{longest}\" minBufferTime=\"{longest}\">\n\
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
