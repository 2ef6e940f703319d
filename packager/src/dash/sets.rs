//! The adaptation sets of a manifest: renditions among which a player may switch.

use std::{collections::BTreeSet, fmt::Write};

use contracts::{address::Flavour, keys::KeyId};

use crate::{
    Error,
    codec::FourCc,
    dash::write::{descriptor, template},
    escape::Xml,
    hls::is_tag,
    index::{Media, Range, Video, greatest_common_divisor},
    presentation::{Presentation, Rendition, THUMBS},
    protect::Protection,
    rates::Packing,
    thumbs,
};

/// Writes adaptation sets one after another, each with a number of its own.
pub(super) struct Sets<'a> {
    film: &'a Presentation,
    protection: Option<&'a Protection>,
    packing: Packing,
    next: u32,
}

/// What the pictures of a set have in common.
#[derive(PartialEq, Eq)]
struct VideoKey {
    codec: FourCc,
    range: Range,
    key: Option<KeyId>,
}

/// What the sounds of a set have in common.
#[derive(PartialEq, Eq)]
struct AudioKey<'a> {
    codec: FourCc,
    language: Option<&'a str>,
    label: Option<&'a str>,
    key: Option<KeyId>,
}

impl<'a> Sets<'a> {
    pub(super) fn new(film: &'a Presentation, protection: Option<&'a Protection>) -> Self {
        Self {
            film,
            protection,
            packing: Packing::of(Flavour::Cmaf, protection.is_some()),
            next: 1,
        }
    }

