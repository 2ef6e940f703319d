//! Access units in byte stream format (ITU-T H.264 annex B, H.265 annex B) and what they need of their codec.

use crate::{
    Error,
    codec::{self, avc, hevc, nal_units},
    protect::{Key, sample_aes},
    ts::pes::{Pes, START_CODE},
};

/// How a transport stream carries a codec of pictures.
pub(super) struct Carriage {
    /// Its number in the program map (ISO/IEC 13818-1 §2.4.4.9).
    pub(super) stream_type: u8,
    /// The same where samples are encrypted; none for a codec that has no such form.
    pub(super) encrypted_type: Option<u8>,
    /// An access unit delimiter, for any kind of slice.
    delimiter: &'static [u8],
    nal_type: fn(&[u8]) -> u8,
    aud: u8,
    sps: u8,
}

impl Carriage {
    /// None for a codec that has no place in a transport stream.
    pub(super) fn of(config: &codec::Picture) -> Option<&'static Self> {
        match config {
            codec::Picture::Avc(_) => Some(&AVC),
            codec::Picture::Hevc(_) => Some(&HEVC),
            codec::Picture::Av1(_) | codec::Picture::Vp9(_) => None,
        }
    }

    /// What a sample grows by beside its start codes, which take the place of lengths.
    pub(super) fn overhead(&self, config: &codec::Picture, sync: bool) -> usize {
        let sets = if sync {
            config
                .parameter_sets()
                .map(|set| set.len() + START_CODE.len())
                .sum()
        } else {
            0
        };
        START_CODE.len() + self.delimiter.len() + sets
    }

    /// Writes a sample: delimiter, parameter sets before a sync sample that has none, then its NAL units.
    pub(super) fn write(
        &self,
        config: &codec::Picture,
        sample: &[u8],
        sync: bool,
        key: Option<&Key>,
        pes: &mut Pes,
    ) -> Result<(), Error> {
        nal_unit(self.delimiter, pes);
        let is = |kind: u8| move |unit: &[u8]| (self.nal_type)(unit) == kind;
        let mut units = nal_units(sample);
        if sync && !units.any(|unit| unit.is_ok_and(is(self.sps))) {
            config.parameter_sets().for_each(|set| nal_unit(set, pes));
        }
        for unit in nal_units(sample) {
            let unit = unit?;
            match key {
                _ if is(self.aud)(unit) => {}
                None => nal_unit(unit, pes),
                Some(key) => {
                    pes.push(&START_CODE);
                    pes.append(|out| sample_aes::nal_unit(key, unit, out));
                }
            }
        }
        Ok(())
    }
}

fn nal_unit(unit: &[u8], pes: &mut Pes) {
    pes.push(&START_CODE);
    pes.push(unit);
}

const AVC: Carriage = Carriage {
    stream_type: 0x1b,
    encrypted_type: Some(0xdb),
    delimiter: &[0x09, 0xf0],
    nal_type: avc::nal_type,
    aud: avc::NAL_AUD,
    sps: avc::NAL_SPS,
};
const HEVC: Carriage = Carriage {
    stream_type: 0x24,
    encrypted_type: None,
    delimiter: &[0x46, 0x01, 0x50],
    nal_type: hevc::nal_type,
    aud: hevc::NAL_AUD,
    sps: hevc::NAL_SPS,
};
