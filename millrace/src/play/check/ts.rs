//! MPEG transport streams looked into, ISO/IEC 13818-1: a second reader, which shares nothing with the packager.

use std::collections::BTreeMap;

use super::bytes::Cursor;
use super::pes::{Elementary, Timing};
use super::{Counter, Facts};

/// Reads a segment; `faults` takes predicates about it.
pub(crate) fn segment(data: &[u8], faults: &mut Vec<String>) -> Option<Facts> {
    if data.is_empty() {
        faults.push("is empty".to_owned());
        return None;
    }
    if !data.len().is_multiple_of(PACKET) {
        faults.push(format!(
            "has {} bytes, which is no whole number of {PACKET}-byte packets",
            data.len()
        ));
    }
    let mut reading = Reading {
        faults,
        counters: BTreeMap::new(),
        pmt_pid: None,
        clock_pid: None,
        first_clock: None,
        streams: BTreeMap::new(),
        orphans: 0,
    };
    for (number, packet) in data.chunks_exact(PACKET).enumerate() {
        if packet.first() != Some(&0x47) {
            reading.faults.push(format!(
                "has no sync byte at packet {number}, byte {}",
                number * PACKET
            ));
            return None;
        }
        if reading.packet(packet).is_none() {
            reading.faults.push(format!("has a broken packet {number}"));
            return None;
        }
    }
    reading.finish()
}

struct Reading<'a> {
    faults: &'a mut Vec<String>,
    counters: BTreeMap<u16, Counter>,
    pmt_pid: Option<u16>,
    clock_pid: Option<u16>,
    first_clock: Option<i64>,
    streams: BTreeMap<u16, Elementary>,
    orphans: usize,
}

