//! What a player tells of a playback, within bounds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The highest number of an event: a session has five thousand at most.
pub const MOST_SEQ: u32 = 4999;
/// The latest that an event may be, in milliseconds after its session began: a week.
pub const MOST_MS: u64 = 7 * 86_400_000;
/// The longest time until the first picture, in milliseconds: an hour.
const MOST_STARTUP_MS: u64 = 3_600_000;
/// The highest bitrate, in kilobits a second.
const MOST_KBPS: u64 = 1_000_000;
/// The longest name of an edge, in bytes.
const LONGEST_EDGE: usize = 128;

/// The longest code of an error, in bytes.
const LONGEST_CODE: usize = 40;
/// What stands for codes that are not counted each.
pub const OTHER: &str = "other";

/// What happened, at a moment of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    /// Its number within the session, 0 to [`MOST_SEQ`]; a player counts up.
    #[serde(rename = "n")]
    pub seq: u32,
    /// When, in milliseconds after the session began, by the player's clock.
    #[serde(rename = "t")]
    pub at_ms: u64,
    /// What.
    #[serde(rename = "k")]
    pub kind: Kind,
    /// The bitrate that is shown from now on, in kilobits a second.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<u32>,
    /// How long the first picture took, in milliseconds.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub startup_ms: Option<u32>,
    /// The edge that the film comes from, from now on: its name, or the host of its addresses.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
    /// Of an error, by what its player knows it.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first picture was shown.
    Start,
    /// The viewer stopped the film.
    Pause,
    /// The viewer let it go on.
    Resume,
    /// It stands still and waits for media.
    RebufferStart {
        /// Because the viewer jumped.
        seek: bool,
    },
    /// It goes on.
    RebufferEnd,
    /// Another rendition is shown.
    QualityChange,
    /// Something failed.
    Error {
        /// It cannot go on.
        fatal: bool,
    },
    /// It is over.
    End {
        /// The film was seen to its end.
        completed: bool,
    },
    /// Nothing new: what was so is so still.
    Progress,
    /// It runs, whatever was before: what a player says that tells states, not changes.
    Playing,
}

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no object with `seq`, `t_ms` and `type`, or a member is of the wrong kind.
    #[error("malformed")]
    Malformed,
    /// Its `type` is none of those that there are.
    #[error("unknown-type")]
    UnknownType,
    /// A number or a text is out of its bounds.
    #[error("out-of-bounds")]
    OutOfBounds,
    /// It happened before its session began, after that ended, or has not happened yet.
    #[error("out-of-session")]
    OutOfSession,
    /// It is told too long after it happened.
    #[error("too-late")]
    TooLate,
    /// Its session is not known, or no more.
    #[error("session-not-found")]
    NoSession,
}

impl Event {
    /// Reads one from the JSON that a player sent. Members that are not known are passed over.
    ///
    /// # Errors
    /// [`Fault`] says what is wrong with it.
    pub fn read(said: &Value) -> Result<Self, Fault> {
        let word = said.get("type").and_then(Value::as_str);
        let kind = match word.ok_or(Fault::Malformed)? {
            "start" => Kind::Start,
            "pause" => Kind::Pause,
            "resume" => Kind::Resume,
            "rebuffer_start" => Kind::RebufferStart {
                seek: seek(said.get("cause"))?,
            },
            "rebuffer_end" => Kind::RebufferEnd,
            "quality_change" => Kind::QualityChange,
            "error" => Kind::Error {
                fatal: truth(said.get("fatal"), true)?,
            },
            "end" => Kind::End {
                completed: truth(said.get("completed"), false)?,
            },
            "progress" => Kind::Progress,
            _ => return Err(Fault::UnknownType),
        };
        let seq = number(said.get("seq"), u64::from(MOST_SEQ))?.ok_or(Fault::Malformed)?;
        let bitrate_kbps = number(said.get("bitrate_kbps"), MOST_KBPS)?;
        if kind == Kind::QualityChange && bitrate_kbps.is_none() {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            seq: u32::try_from(seq).map_err(|_| Fault::OutOfBounds)?,
            at_ms: number(said.get("t_ms"), MOST_MS)?.ok_or(Fault::Malformed)?,
            kind,
            bitrate_kbps: bitrate_kbps.and_then(|kbps| u32::try_from(kbps).ok()),
            startup_ms: number(said.get("startup_ms"), MOST_STARTUP_MS)?
                .and_then(|ms| u32::try_from(ms).ok()),
            edge: edge(said.get("edge"))?,
            code: match kind {
                Kind::Error { .. } => code(said.get("code"))?,
                _ => None,
            },
        })
    }
}

/// A whole number from 0 to `most`, where there is one.
fn number(said: Option<&Value>, most: u64) -> Result<Option<u64>, Fault> {
    let Some(said) = said.filter(|said| !said.is_null()) else {
        return Ok(None);
    };
    let number = said.as_number().ok_or(Fault::Malformed)?;
    let whole = number.as_u64().filter(|whole| *whole <= most);
    whole.map(Some).ok_or(Fault::OutOfBounds)
}

fn truth(said: Option<&Value>, otherwise: bool) -> Result<bool, Fault> {
    match said {
        None | Some(Value::Null) => Ok(otherwise),
        Some(Value::Bool(truth)) => Ok(*truth),
        Some(_) => Err(Fault::Malformed),
    }
}

fn seek(said: Option<&Value>) -> Result<bool, Fault> {
    match said.map(|said| said.as_str().unwrap_or_default()) {
        None | Some("stall") => Ok(false),
        Some("seek") => Ok(true),
        Some(_) => Err(Fault::Malformed),
    }
}

