//! What the parameter sets of H.265 say of slice headers (ITU-T H.265 §7.3.2.2, §7.3.2.3, §7.3.7).

use crate::{Error, protect::bits::Bits};

/// A sequence parameter set.
#[derive(Clone)]
pub(super) struct Sequence {
    /// Colour planes are coded as pictures of their own.
    pub(super) separate_planes: bool,
    /// ChromaArrayType is above 0.
    pub(super) chroma: bool,
    /// PicSizeInCtbsY.
    pub(super) coding_tree_blocks: u32,
    /// The bits of a picture order count.
    pub(super) order_bits: u32,
    pub(super) sample_offset: bool,
    pub(super) short_term: Vec<ReferencePictures>,
    /// Whether each long-term candidate is used; none where there are no long-term references.
    pub(super) long_term: Option<Vec<bool>>,
    pub(super) motion_prediction: bool,
}

/// A picture parameter set.
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) sequence: u32,
    pub(super) dependent_slices: bool,
    pub(super) output_flag: bool,
    pub(super) extra_bits: u32,
    pub(super) cabac_init: bool,
    /// How many references each list has, less one.
    pub(super) references: [u32; 2],
    pub(super) chroma_offsets: bool,
    pub(super) weighted: bool,
    pub(super) weighted_bi: bool,
    /// Slice headers tell where tiles or rows of blocks begin.
    pub(super) entry_points: bool,
    pub(super) filter_across: bool,
    pub(super) deblocking_override: bool,
    pub(super) deblocking_disabled: bool,
    pub(super) lists_modification: bool,
    pub(super) header_extension: bool,
    pub(super) chroma_offset_lists: bool,
}

impl Sequence {
    /// Reads a NAL unit; gives its id too.
    pub(super) fn parse(unit: &[u8]) -> Result<(u32, Self), Error> {
        let bits = &mut Bits::new("SPS", unit, 2);
        bits.skip(4)?;
        let sub_layers = bits.u(3)?;
        bits.skip(1)?;
        skip_profile(bits, sub_layers)?;
        let id = bits.ue_to(15)?;
        let format = bits.ue_to(3)?;
        let separate_planes = format == 3 && bits.flag()?;
        let (width, height) = (bits.ue_to(MAX_SIDE)?, bits.ue_to(MAX_SIDE)?);
        if bits.flag()? {
            (0..4).try_for_each(|_| bits.ue().map(drop))?;
        }
        bits.ue()?;
        bits.ue()?;
        let order_bits = bits.ue_to(12)? + 4;
        let told = if bits.flag()? { sub_layers + 1 } else { 1 };
        (0..told * 3).try_for_each(|_| bits.ue().map(drop))?;
        let smallest = bits.ue_to(3)? + 3;
        let block_bits = bits.ue_to(3)? + smallest;
        (0..4).try_for_each(|_| bits.ue().map(drop))?;
        if bits.flag()? && bits.flag()? {
            skip_scaling_lists(bits)?;
        }
        bits.skip(1)?; // asymmetric motion partitions
        let sample_offset = bits.flag()?;
        if bits.flag()? {
            bits.skip(8)?;
            bits.ue()?;
            bits.ue()?;
            bits.skip(1)?;
        }
        let short_term = short_term_sets(bits)?;
        let long_term = bits
            .flag()?
            .then(|| long_term(bits, order_bits))
            .transpose()?;
        let motion_prediction = bits.flag()?;
        let blocks = |side: u32| side.div_ceil(1 << block_bits);
        let sequence = Self {
            separate_planes,
            chroma: format != 0 && !separate_planes,
            coding_tree_blocks: blocks(width) * blocks(height),
            order_bits,
            sample_offset,
            short_term,
            long_term,
            motion_prediction,
        };
        Ok((id, sequence))
    }
}

