//! A DASH MPD read into promises, ISO/IEC 23009-1; the MPD library is not the one that writes ours.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ticks are turned into seconds; float to integer casts saturate"
)]

use std::time::Duration;

use dash_mpd_core::{
    AdaptationSet, BaseURL, MPD, Period, Representation, SegmentTemplate, is_audio_adaptation,
    is_subtitle_adaptation,
};
use reqwest::Url;

use super::manifest::{
    Bandwidth, Container, Kind, MAX_RENDITIONS, MAX_SEGMENTS, Rendition, Segment,
};

/// What an MPD promises.
pub(super) struct Promises {
    pub(super) renditions: Vec<Rendition>,
    /// `@mediaPresentationDuration` in seconds.
    pub(super) seconds: Option<f64>,
}

/// Whether a body is meant as an MPD.
pub(super) fn looks_like(body: &[u8]) -> bool {
    let head = body.get(..body.len().min(4096)).unwrap_or_default();
    head.windows(4).any(|window| window == b"<MPD")
}

/// Reads an MPD; `faults` takes predicates about it.
pub(super) fn parse(body: &[u8], url: &Url, faults: &mut Vec<String>) -> Option<Promises> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            faults.push(format!("is not UTF-8: {error}"));
            return None;
        }
    };
    let mpd = match dash_mpd_core::parse(text) {
        Ok(mpd) => mpd,
        Err(error) => {
            faults.push(format!("cannot be parsed as an MPD: {error}"));
            return None;
        }
    };
    check_mpd(&mpd, faults);
    let mut renditions = Vec::new();
    for (number, period) in mpd.periods.iter().enumerate() {
        let before = renditions.len();
        read_period(&mpd, period, url, &mut renditions, faults);
        if number > 0 {
            for rendition in renditions.iter_mut().skip(before) {
                rendition.id = format!("p{}/{}", number + 1, rendition.id);
            }
        }
    }
    if renditions.is_empty() {
        faults.push("names no representation".to_owned());
    }
    if renditions.len() > MAX_RENDITIONS {
        faults.push(format!("names more than {MAX_RENDITIONS} representations"));
        renditions.truncate(MAX_RENDITIONS);
    }
    Some(Promises {
        renditions,
        seconds: mpd
            .mediaPresentationDuration
            .map(|whole| whole.as_secs_f64()),
    })
}

fn check_mpd(mpd: &MPD, faults: &mut Vec<String>) {
    if mpd.mpdtype.as_deref().unwrap_or("static") != "static" {
        faults.push("is not of type static, so players take it for a live stream".to_owned());
    }
    if mpd.mediaPresentationDuration.is_none() && mpd.periods.iter().any(|p| p.duration.is_none()) {
        faults.push("gives no mediaPresentationDuration".to_owned());
    }
    if mpd.minBufferTime.is_none() {
        faults.push("gives no minBufferTime".to_owned());
    }
    if mpd.profiles.is_none() {
        faults.push("gives no profiles".to_owned());
    }
}

fn read_period(
    mpd: &MPD,
    period: &Period,
    url: &Url,
    renditions: &mut Vec<Rendition>,
    faults: &mut Vec<String>,
) {
    let length = period.duration.or(mpd.mediaPresentationDuration);
    let buffer_s = mpd.minBufferTime.unwrap_or_default().as_secs_f64();
    let base = rebase(&rebase(url, &mpd.base_url), &period.BaseURL);
    // Thumbnails and subtitles are no streams: what is measured here is picture and sound.
    let streams = period.adaptations.iter().filter(|set| {
        let kind = set.contentType.as_deref().or(set.mimeType.as_deref());
        !kind.is_some_and(|kind| kind.starts_with("image") || kind.starts_with("text"))
    });
    for set in streams {
        let base = rebase(&base, &set.BaseURL);
        for representation in &set.representations {
            let base = rebase(&base, &representation.BaseURL);
            let templates = [
                representation.SegmentTemplate.as_ref(),
                set.SegmentTemplate.as_ref(),
                period.SegmentTemplate.as_ref(),
            ];
            let reading = Reading {
                base,
                template: Template::merge(templates.into_iter().flatten()),
                length,
                buffer_s,
            };
            renditions.extend(reading.rendition(set, representation, faults));
        }
    }
}

/// What surrounds one representation.
struct Reading {
    base: Url,
    template: Template,
    length: Option<Duration>,
    buffer_s: f64,
}

