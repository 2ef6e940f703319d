//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 §1.6) and the ADTS header (§1.A.2).

use crate::Error;

/// An `AudioSpecificConfig` and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    specific: Vec<u8>,
    object_type: u8,
    core_object_type: u8,
    frequency_index: u8,
    sample_rate: u32,
    channel_configuration: u8,
}

impl Config {
    /// Parses an `AudioSpecificConfig`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is cut short, [`Error::Unsupported`] for a reserved or free sampling rate or a channel layout that no index names.
    pub fn parse(specific: &[u8]) -> Result<Self, Error> {
        if specific.len() > MAX_SPECIFIC {
            return Err(Error::Unsupported(
                "its AudioSpecificConfig is larger than 64 bytes",
            ));
        }
        let mut bits = Bits {
            data: specific,
            at: 0,
        };
        let object_type = bits.object_type()?;
        let frequency_index = bits.read(4)?;
        let channel_configuration = bits.read(4)?;
        let mut sample_rate = frequency(frequency_index)?;
        let mut core_object_type = object_type;
        if matches!(object_type, AOT_SBR | AOT_PS) {
            sample_rate = frequency(bits.read(4)?)?;
            core_object_type = bits.object_type()?;
        }
        if !(1..=4).contains(&core_object_type) {
            return Err(Error::Unsupported(
                "its AAC object type cannot be carried in ADTS",
            ));
        }
        if !(1..=7).contains(&channel_configuration) {
            return Err(Error::Unsupported("its AAC channel layout has no index"));
        }
        Ok(Self {
            specific: specific.to_vec(),
            object_type,
            core_object_type,
            frequency_index,
            sample_rate,
            channel_configuration,
        })
    }

    /// The config as it stands in an `esds` box.
    #[must_use]
    pub fn specific(&self) -> &[u8] {
        &self.specific
    }

    /// The codec in the words of RFC 6381 §3.3, for instance `mp4a.40.2`.
    #[must_use]
    pub fn codec(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }

    /// The audio object type: 2 for low complexity, 5 and 29 with spectral band replication.
    #[must_use]
    pub fn object_type(&self) -> u8 {
        self.object_type
    }

    /// Samples a second that come out of the decoder.
    #[must_use]
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The layout of the speakers by its index, 1 to 7.
    #[must_use]
    pub fn channel_configuration(&self) -> u8 {
        self.channel_configuration
    }

    /// Speakers, the low-frequency one included.
    #[must_use]
    pub fn channels(&self) -> u16 {
        match self.channel_configuration {
            7 => 8,
            count => u16::from(count),
        }
    }

    /// The seven bytes that go before a frame of `length` bytes in an ADTS stream.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a frame that ADTS cannot hold (8 184 bytes is the most).
    pub fn adts_header(&self, length: usize) -> Result<[u8; ADTS_HEADER], Error> {
        let length = length
            .checked_add(ADTS_HEADER)
            .and_then(|length| u16::try_from(length).ok())
            .filter(|length| *length <= MAX_ADTS)
            .ok_or(Error::Unsupported(
                "it holds an AAC frame too large for ADTS",
            ))?;
        let [high, low] = (length << 3).to_be_bytes();
        let profile = (self.core_object_type - 1) << 6;
        let channels = self.channel_configuration;
        Ok([
            0xff,
            0xf1, // MPEG-4, no CRC
            profile | self.frequency_index << 2 | channels >> 2,
            channels << 6 | high >> 6,
            high << 2 | low >> 6,
            low << 2 & 0b1110_0000 | 0b1_1111, // buffer fullness 0x7ff: variable rate
            0b1111_1100,
        ])
    }
}

/// The size of an ADTS header without CRC.
pub const ADTS_HEADER: usize = 7;
/// What 13 bits tell, header included.
const MAX_ADTS: u16 = (1 << 13) - 1;
/// The longest frame that an ADTS stream holds, in bytes.
pub(crate) const MAX_ADTS_FRAME: u32 = 8184;

fn frequency(index: u8) -> Result<u32, Error> {
    FREQUENCIES
        .get(usize::from(index))
        .copied()
        .ok_or(Error::Unsupported("its AAC sampling rate has no index"))
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Reads up to eight bits.
    fn read(&mut self, count: usize) -> Result<u8, Error> {
        (0..count).try_fold(0u8, |value, _| Ok(value << 1 | self.bit()?))
    }

    fn bit(&mut self) -> Result<u8, Error> {
        let byte = self.data.get(self.at / 8).ok_or_else(|| Error::Corrupt {
            what: "AudioSpecificConfig",
            offset: u64::try_from(self.at / 8).unwrap_or(u64::MAX),
        })?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit)
    }

    fn object_type(&mut self) -> Result<u8, Error> {
        match self.read(5)? {
            31 => Ok(32 + self.read(6)?),
            short => Ok(short),
        }
    }
}

const AOT_SBR: u8 = 5;
const AOT_PS: u8 = 29;
/// A program element config takes some dozens of bytes; all must fit in a transport packet.
const MAX_SPECIFIC: usize = 64;
const FREQUENCIES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_complexity_stereo_at_48_khz_is_read() {
        let config = Config::parse(&[0x11, 0x90]).unwrap();
        assert_eq!((config.sample_rate(), config.channels()), (48_000, 2));
        assert_eq!(config.codec(), "mp4a.40.2");
    }

    #[test]
    fn explicit_sbr_says_the_rate_that_is_heard() {
        // object type 5, core index 7 (22050), 2 channels, extension index 4 (44100), core type 2
        let config = Config::parse(&[0x2b, 0x92, 0x08, 0x00]).unwrap();
        assert_eq!(
            (config.sample_rate(), config.codec().as_str()),
            (44_100, "mp4a.40.5")
        );
    }

    #[test]
    fn the_adts_header_counts_itself() {
        let config = Config::parse(&[0x11, 0x90]).unwrap();
        let header = config.adts_header(371).unwrap();
        let length =
            u32::from(header[3] & 3) << 11 | u32::from(header[4]) << 3 | u32::from(header[5]) >> 5;
        assert_eq!(length, 378);
        assert_eq!(header[..3], [0xff, 0xf1, 0x4c]);
        assert!(config.adts_header(MAX_ADTS_FRAME as usize).is_ok());
        assert!(config.adts_header(MAX_ADTS_FRAME as usize + 1).is_err());
    }

    #[test]
    fn free_rates_and_layouts_and_short_configs_are_refused() {
        assert!(Config::parse(&[0x17, 0x90]).is_err());
        assert!(Config::parse(&[0x11, 0x80]).is_err());
        assert!(Config::parse(&[0x11]).is_err());
    }
}
