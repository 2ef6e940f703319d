//! Any bytes as subtitles: what parses is written, reads back as itself, and is all in its segments.

use std::time::Duration;

use contracts::address::Flavour;
use packager::text::{self, webvtt};

/// Parses `data` as it is, WebVTT by its signature, else SubRip; and as the rest of a WebVTT file.
pub fn check(data: &[u8]) {
    let signed = [b"WEBVTT\n\n", data].concat();
    for file in [data, &signed] {
        let Ok(document) = text::parse(file) else {
            continue;
        };
        let again =
            webvtt::parse(webvtt::write(&document).as_bytes()).expect("what is written is WebVTT");
        assert_eq!(again.cues(), document.cues());
        assert_eq!(again.head(), document.head());
        let moments = [0, 1, 999, 60_000, 3_600_000].map(Duration::from_millis);
        let boundaries = [moments.as_slice(), &[Duration::MAX]].concat();
        for pair in boundaries.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            let written = text::segment(&document, start, end, Flavour::Ts);
            let segment = webvtt::parse(written.as_bytes()).expect("a segment is WebVTT");
            let cues = document.cues().iter();
            let wanted = cues.filter(|cue| cue.start < end && start < cue.end);
            assert!(segment.cues().iter().eq(wanted));
        }
    }
}
