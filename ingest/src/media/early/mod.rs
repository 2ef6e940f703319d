//! Whether a film's own picture and sounds can be served as they are, before anything is made of it. Pure.
//!
//! Addresses of segments do not name a generation, so what is shown once must stay as it was cut: the
//! source has a key picture that needs nothing before it wherever the ladder will have one.

use std::time::Duration;

use contracts::id::RenditionId;
use packager::{
    codec::{Picture, avc, nal_units},
    index::{Index, Media},
};

use super::{codec::Codec, ladder::Ladder, probe::Facts, rate::Rate};

/// What keeps a film from being shown as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub &'static str);

/// What the source becomes beside the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// This rung needs not be made: the source has its size and no more bits.
    InPlaceOf(RenditionId),
    /// It has more pixels or bits than the largest rung, which is made as well.
    Beside,
}

/// Looks at what probing told: whether it is worth a closer look.
///
/// # Errors
/// [`Unfit`].
pub fn is_worth_a_look(facts: &Facts, ladder: &Ladder) -> Result<(), Unfit> {
    let picture = &facts.picture;
    let announced = picture.announced.or(facts.announced).unwrap_or_default();
    let so = |holds: bool, else_why| holds.then_some(()).ok_or(Unfit(else_why));
    so(facts.indexed, "its container has no index")?;
    so(announced >= SHORTEST, "it is made in a moment")?;
    so(ladder.rungs.len() > 1, "its ladder has one rung")?;
    so(
        picture.as_is,
        "its picture is not one that every player takes",
    )?;
    let ends = facts.sounds.iter().filter_map(|sound| sound.ends);
    so(
        ends.map(|ends| ends.abs_diff(announced)).max() <= Some(APART),
        "its picture and its sound end apart",
    )?;
    let sounds = facts.sounds.iter().all(|sound| sound.as_is);
    so(sounds, "its sound is not one that every player takes")
}

/// Looks at its first pictures in the order of decoding, of which the key pictures are marked.
///
/// # Errors
/// [`Unfit`].
pub fn begins_on_grid(keys: &[bool], rate: Rate) -> Result<(), Unfit> {
    let gop = usize::try_from(rate.gop_frames()).unwrap_or(usize::MAX);
    let fits = !keys.is_empty() && keys.iter().step_by(gop).all(|key| *key);
    fits.then_some(()).ok_or(NO_KEY)
}

/// How many pictures [`begins_on_grid`] wants to see.
#[must_use]
pub fn looked_at(rate: Rate) -> u32 {
    rate.gop_frames().saturating_mul(8).saturating_add(1)
}

/// Looks at all pictures of the source: each has its place on the ladder's grid, and every group is shown
/// by itself. Further key pictures count no more, so that the film is cut as it will be with its ladder.
///
/// # Errors
/// [`Unfit`].
pub fn on_grid(index: &Index, rate: Rate) -> Result<Index, Unfit> {
    let gop = usize::try_from(rate.gop_frames()).unwrap_or(usize::MAX);
    let ticks = u64::from(rate.frame_ticks());
    if index.track().timescale != rate.timescale() {
        return Err(Unfit("it has another clock"));
    }
    let mut samples = index.samples().to_vec();
    let mut begin = 0;
    for group in samples.chunks_mut(gop) {
        let mut shown = vec![false; group.len()];
        for (at, sample) in group.iter_mut().enumerate() {
            if u64::from(sample.duration) != ticks {
                return Err(Unfit("its pictures are not equally long"));
            }
            if at == 0 && !sample.sync {
                return Err(NO_KEY);
            }
            let place = sample
                .dts
                .checked_add_signed(sample.cts.into())
                .and_then(|pts| pts.checked_sub(begin))
                .filter(|since| since.is_multiple_of(ticks))
                .and_then(|since| usize::try_from(since / ticks).ok());
            match place.and_then(|place| shown.get_mut(place)) {
                Some(shown) if !*shown && (at == 0) == (place == Some(0)) => *shown = true,
                _ => return Err(Unfit("its groups of pictures are not shown one by one")),
            }
            sample.sync = at == 0;
        }
        begin += ticks * u64::try_from(group.len()).unwrap_or(u64::MAX);
    }
    Index::new(index.track().clone(), samples, *index.file())
        .map_err(|_| Unfit("its times do not hold together"))
}

