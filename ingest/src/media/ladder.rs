//! The ladder: which renditions a picture can fill. Pure.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "floats here are sizes between 1 and 16384 and bit rates below 10^9"
)]

use contracts::id::RenditionId;
use serde::{Deserialize, Serialize};

use super::{codec::Codec, rate::Rate};

/// What is to be made of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// Frames a second of every rung.
    pub rate: Rate,
    /// By codec, and from the smallest to the largest.
    pub rungs: Vec<Rung>,
}

/// One rendition of the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Its name, such as `720p` or `720p-hevc`.
    pub id: RenditionId,
    /// The codec.
    pub codec: Codec,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// The most bits a second that a second or two of it may take.
    pub peak_bits: u32,
}

impl Ladder {
    /// Finds the rungs for a picture that is shown as `width` by `height` square pixels.
    ///
    /// A rung is a box of 16:9, upright for a picture that is higher than wide. It is taken when
    /// the picture fills it in one dimension, save for a twentieth. The picture keeps its shape
    /// inside the box and is never enlarged. One that fills not even the smallest keeps its size; so does, in one rung
    /// more, one of whose lines the largest would lose a fifth or more.
    #[must_use]
    pub fn of(width: u32, height: u32, rate: Rate) -> Self {
        let mut rungs: Vec<Rung> = BOXES
            .into_iter()
            .filter_map(|(name, long, short)| {
                let (across, down) = if height > width {
                    (short, long)
                } else {
                    (long, short)
                };
                let fills = |size: u32, of: u32| u64::from(size) * 20 >= u64::from(of) * 19;
                (fills(width, across) || fills(height, down))
                    .then(|| rung(name, fit(width, height, across, down), rate))
            })
            .flatten()
            .collect();
        let own = (even(width), even(height));
        if rungs.is_empty() {
            rungs.extend(rung(SMALLEST, own, rate));
        } else if let Some((_, _, largest)) = BOXES.get(rungs.len().saturating_sub(1)) {
            // The lines of the smallest box that holds the whole picture.
            let (long, short) = (width.max(height), width.min(height));
            let lines = short.max((long * 9 + 8) / 16);
            if rungs.len() < BOXES.len() && largest * 5 <= lines * 4 {
                rungs.extend(rung(&format!("{lines}p"), own, rate));
            }
        }
        Self { rate, rungs }
    }

    /// What stands beside a ladder in H.264 of these codecs: each has every rung that its encoder takes,
    /// for players hardly change between codecs when their network does. There may be none.
    #[must_use]
    pub fn further(&self, codecs: &[Codec]) -> Self {
        let codecs = codecs.iter().filter(|codec| **codec != Codec::H264);
        let rungs = codecs.flat_map(|&codec| {
            let fits = move |rung: &&Rung| rung.width.min(rung.height) >= codec.least_side();
            self.rungs.iter().filter(fits).filter_map(move |rung| {
                Some(Rung {
                    id: RenditionId::parse(&format!("{}{}", rung.id, codec.suffix())).ok()?,
                    codec,
                    peak_bits: rung.peak_bits / 100 * codec.percent(),
                    ..rung.clone()
                })
            })
        });
        Self {
            rate: self.rate,
            rungs: rungs.collect(),
        }
    }

    /// The same without that rung.
    #[must_use]
    pub fn without(mut self, id: &RenditionId) -> Self {
        self.rungs.retain(|rung| rung.id != *id);
        self
    }

    /// The largest rung, in H.264 where there is any.
    #[must_use]
    pub fn largest(&self) -> Option<&Rung> {
        let h264 = self.rungs.iter().rfind(|rung| rung.codec == Codec::H264);
        h264.or_else(|| self.rungs.last())
    }
}

fn rung(name: &str, (width, height): (u32, u32), rate: Rate) -> Option<Rung> {
    Some(Rung {
        id: RenditionId::parse(name).ok()?,
        codec: Codec::H264,
        width,
        height,
        peak_bits: peak_bits(width, height, rate),
    })
}

