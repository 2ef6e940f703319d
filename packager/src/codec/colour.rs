//! What the numbers of a picture mean as light (ISO/IEC 14496-12 §12.1.5, ITU-T H.273).

/// Code points of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// The colours of the primaries (§8.1).
    pub primaries: u16,
    /// The transfer function (§8.2).
    pub transfer: u16,
    /// How luma and chroma are derived (§8.3).
    pub matrix: u16,
    /// Whether the whole range of numbers is used.
    pub full_range: bool,
}

impl Colour {
    /// Reads the body of a `colr` box; none for one of another kind, an ICC profile for instance.
    #[must_use]
    pub fn parse(colr: &[u8]) -> Option<Self> {
        let (kind, rest) = colr.split_first_chunk::<4>()?;
        let (values, rest) = rest.split_first_chunk::<6>()?;
        let [p0, p1, t0, t1, m0, m1] = *values;
        let full_range = match kind {
            b"nclx" => rest.first()? & 0x80 != 0,
            b"nclc" => false, // QuickTime's, which has no such bit
            _ => return None,
        };
        Some(Self {
            primaries: u16::from_be_bytes([p0, p1]),
            transfer: u16::from_be_bytes([t0, t1]),
            matrix: u16::from_be_bytes([m0, m1]),
            full_range,
        })
    }
}

/// What a codec string takes for granted.
pub(super) const BT709: Colour = Colour {
    primaries: 1,
    transfer: 1,
    matrix: 1,
    full_range: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_are_read_and_profiles_are_not() {
        let nclx = [b"nclx".as_slice(), &[0, 9, 0, 16, 0, 9, 0x80]].concat();
        let colour = Colour::parse(&nclx).unwrap();
        assert_eq!((colour.primaries, colour.transfer), (9, 16));
        assert_eq!((colour.matrix, colour.full_range), (9, true));
        assert!(Colour::parse(&nclx[..10]).is_none());
        assert!(Colour::parse(&[b"prof".as_slice(), &[0; 7]].concat()).is_none());
    }
}
