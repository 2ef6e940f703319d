//! Which tracks of sound a film keeps, and in which language they are. Pure.

use std::{collections::HashSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::probe::{Stream, Tags};

/// One track of sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sound {
    /// Which stream of the file it is.
    pub stream: u32,
    /// How many channels it has; more than two are mixed down to two.
    pub channels: u32,
    /// Its language as a BCP 47 tag, when the file tells it.
    pub language: Option<String>,
    /// Which track of its language it is, counted from 1.
    pub turn: u32,
    /// Its name in the file, where there are several of its language.
    pub label: Option<String>,
    /// Where it announces that it ends, from the film's start.
    #[serde(default)]
    pub ends: Option<Duration>,
    /// Whether its coded form is one that every player takes: AAC-LC of one channel or two.
    #[serde(default)]
    pub as_is: bool,
}

impl Sound {
    /// The filters that make one channel or two of it, for an encoder.
    ///
    /// More than two are mixed by ITU-R BS.775: centre and surround go to both sides or their own at
    /// -3 dB, the low-frequency channel is left out, and all is lowered so that nothing clips.
    /// Of more channels than any layout has, none is known but the first two.
    #[must_use]
    pub fn filters(&self) -> String {
        let layout = if self.channels == 1 { "mono" } else { "stereo" };
        let first = if self.channels > MOST_CHANNELS {
            "pan=stereo|c0=c0|c1=c1,"
        } else {
            ""
        };
        format!("{first}aformat=sample_fmts=fltp:channel_layouts={layout}")
    }

    /// The bits a second that it is encoded with.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        if self.channels == 1 { 96_000 } else { 128_000 }
    }
}

/// The first track of each language, and the further ones: told from it by a name of their own, by what the file says
/// that they are for, or by a number. What has no name of its own and another number of channels than all before it is
/// the same sound in another form, and left out.
pub(super) fn choose(streams: &[&Stream]) -> Vec<Sound> {
    let mut sounds: Vec<Sound> = Vec::new();
    let mut seen = HashSet::new();
    for stream in streams.iter().filter(|stream| stream.channels > 0) {
        if sounds.len() == MAX_SOUNDS {
            break;
        }
        let language = stream.tags.language.as_deref().and_then(language);
        let earlier = sounds.iter().filter(|sound| sound.language == language);
        let alike: Vec<&Sound> = earlier.collect();
        let turn = u32::try_from(alike.len()).unwrap_or(u32::MAX);
        let turn = turn.saturating_add(1);
        let in_this_form = !seen.insert((language.clone(), stream.channels));
        let mut label = name(&stream.tags).or_else(|| stream.disposition.purpose());
        let is_known = label.is_none() || alike.iter().any(|sound| sound.label == label);
        if !alike.is_empty() && is_known {
            if !in_this_form {
                continue;
            }
            let known = label.as_deref().or(language.as_deref());
            label = Some(format!("{} ({turn})", known.unwrap_or("und")));
        }
        sounds.push(Sound {
            stream: stream.index,
            channels: stream.channels,
            language,
            turn,
            label,
            ends: None,
            as_is: stream.is_plain_sound(),
        });
    }
    let several: HashSet<Option<String>> = sounds
        .iter()
        .filter(|sound| sound.turn > 1)
        .map(|sound| sound.language.clone())
        .collect();
    for sound in &mut sounds {
        if !several.contains(&sound.language) {
            sound.label = None;
        }
    }
    sounds
}

/// ISO 639-2 as files carry it, to the shortest code, as BCP 47 (RFC 5646 §2.2.1) wants it.
pub(super) fn language(code: &str) -> Option<String> {
    let code = code.to_ascii_lowercase();
    let plain = matches!(code.len(), 2 | 3) && code.bytes().all(|byte| byte.is_ascii_lowercase());
    if !plain || matches!(code.as_str(), "und" | "mis" | "mul" | "zxx") {
        return None;
    }
    let short = SHORT_CODES
        .iter()
        .find(|(long, _)| long.split(' ').any(|long| long == code));
    Some(short.map_or(code, |(_, short)| (*short).to_owned()))
}

/// What a track is called, unless only the program that wrote it left its own name.
pub(super) fn name(tags: &Tags) -> Option<String> {
    let handler = tags.handler_name.as_deref().filter(|name| {
        let name = name.to_ascii_lowercase();
        !["handler", "media", "mainconcept"]
            .iter()
            .any(|usual| name.contains(usual))
    });
    let name = tags.title.as_deref().or(handler)?.trim();
    // Labels stand between quotes in playlists.
    let name: String = name
        .chars()
        .filter(|char| !char.is_control())
        .map(|char| if char == '"' { '\'' } else { char })
        .take(MAX_LABEL)
        .collect();
    (!name.is_empty()).then_some(name)
}

const MAX_SOUNDS: usize = 16;
/// The most channels of a layout that ffmpeg finds by their number.
const MOST_CHANNELS: u32 = 8;
/// The longest name of a track that is kept, in characters.
const MAX_LABEL: usize = 100;
/// ISO 639-2 codes (bibliographic and terminological) and their ISO 639-1 code.
const SHORT_CODES: [(&str, &str); 42] = [
    ("ara", "ar"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces cze", "cs"),
    ("dan", "da"),
    ("deu ger", "de"),
    ("ell gre", "el"),
    ("eng", "en"),
    ("spa", "es"),
    ("est", "et"),
    ("fas per", "fa"),
    ("fin", "fi"),
    ("fra fre", "fr"),
    ("gle", "ga"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("hye arm", "hy"),
    ("ind", "id"),
    ("isl ice", "is"),
    ("ita", "it"),
    ("jpn", "ja"),
    ("kor", "ko"),
    ("lit", "lt"),
    ("lav", "lv"),
    ("msa may", "ms"),
    ("nld dut", "nl"),
    ("nor", "no"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron rum", "ro"),
    ("rus", "ru"),
    ("slk slo", "sk"),
    ("slv", "sl"),
    ("srp", "sr"),
    ("swe", "sv"),
    ("tha", "th"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("vie", "vi"),
    ("zho chi", "zh"),
];