/// The largest size of the picture's shape inside the box and not above its own.
pub(super) fn fit(width: u32, height: u32, across: u32, down: u32) -> (u32, u32) {
    let (w, h) = (f64::from(width), f64::from(height));
    let scale = (f64::from(across) / w).min(f64::from(down) / h).min(1.0);
    let side = |size: f64, limit: u32| {
        let nearest = ((size * scale / 2.0).round() as u32) * 2;
        nearest.min(even(limit)).max(2)
    };
    (side(w, width.min(across)), side(h, height.min(down)))
}

const fn even(size: u32) -> u32 {
    let even = size - size % 2;
    if even < 2 { 2 } else { even }
}

/// Larger pictures need fewer bits a pixel: the rate grows with pixels a second to the power 0.75,
/// through 5.5 Mbit/s for 1080p at 30.
fn peak_bits(width: u32, height: u32, rate: Rate) -> u32 {
    let pixels = f64::from(width) * f64::from(height) * rate.per_second();
    let bits = 5_500_000.0 * (pixels / (1920.0 * 1080.0 * 30.0)).powf(0.75);
    bits.clamp(100_000.0, 60_000_000.0) as u32
}

const SMALLEST: &str = "144p";
/// Name, long side, short side.
const BOXES: [(&str, u32, u32); 8] = [
    (SMALLEST, 256, 144),
    ("240p", 426, 240),
    ("360p", 640, 360),
    ("480p", 854, 480),
    ("720p", 1280, 720),
    ("1080p", 1920, 1080),
    ("1440p", 2560, 1440),
    ("2160p", 3840, 2160),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ladder(width: u32, height: u32) -> Vec<(String, u32, u32)> {
        Ladder::of(width, height, Rate::new(25, 1).unwrap())
            .rungs
            .into_iter()
            .map(|rung| (rung.id.to_string(), rung.width, rung.height))
            .collect()
    }

    fn names(width: u32, height: u32) -> String {
        let rungs = ladder(width, height);
        rungs
            .iter()
            .map(|rung| rung.0.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_full_hd_film_gets_six_rungs() {
        assert_eq!(
            ladder(1920, 1080),
            [
                ("144p".to_owned(), 256, 144),
                ("240p".to_owned(), 426, 240),
                ("360p".to_owned(), 640, 360),
                ("480p".to_owned(), 854, 480),
                ("720p".to_owned(), 1280, 720),
                ("1080p".to_owned(), 1920, 1080),
            ]
        );
    }

    #[test]
    fn shape_decides_which_side_fills_the_box() {
        assert_eq!(names(1920, 800), "144p 240p 360p 480p 720p 1080p");
        assert_eq!(
            ladder(1920, 800).pop().unwrap(),
            ("1080p".to_owned(), 1920, 800)
        );
        assert_eq!(
            ladder(1080, 1920).pop().unwrap(),
            ("1080p".to_owned(), 1080, 1920)
        );
        assert_eq!(
            ladder(720, 720).pop().unwrap(),
            ("720p".to_owned(), 720, 720)
        );
        assert_eq!(
            ladder(320, 240).pop().unwrap(),
            ("240p".to_owned(), 320, 240)
        );
        assert_eq!(
            ladder(1023, 577).pop().unwrap(),
            ("480p".to_owned(), 852, 480)
        );
        assert_eq!(
            names(7680, 4320),
            "144p 240p 360p 480p 720p 1080p 1440p 2160p"
        );
    }

    #[test]
    fn a_twentieth_may_be_missing_and_nothing_is_enlarged() {
        assert_eq!(
            ladder(1216, 600).pop().unwrap(),
            ("720p".to_owned(), 1216, 600)
        );
        assert_eq!(names(1215, 600), "144p 240p 360p 480p 683p");
    }

    #[test]
    fn a_picture_between_two_rungs_that_would_lose_much_keeps_its_size_as_well() {
        assert_eq!(
            ladder(320, 180),
            [("144p".to_owned(), 256, 144), ("180p".to_owned(), 320, 180),]
        );
        assert_eq!(
            ladder(901, 1601).pop().unwrap(),
            ("901p".to_owned(), 900, 1600)
        );
        assert_eq!(names(1024, 576), "144p 240p 360p 480p");
        assert_eq!(names(1366, 768), "144p 240p 360p 480p 720p");
    }

    #[test]
    fn further_codecs_have_the_same_rungs_where_their_encoders_take_them() {
        let rate = Rate::new(25, 1).unwrap();
        let h264 = Ladder::of(426, 240, rate);
        let ladder = h264.further(&[Codec::H264, Codec::Hevc, Codec::Av1]);
        let names: Vec<_> = ladder.rungs.iter().map(|rung| rung.id.as_str()).collect();
        let all = ["144p-hevc", "240p-hevc", "144p-av1", "240p-av1"];
        assert_eq!(names, all);
        // High dynamic range is brought down at the size of the largest, whichever codec that has.
        let (one, other) = (h264.largest().unwrap(), ladder.largest().unwrap());
        assert_eq!((one.width, one.height), (other.width, other.height));
        assert!(h264.further(&[Codec::H264]).rungs.is_empty());
        let tiny = Ladder::of(64, 48, rate).further(&[Codec::Hevc, Codec::Av1]);
        assert_eq!(tiny.rungs.len(), 1, "AV1's encoder takes nothing so small");
    }

    #[test]
    fn a_tiny_picture_keeps_its_size() {
        assert_eq!(ladder(101, 57), [("144p".to_owned(), 100, 56)]);
        assert_eq!(ladder(1, 1), [("144p".to_owned(), 2, 2)]);
    }

    proptest! {
        #[test]
        fn every_rung_is_even_inside_its_box_and_not_enlarged(width in 2_u32..16384, height in 2_u32..16384, fps in 1_u32..120) {
            let ladder = Ladder::of(width, height, Rate::new(fps, 1).unwrap());
            prop_assert!(!ladder.rungs.is_empty());
            for rung in &ladder.rungs {
                let (long, short) = (rung.width.max(rung.height), rung.width.min(rung.height));
                let name = rung.id.as_str();
                let own = ("", width.max(height).max(2), width.min(height).max(2));
                let (_, box_long, box_short) = BOXES.into_iter().find(|(box_name, ..)| *box_name == name).unwrap_or(own);
                prop_assert!(long <= box_long && short <= box_short, "{rung:?}");
                prop_assert!(rung.width <= width.max(2) && rung.height <= height.max(2), "{rung:?}");
                prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0 && short >= 2);
                // Rounding to even moves a side by one pixel at most, save for slivers.
                let exact = f64::from(rung.width) * f64::from(height) / f64::from(width);
                let slack = 2.0 + 2.0 * f64::from(height) / f64::from(width);
                prop_assert!((exact - f64::from(rung.height)).abs() <= slack, "{rung:?} of {width}x{height}");
            }
            let names: HashSet<_> = ladder.rungs.iter().map(|rung| &rung.id).collect();
            prop_assert_eq!(names.len(), ladder.rungs.len());
            let largest = ladder.largest().unwrap();
            let lost = (width > largest.width * 13 / 10 + 4) && (height > largest.height * 13 / 10 + 4);
            prop_assert!(!lost || ladder.rungs.len() == BOXES.len(), "{largest:?} of {width}x{height}");
            for pair in ladder.rungs.windows(2) {
                prop_assert!(pair[0].width < pair[1].width || pair[0].height < pair[1].height);
                prop_assert!(pair[0].peak_bits <= pair[1].peak_bits);
            }
        }
    }
}
