//! The DASH manifest (ISO/IEC 23009-1): static, one period, one timeline, relative URLs only.

mod sets;
mod write;

use crate::{
    dash::write::{bound, exact},
    presentation::{Presentation, ticks_to_duration},
};

/// Writes the manifest of a film. Its segments are those of the CMAF playlists.
#[must_use]
pub fn manifest(film: &Presentation) -> Option<String> {
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
    let mut sets = sets::Sets::new(film);
    sets.videos(&mut out);
    sets.audios(&mut out);
    sets.texts(&mut out);
    sets.thumbnails(&mut out);
    out.push_str("</Period>\n</MPD>\n");
    Some(out)
}
