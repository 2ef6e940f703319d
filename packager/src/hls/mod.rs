//! HLS playlists (RFC 8216 and its second edition): on demand, the same for every viewer, relative URLs only.

use std::fmt::Write;

use contracts::{address::Flavour, id::RenditionId};

use crate::{
    index::Media,
    presentation::{Presentation, Rendition},
    rates::Rates,
};

/// Writes the multivariant playlist.
///
/// In [`Flavour::Cmaf`] every sound is a rendition of its own; in [`Flavour::Ts`] the default sound is muxed
/// into the variants and only further ones are listed. A film without picture has a variant a sound.
#[must_use]
pub fn master(film: &Presentation, flavour: Flavour) -> String {
    let mut out = String::from("#EXTM3U\n");
    let group = has_group(film, flavour);
    if group {
        out.push_str("#EXT-X-VERSION:4\n");
    }
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    if group {
        for (at, audio) in film.audios().enumerate() {
            let muxed = at == 0 && flavour == Flavour::Ts;
            media(
                &mut out,
                audio,
                at,
                (!muxed).then(|| playlist_url(audio, flavour)),
            );
        }
    }
    let sound = sound(film, flavour);
    let mut variants: Vec<&Rendition> = film.videos().collect();
    if variants.is_empty() {
        variants = film
            .audios()
            .take(if group { 1 } else { usize::MAX })
            .collect();
    }
    for variant in variants {
        stream(&mut out, variant, flavour, sound.as_ref(), group);
    }
    out
}

/// Writes a rendition's media playlist; none when the film has no such rendition.
#[must_use]
pub fn playlist(film: &Presentation, id: &RenditionId, flavour: Flavour) -> Option<String> {
    let rendition = film.find(id)?;
    let lengths = lengths(film, rendition, flavour);
    let mut out = String::from("#EXTM3U\n");
    let version = match flavour {
        Flavour::Cmaf => 6, // EXT-X-MAP outside I-frame playlists
        Flavour::Ts => 3,   // fractions in EXTINF
    };
    let target = target_duration(film, flavour);
    let _ = write!(
        out,
        "#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:1\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
    );
    if flavour == Flavour::Cmaf {
        out.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
    }
    let extension = match flavour {
        Flavour::Cmaf => "m4s",
        Flavour::Ts => "ts",
    };
    for (number, micros) in (1u32..).zip(lengths) {
        let (whole, fraction) = (micros / MICROS, micros % MICROS);
        let _ = write!(
            out,
            "#EXTINF:{whole}.{fraction:06},\nsegment_{number}.{extension}\n"
        );
    }
    out.push_str("#EXT-X-ENDLIST\n");
    Some(out)
}

/// The longest segment of all playlists of the flavour, rounded to a second: RFC 8216 §6.2.4 wants one value for
/// all variants and renditions.
fn target_duration(film: &Presentation, flavour: Flavour) -> u64 {
    let all = film
        .renditions()
        .iter()
        .flat_map(|rendition| lengths(film, rendition, flavour));
    all.map(|micros| micros.saturating_add(MICROS / 2) / MICROS)
        .max()
        .unwrap_or(0)
        .max(1)
}

/// The lengths of the segments in microseconds; sound that outlasts the picture it is muxed with goes on alone,
/// or lengthens the last segment.
fn lengths(film: &Presentation, rendition: &Rendition, flavour: Flavour) -> Vec<u64> {
    let of = |rendition: &Rendition| -> Vec<u64> {
        // Rounding the moments, not the lengths, keeps the sum of a long film exact.
        let moment = |ticks: u64| micros(rendition, ticks);
        rendition
            .segments()
            .map(|segment| {
                (
                    segment.start,
                    segment.start.saturating_add(segment.duration),
                )
            })
            .map(|(start, end)| moment(end).saturating_sub(moment(start)))
            .collect()
    };
    let mut lengths = of(rendition);
    if let (Flavour::Ts, Some(sound)) = (flavour, film.companion(rendition)) {
        let alone = of(sound).into_iter().skip(lengths.len());
        let before = lengths.len();
        lengths.extend(alone);
        if let (true, Some(last)) = (lengths.len() == before, lengths.last_mut()) {
            let end = |rendition: &Rendition| micros(rendition, rendition.index().end());
            *last = last.saturating_add(end(sound).saturating_sub(end(rendition)));
        }
    }
    lengths
}