impl Picture {
    /// Reads a NAL unit; gives its id too.
    pub(super) fn parse(unit: &[u8]) -> Result<(u32, Self), Error> {
        let bits = &mut Bits::new("PPS", unit, 2);
        let id = bits.ue_to(63)?;
        let sequence = bits.ue_to(15)?;
        let dependent_slices = bits.flag()?;
        let output_flag = bits.flag()?;
        let extra_bits = bits.u(3)?;
        bits.skip(1)?;
        let cabac_init = bits.flag()?;
        let references = [bits.ue_to(14)?, bits.ue_to(14)?];
        bits.se()?;
        bits.skip(1)?;
        let transform_skip = bits.flag()?;
        if bits.flag()? {
            bits.ue()?;
        }
        bits.se()?;
        bits.se()?;
        let chroma_offsets = bits.flag()?;
        let weighted = bits.flag()?;
        let weighted_bi = bits.flag()?;
        bits.skip(1)?;
        let entry_points = tiles(bits)?;
        let filter_across = bits.flag()?;
        let (deblocking_override, deblocking_disabled) = deblocking(bits)?;
        if bits.flag()? {
            skip_scaling_lists(bits)?;
        }
        let lists_modification = bits.flag()?;
        bits.ue()?;
        let header_extension = bits.flag()?;
        let chroma_offset_lists = extensions(bits, transform_skip)?;
        let picture = Self {
            sequence,
            dependent_slices,
            output_flag,
            extra_bits,
            cabac_init,
            references,
            chroma_offsets,
            weighted,
            weighted_bi,
            entry_points,
            filter_across,
            deblocking_override,
            deblocking_disabled,
            lists_modification,
            header_extension,
            chroma_offset_lists,
        };
        Ok((id, picture))
    }
}

/// A short-term reference picture set: pictures before (negative) and behind (positive) in output order, nearest
/// first, and whether the current picture uses each.
#[derive(Clone, Default)]
pub(super) struct ReferencePictures {
    before: References,
    behind: References,
}

impl ReferencePictures {
    /// How many of them the current picture uses.
    pub(super) fn used(&self) -> u32 {
        self.before.used() + self.behind.used()
    }
}

/// Up to 16 references, without allocation: slices may bring sets of their own.
#[derive(Clone, Copy, Default)]
struct References {
    list: [(i64, bool); 16],
    count: usize,
}

impl References {
    fn push(&mut self, bits: &Bits<'_>, delta: i64, used: bool) -> Result<(), Error> {
        let place = self
            .list
            .get_mut(self.count)
            .ok_or_else(|| bits.corrupt())?;
        *place = (delta, used);
        self.count += 1;
        Ok(())
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = (i64, bool)> + '_ {
        self.list.iter().take(self.count).copied()
    }

    fn used(&self) -> u32 {
        self.all().map(|(_, used)| u32::from(used)).sum()
    }
}

/// Whose set of references is read.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Owner {
    Sequence,
    Slice,
}

/// `st_ref_pic_set()` (§7.3.7) that follows the sets `known`.
pub(super) fn reference_pictures(
    bits: &mut Bits<'_>,
    known: &[ReferencePictures],
    owner: Owner,
) -> Result<ReferencePictures, Error> {
    if !known.is_empty() && bits.flag()? {
        // In a sequence each set is foretold from the one before it.
        let back = match owner {
            Owner::Slice => bits.ue_to(63)?,
            Owner::Sequence => 0,
        };
        let back = usize::try_from(back).map_err(|_| bits.corrupt())? + 1;
        let from = known
            .len()
            .checked_sub(back)
            .and_then(|from| known.get(from));
        return foretold(bits, from.ok_or_else(|| bits.corrupt())?);
    }
    let (before, behind) = (bits.ue_to(16)?, bits.ue_to(16)?);
    let mut set = ReferencePictures::default();
    let mut delta = 0;
    for _ in 0..before {
        delta -= i64::from(bits.ue_to(1 << 15)?) + 1;
        let used = bits.flag()?;
        set.before.push(bits, delta, used)?;
    }
    delta = 0;
    for _ in 0..behind {
        delta += i64::from(bits.ue_to(1 << 15)?) + 1;
        let used = bits.flag()?;
        set.behind.push(bits, delta, used)?;
    }
    Ok(set)
}

/// A set told by its difference from another (§7.4.8, equations 7-61 and 7-62).
fn foretold(bits: &mut Bits<'_>, from: &ReferencePictures) -> Result<ReferencePictures, Error> {
    let negative = bits.flag()?;
    let size = i64::from(bits.ue_to(1 << 15)?) + 1;
    let shift = if negative { -size } else { size };
    let mut set = ReferencePictures::default();
    // Of each picture of the other set and of the one that bears it: used, and whether it stays at all.
    let mut read = |delta: i64| -> Result<Option<(i64, bool)>, Error> {
        let used = bits.flag()?;
        let stays = used || bits.flag()?;
        Ok(stays.then_some((delta + shift, used)))
    };
    let mut before = [None; 16];
    for (place, (delta, _)) in before.iter_mut().zip(from.before.all()) {
        *place = read(delta)?;
    }
    let mut behind = [None; 16];
    for (place, (delta, _)) in behind.iter_mut().zip(from.behind.all()) {
        *place = read(delta)?;
    }
    let itself = read(0)?;
    let order = behind.iter().rev().chain([&itself]).chain(&before);
    for (delta, used) in order.flatten().filter(|(delta, _)| *delta < 0) {
        set.before.push(bits, *delta, *used)?;
    }
    let order = before.iter().rev().chain([&itself]).chain(&behind);
    for (delta, used) in order.flatten().filter(|(delta, _)| *delta > 0) {
        set.behind.push(bits, *delta, *used)?;
    }
    Ok(set)
}