fn edge(said: Option<&Value>) -> Result<Option<String>, Fault> {
    match said {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => named(name).ok_or(Fault::OutOfBounds).map(Some),
        Some(_) => Err(Fault::Malformed),
    }
}

/// The code of an error. One that is no word is not worth an error's report.
fn code(said: Option<&Value>) -> Result<Option<String>, Fault> {
    match said {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(coded(text))),
        Some(Value::Number(number)) => Ok(Some(coded(&number.to_string()))),
        Some(_) => Err(Fault::Malformed),
    }
}

/// A code as it is counted: a word of so many letters, digits, `_`, `-`, `.`, `:`; else [`OTHER`].
pub(crate) fn coded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    let fits = (1..=LONGEST_CODE).contains(&text.len()) && text.bytes().all(plain);
    if fits { text } else { OTHER }.to_owned()
}

/// What may name an edge: printable ASCII, not too long.
pub(crate) fn named(name: &str) -> Option<String> {
    let fits = (1..=LONGEST_EDGE).contains(&name.len());
    (fits && name.bytes().all(|byte| byte.is_ascii_graphic())).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(said: Value) -> Result<Event, Fault> {
        Event::read(&said)
    }

    #[test]
    fn every_type_is_read_with_what_it_brings() {
        for (said, kind) in [
            (json!({"type": "start"}), Kind::Start),
            (json!({"type": "pause"}), Kind::Pause),
            (json!({"type": "resume"}), Kind::Resume),
            (
                json!({"type": "rebuffer_start"}),
                Kind::RebufferStart { seek: false },
            ),
            (
                json!({"type": "rebuffer_start", "cause": "seek"}),
                Kind::RebufferStart { seek: true },
            ),
            (json!({"type": "rebuffer_end"}), Kind::RebufferEnd),
            (
                json!({"type": "quality_change", "bitrate_kbps": 3000}),
                Kind::QualityChange,
            ),
            (json!({"type": "error"}), Kind::Error { fatal: true }),
            (
                json!({"type": "error", "fatal": false}),
                Kind::Error { fatal: false },
            ),
            (
                json!({"type": "end", "completed": true}),
                Kind::End { completed: true },
            ),
            (json!({"type": "end"}), Kind::End { completed: false }),
            (json!({"type": "progress"}), Kind::Progress),
        ] {
            let mut said = said;
            said["seq"] = json!(7);
            said["t_ms"] = json!(1234);
            said["other"] = json!(["not", "looked", "at"]);
            let event = read(said.clone()).unwrap();
            assert_eq!((event.seq, event.at_ms, event.kind), (7, 1234, kind));
            // What is remembered of it is the same.
            let kept = serde_json::to_vec(&event).unwrap();
            assert_eq!(serde_json::from_slice::<Event>(&kept).unwrap(), event);
        }
        let full = json!({"type": "start", "seq": 0, "t_ms": 0, "startup_ms": 900, "bitrate_kbps": 2500, "edge": "edge-1"});
        let event = read(full).unwrap();
        assert_eq!(
            (event.startup_ms, event.bitrate_kbps),
            (Some(900), Some(2500))
        );
        assert_eq!(event.edge.as_deref(), Some("edge-1"));
        for (said, code) in [
            (json!("MEDIA_ERR_DECODE"), "MEDIA_ERR_DECODE"),
            (json!(3016), "3016"),
            (json!("a b"), OTHER),
            (json!(""), OTHER),
            (json!("x".repeat(41)), OTHER),
        ] {
            let error = json!({"type": "error", "seq": 0, "t_ms": 0, "code": said});
            assert_eq!(read(error).unwrap().code.as_deref(), Some(code));
        }
        let other = json!({"type": "pause", "seq": 0, "t_ms": 0, "code": 1});
        assert_eq!(read(other).unwrap().code, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut event = json!({"type": "start", "seq": 0, "t_ms": 0});
        for (member, value, fault) in [
            ("type", json!("explode"), Fault::UnknownType),
            ("type", json!(1), Fault::Malformed),
            ("seq", json!(null), Fault::Malformed),
            ("seq", json!("1"), Fault::Malformed),
            ("seq", json!(5000), Fault::OutOfBounds),
            ("seq", json!(-1), Fault::OutOfBounds),
            ("seq", json!(1.5), Fault::OutOfBounds),
            ("t_ms", json!(MOST_MS + 1), Fault::OutOfBounds),
            ("t_ms", json!(1e300), Fault::OutOfBounds),
            ("startup_ms", json!(3_600_001), Fault::OutOfBounds),
            ("bitrate_kbps", json!(1_000_001), Fault::OutOfBounds),
            ("edge", json!(""), Fault::OutOfBounds),
            ("edge", json!("a\nb"), Fault::OutOfBounds),
            ("edge", json!("x".repeat(129)), Fault::OutOfBounds),
            ("edge", json!(1), Fault::Malformed),
        ] {
            let good = event[member].take();
            event[member] = value.clone();
            assert_eq!(read(event.clone()), Err(fault), "{member} {value}");
            event[member] = good;
        }
        for said in [
            json!(null),
            json!([]),
            json!("start"),
            json!({"seq": 1, "t_ms": 1}),
        ] {
            assert_eq!(read(said), Err(Fault::Malformed));
        }
        let said = json!({"type": "quality_change", "seq": 0, "t_ms": 0});
        assert_eq!(read(said), Err(Fault::Malformed));
        for (member, value) in [("fatal", json!("yes")), ("code", json!(["1"]))] {
            let said = json!({"type": "error", member: value, "seq": 0, "t_ms": 0});
            assert_eq!(read(said), Err(Fault::Malformed));
        }
    }
}