impl Reading {
    fn rendition(
        &self,
        set: &AdaptationSet,
        representation: &Representation,
        faults: &mut Vec<String>,
    ) -> Option<Rendition> {
        let Some(id) = representation.id.clone() else {
            faults.push("has a representation without an id".to_owned());
            return None;
        };
        let Some(bits_per_s) = representation.bandwidth else {
            faults.push(format!("gives representation {id} no bandwidth"));
            return None;
        };
        let either =
            |own: &Option<String>, shared: &Option<String>| own.clone().or_else(|| shared.clone());
        let codecs = either(&representation.codecs, &set.codecs);
        let mime = either(&representation.mimeType, &set.mimeType);
        if mime.is_none() {
            faults.push(format!("gives representation {id} no mimeType"));
        }
        let kind = if is_subtitle_adaptation(&set) {
            Kind::Text
        } else if is_audio_adaptation(&set) {
            Kind::Audio
        } else {
            Kind::Video
        };
        let container = match mime.as_deref() {
            Some("video/mp2t") => Container::Ts,
            Some("text/vtt" | "application/ttml+xml") => Container::Text,
            _ => Container::Fmp4,
        };
        let names = Names {
            id: &id,
            bits_per_s,
        };
        let segments = self.segments(names, faults)?;
        let init = match self.template.initialization.as_deref() {
            Some(pattern) => self.address(pattern, names, 0, 0, faults),
            None => None,
        };
        if container == Container::Fmp4 && init.is_none() {
            faults.push(format!("gives representation {id} no initialization"));
        }
        let width = representation.width.or(set.width);
        let height = representation.height.or(set.height);
        Some(Rendition {
            kind,
            container,
            codecs,
            size: width.zip(height),
            bandwidth: Some(Bandwidth::Buffered {
                bits_per_s,
                buffer_s: self.buffer_s,
            }),
            group: None,
            playlist: None,
            target: None,
            init,
            segments,
            id,
        })
    }

    fn segments(&self, names: Names<'_>, faults: &mut Vec<String>) -> Option<Vec<Segment>> {
        let id = names.id;
        let Some(media) = self.template.media.as_deref() else {
            faults.push(format!(
                "addresses representation {id} without a SegmentTemplate, which this player does not follow"
            ));
            return None;
        };
        let timescale = self.template.timescale.unwrap_or(1).max(1) as f64;
        let Some(spans) = self.spans(timescale) else {
            faults.push(format!(
                "gives representation {id} neither a SegmentTimeline nor a usable duration"
            ));
            return None;
        };
        if spans.len() > MAX_SEGMENTS {
            faults.push(format!("lists more than {MAX_SEGMENTS} segments for {id}"));
            return None;
        }
        let first = self.template.start_number.unwrap_or(1);
        let mut segments = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            let number = first.saturating_add(index as u64);
            segments.push(Segment {
                url: self.address(media, names, number, span.start, faults)?,
                seconds: span.ticks as f64 / timescale,
                tolerance: if span.exact {
                    1.01 / timescale
                } else {
                    0.5 * span.ticks as f64 / timescale
                },
                start: span.exact.then(|| span.start as f64 / timescale),
                discontinuity: false,
                seal: None,
            });
        }
        if segments.is_empty() {
            faults.push(format!("lists no segment for representation {id}"));
        }
        Some(segments)
    }

    /// Start and length of every segment, in ticks.
    fn spans(&self, timescale: f64) -> Option<Vec<Span>> {
        let length = self.length.map(|length| length.as_secs_f64() * timescale);
        let mut spans = Vec::new();
        let Some(timeline) = &self.template.timeline else {
            let ticks = self.template.duration.filter(|ticks| *ticks >= 1.0)?;
            let count = (length? / ticks).ceil() as usize;
            let count = count.min(MAX_SEGMENTS + 1) as u64;
            let ticks = ticks as u64;
            spans.extend((0..count).map(|index| Span {
                start: index * ticks,
                ticks,
                exact: false,
            }));
            return Some(spans);
        };
        let offset = self.template.offset as f64;
        let mut start = 0_u64;
        for (index, row) in timeline.iter().enumerate() {
            start = row.t.unwrap_or(start);
            let repeats = match row.repeats {
                // Until the next row's start, or the period's end (ISO/IEC 23009-1 §5.3.9.6.2).
                -1 => {
                    let next = timeline.get(index + 1).and_then(|next| next.t);
                    let end = next
                        .map(|t| t as f64)
                        .or_else(|| length.map(|all| all + offset))?;
                    ((end - start as f64) / row.d.max(1) as f64).ceil() as u64
                }
                more => u64::try_from(more).ok()?.saturating_add(1),
            };
            for _ in 0..repeats {
                if spans.len() > MAX_SEGMENTS {
                    return Some(spans);
                }
                spans.push(Span {
                    start,
                    ticks: row.d,
                    exact: true,
                });
                start = start.saturating_add(row.d);
            }
        }
        Some(spans)
    }

    fn address(
        &self,
        pattern: &str,
        names: Names<'_>,
        number: u64,
        time: u64,
        faults: &mut Vec<String>,
    ) -> Option<Url> {
        let url = names
            .expand(pattern, number, time)
            .and_then(|text| self.base.join(&text).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            faults.push(format!(
                "has an address template for representation {} that leads to no http address",
                names.id
            ));
        }
        url
    }
}

/// One segment in ticks; `exact` when a timeline says so, else it is a nominal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    ticks: u64,
    exact: bool,
}

