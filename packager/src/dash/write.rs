//! The syntax of manifests: descriptors, exact durations, and the timeline of segments.

use std::{
    fmt::{Display, Write},
    time::Duration,
};

use crate::presentation::Rendition;

/// An `xs:duration` to the nanosecond, without zeros that say nothing.
pub(super) fn exact(length: Duration) -> String {
    let (whole, nanos) = (length.as_secs(), length.subsec_nanos());
    if nanos == 0 {
        return format!("PT{whole}S");
    }
    let fraction = format!("{nanos:09}");
    format!("PT{whole}.{}S", fraction.trim_end_matches('0'))
}

/// An `xs:duration` to the millisecond, rounded up: a bound must not be below what it bounds.
pub(super) fn bound(length: Duration) -> String {
    let millis = length.as_nanos().div_ceil(1_000_000);
    exact(Duration::from_millis(
        u64::try_from(millis).unwrap_or(u64::MAX),
    ))
}

/// A descriptor (ISO/IEC 23009-1 §5.8.2): an element that is told by a scheme and a value.
pub(super) fn descriptor(out: &mut String, name: &str, scheme: &str, value: impl Display) {
    let _ = writeln!(out, "<{name} schemeIdUri=\"{scheme}\" value=\"{value}\"/>");
}

/// The segments of a rendition, which lie in a folder, in its own ticks, runs of equal lengths folded.
pub(super) fn template(rendition: &Rendition, folder: &str) -> String {
    let timescale = rendition.index().track().timescale;
    let mut out = format!(
        "<SegmentTemplate timescale=\"{timescale}\" startNumber=\"1\" \
         initialization=\"{folder}$RepresentationID$/init.mp4\" media=\"{folder}$RepresentationID$/segment_$Number$.m4s\">\n\
         <SegmentTimeline>\n"
    );
    let segments: Vec<_> = rendition.segments().collect();
    for run in segments.chunk_by(|a, b| a.duration == b.duration) {
        let Some(first) = run.first() else { continue };
        out.push_str("<S");
        if first.number == 1 {
            let _ = write!(out, " t=\"{}\"", first.start);
        }
        let _ = write!(out, " d=\"{}\"", first.duration);
        if run.len() > 1 {
            let _ = write!(out, " r=\"{}\"", run.len() - 1);
        }
        out.push_str("/>\n");
    }
    out.push_str("</SegmentTimeline>\n</SegmentTemplate>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_bounds_are_not_below() {
        assert_eq!(exact(Duration::from_secs(4)), "PT4S");
        assert_eq!(exact(Duration::from_millis(9320)), "PT9.32S");
        assert_eq!(exact(Duration::new(4, 4_004_004)), "PT4.004004004S");
        assert_eq!(bound(Duration::new(4, 4_004_004)), "PT4.005S");
        assert_eq!(bound(Duration::from_secs(4)), "PT4S");
    }
}
