//! One elementary stream of a transport stream: its time stamps, and how its units begin.

use super::Stream;
use super::bytes::Cursor;
use super::ts::WRAP;

/// What is gathered of one PID.
pub(super) struct Elementary {
    pid: u16,
    /// `stream_type`, ISO/IEC 13818-1 table 2-34.
    kind: u8,
    stamps: Vec<i64>,
    /// The packet being gathered: all of a sound packet, the head of the first picture.
    unit: Vec<u8>,
    /// The sound of the last finished packet, in ticks.
    sound: Option<i64>,
    checked_head: bool,
    broken_sound: bool,
    begun: bool,
}

/// When a stream of a segment plays.
pub(super) enum Timing {
    Known(Stream),
    /// A stream whose times do not matter, timed metadata for instance.
    Unknown,
    /// No time stamp at all.
    Missing,
}

impl Elementary {
    pub(super) fn new(pid: u16, kind: u8) -> Self {
        Self {
            pid,
            kind,
            stamps: Vec::new(),
            unit: Vec::new(),
            sound: None,
            checked_head: false,
            broken_sound: false,
            begun: false,
        }
    }

    /// How the codec's name begins in RFC 6381 (`hvc1` and `hev1` share one letter), where the
    /// type tells it.
    pub(super) fn codec(&self) -> Option<&'static str> {
        match self.kind {
            AVC => Some("avc"),
            HEVC => Some("h"),
            ADTS | LATM => Some("mp4a.40"),
            _ => None,
        }
    }

    fn is_picture(&self) -> bool {
        matches!(self.kind, 0x01 | 0x02 | 0x10 | AVC | HEVC)
    }

    fn is_sound(&self) -> bool {
        matches!(self.kind, 0x03 | 0x04 | ADTS | LATM | 0x81 | 0x87)
    }

    /// Takes the payload of one packet.
    pub(super) fn packet(&mut self, payload: &[u8], begins: bool, faults: &mut Vec<String>) {
        if !begins {
            if !self.begun {
                self.begun = true;
                faults.push(format!(
                    "begins in the middle of a unit on PID {}",
                    self.pid
                ));
            }
            self.gather(payload);
            return;
        }
        self.begun = true;
        self.close_unit(faults);
        let Some((stamp, content)) = read_header(payload) else {
            faults.push(format!("has a broken PES header on PID {}", self.pid));
            return;
        };
        if let Some(stamp) = stamp {
            let stamp = unwrap(stamp, self.stamps.last().copied());
            self.check_sound(stamp, faults);
            self.stamps.push(stamp);
        }
        self.gather(content);
    }

    /// The stream of the whole segment.
    pub(super) fn finish(mut self, faults: &mut Vec<String>) -> Timing {
        self.close_unit(faults);
        if !self.is_picture() && !self.is_sound() {
            return Timing::Unknown;
        }
        self.stamps.sort_unstable();
        let (Some(first), Some(last)) = (self.stamps.first(), self.stamps.last()) else {
            return Timing::Missing;
        };
        let mut steps: Vec<i64> = self
            .stamps
            .windows(2)
            .filter_map(|pair| Some(pair.last()? - pair.first()?))
            .collect();
        steps.sort_unstable();
        let frame = steps.get(steps.len() / 2).copied().unwrap_or(0);
        if self.is_picture() {
            self.check_steps(&steps, frame, faults);
        }
        let length = self.sound.unwrap_or(frame);
        let longest = steps.last().copied().unwrap_or(0);
        let slack = match (self.is_picture(), self.sound) {
            (true, _) => (frame / 2).max(longest - frame),
            // A tick lost to rounding is fine, half an AAC frame is not.
            (false, Some(_)) => 90,
            (false, None) => frame / 2,
        };
        Timing::Known(Stream {
            id: u32::from(self.pid),
            picture: self.is_picture(),
            scale: 90_000,
            start: *first,
            end: last + length,
            shown: *first,
            skipped: 0,
            frame: frame.max(1),
            slack: slack.max(1),
            wraps: true,
        })
    }

    fn gather(&mut self, bytes: &[u8]) {
        let wanted = self.kind == ADTS || (self.kind == AVC && !self.checked_head);
        if wanted && self.unit.len() + bytes.len() <= MAX_UNIT {
            self.unit.extend_from_slice(bytes);
        }
    }

    fn close_unit(&mut self, faults: &mut Vec<String>) {
        let unit = std::mem::take(&mut self.unit);
        if unit.is_empty() || self.stamps.is_empty() {
            return;
        }
        if self.kind == AVC && !self.checked_head {
            self.checked_head = true;
            let found = nal_types(&unit);
            for (kind, name) in [
                (7, "a sequence parameter set"),
                (8, "a picture parameter set"),
                (5, "an IDR picture"),
            ] {
                if !found.contains(&kind) {
                    faults.push(format!("begins with a picture without {name}"));
                }
            }
        }
        if self.kind == ADTS {
            self.sound = adts_ticks(&unit);
            if self.sound.is_none() && !self.broken_sound {
                self.broken_sound = true;
                faults.push(format!("has broken ADTS sound on PID {}", self.pid));
            }
        }
    }

    /// A sound packet begins where the one before it ends.
    fn check_sound(&self, stamp: i64, faults: &mut Vec<String>) {
        let (Some(sound), Some(last)) = (self.sound, self.stamps.last()) else {
            return;
        };
        let gap = stamp - (last + sound);
        if gap.abs() > 90 {
            faults.push(format!(
                "has a sound packet {gap} ticks of 90 kHz away from the end of the one before it, on PID {}",
                self.pid
            ));
        }
    }

    fn check_steps(&self, steps: &[i64], frame: i64, faults: &mut Vec<String>) {
        if steps.first() == Some(&0) {
            faults.push(format!(
                "has two pictures with one time stamp on PID {}",
                self.pid
            ));
        }
        if steps.last().is_some_and(|longest| *longest > 3 * frame) {
            faults.push(format!(
                "has a hole of more than three pictures on PID {}",
                self.pid
            ));
        }
    }
}

