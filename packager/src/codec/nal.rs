//! The NAL units of a sample of H.264 or H.265, each behind its length in four bytes (ISO/IEC 14496-15 §4.3.3).

use crate::{Error, bytes::Reader};

/// The NAL units of one sample, each without its length; an overrun or an empty unit is an error and the end.
pub fn nal_units(sample: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    let mut reader = Reader::new("NAL unit", sample);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || reader.rest().is_empty() {
            return None;
        }
        let unit = unit(&mut reader);
        failed = unit.is_err();
        Some(unit)
    })
}

fn unit<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = reader.u32()?;
    if length == 0 {
        return Err(reader.corrupt());
    }
    reader.take(usize::try_from(length).map_err(|_| reader.corrupt())?)
}

/// A parameter set in a decoder configuration record: a length in two bytes, and the unit.
pub(super) fn parameter_set(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    match reader.u16()? {
        0 => Err(reader.corrupt()),
        length => Ok(reader.take(usize::from(length))?.to_vec()),
    }
}

/// A record of this size holds the parameter sets of any film.
pub(super) const MAX_RECORD: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nal_unit_that_overruns_its_sample_is_an_error() {
        let sample = [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 9, 0x41];
        let units: Vec<_> = nal_units(&sample).collect();
        assert_eq!(units.len(), 2);
        assert_eq!(*units[0].as_ref().unwrap(), [0x65, 1]);
        assert!(units[1].is_err());
    }
}
