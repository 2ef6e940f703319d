//! VP9: the codec configuration record and the codec's name (VP Codec ISO Media File Format Binding).

use crate::{
    Error,
    bytes::Reader,
    codec::{Colour, colour::BT709},
};

/// A `VPCodecConfigurationRecord` and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    record: Vec<u8>,
    profile: u8,
    level: u8,
    bit_depth: u8,
    chroma: u8,
    colour: Colour,
}

impl Config {
    /// Parses the body of a `vpcC` box, version and flags included.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is cut short, [`Error::Unsupported`] for one of another version or of absurd size.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        if record.len() > MAX_RECORD {
            return Err(Error::Unsupported("its vpcC box is larger than 256 bytes"));
        }
        let mut reader = Reader::new("vpcC", record);
        if reader.full_box()?.0 != 1 {
            return Err(Error::Unsupported("its vpcC box is of an unknown version"));
        }
        let (profile, level, format) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let mut point = || reader.u8().map(u16::from);
        let colour = Colour {
            primaries: point()?,
            transfer: point()?,
            matrix: point()?,
            full_range: format & 1 == 1,
        };
        let initialization = reader.u16()?;
        reader.skip(usize::from(initialization))?;
        Ok(Self {
            record: record.to_vec(),
            profile,
            level,
            bit_depth: format >> 4,
            chroma: format >> 1 & 0b111,
            colour,
        })
    }

    /// The record as it stands in a `vpcC` box.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// The codec's name, for instance `vp09.00.31.08`; longer where colours or their sampling are not the default.
    #[must_use]
    pub fn codec(&self) -> String {
        let (profile, level, depth, chroma) =
            (self.profile, self.level, self.bit_depth, self.chroma);
        let short = format!("vp09.{profile:02}.{level:02}.{depth:02}");
        if self.colour == BT709 && chroma == CHROMA_420 {
            return short;
        }
        let Colour {
            primaries,
            transfer,
            matrix,
            full_range,
        } = self.colour;
        let full_range = u8::from(full_range);
        format!("{short}.{chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{full_range:02}")
    }

    /// What the pictures' numbers mean; 2 stands for what nobody told.
    #[must_use]
    pub fn colour(&self) -> Colour {
        self.colour
    }
}

/// 4:2:0, chroma at the place of the upper left luma sample.
const CHROMA_420: u8 = 1;
const MAX_RECORD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// Records that libvpx by way of ffmpeg wrote.
    const UNTOLD: [u8; 12] = [1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0];
    const BT709: [u8; 12] = [1, 0, 0, 0, 0, 10, 0x82, 1, 1, 1, 0, 0];
    const FULL_444: [u8; 12] = [1, 0, 0, 0, 1, 10, 0x87, 2, 2, 2, 0, 0];
    const PQ: [u8; 12] = [1, 0, 0, 0, 2, 10, 0xa2, 9, 16, 9, 0, 0];

    #[test]
    fn codecs_are_named_as_shaka_packager_names_them() {
        for (record, codec) in [
            (UNTOLD, "vp09.00.10.08.01.02.02.02.00"),
            (FULL_444, "vp09.01.10.08.03.02.02.02.01"),
            (PQ, "vp09.02.10.10.01.09.16.09.00"),
            // It writes the defaults out: vp09.00.10.08.01.01.01.01.00, which means the same.
            (BT709, "vp09.00.10.08"),
        ] {
            assert_eq!(Config::parse(&record).unwrap().codec(), codec);
        }
    }

    #[test]
    fn short_long_and_foreign_records_are_refused() {
        for end in 0..UNTOLD.len() {
            assert!(Config::parse(&UNTOLD[..end]).is_err(), "cut at {end}");
        }
        let mut record = UNTOLD;
        record[11] = 1; // a byte of initialization data that is not there
        assert!(Config::parse(&record).is_err());
        record = UNTOLD;
        record[0] = 0;
        assert!(Config::parse(&record).is_err());
        assert!(Config::parse(&[1; MAX_RECORD + 1]).is_err());
    }
}