/// Time stamp, where there is one, and content of a PES packet (§2.4.3.6).
fn read_header(payload: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let mut cursor = Cursor::new(payload);
    if cursor.take(3)? != [0, 0, 1] {
        return None;
    }
    cursor.skip(4)?;
    let flags = cursor.u8()?;
    let length = usize::from(cursor.u8()?);
    let mut header = Cursor::new(cursor.take(length)?);
    let stamp = if flags & 0x80 != 0 {
        let top = i64::from((header.u8()? >> 1) & 0x7);
        let middle = i64::from(header.u16()? >> 1);
        let low = i64::from(header.u16()? >> 1);
        Some((top << 30) | (middle << 15) | low)
    } else {
        None
    };
    Some((stamp, cursor.rest()))
}

/// The value nearest to the last one among those that a 33-bit stamp may mean.
fn unwrap(stamp: i64, last: Option<i64>) -> i64 {
    match last {
        Some(last) => last + (stamp - last + WRAP / 2).rem_euclid(WRAP) - WRAP / 2,
        None => stamp,
    }
}

/// The types of the NAL units in a byte stream, ISO/IEC 14496-10 Annex B.
fn nal_types(unit: &[u8]) -> Vec<u8> {
    let starts = unit.windows(4).filter(|four| four.starts_with(&[0, 0, 1]));
    starts
        .filter_map(|four| four.last().map(|first| first & 0x1f))
        .collect()
}

/// How long the ADTS frames of a packet play, in ticks of 90 kHz; `None` when one is broken.
fn adts_ticks(unit: &[u8]) -> Option<i64> {
    let mut rest = unit;
    let mut samples = 0_i64;
    let mut rate = None;
    while !rest.is_empty() {
        let mut cursor = Cursor::new(rest);
        if cursor.u16()? & 0xfff6 != 0xfff0 {
            return None;
        }
        let index = usize::from((cursor.u8()? >> 2) & 0xf);
        rate = Some(*RATES.get(index)?);
        let length = usize::try_from((cursor.u32()? >> 13) & 0x1fff).ok()?;
        let length = if length < 7 { return None } else { length };
        let blocks = rest.get(6).map(|last| i64::from(last & 0x3) + 1)?;
        samples += 1024 * blocks;
        rest = rest.get(length..)?;
    }
    Some(samples * 90_000 / rate?)
}

const AVC: u8 = 0x1b;
const HEVC: u8 = 0x24;
const ADTS: u8 = 0x0f;
const LATM: u8 = 0x11;
/// The sampling frequencies of ISO/IEC 14496-3 table 1.18.
const RATES: [i64; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
/// How much of one unit is kept: the largest a sound packet can be, and enough of a picture.
const MAX_UNIT: usize = 1 << 17;
