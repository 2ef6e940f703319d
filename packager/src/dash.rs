//! The DASH manifest (ISO/IEC 23009-1): static, one period, one timeline, relative URLs only.

use std::{collections::BTreeSet, fmt::Write};

use contracts::address::Flavour;

use crate::{
    hls::is_tag,
    index::{Media, Video, greatest_common_divisor},
    presentation::{Presentation, Rendition, ticks_to_duration},
    rates::Rates,
};

/// Writes the manifest of a film. Its segments are those of the CMAF playlists.
#[must_use]
pub fn manifest(film: &Presentation) -> String {
    let duration = seconds(film.duration());
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
    let longest = seconds(longest);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" type=\"static\" \
         mediaPresentationDuration=\"PT{duration}S\" maxSegmentDuration=\"PT{longest}S\" minBufferTime=\"PT{longest}S\">\n\
         <Period id=\"0\" start=\"PT0S\">\n"
    );
    let videos: Vec<&Rendition> = film.videos().collect();
    if !videos.is_empty() {
        video_set(&mut out, &videos);
    }
    for (at, audio) in film.audios().enumerate() {
        audio_set(&mut out, audio, at);
    }
    out.push_str("</Period>\n</MPD>\n");
    out
}

/// All pictures are one choice: their segments align, so a player may switch at any boundary.
fn video_set(out: &mut String, videos: &[&Rendition]) {
    let largest = |side: fn(&Video) -> u16| {
        videos
            .iter()
            .filter_map(|video| video.video())
            .map(side)
            .max()
            .unwrap_or(0)
    };
    let (width, height) = (largest(|video| video.width), largest(|video| video.height));
    let _ = writeln!(
        out,
        "<AdaptationSet id=\"1\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" \
         startWithSAP=\"1\" maxWidth=\"{width}\" maxHeight=\"{height}\">"
    );
    inband_events(out, videos);
    let shared = shared_template(videos);
    if let Some(template) = &shared {
        out.push_str(template);
    }
    for rendition in videos {
        let Some(video) = rendition.video() else {
            continue;
        };
        representation(out, rendition);
        let _ = write!(
            out,
            " width=\"{}\" height=\"{}\"",
            video.width, video.height
        );
        if let Some((frames, seconds)) = rendition.index().frame_rate() {
            let _ = write!(out, " frameRate=\"{}\"", ratio(frames, seconds, '/'));
        }
        let (horizontal, vertical) = video.pixel_aspect.unwrap_or((1, 1));
        let divisor = greatest_common_divisor(horizontal, vertical);
        let _ = write!(
            out,
            " sar=\"{}:{}\"",
            horizontal / divisor,
            vertical / divisor
        );
        match &shared {
            Some(_) => out.push_str("/>\n"),
            None => {
                let _ = write!(out, ">\n{}</Representation>\n", template(rendition));
            }
        }
    }
    out.push_str("</AdaptationSet>\n");
}

fn audio_set(out: &mut String, audio: &Rendition, at: usize) {
    let id = at + 2;
    let _ = write!(
        out,
        "<AdaptationSet id=\"{id}\" contentType=\"audio\" mimeType=\"audio/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\""
    );
    if let Some(language) = audio.language().filter(|language| is_tag(language)) {
        let _ = write!(out, " lang=\"{language}\"");
    }
    out.push_str(">\n");
    inband_events(out, &[audio]);
    let role = if at == 0 { "main" } else { "alternate" };
    let _ = writeln!(
        out,
        "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"{role}\"/>"
    );
    out.push_str(&template(audio));
    representation(out, audio);
    let media = &audio.index().track().media;
    if let Media::Audio(config) = media {
        let _ = write!(out, " audioSamplingRate=\"{}\"", config.sample_rate());
    }
    out.push_str(">\n");
    if let Media::Audio(config) = media
        && let Some(layout) = config.channel_configuration()
    {
        let _ = writeln!(
            out,
            "<AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"{layout}\"/>"
        );
    }
    out.push_str("</Representation>\n</AdaptationSet>\n");
}

/// Tells which events come in segments of these renditions (§5.10.3.2), each kind once.
fn inband_events(out: &mut String, renditions: &[&Rendition]) {
    let events = renditions
        .iter()
        .flat_map(|rendition| rendition.index().events());
    let kinds: BTreeSet<_> = events
        .map(|event| (event.scheme.as_str(), event.value.as_str()))
        .collect();
    for (scheme, value) in kinds {
        let (scheme, value) = (escaped(scheme), escaped(value));
        let _ = writeln!(
            out,
            "<InbandEventStream schemeIdUri=\"{scheme}\" value=\"{value}\"/>"
        );
    }
}

/// Text as XML wants it in attributes; characters that XML 1.0 §2.2 forbids are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Opens a representation with what all have; its ids are of an alphabet that XML leaves alone.
fn representation(out: &mut String, rendition: &Rendition) {
    let bandwidth = Rates::of(rendition, Flavour::Cmaf).peak;
    let codec = rendition.index().track().codec();
    let id = rendition.id();
    let _ = write!(
        out,
        "<Representation id=\"{id}\" bandwidth=\"{bandwidth}\" codecs=\"{codec}\""
    );
}

/// The template that all renditions share, if their timelines are the same to the tick.
fn shared_template(videos: &[&Rendition]) -> Option<String> {
    let mut templates = videos.iter().map(|video| template(video));
    let first = templates.next()?;
    templates.all(|other| other == first).then_some(first)
}

/// The timeline in the rendition's own ticks, runs of equal lengths folded.
fn template(rendition: &Rendition) -> String {
    let timescale = rendition.index().track().timescale;
    let mut out = format!(
        "<SegmentTemplate timescale=\"{timescale}\" startNumber=\"1\" \
         initialization=\"$RepresentationID$/init.mp4\" media=\"$RepresentationID$/segment_$Number$.m4s\">\n\
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

fn ratio(numerator: u32, denominator: u32, separator: char) -> String {
    if denominator == 1 {
        numerator.to_string()
    } else {
        format!("{numerator}{separator}{denominator}")
    }
}

/// Seconds to the millisecond, rounded up: a bound must not be below what it bounds.
fn seconds(length: std::time::Duration) -> String {
    let millis = length.as_nanos().div_ceil(1_000_000);
    format!("{}.{:03}", millis / 1000, millis % 1000)
}
