//! Renditions against each other: a player switches between them, and plays two of them at once.

use super::sequence::{Fetched, MARGIN, as_f64, peak, short_of_buffer};
use super::{Facts, Stream};
use crate::play::manifest::{Bandwidth, Kind, Rendition};

/// One rendition with what was fetched of it.
#[derive(Clone, Copy)]
pub(crate) struct Played<'a> {
    pub(crate) rendition: &'a Rendition,
    pub(crate) fetched: &'a [Fetched],
}

/// Faults between renditions: the index of the rendition, and a sentence.
pub(crate) fn check(played: &[Played<'_>], seconds: Option<f64>) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    check_alignment(played, &mut faults);
    check_start(played, &mut faults);
    check_bandwidth(played, &mut faults);
    if let Some(seconds) = seconds {
        check_length(played, seconds, &mut faults);
    }
    faults
}

/// Every picture rendition has the same segments, so that a player may switch at each of them.
fn check_alignment(played: &[Played<'_>], faults: &mut Vec<(usize, String)>) {
    let mut videos = played
        .iter()
        .enumerate()
        .filter(|(_, one)| one.rendition.kind == Kind::Video);
    let Some((_, model)) = videos.next() else {
        return;
    };
    for (index, one) in videos {
        let (id, of) = (&one.rendition.id, &model.rendition.id);
        let (count, expected) = (one.fetched.len(), model.fetched.len());
        if count != expected {
            faults.push((
                index,
                format!("The rendition {id} has {count} segments where {of} has {expected}."),
            ));
        }
        let pairs = one.fetched.iter().zip(model.fetched);
        let apart = pairs.enumerate().find_map(|(number, (mine, theirs))| {
            let (mine, theirs) = (leading(mine)?, leading(theirs)?);
            let gap = apart(mine, theirs);
            (gap.abs() > ALIGNED_WITHIN).then_some((number + 1, gap))
        });
        if let Some((number, gap)) = apart {
            faults.push((
                index,
                format!("Segment {number} of the rendition {id} begins {gap:+.6} s away from that of {of}."),
            ));
        }
    }
}

/// Picture and sound begin together, within the longer of their frames.
fn check_start(played: &[Played<'_>], faults: &mut Vec<(usize, String)>) {
    let first = |one: &Played<'_>| one.fetched.first().and_then(|got| got.facts.clone());
    let firsts: Vec<Option<Facts>> = played.iter().map(first).collect();
    let picture = firsts
        .iter()
        .flatten()
        .flat_map(|facts| &facts.streams)
        .find(|stream| stream.picture);
    let Some(picture) = picture else { return };
    for (index, (facts, one)) in firsts.iter().zip(played).enumerate() {
        let streams = facts.iter().flat_map(|facts| &facts.streams);
        for sound in streams.filter(|stream| !stream.picture) {
            let gap = sound.shown_seconds() - picture.shown_seconds();
            let frame = f64::max(sound.seconds(sound.frame), picture.seconds(picture.frame));
            if gap.abs() > frame + 0.001 {
                faults.push((
                    index,
                    format!(
                        "The sound of the rendition {} begins {gap:+.3} s away from the picture, which is more than a frame.",
                        one.rendition.id
                    ),
                ));
            }
        }
    }
}

fn check_bandwidth(played: &[Played<'_>], faults: &mut Vec<(usize, String)>) {
    for (index, one) in played.iter().enumerate() {
        let id = &one.rendition.id;
        match one.rendition.bandwidth {
            Some(Bandwidth::Peak(promised)) => {
                let needed = peak(one.rendition, one.fetched) + loudest(played, one.rendition);
                if needed > as_f64(promised) * MARGIN {
                    faults.push((index, format!("The rendition {id} peaks at {needed:.0} bit/s, with its sound, where its BANDWIDTH is {promised}.")));
                }
            }
            Some(Bandwidth::Buffered {
                bits_per_s,
                buffer_s,
            }) => {
                if let Some(needed) = short_of_buffer(one.rendition, one.fetched) {
                    faults.push((index, format!("The representation {id} needs {needed:.0} bit/s for a buffer of {buffer_s} s, where its bandwidth is {bits_per_s}.")));
                }
            }
            None => {}
        }
    }
}

/// The peak of the loudest rendition that a variant may play with.
fn loudest(played: &[Played<'_>], variant: &Rendition) -> f64 {
    let sounds = played.iter().filter(|one| {
        let sound = one.rendition;
        sound.bandwidth.is_none() && sound.kind == Kind::Audio && sound.group == variant.group
    });
    sounds
        .map(|one| peak(one.rendition, one.fetched))
        .fold(0.0, f64::max)
}

/// The longest representation is as long as the MPD says.
fn check_length(played: &[Played<'_>], seconds: f64, faults: &mut Vec<(usize, String)>) {
    let lengths = played.iter().enumerate().filter_map(|(index, one)| {
        let start = leading(one.fetched.first()?)?;
        let end = leading(one.fetched.last()?)?;
        // Times of one rendition only: each has its own clock rate.
        Some((index, start.seconds(start.between(start.start, end.end))))
    });
    let longest = lengths.max_by(|one, other| one.1.total_cmp(&other.1));
    if let Some((index, longest)) = longest
        && (longest - seconds).abs() > LENGTH_WITHIN
    {
        faults.push((index, format!("The MPD says that it lasts {seconds:.3} s, and its longest representation plays {longest:.3} s.")));
    }
}

fn leading(fetched: &Fetched) -> Option<&Stream> {
    fetched.facts.as_ref()?.leading()
}

/// How many seconds later `mine` is decoded first than `theirs`.
fn apart(mine: &Stream, theirs: &Stream) -> f64 {
    if mine.scale == theirs.scale {
        return mine.seconds(theirs.between(theirs.start, mine.start));
    }
    mine.seconds(mine.start) - theirs.seconds(theirs.start)
}

/// Two clock rates may round one instant differently.
const ALIGNED_WITHIN: f64 = 0.0015;
/// What players bridge without a stall.
const LENGTH_WITHIN: f64 = 0.25;
