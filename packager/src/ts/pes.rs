//! PES packets (ISO/IEC 13818-1 §2.4.3.6) and the clock that stamps them.

use crate::{
    Error,
    index::{Event, Index, Sample},
    ts::packet::MASK_33,
};

/// Turns a rendition's ticks into 90 kHz.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    timescale: u64,
    reorder: u64,
}

impl Clock {
    pub(super) fn of(index: &Index) -> Result<Self, Error> {
        let timescale = u64::from(index.track().timescale);
        if index.reorder() > timescale.saturating_mul(MAX_REORDER_S) {
            return Err(Error::Unsupported(
                "its pictures are reordered over more than 9 s",
            ));
        }
        Ok(Self {
            timescale,
            reorder: index.reorder(),
        })
    }

    /// Decoding runs ahead of presentation by the deepest reordering, for a stream cannot say a negative offset.
    pub(super) fn decode(&self, sample: &Sample) -> u64 {
        let ticks = sample.dts.saturating_add(BASE_S * self.timescale);
        self.scale(ticks.saturating_sub(self.reorder))
    }

    pub(super) fn present(&self, sample: &Sample) -> u64 {
        self.scale(sample.pts().saturating_add(BASE_S * self.timescale))
    }

    /// When an event happens: it has a clock of its own.
    pub(super) fn of_event(event: &Event) -> u64 {
        let clock = Self {
            timescale: u64::from(event.timescale.max(1)),
            reorder: 0,
        };
        clock.scale(event.time).saturating_add(FILM_BEGINS)
    }

    /// How many tellings of the clock there must be while a sample stands.
    pub(super) fn between(duration: u32, timescale: u32) -> u64 {
        let duration = u64::from(duration) * HZ / u64::from(timescale.max(1));
        duration.saturating_sub(1) / Self::GAP
    }

    /// Below the 100 ms that may pass between two tellings of the clock.
    pub(super) const GAP: u64 = 8100;

    /// The program clock when a sample that is decoded at `decode` arrives.
    pub(super) fn reference(decode: u64) -> u64 {
        decode.saturating_sub(AHEAD)
    }

    fn scale(self, ticks: u64) -> u64 {
        let scaled = u128::from(ticks) * u128::from(HZ) / u128::from(self.timescale);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

/// A PES packet under construction.
pub(super) struct Pes {
    bytes: Vec<u8>,
    bounded: bool,
}

impl Pes {
    pub(super) fn video(present: u64, decode: u64, buffer: Vec<u8>) -> Self {
        let mut pes = Self {
            bytes: buffer,
            bounded: false,
        };
        pes.push(&[0, 0, 1, 0xe0, 0, 0, 0x84, 0xc0, 10]);
        pes.push(&stamp(0b0011, present));
        pes.push(&stamp(0b0001, decode));
        pes
    }

    pub(super) fn audio(present: u64, buffer: Vec<u8>) -> Self {
        let mut pes = Self {
            bytes: buffer,
            bounded: true,
        };
        pes.push(&[0, 0, 1, 0xc0, 0, 0, 0x84, 0x80, 5]);
        pes.push(&stamp(0b0010, present));
        pes
    }

    /// A private stream, each packet of which begins with a unit of metadata.
    pub(super) fn metadata(present: u64, buffer: Vec<u8>) -> Self {
        let mut pes = Self {
            bytes: buffer,
            bounded: true,
        };
        pes.push(&[0, 0, 1, 0xbd, 0, 0, 0x84, 0x80, 5]);
        pes.push(&stamp(0b0010, present));
        pes
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends what `write` writes, which may change only that.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
    }

    /// Fills in the packet's length; pictures may leave it open (§2.4.3.7).
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len().saturating_sub(6);
        if self.bounded
            && let Ok(length) = u16::try_from(length)
            && let Some(place) = self.bytes.get_mut(4..6)
        {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self.bytes
    }
}

/// 33 bits in five bytes, with marker bits between.
fn stamp(prefix: u8, time: u64) -> [u8; 5] {
    let time = time & MASK_33;
    let bits = u64::from(prefix) << 36
        | (time >> 30 & 0x7) << 33
        | 1 << 32
        | (time >> 15 & 0x7fff) << 17
        | 1 << 16
        | (time & 0x7fff) << 1
        | 1;
    let [_, _, _, bytes @ ..] = bits.to_be_bytes();
    bytes
}

/// What separates NAL units.
pub(super) const START_CODE: [u8; 4] = [0, 0, 0, 1];

const HZ: u64 = 90_000;
/// When a film begins on the clock of its transport streams.
pub(crate) const FILM_BEGINS: u64 = BASE_S * HZ;
/// The film begins at 10 s, so that no timestamp is negative however deep the reordering.
const BASE_S: u64 = 10;
const MAX_REORDER_S: u64 = 9;
/// Bytes arrive 0.7 s before they are decoded.
const AHEAD: u64 = 63_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_wrap_after_33_bits() {
        let wrapped = MASK_33 + 1;
        assert_eq!(stamp(0b0010, wrapped + 5), stamp(0b0010, 5));
        assert_eq!(stamp(0b0010, MASK_33), [0x2f, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(stamp(0b0011, 0), [0x31, 0, 1, 0, 1]);
    }

    #[test]
    fn a_sound_packet_tells_its_length_and_a_picture_may_not() {
        let mut sound = Pes::audio(0, Vec::new());
        sound.push(&[7; 300]);
        let sound = sound.finish();
        let stated = u16::from_be_bytes([sound[4], sound[5]]);
        assert_eq!(usize::from(stated), sound.len() - 6);
        let picture = Pes::video(0, 0, Vec::new()).finish();
        assert_eq!(picture[4..6], [0, 0]);
    }
}
