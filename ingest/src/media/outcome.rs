//! Whether what came out is what should have: the last look before a film is published. Pure.

use std::{sync::Arc, time::Duration};

use contracts::asset::{Kind, Rendition};
use packager::{Parts, Presentation, Source, index::Index};

use super::{Refusal, ladder::Ladder, probe::Facts, remux::SOURCE};

/// One mezzanine as it came out.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// What it is to be published as.
    pub rendition: &'a Rendition,
    /// What is in it.
    pub index: &'a Arc<Index>,
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
/// Every rung has the same pictures at the same times, each as long as the others, and the source's own
/// picture, where it is served, has them as far as it goes; key pictures
/// stand at every group's start; the film is as long as its source announced, save for a
/// fiftieth or half a second; and all together make a film that an origin can serve.
///
/// # Errors
/// [`Fault`] says whether the film or the encoder is at fault.
pub fn check(made: &[Made<'_>], ladder: &Ladder, facts: &Facts) -> Result<Duration, Fault> {
    let mut pictures = made
        .iter()
        .filter(|made| made.rendition.kind == Kind::Video);
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
        let (mut ours, mut theirs) = (same(first), same(other.index));
        if other.rendition.id.as_str() == SOURCE {
            // What was not made of decoded pictures may end a picture earlier or later.
            let both = ours.len().min(theirs.len());
            ours.truncate(both);
            theirs.truncate(both);
        }
        if ours != theirs {
            return Err(Fault::Encoder("rungs differ in their pictures' times"));
        }
    }
    let picture = length(first);
    let sounds = made
        .iter()
        .filter(|made| made.rendition.kind == Kind::Audio);
    let sounds: Vec<Duration> = sounds.map(|made| length(made.index)).collect();
    let longest = sounds.iter().copied().fold(picture, Duration::max);
    // What a picture or a sound was filled up with was not read: what ends the film must itself be as long.
    let last = facts.sounds.iter().zip(&sounds);
    let last = last.filter(|(sound, _)| facts.is_last(sound));
    let last = last.map(|(_, length)| *length).min();
    let readable = [
        (
            facts.picture.announced,
            picture.saturating_sub(facts.heard_after()),
        ),
        (facts.expected(), last.unwrap_or(longest)),
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
    check_film(made)?;
    Ok(longest)
}

/// Puts the film together as an origin does: what it would not serve must not be published.
fn check_film(made: &[Made<'_>]) -> Result<(), Refusal> {
    let sources = made.iter().map(|made| Source {
        id: made.rendition.id.clone(),
        language: made.rendition.language.clone(),
        label: made.rendition.label.clone(),
        index: Arc::clone(made.index),
    });
    let parts = Parts {
        sources: sources.collect(),
        ..Parts::default()
    };
    Presentation::new(parts, SEGMENT)
        .map(drop)
        .map_err(|error| Refusal::Unplayable {
            why: error.to_string(),
        })
}

/// Whether every picture stands on the ladder's grid, and key pictures where groups begin.
pub(crate) fn check_grid(index: &Index, ladder: &Ladder) -> Result<(), Fault> {
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

/// How long a mezzanine lasts on the screen, to the microsecond.
pub(crate) fn length(index: &Index) -> Duration {
    let scale = u64::from(index.track().timescale.max(1));
    let (seconds, rest) = (index.end() / scale, index.end() % scale);
    Duration::from_secs(seconds) + Duration::from_micros(rest * 1_000_000 / scale)
}

const TOLERANCE: Duration = Duration::from_millis(500);
/// The origin's default. Its choice, 2 s to 6 s, matters at the edges of what can be served only.
const SEGMENT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use contracts::id::RenditionId;
    use packager::{
        codec::{self, aac, avc},
        index::{File, Media, Sample, Track, Video},
    };

    use super::*;
    use crate::media::rate::Rate;

    const AVCC: [u8; 18] = [
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 3, 0x68, 0xee, 0x3c,
    ];

    fn index(media: Media, timescale: u32, durations: &[u32], gop: u32) -> Arc<Index> {
        let (mut dts, mut offset) = (0, 0);
        let samples = (0u32..).zip(durations).map(|(at, &duration)| {
            let sample = Sample {
                offset,
                dts,
                size: 1,
                duration,
                cts: 0,
                crc: 0,
                sync: at % gop == 0,
            };
            dts += u64::from(duration);
            offset += 1;
            sample
        });
        let file = File {
            length: 1 << 20,
            sha256: [0; 32],
        };
        Arc::new(Index::new(Track { timescale, media }, samples.collect(), file).unwrap())
    }

    fn rendition(id: &str, kind: Kind) -> Rendition {
        Rendition::new(RenditionId::parse(id).unwrap(), kind)
    }

    /// Ten seconds of picture with this sound, whose frames are of so many samples at 48 kHz.
    fn checked(frames: &[u32]) -> Result<Duration, Fault> {
        let rate = Rate::new(25, 1).unwrap();
        let ladder = Ladder::of(320, 240, rate);
        let facts = Facts::plain(320, 240, rate);
        let video = Media::Video(Video {
            width: 320,
            height: 240,
            pixel_aspect: None,
            colour: None,
            config: codec::Picture::Avc(avc::Config::parse(&AVCC).unwrap()),
        });
        let audio = Media::Audio(codec::Sound::Aac(
            aac::Config::parse(&[0x11, 0x90]).unwrap(),
        ));
        let pictures = [rate.frame_ticks(); 250];
        let picture = index(video, rate.timescale(), &pictures, rate.gop_frames());
        let sound = index(audio, 48_000, frames, 1);
        let renditions = [
            rendition("240p", Kind::Video),
            rendition("audio-und", Kind::Audio),
        ];
        let made = [&picture, &sound].into_iter().zip(&renditions);
        let made: Vec<Made<'_>> = made
            .map(|(index, rendition)| Made { rendition, index })
            .collect();
        check(&made, &ladder, &facts)
    }

    #[test]
    fn a_film_whose_sound_has_a_hole_is_taken() {
        assert!(checked(&[1024; 460]).is_ok());
        // One frame that is heard for nine seconds: whole segments without sound, and sound behind them.
        let mut frames = [1024; 20];
        frames[4] = 48_000 * 9;
        assert!(checked(&frames).is_ok());
    }

    #[test]
    fn a_film_that_no_origin_would_serve_is_refused_with_the_reason() {
        // Five frames that are heard for five days.
        let Err(Fault::Refused(refusal)) = checked(&[u32::MAX; 5]) else {
            panic!("it must be refused")
        };
        assert_eq!(refusal.code(), "unplayable");
        assert!(refusal.to_string().contains("too long"), "{refusal}");
    }
}
