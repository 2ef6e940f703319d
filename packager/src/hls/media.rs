//! HLS media playlists: the segments of a picture or a sound, and its I-frames.

use std::fmt::Write;

use contracts::address::Flavour;

use crate::{
    Error,
    hls::{
        is_offered, key_tags,
        write::{head, segments},
    },
    lengths,
    presentation::{Presentation, Rendition},
    protect::{Protection, signalling::hls::KeyTag},
};

/// Writes the playlist of a rendition's segments; none in a flavour that cannot carry it.
pub(super) fn playlist(
    film: &Presentation,
    rendition: &Rendition,
    flavour: Flavour,
    protection: Option<&Protection>,
) -> Result<Option<String>, Error> {
    if !is_offered(rendition, flavour, protection) {
        return Ok(None);
    }
    let keys = key_tags(rendition, protection)?;
    let version = match flavour {
        Flavour::Cmaf => MAP,
        Flavour::Ts => FRACTIONS,
    };
    let mut out = String::new();
    let version = version.max(version_of(&keys));
    head(&mut out, version, film.target_duration(flavour));
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    initialization(&mut out, flavour, &keys);
    let lengths = lengths::of(film, rendition, flavour);
    segments(&mut out, &lengths, "segment_", flavour.extension());
    Ok(Some(out))
}

/// Writes the playlist of a rendition's I-frames (RFC 8216 §4.3.3.6); none for sound.
///
/// Its target duration is its own: RFC 8216 §6.2.4 asks for one value of the playlists of a film, except of these.
pub(super) fn iframes(
    rendition: &Rendition,
    flavour: Flavour,
    protection: Option<&Protection>,
) -> Result<Option<String>, Error> {
    if !is_offered(rendition, flavour, protection) || rendition.video().is_none() {
        return Ok(None);
    }
    let keys = key_tags(rendition, protection)?;
    let version = match flavour {
        Flavour::Cmaf => MAP_OF_IFRAMES,
        Flavour::Ts => IFRAMES,
    };
    let lengths = lengths::of_iframes(rendition);
    let mut out = String::new();
    let target = lengths::target(lengths.iter().copied());
    head(&mut out, version.max(version_of(&keys)), target);
    out.push_str("#EXT-X-I-FRAMES-ONLY\n");
    initialization(&mut out, flavour, &keys);
    segments(&mut out, &lengths, "iframe_", flavour.extension());
    Ok(Some(out))
}

/// Writes the playlist of subtitles, which are cut where the film is cut.
pub(super) fn subtitles(film: &Presentation, flavour: Flavour) -> String {
    let mut out = String::new();
    head(&mut out, FRACTIONS, film.target_duration(flavour));
    let prefix = match flavour {
        Flavour::Cmaf => "segment_",
        Flavour::Ts => "segment_ts_",
    };
    segments(&mut out, &lengths::intervals(film), prefix, ".vtt");
    out
}

/// A key holds for what stands behind it: the initialization segment, never encrypted, stands before.
fn initialization(out: &mut String, flavour: Flavour, keys: &[KeyTag]) {
    if flavour == Flavour::Cmaf {
        out.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
    }
    for key in keys {
        let _ = writeln!(out, "#EXT-X-KEY:{}", key.attributes());
    }
}

/// The version that key tags need.
fn version_of(keys: &[KeyTag]) -> u32 {
    let of = |key: &KeyTag| match key {
        key if key.key_format.is_some() || key.method != "AES-128" => KEY_FORMATS,
        key if key.iv.is_some() => IVS,
        _ => 1,
    };
    keys.iter().map(of).max().unwrap_or(1)
}

/// `IV` in `EXT-X-KEY` (RFC 8216 §7, as all below).
const IVS: u32 = 2;
/// Fractions in `EXTINF`.
const FRACTIONS: u32 = 3;
/// `EXT-X-I-FRAMES-ONLY`.
const IFRAMES: u32 = 4;
/// `KEYFORMAT` in `EXT-X-KEY`; encrypted samples came with it.
pub(super) const KEY_FORMATS: u32 = 5;
/// `EXT-X-MAP` in a playlist of I-frames.
const MAP_OF_IFRAMES: u32 = 5;
/// `EXT-X-MAP` elsewhere.
const MAP: u32 = 6;