    /// What relative addresses begin with.
    fn folder(&self) -> &'a str {
        self.protection.map_or("", Protection::folder)
    }

    /// Pictures of one codec are one choice: their segments align, so a player may switch at any boundary. Where
    /// they have several keys, each key has a set, and the sets say that they belong together.
    pub(super) fn videos(&mut self, out: &mut String) -> Result<(), Error> {
        let mut pairs = Vec::new();
        for rendition in self.film.videos() {
            pairs.extend(self.video_key(rendition)?.map(|key| (key, rendition)));
        }
        let sets = gather(pairs);
        let numbered: Vec<_> = (self.next..).zip(&sets).collect();
        for (number, (key, videos)) in &numbered {
            let others = numbered.iter().filter(|(other, (its, _))| {
                other != number && (its.codec, its.range) == (key.codec, key.range)
            });
            let others: Vec<String> = others.map(|(other, _)| other.to_string()).collect();
            self.video(out, videos, &others.join(","));
        }
        Ok(())
    }

    fn video(&mut self, out: &mut String, videos: &[&Rendition], others: &str) {
        let largest = |side: fn(&Video) -> u16| {
            let sides = videos.iter().filter_map(|video| video.video()).map(side);
            sides.max().unwrap_or(0)
        };
        let (width, height) = (largest(|video| video.width), largest(|video| video.height));
        let id = self.id();
        let _ = writeln!(
            out,
            "<AdaptationSet id=\"{id}\" contentType=\"video\" mimeType=\"video/mp4\"{} \
             startWithSAP=\"1\" maxWidth=\"{width}\" maxHeight=\"{height}\">",
            alignment(videos)
        );
        self.content_protection(out, videos);
        if let Some(video) = videos.first().and_then(|video| video.video()) {
            light(out, video);
        }
        if !others.is_empty() {
            descriptor(out, "SupplementalProperty", SWITCHING, others);
        }
        inband_events(out, videos);
        let shared = shared_template(videos, self.folder());
        out.push_str(shared.as_deref().unwrap_or_default());
        for rendition in videos {
            self.picture(out, rendition, shared.is_some());
        }
        out.push_str("</AdaptationSet>\n");
    }

    fn picture(&self, out: &mut String, rendition: &Rendition, has_template: bool) {
        let Some(video) = rendition.video() else {
            return;
        };
        self.representation(out, rendition);
        let _ = write!(
            out,
            " width=\"{}\" height=\"{}\"",
            video.width, video.height
        );
        match rendition.index().frame_rate() {
            Some((frames, 1)) => {
                let _ = write!(out, " frameRate=\"{frames}\"");
            }
            Some((frames, seconds)) => {
                let _ = write!(out, " frameRate=\"{frames}/{seconds}\"");
            }
            None => {}
        }
        let (horizontal, vertical) = video.pixel_aspect.unwrap_or((1, 1));
        let divisor = greatest_common_divisor(horizontal, vertical);
        let _ = write!(
            out,
            " sar=\"{}:{}\"",
            horizontal / divisor,
            vertical / divisor
        );
        if has_template {
            out.push_str("/>\n");
        } else {
            let _ = write!(
                out,
                ">\n{}</Representation>\n",
                template(rendition, self.folder())
            );
        }
    }

    /// Sounds of one language, codec and label are one choice.
    pub(super) fn audios(&mut self, out: &mut String) -> Result<(), Error> {
        let mut pairs = Vec::new();
        for sound in self.film.audios() {
            pairs.extend(self.audio_key(sound)?.map(|key| (key, sound)));
        }
        let sets = gather(pairs);
        let main = sets.first().map(|(key, _)| (key.language, key.label));
        for (key, sounds) in &sets {
            // A further codec of the default sound is the default sound too.
            let is_main = main == Some((key.language, key.label));
            self.audio(out, key, sounds, if is_main { "main" } else { "alternate" });
        }
        Ok(())
    }

    fn audio(&mut self, out: &mut String, key: &AudioKey<'_>, sounds: &[&Rendition], role: &str) {
        let id = self.id();
        let _ = write!(
            out,
            "<AdaptationSet id=\"{id}\" contentType=\"audio\" mimeType=\"audio/mp4\"{} startWithSAP=\"1\"",
            alignment(sounds)
        );
        language(out, key.language);
        out.push_str(">\n");
        self.content_protection(out, sounds);
        inband_events(out, sounds);
        label(out, key.label);
        descriptor(out, "Role", ROLE, role);
        let shared = shared_template(sounds, self.folder());
        out.push_str(shared.as_deref().unwrap_or_default());
        for sound in sounds {
            self.representation(out, sound);
            if let Media::Audio(config) = &sound.index().track().media {
                let _ = writeln!(out, " audioSamplingRate=\"{}\">", config.sample_rate());
                if let Some(layout) = config.channel_configuration() {
                    descriptor(out, "AudioChannelConfiguration", CHANNELS, layout);
                }
            }
            if shared.is_none() {
                out.push_str(&template(sound, self.folder()));
            }
            out.push_str("</Representation>\n");
        }
        out.push_str("</AdaptationSet>\n");
    }

    /// Subtitles as whole files, which all players read.
    pub(super) fn texts(&mut self, out: &mut String) {
        for (at, text) in self.film.texts().enumerate() {
            let set = self.next;
            self.next += 1;
            let _ = write!(
                out,
                "<AdaptationSet id=\"{set}\" contentType=\"text\" mimeType=\"text/vtt\""
            );
            language(
                out,
                text.language.as_deref().filter(|language| is_tag(language)),
            );
            out.push_str(">\n");
            label(out, text.label.as_deref());
            descriptor(out, "Role", ROLE, "subtitle");
            if at == 0 {
                descriptor(out, "Role", ROLE, "main");
            }
            let (id, folder) = (&text.id, self.folder());
            let rates = self
                .film
                .rates_of_text(id, Flavour::Cmaf)
                .unwrap_or_default();
            let _ = write!(
                out,
                "<Representation id=\"{id}\" bandwidth=\"{}\">\n<BaseURL>{folder}{id}/subtitles.vtt</BaseURL>\n\
                 </Representation>\n</AdaptationSet>\n",
                rates.peak
            );
        }
    }

    /// Sheets of tiles, by the interoperability points of the DASH Industry Forum (§6.2.6).
    pub(super) fn thumbnails(&mut self, out: &mut String) {
        let Some(thumbs) = self.film.thumbs() else {
            return;
        };
        let facts = thumbs::facts(thumbs, self.film.duration());
        let ((width, height), (columns, rows)) = (facts.sheet, facts.layout);
        let (id, millis) = (self.id(), facts.sheet_duration.as_millis());
        let folder = self.folder();
        let _ = writeln!(
            out,
            "<AdaptationSet id=\"{id}\" contentType=\"image\" mimeType=\"image/jpeg\">\n\
             <SegmentTemplate timescale=\"1000\" duration=\"{millis}\" startNumber=\"1\" \
             media=\"{folder}$RepresentationID$/sheet_$Number$.jpg\"/>\n\
             <Representation id=\"{THUMBS}\" bandwidth=\"{}\" width=\"{width}\" height=\"{height}\">",
            facts.bandwidth
        );
        descriptor(
            out,
            "EssentialProperty",
            TILES,
            format_args!("{columns}x{rows}"),
        );
        out.push_str("</Representation>\n</AdaptationSet>\n");
    }

    /// Opens a representation with what all have; its ids are of an alphabet that XML leaves alone.
    fn representation(&self, out: &mut String, rendition: &Rendition) {
        let bandwidth = rendition.rates(self.packing).peak;
        let codec = rendition.index().track().codec();
        let id = rendition.id();
        let _ = write!(
            out,
            "<Representation id=\"{id}\" bandwidth=\"{bandwidth}\" codecs=\"{codec}\""
        );
    }

    /// The members of a set have one key.
    fn content_protection(&self, out: &mut String, members: &[&Rendition]) {
        let first = members.first().copied();
        if let (Some(protection), Some(first)) = (self.protection, first)
            && let Some(key) = protection.key(first)
        {
            out.push_str(&protection.dash_content_protection(key));
        }
    }

    fn video_key(&self, rendition: &Rendition) -> Result<Option<VideoKey>, Error> {
        let Some(video) = rendition.video() else {
            return Ok(None);
        };
        Ok(Some(VideoKey {
            codec: video.config.entry(),
            range: video.range(),
            key: self.key(rendition)?,
        }))
    }

    fn audio_key(&self, sound: &'a Rendition) -> Result<Option<AudioKey<'a>>, Error> {
        let Media::Audio(config) = &sound.index().track().media else {
            return Ok(None);
        };
        Ok(Some(AudioKey {
            codec: config.entry(),
            language: sound.language().filter(|language| is_tag(language)),
            label: sound.label(),
            key: self.key(sound)?,
        }))
    }

    fn key(&self, rendition: &Rendition) -> Result<Option<KeyId>, Error> {
        let Some(protection) = self.protection else {
            return Ok(None);
        };
        let key = protection.key(rendition);
        let key = key.ok_or(Error::Keys("none is for such a track"))?;
        Ok(Some(key.id()))
    }

    fn id(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        id
    }
}