fn short_term_sets(bits: &mut Bits<'_>) -> Result<Vec<ReferencePictures>, Error> {
    let mut sets = Vec::new();
    for _ in 0..bits.ue_to(64)? {
        let set = reference_pictures(bits, &sets, Owner::Sequence)?;
        sets.push(set);
    }
    Ok(sets)
}

fn long_term(bits: &mut Bits<'_>, order_bits: u32) -> Result<Vec<bool>, Error> {
    (0..bits.ue_to(32)?)
        .map(|_| {
            bits.skip(order_bits)?;
            bits.flag()
        })
        .collect()
}

/// `profile_tier_level()` (§7.3.3). Slices of other than single-layer pictures say more than is read here.
fn skip_profile(bits: &mut Bits<'_>, sub_layers: u32) -> Result<(), Error> {
    bits.skip(3)?;
    if bits.u(5)? > LAST_SINGLE_LAYER_PROFILE {
        return Err(Error::Unsupported(
            "H.265 of layered and screen content profiles cannot be encrypted",
        ));
    }
    bits.skip(PROFILE_BITS - 8 + LEVEL_BITS)?;
    if sub_layers == 0 {
        return Ok(());
    }
    let mut told = 0;
    for at in 0..8 {
        let (profile, level) = (bits.flag()?, bits.flag()?);
        if at < sub_layers {
            told += u32::from(profile) * PROFILE_BITS + u32::from(level) * LEVEL_BITS;
        }
    }
    bits.skip(told)
}

/// `scaling_list_data()` (§7.3.4)
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Result<(), Error> {
    for size in 0..4u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _ in 0..64.min(1 << (4 + (size << 1))) {
                bits.se()?;
            }
        }
    }
    Ok(())
}

/// Tiles and rows that are coded on their own: whether slice headers tell where these begin.
fn tiles(bits: &mut Bits<'_>) -> Result<bool, Error> {
    let (tiles, rows) = (bits.flag()?, bits.flag()?);
    if tiles {
        let (columns, lines) = (bits.ue_to(MAX_SIDE)?, bits.ue_to(MAX_SIDE)?);
        if !bits.flag()? {
            (0..columns + lines).try_for_each(|_| bits.ue().map(drop))?;
        }
        bits.skip(1)?;
    }
    Ok(tiles || rows)
}

/// Whether slices may override the deblocking filter, and whether it is off where they do not.
fn deblocking(bits: &mut Bits<'_>) -> Result<(bool, bool), Error> {
    if !bits.flag()? {
        return Ok((false, false));
    }
    let (may_override, disabled) = (bits.flag()?, bits.flag()?);
    if !disabled {
        bits.se()?;
        bits.se()?;
    }
    Ok((may_override, disabled))
}

/// The extensions of a picture parameter set: whether slices tell of chroma offset lists.
fn extensions(bits: &mut Bits<'_>, transform_skip: bool) -> Result<bool, Error> {
    if !bits.flag()? {
        return Ok(false);
    }
    let range = bits.flag()?;
    if bits.u(3)? != 0 {
        return Err(Error::Unsupported(
            "H.265 of layered and screen content profiles cannot be encrypted",
        ));
    }
    bits.skip(4)?;
    if !range {
        return Ok(false);
    }
    if transform_skip {
        bits.ue()?;
    }
    bits.skip(1)?;
    bits.flag()
}

/// Main, Main 10, stills, range extensions and high throughput (annex A).
const LAST_SINGLE_LAYER_PROFILE: u32 = 5;
const PROFILE_BITS: u32 = 88;
const LEVEL_BITS: u32 = 8;
/// Far above every level, and small enough for a product.
const MAX_SIDE: u32 = 1 << 16;
