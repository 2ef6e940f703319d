//! How long the slice headers of H.264 are (ITU-T H.264 §7.3.3): what stays clear before a slice's data.

use std::collections::BTreeMap;

use crate::{
    Error,
    codec::avc,
    protect::bits::{Bits, bits_for},
};

/// The parameter sets of a stream, which say what its slice headers hold.
#[derive(Clone, Default)]
pub(super) struct Sets {
    sequences: BTreeMap<u32, Sequence>,
    pictures: BTreeMap<u32, Picture>,
}

/// What a sequence parameter set says of slice headers (§7.3.2.1.1).
#[derive(Clone, Copy)]
struct Sequence {
    /// Colour planes are coded as pictures of their own.
    separate_planes: bool,
    /// ChromaArrayType is above 0.
    chroma: bool,
    frame_num_bits: u32,
    order: Order,
    frames_only: bool,
    map_units: u32,
}

/// How the order of pictures is told (§8.2.1).
#[derive(Clone, Copy)]
enum Order {
    Least { bits: u32 },
    Delta { always_zero: bool },
    Decoding,
}

/// What a picture parameter set says of slice headers (§7.3.2.2).
#[derive(Clone, Copy)]
struct Picture {
    sequence: u32,
    cabac: bool,
    bottom_order: bool,
    /// `slice_group_change_rate`, where slice groups change.
    group_change_rate: Option<u32>,
    references: [u32; 2],
    weighted: bool,
    weighted_bi: u32,
    deblocking: bool,
    redundant: bool,
}

impl Sets {
    /// Takes up a parameter set, or says how long the clear head of a NAL unit is.
    ///
    /// None means that the whole unit stays clear: it holds no slice.
    pub(super) fn clear_head(&mut self, unit: &[u8]) -> Result<Option<usize>, Error> {
        match avc::nal_type(unit) {
            NAL_SLICE | NAL_IDR => self.slice_header(unit).map(Some),
            avc::NAL_SPS => self.sequence(unit).map(|()| None),
            NAL_PPS => self.picture(unit).map(|()| None),
            // Data partitions, auxiliary pictures, layers and views.
            2..=4 | 19..=21 => Err(Error::Unsupported(
                "slices of its H.264 extensions cannot be encrypted",
            )),
            _ => Ok(None),
        }
    }