impl Reading<'_> {
    fn packet(&mut self, packet: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(packet);
        cursor.skip(1)?;
        let word = cursor.u16()?;
        let control = cursor.u8()?;
        let (begins, pid) = (word & 0x4000 != 0, word & 0x1fff);
        if pid == NULL_PID {
            return Some(());
        }
        if word & 0x8000 != 0 {
            self.faults
                .push(format!("marks a packet of PID {pid} as damaged"));
        }
        let mut breaks = false;
        if control & 0x20 != 0 {
            let length = usize::from(cursor.u8()?);
            breaks = self.adaptation(cursor.take(length)?, pid)?;
        }
        if control & 0x10 == 0 {
            return Some(());
        }
        let repeated = self.count(pid, control & 0xf, breaks);
        if repeated {
            return Some(());
        }
        if pid == PAT_PID {
            self.pat(cursor.rest(), begins);
        } else if Some(pid) == self.pmt_pid {
            self.pmt(cursor.rest(), begins);
        } else if let Some(stream) = self.streams.get_mut(&pid) {
            stream.packet(cursor.rest(), begins, self.faults);
        } else if self.streams.is_empty() && pid > LAST_TABLE_PID {
            self.orphans += 1;
        }
        Some(())
    }

    /// §2.4.3.4; says whether a discontinuity is announced.
    fn adaptation(&mut self, field: &[u8], pid: u16) -> Option<bool> {
        let mut cursor = Cursor::new(field);
        let Some(flags) = cursor.u8() else {
            return Some(false);
        };
        if flags & 0x10 != 0 {
            let base = (i64::from(cursor.u32()?) << 1) | i64::from(cursor.u16()? >> 15);
            if self.first_clock.is_none() && self.clock_pid == Some(pid) {
                self.first_clock = Some(base);
            }
        }
        Some(flags & 0x80 != 0)
    }

    /// §2.4.3.3; says whether the packet repeats the one before it.
    fn count(&mut self, pid: u16, value: u8, breaks: bool) -> bool {
        let Some(counter) = self.counters.get_mut(&pid) else {
            let fresh = Counter {
                first: value,
                breaks,
                last: value,
                repeated: false,
            };
            self.counters.insert(pid, fresh);
            return false;
        };
        if value == counter.last && !counter.repeated && !breaks {
            counter.repeated = true;
            return true;
        }
        let expected = (counter.last + 1) & 0xf;
        if value != expected && !breaks {
            self.faults.push(format!(
                "has a continuity counter of {value} on PID {pid} where {expected} follows"
            ));
        }
        counter.last = value;
        counter.repeated = false;
        false
    }

    fn pat(&mut self, payload: &[u8], begins: bool) {
        let Some(section) = self.section(payload, begins, 0x00, "program association table") else {
            return;
        };
        let programs = section.chunks_exact(4).filter_map(|entry| {
            let mut cursor = Cursor::new(entry);
            Some((cursor.u16()?, cursor.u16()? & 0x1fff))
        });
        let programs: Vec<u16> = programs
            .filter(|(number, _)| *number != 0)
            .map(|(_, pid)| pid)
            .collect();
        match programs.as_slice() {
            [pid] => self.pmt_pid = Some(*pid),
            _ => self.faults.push(format!(
                "has {} programs where one belongs (RFC 8216 §3.2)",
                programs.len()
            )),
        }
    }

    fn pmt(&mut self, payload: &[u8], begins: bool) {
        if let Some(section) = self.section(payload, begins, 0x02, "program map table")
            && self.read_pmt(section).is_none()
        {
            self.faults
                .push("has a program map table that cannot be read".to_owned());
        }
    }

    fn read_pmt(&mut self, section: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(section);
        self.clock_pid = Some(cursor.u16()? & 0x1fff);
        let descriptors = usize::from(cursor.u16()? & 0x0fff);
        cursor.skip(descriptors)?;
        while !cursor.rest().is_empty() {
            let kind = cursor.u8()?;
            let pid = cursor.u16()? & 0x1fff;
            let descriptors = usize::from(cursor.u16()? & 0x0fff);
            cursor.skip(descriptors)?;
            self.streams
                .entry(pid)
                .or_insert_with(|| Elementary::new(pid, kind));
        }
        Some(())
    }

    /// The content of a section in one packet, between its header and its CRC (§2.4.4).
    fn section<'b>(
        &mut self,
        payload: &'b [u8],
        begins: bool,
        table: u8,
        name: &str,
    ) -> Option<&'b [u8]> {
        let whole = begins.then(|| whole_section(payload)).flatten();
        let Some(whole) = whole.filter(|whole| whole.first() == Some(&table)) else {
            self.faults.push(format!(
                "has a {name} that does not lie whole in one packet"
            ));
            return None;
        };
        if crc(whole) != 0 {
            self.faults.push(format!("has a {name} with a wrong CRC"));
            return None;
        }
        whole.get(8..whole.len().checked_sub(4)?)
    }

    fn finish(mut self) -> Option<Facts> {
        if self.pmt_pid.is_none() || self.streams.is_empty() {
            self.faults
                .push("has no program map table with a stream".to_owned());
            return None;
        }
        if self.orphans > 0 {
            self.faults.push(format!(
                "does not begin with its program tables: {} packets of media come before them",
                self.orphans
            ));
        }
        let mut facts = Facts {
            counters: self.counters,
            ..Facts::default()
        };
        let mut first_shown = i64::MAX;
        for (pid, stream) in std::mem::take(&mut self.streams) {
            facts.codecs.extend(stream.codec());
            match stream.finish(self.faults) {
                Timing::Known(stream) => {
                    first_shown = first_shown.min(stream.start);
                    facts.streams.push(stream);
                }
                Timing::Unknown => {}
                Timing::Missing => self.faults.push(format!(
                    "announces a stream on PID {pid} and has no timed packet of it"
                )),
            }
        }
        match self.first_clock {
            None => self
                .faults
                .push("has no clock reference (PCR) on the PID it announces".to_owned()),
            // Half the range away means that one of the two has wrapped.
            Some(clock) if clock > first_shown && clock - first_shown < WRAP / 2 => self
                .faults
                .push("has a clock reference (PCR) later than its first time stamp".to_owned()),
            Some(_) => {}
        }
        (!facts.streams.is_empty()).then_some(facts)
    }
}

fn whole_section(payload: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(payload);
    let pointer = usize::from(cursor.u8()?);
    cursor.skip(pointer)?;
    let section = cursor.rest();
    cursor.skip(1)?;
    let length = usize::from(cursor.u16()? & 0x0fff);
    section.get(..3 + length).filter(|whole| whole.len() >= 12)
}

/// The CRC of Annex A, which is 0 over a section with its own CRC.
fn crc(section: &[u8]) -> u32 {
    section.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            let carry = if crc & 0x8000_0000 != 0 {
                0x04c1_1db7
            } else {
                0
            };
            (crc << 1) ^ carry
        })
    })
}

/// How long a packet is.
const PACKET: usize = 188;
const PAT_PID: u16 = 0;
/// PIDs up to here carry tables that describe a whole network.
const LAST_TABLE_PID: u16 = 0x1f;
const NULL_PID: u16 = 0x1fff;
/// Time stamps have 33 bits.
pub(super) const WRAP: i64 = 1 << 33;
