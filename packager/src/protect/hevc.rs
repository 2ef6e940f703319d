//! How long the slice segment headers of H.265 are (ITU-T H.265 §7.3.6): what stays clear before a slice's data.

use std::collections::BTreeMap;

use crate::{
    Error,
    protect::{
        bits::{Bits, bits_for},
        hevc_sets::{Owner, Picture, ReferencePictures, Sequence, reference_pictures},
    },
};

/// The parameter sets of a stream, which say what its slice headers hold.
#[derive(Clone, Default)]
pub(super) struct Sets {
    sequences: BTreeMap<u32, Sequence>,
    pictures: BTreeMap<u32, Picture>,
}

impl Sets {
    /// Takes up a parameter set, or says how long the clear head of a NAL unit is.
    ///
    /// None means that the whole unit stays clear: it holds no slice.
    pub(super) fn clear_head(&mut self, unit: &[u8]) -> Result<Option<usize>, Error> {
        let [first, second, ..] = unit else {
            return Err(corrupt());
        };
        let kind = first >> 1 & 0b11_1111;
        let layer = (first & 1) << 5 | second >> 3;
        if layer != 0 {
            return Err(Error::Unsupported("layers of H.265 cannot be encrypted"));
        }
        match kind {
            0..=9 | 16..=21 => self.slice_header(unit, kind).map(Some),
            10..=15 | 22..=31 => Err(Error::Unsupported(
                "it holds H.265 slices of a reserved type",
            )),
            NAL_SPS => {
                let (id, sequence) = Sequence::parse(unit)?;
                self.sequences.insert(id, sequence);
                Ok(None)
            }
            NAL_PPS => {
                let (id, picture) = Picture::parse(unit)?;
                self.pictures.insert(id, picture);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The length of a slice's NAL header and slice segment header in bytes, its alignment included.
    fn slice_header(&self, unit: &[u8], kind: u8) -> Result<usize, Error> {
        let bits = &mut Bits::new("slice header", unit, NAL_HEADER);
        let first = bits.flag()?;
        if (16..=23).contains(&kind) {
            bits.skip(1)?;
        }
        let picture = self
            .pictures
            .get(&bits.ue()?)
            .ok_or_else(|| bits.corrupt())?;
        let sequence = self
            .sequences
            .get(&picture.sequence)
            .ok_or_else(|| bits.corrupt())?;
        let mut dependent = false;
        if !first {
            dependent = picture.dependent_slices && bits.flag()?;
            bits.skip(bits_for(sequence.coding_tree_blocks))?;
        }
        if !dependent {
            let idr = matches!(kind, NAL_IDR_W_RADL | NAL_IDR_N_LP);
            skip_independent(bits, sequence, picture, idr)?;
        }
        if picture.entry_points {
            let count = bits.ue()?;
            if count > 0 {
                let length = bits.ue_to(31)? + 1;
                (0..count).try_for_each(|_| bits.skip(length))?;
            }
        }
        if picture.header_extension {
            let length = bits.ue_to(256)?;
            bits.skip(length * 8)?;
        }
        bits.skip(1)?; // byte_alignment(): a one, and zeros to the end of the byte
        Ok(bits.used())
    }
}

/// `slice_type` (§7.4.7.1, table 7-7).
#[derive(Clone, Copy, PartialEq)]
enum Slice {
    B,
    P,
    I,
}

/// What only independent slice segments say.
fn skip_independent(
    bits: &mut Bits<'_>,
    sequence: &Sequence,
    picture: &Picture,
    idr: bool,
) -> Result<(), Error> {
    bits.skip(picture.extra_bits)?;
    let slice = match bits.ue_to(2)? {
        0 => Slice::B,
        1 => Slice::P,
        _ => Slice::I,
    };
    if picture.output_flag {
        bits.skip(1)?;
    }
    if sequence.separate_planes {
        bits.skip(2)?;
    }
    let (mut used_references, mut motion_prediction) = (0, false);
    if !idr {
        bits.skip(sequence.order_bits)?;
        used_references = short_term(bits, sequence)?;
        if let Some(long_term) = &sequence.long_term {
            used_references += skip_long_term(bits, long_term, sequence.order_bits)?;
        }
        motion_prediction = sequence.motion_prediction && bits.flag()?;
    }
    let mut offset_filter = false;
    if sequence.sample_offset {
        offset_filter = bits.flag()?;
        if sequence.chroma {
            offset_filter |= bits.flag()?;
        }
    }
    if slice != Slice::I {
        skip_prediction(
            bits,
            sequence,
            picture,
            slice,
            used_references,
            motion_prediction,
        )?;
    }
    bits.se()?; // quantizer
    if picture.chroma_offsets {
        bits.se()?;
        bits.se()?;
    }
    if picture.chroma_offset_lists {
        bits.skip(1)?;
    }
    let mut unfiltered = picture.deblocking_disabled;
    if picture.deblocking_override && bits.flag()? {
        unfiltered = bits.flag()?;
        if !unfiltered {
            bits.se()?;
            bits.se()?;
        }
    }
    if picture.filter_across && (offset_filter || !unfiltered) {
        bits.skip(1)?;
    }
    Ok(())
}

/// The short-term references, of the slice's own or of the sequence: how many the picture uses.
fn short_term(bits: &mut Bits<'_>, sequence: &Sequence) -> Result<u32, Error> {
    let sets = &sequence.short_term;
    if !bits.flag()? {
        return Ok(reference_pictures(bits, sets, Owner::Slice)?.used());
    }
    let count = u32::try_from(sets.len()).map_err(|_| corrupt())?;
    let at = bits.u(bits_for(count))?;
    let set = usize::try_from(at).ok().and_then(|at| sets.get(at));
    set.map(ReferencePictures::used)
        .ok_or_else(|| bits.corrupt())
}

/// The long-term references: how many the picture uses.
fn skip_long_term(bits: &mut Bits<'_>, known: &[bool], order_bits: u32) -> Result<u32, Error> {
    let candidates = u32::try_from(known.len()).map_err(|_| corrupt())?;
    let from_sequence = if candidates > 0 { bits.ue_to(32)? } else { 0 };
    let own = bits.ue_to(32)?;
    let mut used = 0;
    for at in 0..from_sequence + own {
        let is_used = if at < from_sequence {
            let place = bits.u(bits_for(candidates))?;
            let found = usize::try_from(place)
                .ok()
                .and_then(|place| known.get(place));
            *found.ok_or_else(|| bits.corrupt())?
        } else {
            bits.skip(order_bits)?;
            bits.flag()?
        };
        used += u32::from(is_used);
        if bits.flag()? {
            bits.ue()?;
        }
    }
    Ok(used)
}

/// What only slices with references say.
fn skip_prediction(
    bits: &mut Bits<'_>,
    sequence: &Sequence,
    picture: &Picture,
    slice: Slice,
    used_references: u32,
    motion_prediction: bool,
) -> Result<(), Error> {
    let lists = if slice == Slice::B { 2 } else { 1 };
    let mut references = picture.references;
    if bits.flag()? {
        for list in references.iter_mut().take(lists) {
            *list = bits.ue_to(15)?;
        }
    }
    if picture.lists_modification && used_references > 1 {
        for count in references.into_iter().take(lists) {
            if bits.flag()? {
                bits.skip(bits_for(used_references) * (count + 1))?;
            }
        }
    }
    if slice == Slice::B {
        bits.skip(1)?; // mvd_l1_zero_flag
    }
    if picture.cabac_init {
        bits.skip(1)?;
    }
    if motion_prediction {
        let from_second = slice == Slice::B && !bits.flag()?;
        let [first, second] = references;
        if (if from_second { second } else { first }) > 0 {
            bits.ue()?;
        }
    }
    let weighted = match slice {
        Slice::P => picture.weighted,
        Slice::B => picture.weighted_bi,
        Slice::I => false,
    };
    if weighted {
        skip_weights(bits, references.into_iter().take(lists), sequence.chroma)?;
    }
    bits.ue()?; // merge candidates
    Ok(())
}

/// §7.3.6.3, of one layer: no reference is the picture itself.
fn skip_weights(
    bits: &mut Bits<'_>,
    lists: impl Iterator<Item = u32>,
    chroma: bool,
) -> Result<(), Error> {
    bits.ue()?;
    if chroma {
        bits.se()?;
    }
    for count in lists {
        let mut weighted = [[false; 16]; 2];
        let [luma, colour] = &mut weighted;
        let planes = if chroma {
            &mut [luma, colour][..]
        } else {
            &mut [luma]
        };
        for plane in planes {
            for (_, flag) in (0..=count).zip(plane.iter_mut()) {
                *flag = bits.flag()?;
            }
        }
        let [luma, colour] = weighted;
        for (luma, colour) in luma.into_iter().zip(colour) {
            let numbers = if luma { 2 } else { 0 } + if colour { 4 } else { 0 };
            (0..numbers).try_for_each(|_| bits.se().map(drop))?;
        }
    }
    Ok(())
}

fn corrupt() -> Error {
    Error::Corrupt {
        what: "H.265 NAL unit",
        offset: 0,
    }
}

const NAL_HEADER: usize = 2;
const NAL_IDR_W_RADL: u8 = 19;
const NAL_IDR_N_LP: u8 = 20;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;
