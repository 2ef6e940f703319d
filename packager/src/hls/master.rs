//! The HLS multivariant playlist: every combination of picture and sound that a player may choose.

use std::fmt::{Display, Write};

use contracts::address::Flavour;

use crate::{
    Error,
    codec::Sound,
    hls::{is_offered, is_tag, key_tags, media::KEY_FORMATS, names::Names, write::Tag},
    index::{Media, Range, Video},
    presentation::{Presentation, Rendition, THUMBS},
    protect::Protection,
    rates::{Packing, Rates},
    thumbs,
};

/// Writes the multivariant playlist; none when the flavour can carry nothing of the film, or not its pictures, or
/// cannot be encrypted so.
///
/// In [`Flavour::Cmaf`] every sound is a rendition of its own, in a group for each codec; in [`Flavour::Ts`] the
/// default sound is muxed into the variants and only further ones are fetched apart. A film without picture has a
/// variant for each codec.
///
/// # Errors
/// [`Error::Keys`] when the film's systems bring no key to players of such playlists.
pub fn master(
    film: &Presentation,
    flavour: Flavour,
    protection: Option<&Protection>,
) -> Result<Option<String>, Error> {
    let Some(plan) = Plan::of(film, flavour, protection) else {
        return Ok(None);
    };
    let keys = plan.session_keys(protection)?;
    let mut out = String::from("#EXTM3U\n");
    if !keys.is_empty() {
        let _ = writeln!(out, "#EXT-X-VERSION:{KEY_FORMATS}");
    } else if plan.has_media() {
        // Older players would play the variants without sound or subtitles (RFC 8216 §7).
        out.push_str("#EXT-X-VERSION:4\n");
    }
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    for key in keys {
        let _ = writeln!(out, "#EXT-X-SESSION-KEY:{key}");
    }
    for group in plan.groups.iter().filter(|group| plan.is_told(group)) {
        plan.sounds(&mut out, group);
    }
    plan.subtitles(&mut out);
    if plan.videos.is_empty() {
        for group in &plan.groups {
            plan.variant_of_sound(&mut out, group);
        }
    }
    for video in &plan.videos {
        plan.variants(&mut out, video);
    }
    for video in &plan.videos {
        plan.iframes(&mut out, video);
    }
    plan.thumbnails(&mut out);
    Ok(Some(out))
}

/// What of a film a flavour offers.
struct Plan<'a> {
    film: &'a Presentation,
    flavour: Flavour,
    packing: Packing,
    /// What addresses begin with.
    folder: &'a str,
    videos: Vec<&'a Rendition>,
    groups: Vec<Group<'a>>,
    /// The sound inside the segments of every picture.
    muxed: Option<&'a Rendition>,
}

/// Sounds of one codec, of which one plays at a time.
struct Group<'a> {
    name: &'static str,
    sounds: Vec<&'a Rendition>,
}

/// The groups that offer what the first one does, in its order (RFC 8216 §4.3.4.1.1): a player that changes to another
/// codec must find the same choice there. A codec that some sounds are missing in is left out.
fn alike<'a>(groups: Vec<Group<'a>>) -> Vec<Group<'a>> {
    let told = |sound: &&Rendition| {
        (
            sound.language().map(str::to_owned),
            sound.label().map(str::to_owned),
        )
    };
    let choice: Vec<_> = groups
        .first()
        .map(|first| first.sounds.iter().map(told).collect())
        .unwrap_or_default();
    let in_order = |group: Group<'a>| {
        let mut rest = group.sounds;
        let sounds = choice.iter().map(|wanted| {
            let at = rest.iter().position(|sound| told(sound) == *wanted)?;
            Some(rest.remove(at))
        });
        let sounds = sounds.collect::<Option<Vec<_>>>()?;
        rest.is_empty().then_some(Group { sounds, ..group })
    };
    groups.into_iter().filter_map(in_order).collect()
}

