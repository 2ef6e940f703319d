//! A cursor over the bits of a NAL unit, which skips emulation prevention bytes and counts the raw bytes it has used.

use crate::Error;

/// Reads the fields of ITU-T H.264 §7.2 and H.265 §7.2 out of a NAL unit as it lies in a sample.
pub(super) struct Bits<'a> {
    unit: &'a [u8],
    /// The next byte to be taken up.
    at: usize,
    /// Zero bytes in a row before it.
    zeros: u8,
    current: u8,
    left: u32,
    what: &'static str,
}

impl<'a> Bits<'a> {
    /// Begins behind the first `header` bytes of a unit.
    pub(super) fn new(what: &'static str, unit: &'a [u8], header: usize) -> Self {
        Self {
            unit,
            at: header,
            zeros: 0,
            current: 0,
            left: 0,
            what,
        }
    }

    /// How many bytes of the unit have been used, in part or whole, header and emulation prevention included.
    pub(super) fn used(&self) -> usize {
        self.at
    }

    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        if self.left == 0 {
            self.take_up()?;
        }
        self.left -= 1;
        Ok(self.current >> self.left & 1 == 1)
    }

    /// An unsigned number of up to 32 bits: `u(n)`.
    pub(super) fn u(&mut self, bits: u32) -> Result<u32, Error> {
        if bits > 32 {
            return Err(self.corrupt());
        }
        (0..bits).try_fold(0u32, |value, _| Ok(value << 1 | u32::from(self.flag()?)))
    }

    pub(super) fn skip(&mut self, bits: u32) -> Result<(), Error> {
        (0..bits).try_for_each(|_| self.flag().map(drop))
    }

    /// An unsigned Exp-Golomb number: `ue(v)` (H.264 §9.1).
    pub(super) fn ue(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(self.corrupt());
            }
        }
        let rest = self.u(zeros)?;
        Ok((1u32 << zeros) - 1 + rest)
    }

    /// An unsigned Exp-Golomb number of at most `most`.
    pub(super) fn ue_to(&mut self, most: u32) -> Result<u32, Error> {
        let value = self.ue()?;
        if value > most {
            return Err(self.corrupt());
        }
        Ok(value)
    }

    /// A signed Exp-Golomb number: `se(v)` (H.264 §9.1.1).
    pub(super) fn se(&mut self) -> Result<i64, Error> {
        let code = i64::from(self.ue()?);
        let half = (code + 1) / 2;
        Ok(if code % 2 == 1 { half } else { -half })
    }

    pub(super) fn corrupt(&self) -> Error {
        Error::Corrupt {
            what: self.what,
            offset: u64::try_from(self.at).unwrap_or(u64::MAX),
        }
    }

    fn take_up(&mut self) -> Result<(), Error> {
        if self.zeros >= 2 && self.unit.get(self.at) == Some(&EMULATION_PREVENTION) {
            self.at += 1;
            self.zeros = 0;
        }
        self.current = *self.unit.get(self.at).ok_or_else(|| self.corrupt())?;
        self.at += 1;
        self.left = 8;
        self.zeros = if self.current == 0 {
            self.zeros.saturating_add(1)
        } else {
            0
        };
        Ok(())
    }
}

/// The bits that tell `count` things apart: Ceil(Log2(count)).
pub(super) fn bits_for(count: u32) -> u32 {
    count.max(1).next_power_of_two().trailing_zeros()
}

const EMULATION_PREVENTION: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_over_emulation_prevention() {
        // 1 | 010 | 011 | 1, then 00 00 03 01: sixteen zero bits and 0000 0001.
        let unit = [0x65, 0b1010_0111, 0, 0, 3, 1, 0xff];
        let mut bits = Bits::new("test", &unit, 1);
        assert_eq!(bits.ue().unwrap(), 0);
        assert_eq!(bits.ue().unwrap(), 1);
        assert_eq!(bits.se().unwrap(), -1);
        assert!(bits.flag().unwrap());
        assert_eq!(bits.u(24).unwrap(), 1);
        assert_eq!(bits.used(), 6, "the prevention byte counts");
    }

    #[test]
    fn a_number_without_end_is_an_error() {
        assert!(Bits::new("test", &[0; 9], 0).ue().is_err());
        assert!(Bits::new("test", &[0x80], 0).u(9).is_err());
        assert!(Bits::new("test", &[], 3).flag().is_err());
    }

    #[test]
    fn things_are_told_apart_by_as_few_bits_as_can_be() {
        let bits: Vec<u32> = [0, 1, 2, 3, 4, 5, 8, 9].map(bits_for).to_vec();
        assert_eq!(bits, [0, 0, 1, 2, 2, 3, 3, 4]);
    }
}