/// Groups by key, groups and members in the order in which they come.
fn gather<'a, K: PartialEq>(pairs: Vec<(K, &'a Rendition)>) -> Vec<(K, Vec<&'a Rendition>)> {
    let mut groups: Vec<(K, Vec<&'a Rendition>)> = Vec::new();
    for (key, rendition) in pairs {
        match groups.iter_mut().find(|(its, _)| *its == key) {
            Some((_, members)) => members.push(rendition),
            None => groups.push((key, vec![rendition])),
        }
    }
    groups
}

/// Tells of light that is not standard. Who does not know HLG sees a fair picture of it, hence a supplement; PQ must
/// be understood (ETSI TS 103 285 §5.2.5).
fn light(out: &mut String, video: &Video) {
    let name = match video.range() {
        Range::Sdr => return,
        Range::Hlg => "SupplementalProperty",
        Range::Pq => "EssentialProperty",
    };
    let Some(colour) = video.told_colour() else {
        return;
    };
    for (property, value) in [
        ("ColourPrimaries", colour.primaries),
        ("TransferCharacteristics", colour.transfer),
        ("MatrixCoefficients", colour.matrix),
    ] {
        descriptor(out, name, &format!("urn:mpeg:mpegB:cicp:{property}"), value);
    }
}

/// Tells which events come in segments of these renditions (ISO/IEC 23009-1 §5.10.3.2), each kind once.
fn inband_events(out: &mut String, renditions: &[&Rendition]) {
    let events = renditions
        .iter()
        .flat_map(|rendition| rendition.index().events());
    let kinds: BTreeSet<_> = events
        .map(|event| (event.scheme.as_str(), event.value.as_str()))
        .collect();
    for (scheme, value) in kinds {
        let (scheme, value) = (Xml(scheme), Xml(value));
        let _ = writeln!(
            out,
            "<InbandEventStream schemeIdUri=\"{scheme}\" value=\"{value}\"/>"
        );
    }
}

/// Promises, where it is so, that segments of a number are of one time in all renditions (ISO/IEC 23009-1 §5.3.3.2).
fn alignment(renditions: &[&Rendition]) -> &'static str {
    let mut pairs = renditions.iter().zip(renditions.iter().skip(1));
    if pairs.all(|(a, b)| a.is_aligned_with(b)) {
        " segmentAlignment=\"true\""
    } else {
        ""
    }
}

fn language(out: &mut String, language: Option<&str>) {
    if let Some(language) = language {
        let _ = write!(out, " lang=\"{language}\"");
    }
}

fn label(out: &mut String, label: Option<&str>) {
    if let Some(label) = label {
        let _ = writeln!(out, "<Label>{}</Label>", Xml(label));
    }
}

/// The template that all renditions share, if their timelines are the same to the tick.
fn shared_template(renditions: &[&Rendition], folder: &str) -> Option<String> {
    let mut templates = renditions
        .iter()
        .map(|rendition| template(rendition, folder));
    let first = templates.next()?;
    templates.all(|other| other == first).then_some(first)
}

const ROLE: &str = "urn:mpeg:dash:role:2011";
const CHANNELS: &str = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
const SWITCHING: &str = "urn:mpeg:dash:adaptation-set-switching:2016";
const TILES: &str = "http://dashif.org/guidelines/thumbnail_tile";