impl<'a> Plan<'a> {
    fn of(
        film: &'a Presentation,
        flavour: Flavour,
        protection: Option<&'a Protection>,
    ) -> Option<Self> {
        let carried = |rendition: &&Rendition| is_offered(rendition, flavour, protection);
        let videos: Vec<_> = film.videos().filter(carried).collect();
        if videos.is_empty() && film.videos().next().is_some() {
            return None;
        }
        let muxed = match (flavour, videos.first()) {
            (Flavour::Ts, Some(video)) => film.companion(video),
            _ => None,
        };
        let mut groups: Vec<Group<'a>> = Vec::new();
        for sound in film.audios().filter(carried) {
            let name = group_name(sound);
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.sounds.push(sound),
                None => groups.push(Group {
                    name,
                    sounds: vec![sound],
                }),
            }
        }
        if videos.is_empty() && groups.is_empty() {
            return None;
        }
        let groups = alike(groups);
        Some(Self {
            film,
            flavour,
            packing: Packing::of(flavour, protection.is_some()),
            folder: protection.map_or("", Protection::folder),
            videos,
            groups,
            muxed,
        })
    }

    /// What DRM systems may fetch before playlists are read (RFC 8216 §4.3.4.5), each key once. The key as it is lies
    /// beside a playlist, and W3C Clear Key has nothing to fetch it from but its playlist's player.
    fn session_keys(&self, protection: Option<&Protection>) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        let sounds = self.groups.iter().flat_map(|group| &group.sounds);
        // What lies inside the segments of pictures has their key.
        let apart = sounds.filter(|sound| !self.is_muxed(sound));
        for rendition in self.videos.iter().chain(apart) {
            for tag in key_tags(rendition, protection)? {
                let clear_key = tag.key_format.as_deref() == Some("org.w3.clearkey");
                let attributes = tag.attributes();
                if tag.is_for_session() && !clear_key && !keys.contains(&attributes) {
                    keys.push(attributes);
                }
            }
        }
        Ok(keys)
    }

    fn has_media(&self) -> bool {
        self.groups.iter().any(|group| self.is_told(group)) || self.film.texts().next().is_some()
    }

    /// Whether variants name the group: not one whose only sound lies inside the variants, or is the variant.
    fn is_told(&self, group: &Group<'_>) -> bool {
        if self.videos.is_empty() {
            group.sounds.len() > 1
        } else {
            group.sounds.iter().any(|sound| !self.is_muxed(sound))
        }
    }

    fn is_muxed(&self, sound: &Rendition) -> bool {
        self.muxed.is_some_and(|muxed| muxed.id() == sound.id())
    }

    fn sounds(&self, out: &mut String, group: &Group<'_>) {
        let mut names = Names::default();
        for (at, sound) in group.sounds.iter().enumerate() {
            let language = sound.language().filter(|language| is_tag(language));
            let mut tag = Tag::new(out, "EXT-X-MEDIA");
            tag.plain("TYPE", "AUDIO").quoted("GROUP-ID", group.name);
            tag.quoted("NAME", &names.next(sound.label(), language));
            if let Some(language) = language {
                tag.quoted("LANGUAGE", language);
            }
            let first_of_language = names.first_of(language);
            tag.plain("DEFAULT", yes(at == 0))
                .plain("AUTOSELECT", yes(at == 0 || first_of_language));
            if let Media::Audio(config) = &sound.index().track().media {
                tag.quoted("CHANNELS", &config.channels().to_string());
            }
            if !self.is_muxed(sound) {
                tag.quoted("URI", &self.url(sound));
            }
            tag.end();
        }
    }

    /// Subtitles are off until a viewer wants them, by a choice or by the player's own settings.
    fn subtitles(&self, out: &mut String) {
        let mut names = Names::default();
        for text in self.film.texts() {
            let language = text.language.as_deref().filter(|language| is_tag(language));
            let mut tag = Tag::new(out, "EXT-X-MEDIA");
            tag.plain("TYPE", "SUBTITLES").quoted("GROUP-ID", TEXT);
            tag.quoted("NAME", &names.next(text.label.as_deref(), language));
            if let Some(language) = language {
                tag.quoted("LANGUAGE", language);
            }
            tag.plain("DEFAULT", "NO")
                .plain("AUTOSELECT", yes(names.first_of(language)))
                .plain("FORCED", "NO")
                .quoted("URI", &self.within(&text.id, self.flavour.playlist()))
                .end();
        }
    }

    /// A picture with each group of sounds, or alone.
    fn variants(&self, out: &mut String, video: &Rendition) {
        let mut told = self.groups.iter().filter(|group| self.is_told(group));
        let first = told.next();
        for group in std::iter::once(first).chain(told.map(Some)) {
            let muxed = self
                .muxed
                .map(|sound| self.rates(sound))
                .unwrap_or_default();
            let apart = group.map_or(&[][..], |group| group.sounds.as_slice());
            let apart = apart.iter().filter(|sound| !self.is_muxed(sound));
            let heaviest = Rates::heaviest(apart.map(|sound| self.rates(sound)));
            let rates = self.rates(video).plus(muxed).plus(heaviest);
            let sounds = group.map_or(&[][..], |group| group.sounds.as_slice());
            let codecs = codecs(
                [video]
                    .into_iter()
                    .chain(self.muxed)
                    .chain(sounds.iter().copied()),
            );
            let mut tag = self.stream(out, rates, &codecs);
            if let Some(facts) = video.video() {
                picture(&mut tag, facts);
            }
            if let Some((frames, seconds)) = video.index().frame_rate() {
                tag.plain("FRAME-RATE", frame_rate(frames, seconds));
            }
            self.ends(&mut tag, group, &self.url(video));
        }
    }

    /// A group of sounds of a film without picture.
    fn variant_of_sound(&self, out: &mut String, group: &Group<'_>) {
        let Some(first) = group.sounds.first() else {
            return;
        };
        let sounds = || group.sounds.iter().copied();
        let rates = Rates::heaviest(sounds().map(|sound| self.rates(sound)));
        let mut tag = self.stream(out, rates, &codecs(sounds()));
        let told = self.is_told(group).then_some(group);
        self.ends(&mut tag, told, &self.url(first));
    }

    fn stream<'t>(&self, out: &'t mut String, rates: Rates, codecs: &str) -> Tag<'t> {
        let rates = rates.plus(self.film.text_rates(self.flavour));
        let mut tag = Tag::new(out, "EXT-X-STREAM-INF");
        tag.plain("BANDWIDTH", rates.peak)
            .plain("AVERAGE-BANDWIDTH", rates.average)
            .quoted("CODECS", codecs);
        tag
    }

    fn ends(&self, tag: &mut Tag<'_>, group: Option<&Group<'_>>, url: &str) {
        if let Some(group) = group {
            tag.quoted("AUDIO", group.name);
        }
        if self.film.texts().next().is_some() {
            tag.quoted("SUBTITLES", TEXT);
        }
        tag.end_with(url);
    }

    fn iframes(&self, out: &mut String, video: &Rendition) {
        let Some(facts) = video.video() else {
            return;
        };
        let file = self.flavour.iframes();
        let rates = video.iframe_rates(self.packing);
        let mut tag = Tag::new(out, "EXT-X-I-FRAME-STREAM-INF");
        tag.plain("BANDWIDTH", rates.peak)
            .plain("AVERAGE-BANDWIDTH", rates.average)
            .quoted("CODECS", &video.index().track().codec());
        picture(&mut tag, facts);
        tag.quoted("URI", &self.within(video.id(), file)).end();
    }

    /// Not of RFC 8216, whose readers pass over tags that they do not know, but of the image playlists that Shaka
    /// Player, Roku and others read.
    fn thumbnails(&self, out: &mut String) {
        let Some(thumbs) = self.film.thumbs() else {
            return;
        };
        let facts = thumbs::facts(thumbs, self.film.duration());
        let (width, height) = facts.tile;
        Tag::new(out, "EXT-X-IMAGE-STREAM-INF")
            .plain("BANDWIDTH", facts.bandwidth)
            .plain("RESOLUTION", format_args!("{width}x{height}"))
            .quoted("CODECS", "jpeg")
            .quoted("URI", &self.within(THUMBS, Flavour::Cmaf.playlist()))
            .end();
    }

    fn rates(&self, rendition: &Rendition) -> Rates {
        rendition.rates(self.packing)
    }

    fn url(&self, rendition: &Rendition) -> String {
        self.within(rendition.id(), self.flavour.playlist())
    }

    fn within(&self, room: impl Display, file: impl Display) -> String {
        format!("{}{room}/{file}", self.folder)
    }
}

