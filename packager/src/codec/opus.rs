//! Opus: the decoder's configuration (Encapsulation of Opus in ISO Base Media File Format §4.3.2).

use crate::{Error, bytes::Reader};

/// An `OpusSpecificBox` and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    record: Vec<u8>,
    channels: u8,
    mapping_family: u8,
    pre_skip: u16,
}

impl Config {
    /// Parses the body of a `dOps` box.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is cut short or names no channel, [`Error::Unsupported`] for one of another version
    /// or of absurd size.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        if record.len() > MAX_RECORD {
            return Err(Error::Unsupported("its dOps box is larger than 1 KiB"));
        }
        let mut reader = Reader::new("dOps", record);
        if reader.u8()? != 0 {
            return Err(Error::Unsupported("its dOps box is of an unknown version"));
        }
        let (channels, pre_skip) = (reader.u8()?, reader.u16()?);
        reader.skip(6)?; // the input's rate and the gain
        let mapping_family = reader.u8()?;
        if channels == 0 || (mapping_family == 0 && channels > 2) {
            return Err(reader.corrupt());
        }
        if mapping_family != 0 {
            reader.skip(2 + usize::from(channels))?; // streams, and which channel is in which
        }
        Ok(Self {
            record: record.to_vec(),
            channels,
            mapping_family,
            pre_skip,
        })
    }

    /// The record as it stands in a `dOps` box.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// Speakers, the low-frequency one included.
    #[must_use]
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// Samples that a decoder drops before the first one that is heard, at 48 kHz.
    #[must_use]
    pub fn pre_skip(&self) -> u16 {
        self.pre_skip
    }

    /// The layout of the speakers by its index in ISO/IEC 23091-3; none for quadrophony, ambisonics and the like.
    #[must_use]
    pub fn channel_configuration(&self) -> Option<u8> {
        match (self.mapping_family, self.channels) {
            (0 | 1, channels @ (1..=3 | 5 | 6)) => Some(channels),
            (1, 7) => Some(11), // 6.1
            (1, 8) => Some(12), // 7.1, the additional ones behind
            _ => None,
        }
    }
}

/// What every Opus decoder gives.
pub(crate) const SAMPLE_RATE: u32 = 48_000;
const MAX_RECORD: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Records that libopus by way of ffmpeg wrote.
    const STEREO: [u8; 11] = [0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0];
    const SURROUND: [u8; 19] = [
        0, 6, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5,
    ];

    #[test]
    fn channels_and_pre_skip_are_read() {
        let config = Config::parse(&STEREO).unwrap();
        assert_eq!((config.channels(), config.pre_skip()), (2, 312));
        assert_eq!(config.channel_configuration(), Some(2));
        let config = Config::parse(&SURROUND).unwrap();
        assert_eq!(
            (config.channels(), config.channel_configuration()),
            (6, Some(6))
        );
    }

    #[test]
    fn short_foreign_and_contradictory_records_are_refused() {
        for whole in [&STEREO[..], &SURROUND] {
            for end in 0..whole.len() {
                assert!(Config::parse(&whole[..end]).is_err(), "cut at {end}");
            }
        }
        for (at, value) in [(0, 1), (1, 0), (1, 3)] {
            let mut record = STEREO;
            record[at] = value;
            assert!(Config::parse(&record).is_err());
        }
    }
}