/// Looks at the first picture of a group: an IDR picture (ITU-T H.264 §7.4.1.2.4), and no parameter sets
/// but those that the whole film has.
///
/// # Errors
/// [`Unfit`].
pub fn is_fresh_start(index: &Index, picture: &[u8]) -> Result<(), Unfit> {
    let Media::Video(video) = &index.track().media else {
        return Err(Unfit("it is no picture"));
    };
    let Picture::Avc(config) = &video.config else {
        return Err(Unfit("it is no H.264"));
    };
    for unit in nal_units(picture) {
        let unit = unit.map_err(|_| Unfit("its pictures are damaged"))?;
        match avc::nal_type(unit) {
            NAL_IDR => return Ok(()),
            NAL_SLICE..NAL_IDR => return Err(Unfit("its key pictures need others")),
            avc::NAL_SPS | NAL_PPS if !config.parameter_sets().any(|set| set == unit) => {
                return Err(Unfit("its parameter sets change"));
            }
            _ => {}
        }
    }
    Err(Unfit("its pictures are damaged"))
}

/// Looks at a sound of the source: it begins with the film and has no holes, which encoders fill.
///
/// # Errors
/// [`Unfit`].
pub fn is_steady(sound: &Index) -> Result<(), Unfit> {
    let samples = sound.samples();
    let late = samples.first().map_or(0, |first| first.dts) > u64::from(AAC_FRAME);
    let (_, but_last) = samples.split_last().ok_or(Unfit("its sound is empty"))?;
    let steady = but_last.iter().all(|frame| frame.duration == AAC_FRAME);
    (steady && !late)
        .then_some(())
        .ok_or(Unfit("its sound has holes"))
}

/// Decides what the source is beside its ladder, by its size and its bits.
///
/// # Errors
/// [`Unfit`] where it has too many bits to be served.
pub fn stands(index: &Index, ladder: &Ladder) -> Result<Stands, Unfit> {
    let largest = ladder.largest().ok_or(Unfit("it has no ladder"))?;
    let (average, peak) = bits_per_second(index, ladder.rate);
    let within = |times: u64| {
        let bound = u64::from(largest.peak_bits) * times;
        average <= bound && peak <= bound * 2
    };
    let Media::Video(video) = &index.track().media else {
        return Err(Unfit("it is no picture"));
    };
    let size = (u32::from(video.width), u32::from(video.height));
    let others = ladder.rungs.iter().filter(|rung| rung.codec == Codec::H264);
    if within(1) && size == (largest.width, largest.height) && others.count() > 1 {
        return Ok(Stands::InPlaceOf(largest.id.clone()));
    }
    within(MOST_BITS)
        .then_some(Stands::Beside)
        .ok_or(Unfit("it has too many bits"))
}

/// The bits a second of all pictures, and of the group that has the most.
fn bits_per_second(index: &Index, rate: Rate) -> (u64, u64) {
    let gop = usize::try_from(rate.gop_frames()).unwrap_or(usize::MAX);
    let per_second = |samples: &[packager::index::Sample]| {
        let bytes: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
        let ticks: u64 = samples
            .iter()
            .map(|sample| u64::from(sample.duration))
            .sum();
        let bits = u128::from(bytes) * 8 * u128::from(rate.timescale());
        u64::try_from(bits / u128::from(ticks.max(1))).unwrap_or(u64::MAX)
    };
    let samples = index.samples();
    let peak = samples.chunks_exact(gop).map(per_second).max();
    let average = per_second(samples);
    (average, peak.unwrap_or(average))
}

/// So far picture and sound may end apart: what is served as it is is not filled up.
const APART: Duration = Duration::from_millis(100);
/// A shorter film has its ladder within moments.
const SHORTEST: Duration = Duration::from_secs(10);
/// How many times the bits of the largest rung a source may have to be served beside it.
const MOST_BITS: u64 = 4;
const NO_KEY: Unfit = Unfit("it has no key picture where a group begins");
const AAC_FRAME: u32 = 1024;
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_PPS: u8 = 8;
#[cfg(test)]
mod tests;