fn group_name(sound: &Rendition) -> &'static str {
    match &sound.index().track().media {
        Media::Audio(Sound::Aac(_)) => "aac",
        Media::Audio(Sound::Opus(_)) => "opus",
        Media::Video(_) => "none",
    }
}

/// All codecs of what plays together or instead of another, each once.
fn codecs<'a>(renditions: impl Iterator<Item = &'a Rendition>) -> String {
    let mut all: Vec<String> = Vec::new();
    for rendition in renditions {
        let codec = rendition.index().track().codec();
        if !all.contains(&codec) {
            all.push(codec);
        }
    }
    all.join(",")
}

fn picture(tag: &mut Tag<'_>, video: &Video) {
    let range = match video.range() {
        Range::Sdr => "SDR",
        Range::Hlg => "HLG",
        Range::Pq => "PQ",
    };
    let (width, height) = video.displayed();
    tag.plain("RESOLUTION", format_args!("{width}x{height}"))
        .plain("VIDEO-RANGE", range);
}

/// Pictures a second to three places (RFC 8216 §4.3.4.2).
fn frame_rate(frames: u32, seconds: u32) -> String {
    let thousandths = (u64::from(frames) * 1000 + u64::from(seconds) / 2) / u64::from(seconds);
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

const fn yes(is: bool) -> &'static str {
    if is { "YES" } else { "NO" }
}

/// The group of all subtitles.
const TEXT: &str = "text";
