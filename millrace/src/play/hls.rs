//! HLS playlists read into promises, RFC 8216; the playlist library is not the one that writes ours.

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, Key, MediaPlaylist, Playlist, VariantStream,
};
use reqwest::Url;

use super::manifest::{
    Bandwidth, Container, Kind, MAX_RENDITIONS, MAX_SEGMENTS, Rendition, Segment,
};
use super::report::shown;
use super::seal::Seal;

/// What a playlist turned out to be.
pub(super) enum Parsed {
    /// A multivariant playlist: renditions whose media playlists are still to be read.
    Multivariant(Vec<Rendition>),
    /// A media playlist played alone.
    Media(Box<Rendition>),
}

/// Whether a body is meant as a playlist.
pub(super) fn looks_like(body: &[u8]) -> bool {
    body.starts_with(b"#EXTM3U")
}

/// Reads the first playlist; `faults` takes predicates about it.
pub(super) fn parse(body: &[u8], url: &Url, faults: &mut Vec<String>) -> Option<Parsed> {
    match read(body, faults)? {
        Playlist::MasterPlaylist(master) => {
            let mut renditions = Vec::new();
            for variant in master.variants.iter().filter(|one| !one.is_i_frame) {
                add_variant(variant, url, &mut renditions, faults);
            }
            for media in &master.alternatives {
                add_alternative(media, &master.variants, url, &mut renditions, faults);
            }
            if renditions.is_empty() {
                faults.push("names no variant".to_owned());
            }
            if renditions.len() > MAX_RENDITIONS {
                faults.push(format!("names more than {MAX_RENDITIONS} renditions"));
                renditions.truncate(MAX_RENDITIONS);
            }
            make_unique(&mut renditions);
            Some(Parsed::Multivariant(renditions))
        }
        Playlist::MediaPlaylist(media) => {
            let mut rendition = blank(url, Kind::Video);
            fill(&media, url, &mut rendition, faults);
            Some(Parsed::Media(Box::new(rendition)))
        }
    }
}

/// Reads the media playlist of a rendition; `faults` takes predicates about it.
pub(super) fn media(body: &[u8], url: &Url, rendition: &mut Rendition, faults: &mut Vec<String>) {
    match read(body, faults) {
        Some(Playlist::MediaPlaylist(media)) => fill(&media, url, rendition, faults),
        Some(Playlist::MasterPlaylist(_)) => {
            faults.push("is a multivariant playlist where a media playlist belongs".to_owned());
        }
        None => {}
    }
}

fn read(body: &[u8], faults: &mut Vec<String>) -> Option<Playlist> {
    if !looks_like(body) {
        faults.push("does not begin with #EXTM3U".to_owned());
        return None;
    }
    match m3u8_rs::parse_playlist_res(body) {
        Ok(playlist) => Some(playlist),
        Err(_) => {
            faults.push("cannot be parsed as an HLS playlist".to_owned());
            None
        }
    }
}

fn add_variant(
    variant: &VariantStream,
    base: &Url,
    renditions: &mut Vec<Rendition>,
    faults: &mut Vec<String>,
) {
    let Some(url) = join(base, &variant.uri, faults) else {
        return;
    };
    if renditions
        .iter()
        .any(|known| known.playlist.as_ref() == Some(&url))
    {
        return;
    }
    let codecs = variant.codecs.clone();
    if codecs.is_none() {
        faults.push(format!("gives no CODECS for the variant {}", shown(&url)));
    }
    let has_picture = codecs.as_deref().is_none_or(names_picture) || variant.resolution.is_some();
    let kind = if has_picture {
        Kind::Video
    } else {
        Kind::Audio
    };
    renditions.push(Rendition {
        codecs,
        size: variant.resolution.map(|size| (size.width, size.height)),
        bandwidth: Some(Bandwidth::Peak(variant.bandwidth)),
        group: variant.audio.clone(),
        ..blank(&url, kind)
    });
}

fn add_alternative(
    media: &AlternativeMedia,
    variants: &[VariantStream],
    base: &Url,
    renditions: &mut Vec<Rendition>,
    faults: &mut Vec<String>,
) {
    let kind = match media.media_type {
        AlternativeMediaType::Audio => Kind::Audio,
        AlternativeMediaType::Video => Kind::Video,
        AlternativeMediaType::Subtitles => Kind::Text,
        _ => return,
    };
    // Without a URI the rendition is inside the variant's own segments.
    let Some(url) = media.uri.as_deref().and_then(|uri| join(base, uri, faults)) else {
        return;
    };
    if renditions
        .iter()
        .any(|known| known.playlist.as_ref() == Some(&url))
    {
        return;
    }
    let group = Some(media.group_id.clone());
    let codecs = variants
        .iter()
        .filter(|variant| kind == Kind::Audio && variant.audio == group)
        .find_map(|variant| variant.codecs.as_deref())
        .map(sound_of)
        .filter(|codecs| !codecs.is_empty());
    if kind == Kind::Audio && !variants.iter().any(|variant| variant.audio == group) {
        faults.push(format!(
            "has an audio group \"{}\" that no variant uses",
            media.group_id
        ));
    }
    renditions.push(Rendition {
        codecs,
        group,
        ..blank(&url, kind)
    });
}

