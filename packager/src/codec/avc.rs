//! H.264: the decoder configuration record (ISO/IEC 14496-15 §5.3.3).

use crate::{
    Error,
    bytes::Reader,
    codec::nal::{MAX_RECORD, parameter_set},
};

/// An `AVCDecoderConfigurationRecord` and the parameter sets found in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    record: Vec<u8>,
    profile: [u8; 3],
    sps: Vec<Vec<u8>>,
    pps: Vec<Vec<u8>>,
}

impl Config {
    /// Parses the body of an `avcC` box.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that contradicts itself, [`Error::Unsupported`] for NAL lengths of other than four bytes.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        if record.len() > MAX_RECORD {
            return Err(Error::Unsupported("its avcC box is larger than 64 KiB"));
        }
        let mut reader = Reader::new("avcC", record);
        if reader.u8()? != 1 {
            return Err(Error::Unsupported("its avcC box is of an unknown version"));
        }
        let profile = [reader.u8()?, reader.u8()?, reader.u8()?];
        if reader.u8()? & 0b11 != 3 {
            return Err(Error::Unsupported("its NAL lengths are not four bytes"));
        }
        let sps_count = reader.u8()? & 0b1_1111;
        let sps = parameter_sets(&mut reader, sps_count)?;
        let pps_count = reader.u8()?;
        let pps = parameter_sets(&mut reader, pps_count)?;
        if sps.is_empty() || pps.is_empty() {
            return Err(Error::Unsupported("its avcC box holds no parameter sets"));
        }
        Ok(Self {
            record: record.to_vec(),
            profile,
            sps,
            pps,
        })
    }

    /// The record as it stands in an `avcC` box.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// The codec in the words of RFC 6381 §3.3, for instance `avc1.64001F`.
    #[must_use]
    pub fn codec(&self) -> String {
        let [profile, compatibility, level] = self.profile;
        format!("avc1.{profile:02X}{compatibility:02X}{level:02X}")
    }

    /// Sequence and picture parameter sets, in the order in which a decoder wants them.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &[u8]> {
        self.sps.iter().chain(&self.pps).map(Vec::as_slice)
    }
}

fn parameter_sets(reader: &mut Reader<'_>, count: u8) -> Result<Vec<Vec<u8>>, Error> {
    (0..count).map(|_| parameter_set(reader)).collect()
}

/// The type of a NAL unit (ITU-T H.264 §7.4.1); 0 for an empty one.
#[must_use]
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |head| head & 0b1_1111)
}

/// NAL unit type of a sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// NAL unit type of an access unit delimiter.
pub const NAL_AUD: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let mut bytes = vec![1, 0x64, 0x00, 0x1f, 0xff, 0xe1, 0, 4];
        bytes.extend([0x67, 0x64, 0x00, 0x1f, 1, 0, 3, 0x68, 0xee, 0x3c]);
        bytes
    }

    #[test]
    fn parameter_sets_and_codec_are_read_from_the_record() {
        let config = Config::parse(&record()).unwrap();
        assert_eq!(config.codec(), "avc1.64001F");
        let sets: Vec<_> = config.parameter_sets().collect();
        assert_eq!(
            sets,
            [&[0x67, 0x64, 0x00, 0x1f][..], &[0x68, 0xee, 0x3c][..]]
        );
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let whole = record();
        for end in 0..whole.len() {
            assert!(Config::parse(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}