    fn sequence(&mut self, unit: &[u8]) -> Result<(), Error> {
        let bits = &mut Bits::new("SPS", unit, 1);
        let profile = bits.u(8)?;
        bits.skip(16)?;
        let id = bits.ue_to(31)?;
        let (mut separate_planes, mut chroma) = (false, true);
        if HIGH_PROFILES.contains(&profile) {
            let format = bits.ue_to(3)?;
            if format == 3 {
                separate_planes = bits.flag()?;
            }
            chroma = format != 0 && !separate_planes;
            bits.ue()?;
            bits.ue()?;
            bits.skip(1)?;
            if bits.flag()? {
                for list in 0..if format == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let frame_num_bits = bits.ue_to(12)? + 4;
        let order = order(bits)?;
        bits.ue()?; // references
        bits.skip(1)?;
        let width = bits.ue_to(MAX_MACROBLOCKS)? + 1;
        let height = bits.ue_to(MAX_MACROBLOCKS)? + 1;
        let frames_only = bits.flag()?;
        let sequence = Sequence {
            separate_planes,
            chroma,
            frame_num_bits,
            order,
            frames_only,
            map_units: width * height,
        };
        self.sequences.insert(id, sequence);
        Ok(())
    }

    fn picture(&mut self, unit: &[u8]) -> Result<(), Error> {
        let bits = &mut Bits::new("PPS", unit, 1);
        let id = bits.ue_to(255)?;
        let sequence = bits.ue_to(31)?;
        let cabac = bits.flag()?;
        let bottom_order = bits.flag()?;
        let groups = bits.ue_to(7)?;
        let group_change_rate = if groups > 0 {
            slice_groups(bits, groups)?
        } else {
            None
        };
        let references = [bits.ue_to(31)?, bits.ue_to(31)?];
        let weighted = bits.flag()?;
        let weighted_bi = bits.u(2)?;
        bits.se()?;
        bits.se()?;
        bits.se()?;
        let deblocking = bits.flag()?;
        bits.skip(1)?;
        let redundant = bits.flag()?;
        let picture = Picture {
            sequence,
            cabac,
            bottom_order,
            group_change_rate,
            references,
            weighted,
            weighted_bi,
            deblocking,
            redundant,
        };
        self.pictures.insert(id, picture);
        Ok(())
    }

    /// The length of a slice's NAL header and slice header in bytes, a last byte in part counted whole.
    fn slice_header(&self, unit: &[u8]) -> Result<usize, Error> {
        let bits = &mut Bits::new("slice header", unit, 1);
        bits.ue()?; // first macroblock
        let slice = Slice::of(bits.ue_to(9)?);
        let picture = self
            .pictures
            .get(&bits.ue()?)
            .ok_or_else(|| bits.corrupt())?;
        let sequence = self
            .sequences
            .get(&picture.sequence)
            .ok_or_else(|| bits.corrupt())?;
        if sequence.separate_planes {
            bits.skip(2)?;
        }
        bits.skip(sequence.frame_num_bits)?;
        let field = !sequence.frames_only && bits.flag()?;
        if field {
            bits.skip(1)?;
        }
        let idr = avc::nal_type(unit) == NAL_IDR;
        if idr {
            bits.ue()?;
        }
        skip_order(bits, sequence, picture, field)?;
        if picture.redundant {
            bits.ue()?;
        }
        if slice == Slice::B {
            bits.skip(1)?;
        }
        let references = references(bits, slice, picture.references)?;
        skip_modifications(bits, slice.lists())?;
        if slice.is_weighted(picture) {
            skip_weights(bits, slice, references, sequence.chroma)?;
        }
        if unit.first().is_some_and(|head| head & 0b0110_0000 != 0) {
            skip_marking(bits, idr)?;
        }
        if picture.cabac && !matches!(slice, Slice::I | Slice::Si) {
            bits.ue()?;
        }
        bits.se()?; // quantizer
        if slice == Slice::Sp {
            bits.skip(1)?;
        }
        if matches!(slice, Slice::Sp | Slice::Si) {
            bits.se()?;
        }
        if picture.deblocking && bits.ue_to(2)? != 1 {
            bits.se()?;
            bits.se()?;
        }
        if let Some(rate) = picture.group_change_rate {
            // Ceil(Log2(PicSizeInMapUnits ÷ SliceGroupChangeRate + 1)), the division exact (§7.4.3)
            bits.skip(bits_for(sequence.map_units.div_ceil(rate) + 1))?;
        }
        Ok(bits.used())
    }
}

/// `slice_type` (§7.4.3, table 7-6).
#[derive(Clone, Copy, PartialEq)]
enum Slice {
    P,
    B,
    I,
    Sp,
    Si,
}

impl Slice {
    fn of(code: u32) -> Self {
        match code % 5 {
            0 => Self::P,
            1 => Self::B,
            2 => Self::I,
            3 => Self::Sp,
            _ => Self::Si,
        }
    }

    /// How many reference lists it has.
    fn lists(self) -> usize {
        match self {
            Self::P | Self::Sp => 1,
            Self::B => 2,
            Self::I | Self::Si => 0,
        }
    }

    fn is_weighted(self, picture: &Picture) -> bool {
        match self {
            Self::P | Self::Sp => picture.weighted,
            Self::B => picture.weighted_bi == 1,
            Self::I | Self::Si => false,
        }
    }
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Result<(), Error> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

fn order(bits: &mut Bits<'_>) -> Result<Order, Error> {
    match bits.ue_to(2)? {
        0 => Ok(Order::Least {
            bits: bits.ue_to(12)? + 4,
        }),
        1 => {
            let always_zero = bits.flag()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue_to(255)? {
                bits.se()?;
            }
            Ok(Order::Delta { always_zero })
        }
        _ => Ok(Order::Decoding),
    }
}

/// Slice groups (§7.3.2.2): gives the rate of change of the types that change.
fn slice_groups(bits: &mut Bits<'_>, groups: u32) -> Result<Option<u32>, Error> {
    match bits.ue_to(6)? {
        0 => (0..=groups).try_for_each(|_| bits.ue().map(drop))?,
        2 => (0..groups * 2).try_for_each(|_| bits.ue().map(drop))?,
        3..=5 => {
            bits.skip(1)?;
            return Ok(Some(bits.ue_to(MAX_MACROBLOCKS * MAX_MACROBLOCKS)? + 1));
        }
        6 => {
            for _ in 0..=bits.ue()? {
                bits.skip(bits_for(groups + 1))?;
            }
        }
        _ => {}
    }
    Ok(None)
}

fn skip_order(
    bits: &mut Bits<'_>,
    sequence: &Sequence,
    picture: &Picture,
    field: bool,
) -> Result<(), Error> {
    let both = picture.bottom_order && !field;
    match sequence.order {
        Order::Least { bits: count } => {
            bits.skip(count)?;
            if both {
                bits.se()?;
            }
        }
        Order::Delta { always_zero: false } => {
            bits.se()?;
            if both {
                bits.se()?;
            }
        }
        Order::Delta { always_zero: true } | Order::Decoding => {}
    }
    Ok(())
}

/// How many references each list has, less one.
fn references(bits: &mut Bits<'_>, slice: Slice, default: [u32; 2]) -> Result<[u32; 2], Error> {
    let mut references = default;
    let lists = slice.lists();
    if lists > 0 && bits.flag()? {
        for list in references.iter_mut().take(lists) {
            *list = bits.ue_to(31)?;
        }
    }
    Ok(references)
}

/// §7.3.3.1
fn skip_modifications(bits: &mut Bits<'_>, lists: usize) -> Result<(), Error> {
    for _ in 0..lists {
        if !bits.flag()? {
            continue;
        }
        while bits.ue_to(3)? != 3 {
            bits.ue()?;
        }
    }
    Ok(())
}

/// §7.3.3.2
fn skip_weights(
    bits: &mut Bits<'_>,
    slice: Slice,
    references: [u32; 2],
    chroma: bool,
) -> Result<(), Error> {
    bits.ue()?;
    if chroma {
        bits.ue()?;
    }
    for count in references.into_iter().take(slice.lists()) {
        for _ in 0..=count {
            for numbers in if chroma { &[2, 4][..] } else { &[2] } {
                if bits.flag()? {
                    (0..*numbers).try_for_each(|_| bits.se().map(drop))?;
                }
            }
        }
    }
    Ok(())
}

/// §7.3.3.3
fn skip_marking(bits: &mut Bits<'_>, idr: bool) -> Result<(), Error> {
    if idr {
        return bits.skip(2);
    }
    if bits.flag()? {
        loop {
            match bits.ue_to(6)? {
                0 => break,
                3 => {
                    bits.ue()?;
                    bits.ue()?;
                }
                5 => {}
                _ => {
                    bits.ue()?;
                }
            }
        }
    }
    Ok(())
}

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_PPS: u8 = 8;
/// The profiles whose sets tell the chroma format (§7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// Far above every level, and small enough for a product.
const MAX_MACROBLOCKS: u32 = 1 << 12;
