//! H.265: the decoder configuration record (ISO/IEC 14496-15 §8.3.3).

use std::fmt::Write;

use crate::{
    Error,
    bytes::Reader,
    codec::nal::{MAX_RECORD, parameter_set},
};

/// An `HEVCDecoderConfigurationRecord` and the parameter sets found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    record: Vec<u8>,
    profile: Profile,
    /// Video, sequence and picture parameter sets, in that order.
    sets: Vec<Vec<u8>>,
}

/// The general profile, tier and level (ITU-T H.265 §7.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Profile {
    /// Space in two bits, the high tier in one, the profile in five.
    head: u8,
    compatibility: u32,
    constraints: [u8; 6],
    level: u8,
}

impl Config {
    /// Parses the body of an `hvcC` box.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that contradicts itself, [`Error::Unsupported`] for NAL lengths of other than
    /// four bytes, and when it lacks a parameter set: a track whose sets are in band alone cannot be packed.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        if record.len() > MAX_RECORD {
            return Err(Error::Unsupported("its hvcC box is larger than 64 KiB"));
        }
        let mut reader = Reader::new("hvcC", record);
        if reader.u8()? != 1 {
            return Err(Error::Unsupported("its hvcC box is of an unknown version"));
        }
        let profile = Profile::read(&mut reader)?;
        reader.skip(8)?; // segmentation, parallelism, chroma format, bit depths, frame rate
        if reader.u8()? & 0b11 != 3 {
            return Err(Error::Unsupported("its NAL lengths are not four bytes"));
        }
        Ok(Self {
            record: record.to_vec(),
            profile,
            sets: parameter_sets(&mut reader)?,
        })
    }

    /// The record as it stands in an `hvcC` box.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// The codec in the words of ISO/IEC 14496-15 annex E, for instance `hvc1.1.6.L93.B0`.
    #[must_use]
    pub fn codec(&self) -> String {
        let Profile {
            head,
            compatibility,
            constraints,
            level,
        } = self.profile;
        let space = ["", "A", "B", "C"].get(usize::from(head >> 6)).copied();
        let tier = if head & 0x20 == 0 { 'L' } else { 'H' };
        let mut codec = format!(
            "hvc1.{}{}.{:X}.{tier}{level}",
            space.unwrap_or_default(),
            head & 0x1f,
            compatibility.reverse_bits()
        );
        let told = constraints.iter().rposition(|byte| *byte != 0);
        for byte in constraints.iter().take(told.map_or(0, |last| last + 1)) {
            let _ = write!(codec, ".{byte:X}");
        }
        codec
    }

    /// Video, sequence and picture parameter sets, in the order in which a decoder wants them.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &[u8]> {
        self.sets.iter().map(Vec::as_slice)
    }
}

impl Profile {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let head = reader.u8()?;
        let compatibility = reader.u32()?;
        let mut constraints = [0; 6];
        constraints.copy_from_slice(reader.take(6)?);
        Ok(Self {
            head,
            compatibility,
            constraints,
            level: reader.u8()?,
        })
    }
}

/// Reads the arrays of NAL units and keeps the parameter sets; SEI messages among them stay in the record.
fn parameter_sets(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let mut sets = Vec::new();
    for _ in 0..reader.u8()? {
        reader.skip(1)?; // completeness and type; each unit tells its type itself
        for _ in 0..reader.u16()? {
            sets.push(parameter_set(reader)?);
        }
    }
    sets.retain(|set| SETS.contains(&nal_type(set)));
    sets.sort_by_key(|set| nal_type(set));
    let lacks = |kind: &u8| !sets.iter().any(|set| nal_type(set) == *kind);
    if SETS.iter().any(lacks) {
        return Err(Error::Unsupported(
            "its hvcC box does not hold all of its parameter sets",
        ));
    }
    Ok(sets)
}

/// The type of a NAL unit (ITU-T H.265 §7.4.2.2); 0 for an empty one.
#[must_use]
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |head| head >> 1 & 0b11_1111)
}

/// NAL unit type of a video parameter set.
pub const NAL_VPS: u8 = 32;
/// NAL unit type of a sequence parameter set.
pub const NAL_SPS: u8 = 33;
/// NAL unit type of a picture parameter set.
pub const NAL_PPS: u8 = 34;
/// NAL unit type of an access unit delimiter.
pub const NAL_AUD: u8 = 35;

const SETS: [u8; 3] = [NAL_VPS, NAL_SPS, NAL_PPS];

#[cfg(test)]
mod tests {
    use super::*;

    const VPS: [u8; 3] = [0x40, 1, 0x0c];
    const SPS: [u8; 4] = [0x42, 1, 1, 0x60];
    const PPS: [u8; 3] = [0x44, 1, 0xc1];

    /// A record as x265 by way of ffmpeg begins it, with these arrays.
    fn record(head: &[u8; 13], arrays: &[&[u8]]) -> Vec<u8> {
        let mut bytes = head.to_vec();
        bytes.extend([0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f]);
        bytes.push(u8::try_from(arrays.len()).unwrap());
        for unit in arrays {
            bytes.extend([
                0x80 | nal_type(unit),
                0,
                1,
                0,
                u8::try_from(unit.len()).unwrap(),
            ]);
            bytes.extend(*unit);
        }
        bytes
    }

    const MAIN: [u8; 13] = [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 30];
    const HIGH_TIER: [u8; 13] = [1, 0x22, 0x20, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 153];

    #[test]
    fn codecs_are_named_as_shaka_packager_names_them() {
        for (head, codec) in [(&MAIN, "hvc1.1.6.L30.90"), (&HIGH_TIER, "hvc1.2.4.H153.90")] {
            let config = Config::parse(&record(head, &[&VPS, &SPS, &PPS])).unwrap();
            assert_eq!(config.codec(), codec);
        }
    }

    #[test]
    fn constraints_are_named_as_annex_e_names_them() {
        let head = [1, 0x41, 0x60, 0, 0, 0, 0xb0, 0, 0x0f, 0, 0, 0, 93];
        let config = Config::parse(&record(&head, &[&VPS, &SPS, &PPS])).unwrap();
        assert_eq!(config.codec(), "hvc1.A1.6.L93.B0.0.F");
        let head = [1, 1, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 93];
        let config = Config::parse(&record(&head, &[&VPS, &SPS, &PPS])).unwrap();
        assert_eq!(config.codec(), "hvc1.1.6.L93");
    }

    #[test]
    fn parameter_sets_come_in_the_order_of_decoding_without_messages() {
        let sei = [0x4e, 1, 5];
        let config = Config::parse(&record(&MAIN, &[&sei, &PPS, &SPS, &VPS])).unwrap();
        let sets: Vec<_> = config.parameter_sets().collect();
        assert_eq!(sets, [&VPS[..], &SPS[..], &PPS[..]]);
    }

    #[test]
    fn a_record_without_one_of_the_sets_is_refused() {
        for sets in [[&VPS[..], &SPS], [&VPS, &PPS], [&SPS, &PPS]] {
            let outcome = Config::parse(&record(&MAIN, &sets));
            assert!(matches!(outcome, Err(Error::Unsupported(_))));
        }
    }

    #[test]
    fn a_record_cut_anywhere_or_with_short_lengths_is_refused() {
        let mut whole = record(&MAIN, &[&VPS, &SPS, &PPS]);
        for end in 0..whole.len() {
            assert!(Config::parse(&whole[..end]).is_err(), "cut at {end}");
        }
        whole[21] = 0x0d;
        assert!(Config::parse(&whole).is_err());
    }
}