/// A moment of a rendition in microseconds, rounded.
fn micros(rendition: &Rendition, ticks: u64) -> u64 {
    let timescale = u128::from(rendition.index().track().timescale);
    let micros = u128::from(ticks) * u128::from(MICROS) + timescale / 2;
    u64::try_from(micros / timescale).unwrap_or(u64::MAX)
}

/// Alternative sounds are told by a group, except a lone one that transport streams carry inside.
fn has_group(film: &Presentation, flavour: Flavour) -> bool {
    let sounds = film.audios().count();
    match flavour {
        Flavour::Cmaf if film.videos().next().is_some() => sounds > 0,
        Flavour::Cmaf | Flavour::Ts => sounds > 1,
    }
}

/// The codec of the sound and the rates of the heaviest one, which play beside every variant.
fn sound(film: &Presentation, flavour: Flavour) -> Option<(String, Rates)> {
    film.videos().next()?;
    let codec = film.audios().next()?.index().track().codec();
    let heaviest = film.audios().map(|audio| Rates::of(audio, flavour));
    Some((codec, heaviest.max_by_key(|rates| rates.peak)?))
}

fn media(out: &mut String, audio: &Rendition, at: usize, url: Option<String>) {
    let default = if at == 0 { "YES" } else { "NO" };
    let name = name(audio, at);
    let _ = write!(
        out,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\""
    );
    if let Some(language) = audio.language().filter(|language| is_tag(language)) {
        let _ = write!(out, ",LANGUAGE=\"{language}\"");
    }
    let _ = write!(out, ",DEFAULT={default},AUTOSELECT=YES");
    if let Some(channels) = channels(audio) {
        let _ = write!(out, ",CHANNELS=\"{channels}\"");
    }
    if let Some(url) = url {
        let _ = write!(out, ",URI=\"{url}\"");
    }
    out.push('\n');
}

/// A name that is unique within the group.
fn name(audio: &Rendition, at: usize) -> String {
    match audio.language().filter(|language| is_tag(language)) {
        Some(language) if at == 0 => language.to_owned(),
        Some(language) => format!("{language} ({})", at + 1),
        None => format!("audio {}", at + 1),
    }
}

fn stream(
    out: &mut String,
    variant: &Rendition,
    flavour: Flavour,
    sound: Option<&(String, Rates)>,
    group: bool,
) {
    let mut rates = Rates::of(variant, flavour);
    let mut codecs = variant.index().track().codec();
    if let Some((codec, with)) = sound {
        rates = rates.plus(*with);
        let _ = write!(codecs, ",{codec}");
    }
    let Rates { peak, average } = rates;
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{codecs}\""
    );
    if let Some(video) = variant.video() {
        let _ = write!(out, ",RESOLUTION={}x{}", video.width, video.height);
    }
    if let Some((frames, seconds)) = variant.index().frame_rate() {
        let thousandths = (u64::from(frames) * 1000 + u64::from(seconds) / 2) / u64::from(seconds);
        let _ = write!(
            out,
            ",FRAME-RATE={}.{:03}",
            thousandths / 1000,
            thousandths % 1000
        );
    }
    if group {
        out.push_str(",AUDIO=\"audio\"");
    }
    let _ = write!(out, "\n{}\n", playlist_url(variant, flavour));
}

fn playlist_url(rendition: &Rendition, flavour: Flavour) -> String {
    let file = match flavour {
        Flavour::Cmaf => "playlist.m3u8",
        Flavour::Ts => "playlist_ts.m3u8",
    };
    format!("{}/{file}", rendition.id())
}

/// How many channels a sound has.
fn channels(rendition: &Rendition) -> Option<u16> {
    match &rendition.index().track().media {
        Media::Audio(config) => Some(config.channels()),
        Media::Video(_) => None,
    }
}

/// Whether a language is a tag of RFC 5646's alphabet; anything else is left out rather than quoted.
pub(crate) fn is_tag(language: &str) -> bool {
    (2..=35).contains(&language.len())
        && language
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

const MICROS: u64 = 1_000_000;
