//! Whether what came out is what should have: the last look before a film is published. Pure.

use std::time::Duration;

use contracts::asset::Kind;
use packager::index::Index;

use super::{Refusal, ladder::Ladder, probe::Facts};

/// One mezzanine as it came out.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Picture or sound.
    pub kind: Kind,
    /// What is in it.
    pub index: &'a Index,
}

/// Why it must not be published.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The film is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The encoder did not do what it was asked.
    #[error("the encoder's output is not as ordered: {0}")]
    Encoder(&'static str),
}

/// Checks the mezzanines of a film and tells its length.
///
/// Every rung has the same pictures at the same times, each as long as the others; key pictures
/// stand at every group's start; and the film is as long as its source announced, save for a
/// fiftieth or half a second.
///
/// # Errors
/// [`Fault`] says whether the film or the encoder is at fault.
pub fn check(made: &[Made<'_>], ladder: &Ladder, facts: &Facts) -> Result<Duration, Fault> {
    let mut pictures = made.iter().filter(|made| made.kind == Kind::Video);
    let first = pictures.next().ok_or(Fault::Encoder("no picture"))?.index;
    check_grid(first, ladder)?;
    for other in pictures {
        let same = |at: &Index| -> Vec<(u64, bool)> {
            at.samples()
                .iter()
                .map(|sample| (sample.dts, sample.sync))
                .collect()
        };
        check_grid(other.index, ladder)?;
        if same(first) != same(other.index) {
            return Err(Fault::Encoder("rungs differ in their pictures' times"));
        }
    }
    let picture = length(first);
    let longest = made
        .iter()
        .map(|made| length(made.index))
        .max()
        .unwrap_or(picture);
    // A container tells the length of its longest stream only.
    let readable = [
        (facts.picture.announced, picture),
        (facts.announced, longest),
    ];
    for (announced, readable) in readable {
        let announced = announced.unwrap_or_default();
        if readable + (announced / 50).max(TOLERANCE) < announced {
            return Err(Refusal::Cut {
                announced,
                readable,
            }
            .into());
        }
    }
    Ok(longest)
}

fn check_grid(index: &Index, ladder: &Ladder) -> Result<(), Fault> {
    let (gop, ticks) = (ladder.rate.gop_frames(), ladder.rate.frame_ticks());
    if index.track().timescale != ladder.rate.timescale() {
        return Err(Fault::Encoder("another clock"));
    }
    let mut place = 0;
    for sample in index.samples() {
        if sample.sync != (place == 0) {
            return Err(Fault::Encoder("a key picture off its place"));
        }
        if sample.duration != ticks {
            return Err(Fault::Encoder("a picture of another length"));
        }
        place = (place + 1) % gop;
    }
    Ok(())
}

fn length(index: &Index) -> Duration {
    let scale = u64::from(index.track().timescale.max(1));
    let (seconds, rest) = (index.end() / scale, index.end() % scale);
    Duration::from_secs(seconds) + Duration::from_micros(rest * 1_000_000 / scale)
}

const TOLERANCE: Duration = Duration::from_millis(500);
