//! AV1: the codec configuration record (AV1 Codec ISO Media File Format Binding §2.3) and the codec's name (§5).

use crate::{
    Error,
    bytes::Reader,
    codec::{Colour, colour::BT709},
};

/// An `AV1CodecConfigurationRecord` and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    record: Vec<u8>,
    profile: u8,
    level: u8,
    high_tier: bool,
    bit_depth: u8,
    monochrome: bool,
    /// Halved across, halved down, and where the samples lie.
    chroma: [u8; 3],
}

impl Config {
    /// Parses the body of an `av1C` box.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is cut short, [`Error::Unsupported`] for one of another version or of absurd size.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        if record.len() > MAX_RECORD {
            return Err(Error::Unsupported("its av1C box is larger than 4 KiB"));
        }
        let mut reader = Reader::new("av1C", record);
        if reader.u8()? != MARKER_AND_VERSION {
            return Err(Error::Unsupported("its av1C box is of an unknown version"));
        }
        let (profile, format) = (reader.u8()?, reader.u8()?);
        reader.skip(1)?; // the initial presentation delay; OBUs follow
        let bit = |at: u8| format >> at & 1;
        let chroma = match (bit(3), bit(2)) {
            (1, 1) => [1, 1, format & 0b11],
            (across, down) => [across, down, 0],
        };
        Ok(Self {
            record: record.to_vec(),
            profile: profile >> 5,
            level: profile & 0b1_1111,
            high_tier: bit(7) == 1,
            bit_depth: match (bit(6), bit(5)) {
                (0, _) => 8,
                (_, 0) => 10,
                (_, _) => 12,
            },
            monochrome: bit(4) == 1,
            chroma,
        })
    }

    /// The record as it stands in an `av1C` box.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// The codec's name, for instance `av01.0.04M.08`; longer where colours or their sampling are not the default.
    #[must_use]
    pub fn codec(&self, colour: Option<Colour>) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        let (profile, level, depth) = (self.profile, self.level, self.bit_depth);
        let short = format!("av01.{profile}.{level:02}{tier}.{depth:02}");
        let colour = colour.unwrap_or(BT709);
        if colour == BT709 && !self.monochrome && self.chroma == [1, 1, 0] {
            return short;
        }
        let Colour {
            primaries,
            transfer,
            matrix,
            full_range,
        } = colour;
        let [across, down, place] = self.chroma;
        let (monochrome, full_range) = (u8::from(self.monochrome), u8::from(full_range));
        format!(
            "{short}.{monochrome}.{across}{down}{place}.{primaries:02}.{transfer:02}.{matrix:02}.{full_range}"
        )
    }
}

const MARKER_AND_VERSION: u8 = 0x81;
const MAX_RECORD: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(record: &[u8], colour: Option<[u16; 3]>) -> String {
        let colour = colour.map(|[primaries, transfer, matrix]| Colour {
            primaries,
            transfer,
            matrix,
            full_range: false,
        });
        Config::parse(record).unwrap().codec(colour)
    }

    /// The heads of records that SVT-AV1 wrote, 8 and 10 bits a sample.
    const BITS_8: [u8; 6] = [0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0a];
    const BITS_10: [u8; 6] = [0x81, 0x00, 0x4c, 0x00, 0x0a, 0x0d];

    #[test]
    fn codecs_are_named_as_shaka_packager_names_them() {
        assert_eq!(named(&BITS_8, None), "av01.0.00M.08");
        assert_eq!(
            named(&BITS_10, Some([9, 16, 9])),
            "av01.0.00M.10.0.110.09.16.09.0"
        );
        // It writes the defaults out: av01.0.00M.08.0.110.01.01.01.0, which means the same.
        assert_eq!(named(&BITS_8, Some([1, 1, 1])), "av01.0.00M.08");
    }

    #[test]
    fn tier_level_depth_and_sampling_are_read() {
        // Professional profile, level 5.1, high tier, 12 bits, 4:2:2
        let name = named(&[0x81, 0x4d, 0xe8, 0], None);
        assert_eq!(name, "av01.2.13H.12.0.100.01.01.01.0");
        let grey = named(&[0x81, 0x04, 0x1e, 0], None);
        assert_eq!(grey, "av01.0.04M.08.1.112.01.01.01.0");
    }

    #[test]
    fn short_empty_and_foreign_records_are_refused() {
        for end in 0..4 {
            assert!(Config::parse(&BITS_8[..end]).is_err(), "cut at {end}");
        }
        assert!(Config::parse(&[0x82, 0, 0x0c, 0]).is_err());
        assert!(Config::parse(&[0x81; MAX_RECORD + 1]).is_err());
    }
}