/// What a template's identifiers stand for.
#[derive(Clone, Copy)]
struct Names<'a> {
    id: &'a str,
    bits_per_s: u64,
}

impl Names<'_> {
    /// ISO/IEC 23009-1 §5.3.9.4.4.
    fn expand(self, pattern: &str, number: u64, time: u64) -> Option<String> {
        let mut out = String::new();
        for (index, part) in pattern.split('$').enumerate() {
            if index % 2 == 0 {
                out.push_str(part);
                continue;
            }
            let (name, width) = match part.split_once('%') {
                Some((name, format)) => {
                    let digits = format.strip_prefix('0')?.strip_suffix('d')?;
                    (name, digits.parse::<usize>().ok().filter(|w| *w <= 20)?)
                }
                None => (part, 1),
            };
            match name {
                "" => out.push('$'),
                "RepresentationID" => out.push_str(self.id),
                "Number" => out.push_str(&format!("{number:0width$}")),
                "Time" => out.push_str(&format!("{time:0width$}")),
                "Bandwidth" => out.push_str(&format!("{:0width$}", self.bits_per_s)),
                _ => return None,
            }
        }
        Some(out)
    }
}

/// A row of a timeline.
struct Row {
    t: Option<u64>,
    d: u64,
    repeats: i64,
}

/// A SegmentTemplate with what it inherits.
#[derive(Default)]
struct Template {
    media: Option<String>,
    initialization: Option<String>,
    start_number: Option<u64>,
    timescale: Option<u64>,
    duration: Option<f64>,
    offset: u64,
    timeline: Option<Vec<Row>>,
}

impl Template {
    /// The innermost first: each attribute is taken where it is said first.
    fn merge<'a>(templates: impl Iterator<Item = &'a SegmentTemplate>) -> Self {
        let mut merged = Self::default();
        for one in templates {
            merged.media = merged.media.or_else(|| one.media.clone());
            merged.initialization = merged.initialization.or_else(|| one.initialization.clone());
            merged.start_number = merged.start_number.or(one.startNumber);
            merged.timescale = merged.timescale.or(one.timescale);
            merged.duration = merged.duration.or(one.duration);
            if merged.offset == 0 {
                merged.offset = one.presentationTimeOffset.unwrap_or(0);
            }
            merged.timeline = merged.timeline.or_else(|| {
                let rows = one.SegmentTimeline.as_ref()?.segments.iter();
                let row = |s: &dash_mpd_core::S| Row {
                    t: s.t,
                    d: s.d,
                    repeats: s.r.unwrap_or(0),
                };
                Some(rows.map(row).collect())
            });
        }
        merged
    }
}

/// The first BaseURL, if there is one, taken relative to what surrounds it.
fn rebase(base: &Url, urls: &[BaseURL]) -> Url {
    urls.first()
        .and_then(|first| base.join(first.base.trim()).ok())
        .unwrap_or_else(|| base.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_a_template_are_expanded() {
        let names = Names {
            id: "720p",
            bits_per_s: 900,
        };
        let expand = |pattern| names.expand(pattern, 7, 4800);
        assert_eq!(
            expand("$RepresentationID$/s_$Number%05d$_$Time$_$Bandwidth$$$.m4s").as_deref(),
            Some("720p/s_00007_4800_900$.m4s")
        );
        assert_eq!(expand("$Unknown$"), None);
        assert_eq!(expand("$Number%99999999d$"), None);
    }

    #[test]
    fn a_timeline_is_unrolled_and_bounded() {
        let mpd = |row: &str| {
            format!(
                r#"<MPD type="static" mediaPresentationDuration="PT8S" minBufferTime="PT2S" profiles="x"><Period><AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="1000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/s_$Number$.m4s"><SegmentTimeline>{row}</SegmentTimeline></SegmentTemplate><Representation id="a" bandwidth="1" codecs="avc1.640028"/></AdaptationSet></Period></MPD>"#
            )
        };
        let base = Url::parse("http://edge.example/~secret/v/x/manifest.mpd").unwrap();
        let read = |row: &str| {
            let mut faults = Vec::new();
            let promises = parse(mpd(row).as_bytes(), &base, &mut faults).unwrap();
            (promises.renditions, faults)
        };
        for row in [
            r#"<S t="0" d="4000" r="1"/>"#,
            r#"<S t="0" d="4000" r="-1"/>"#,
        ] {
            let (renditions, faults) = read(row);
            assert_eq!(faults, Vec::<String>::new());
            let segments = &renditions[0].segments;
            assert_eq!(segments.len(), 2);
            assert_eq!(segments[1].start, Some(4.0));
            assert_eq!(segments[1].url.path(), "/~secret/v/x/a/s_2.m4s");
        }
        let (renditions, faults) = read(r#"<S t="0" d="1" r="4000000000"/>"#);
        assert!(renditions.is_empty());
        assert!(faults.concat().contains("more than 43200 segments"));
    }
}