/// A rendition of which only the address is known.
fn blank(url: &Url, kind: Kind) -> Rendition {
    Rendition {
        id: name(url),
        kind,
        container: Container::Ts,
        codecs: None,
        size: None,
        bandwidth: None,
        group: None,
        playlist: Some(url.clone()),
        target: None,
        init: None,
        segments: Vec::new(),
    }
}

/// The folder that a playlist lies in, or its file name when it lies in none.
fn name(url: &Url) -> String {
    let mut parts = url.path_segments().into_iter().flatten().rev();
    let file = parts.next().unwrap_or_default();
    match parts.next() {
        Some(folder) if !folder.is_empty() && !folder.starts_with('~') => folder.to_owned(),
        _ => file
            .rsplit_once('.')
            .map_or(file, |(stem, _)| stem)
            .to_owned(),
    }
}

/// When two renditions would bear one name, their files' names tell them apart.
fn make_unique(renditions: &mut [Rendition]) {
    let ids: Vec<String> = renditions.iter().map(|one| one.id.clone()).collect();
    for (index, rendition) in renditions.iter_mut().enumerate() {
        if ids.iter().filter(|id| **id == rendition.id).count() > 1 {
            let file = rendition.playlist.as_ref().and_then(|url| {
                let file = url.path_segments()?.next_back()?;
                Some(file.trim_end_matches(".m3u8").to_owned())
            });
            rendition.id = file.unwrap_or_else(|| format!("{}-{index}", rendition.id));
        }
    }
}

fn fill(playlist: &MediaPlaylist, url: &Url, rendition: &mut Rendition, faults: &mut Vec<String>) {
    check_tags(playlist, faults);
    rendition.target = Some(seconds(playlist.target_duration));
    let mut map: Option<&str> = None;
    let mut key: Option<&Key> = None;
    for (index, segment) in playlist.segments.iter().enumerate() {
        if let Some(next) = segment.map.as_ref() {
            if next.byte_range.is_some() || map.is_some_and(|map| map != next.uri) {
                faults.push(format!("changes its EXT-X-MAP, or cuts it by bytes, at segment {}, which this player does not follow", index + 1));
            }
            map = Some(&next.uri);
        }
        if segment.byte_range.is_some() {
            faults.push("cuts its segments by EXT-X-BYTERANGE, which this player does not follow: give every segment a file".to_owned());
            return;
        }
        key = segment.key.as_ref().or(key);
        let sequence = (playlist.media_sequence).saturating_add(index as u64);
        let seal = match key.map_or(Ok(None), |key| Seal::of(key, url, sequence)) {
            Ok(seal) => seal,
            Err(fault) => {
                faults.push(fault.to_owned());
                return;
            }
        };
        let Some(url) = join(url, &segment.uri, faults) else {
            continue;
        };
        rendition.segments.push(Segment {
            url,
            seconds: f64::from(segment.duration),
            tolerance: EXTINF_TOLERANCE,
            start: None,
            discontinuity: segment.discontinuity,
            seal,
        });
    }
    rendition.init = map.and_then(|uri| join(url, uri, faults));
    rendition.container = match (&rendition.init, rendition.kind) {
        (Some(_), _) => Container::Fmp4,
        (None, Kind::Text) => Container::Text,
        (None, _) => Container::Ts,
    };
    if rendition.init.is_some() && playlist.version.unwrap_or(1) < 6 {
        faults.push("uses EXT-X-MAP and says a version below 6 (RFC 8216 §7)".to_owned());
    }
}

fn check_tags(playlist: &MediaPlaylist, faults: &mut Vec<String>) {
    if !playlist.end_list {
        faults.push("has no EXT-X-ENDLIST, so players take it for a live stream".to_owned());
    }
    if playlist.segments.is_empty() {
        faults.push("lists no segment".to_owned());
    }
    if playlist.segments.len() > MAX_SEGMENTS {
        faults.push(format!("lists more than {MAX_SEGMENTS} segments"));
    }
    let target = seconds(playlist.target_duration);
    for (index, segment) in playlist.segments.iter().enumerate() {
        // RFC 8216 §4.3.3.1: rounded to the nearest integer, at most the target duration.
        if f64::from(segment.duration).round() > target {
            faults.push(format!(
                "has a target duration of {target} s and a segment {} of {} s",
                index + 1,
                segment.duration
            ));
        }
        if segment.duration <= 0.0 {
            faults.push(format!("gives segment {} no length", index + 1));
        }
    }
}

fn join(base: &Url, reference: &str, faults: &mut Vec<String>) -> Option<Url> {
    let url = base
        .join(reference)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        faults.push("refers to something that is no http address".to_owned());
    }
    url
}

fn names_picture(codecs: &str) -> bool {
    ["avc", "hvc", "hev", "av01", "vp0", "dvh"]
        .iter()
        .any(|start| codecs.split(',').any(|one| one.trim().starts_with(start)))
}

/// The codecs of a list that are not of a picture.
fn sound_of(codecs: &str) -> String {
    let sound: Vec<&str> = codecs
        .split(',')
        .map(str::trim)
        .filter(|one| !names_picture(one))
        .collect();
    sound.join(",")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a target duration is far below 2^52 seconds, or nonsense in any case"
)]
fn seconds(whole: u64) -> f64 {
    whole as f64
}

/// An EXTINF may be rounded to milliseconds.
const EXTINF_TOLERANCE: f64 = 0.0015;
