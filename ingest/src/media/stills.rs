//! Single pictures of a film in several sizes, for the pages that show it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use contracts::asset::{Image, Still, StillSize};

use super::{
    blame::settle_glance,
    child::{self, Limits, Task},
    ladder::fit,
    probe::{Picture, input_limits},
    rate::Rate,
    still::jpeg_size,
    transcode::{Fault, words},
};

/// Which pictures of a film stills are made of, and how large they become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moments {
    rate: Rate,
    /// Numbers of pictures: the first of all, and the first of each further quarter.
    pictures: [u64; 4],
    sizes: [(StillSize, u32, u32); 3],
}

impl Moments {
    /// Chooses among so many pictures at this rate. Of a film with less than four, quarters begin with the same.
    #[must_use]
    pub fn of(picture: &Picture, pictures: u64, rate: Rate) -> Self {
        let sizes = StillSize::ALL.map(|size| {
            let side = size.long_side();
            let (width, height) = fit(picture.width, picture.height, side, side);
            (size, width, height)
        });
        Self {
            rate,
            pictures: [0, 1, 2, 3].map(|quarter| pictures.saturating_mul(quarter) / 4),
            sizes,
        }
    }

    /// Makes the stills from a mezzanine into `folder`, and says what became of them.
    ///
    /// # Errors
    /// [`Fault`] says whether the film or the machine is at fault.
    ///
    /// # Cancel safety
    /// Dropping the future kills the child.
    pub async fn make(
        &self,
        ffmpeg: &Path,
        mezzanine: &Path,
        folder: &Path,
        limits: Limits,
    ) -> Result<Vec<Still>, Fault> {
        let mut stills = Vec::new();
        for (number, &picture) in (1..).zip(&self.pictures) {
            let task = Task {
                program: ffmpeg,
                arguments: &self.arguments(mezzanine, number, picture),
                folder,
                reads: &[mezzanine],
            };
            settle_glance(child::run(task, limits, |_| ()).await?, limits)?;
            stills.push(self.read_back(folder, number, picture)?);
        }
        Ok(stills)
    }

    fn arguments(&self, mezzanine: &Path, number: u32, picture: u64) -> Vec<OsString> {
        let mut list = words("-hide_banner -nostdin -y -v error");
        if let Some(before) = picture.checked_sub(1) {
            // Between two pictures, so that rounding leads to no other.
            let at = (self.rate.time_of(before) + self.rate.time_of(picture)) / 2;
            list.extend(["-ss".into(), format!("{:.6}", at.as_secs_f64()).into()]);
        }
        list.extend(input_limits());
        list.extend(["-i".into(), mezzanine.into()]);
        let mut graph = format!("[0:v:0]split={}", self.sizes.len());
        for (size, ..) in &self.sizes {
            graph += &format!("[{}_in]", size.as_str());
        }
        for (size, width, height) in &self.sizes {
            let size = size.as_str();
            graph += &format!(";[{size}_in]scale={width}:{height}:flags=bicubic,setsar=1[{size}]");
        }
        list.extend(["-filter_complex".into(), graph.into()]);
        for (size, ..) in &self.sizes {
            let (size, file) = (size.as_str(), name(number, *size));
            // The folder's own name may hold what a pattern means something by.
            list.extend(words(&format!(
                "-map [{size}] -frames:v 1 -q:v 3 -pix_fmt yuvj420p -f image2 -update 1 {file}"
            )));
        }
        list
    }

    /// Sees that a still is there in every size, as large as ordered.
    fn read_back(&self, folder: &Path, number: u32, picture: u64) -> Result<Still, Fault> {
        let image = |wanted: StillSize| {
            let bytes = std::fs::read(file(folder, number, wanted))?;
            let ordered = self.sizes.iter().find(|(size, ..)| *size == wanted);
            match jpeg_size(&bytes) {
                Some((width, height)) if ordered == Some(&(wanted, width, height)) => Ok(Image {
                    width,
                    height,
                    bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                }),
                _ => Err(Fault::Tool(format!(
                    "made still {number} in another size than ordered"
                ))),
            }
        };
        let at: Duration = self.rate.time_of(picture);
        Ok(Still {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            small: image(StillSize::Small)?,
            medium: image(StillSize::Medium)?,
            large: image(StillSize::Large)?,
        })
    }
}

/// Where a still lies that was made into `folder`.
#[must_use]
pub fn file(folder: &Path, number: u32, size: StillSize) -> PathBuf {
    folder.join(name(number, size))
}

fn name(number: u32, size: StillSize) -> String {
    format!("thumb_{number}_{}.jpg", size.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::probe::Facts;

    fn moments(width: u32, height: u32, pictures: u64) -> Moments {
        let rate = Rate::new(25, 1).unwrap();
        let facts = Facts::plain(width, height, rate);
        Moments::of(&facts.picture, pictures, rate)
    }

    #[test]
    fn quarters_begin_within_the_film_however_short_it_is() {
        assert_eq!(moments(640, 360, 1000).pictures, [0, 250, 500, 750]);
        assert_eq!(moments(640, 360, 5).pictures, [0, 1, 2, 3]);
        assert_eq!(moments(640, 360, 2).pictures, [0, 0, 1, 1]);
        assert_eq!(moments(640, 360, 1).pictures, [0; 4]);
    }

    #[test]
    fn stills_have_the_shape_that_is_shown_and_are_not_enlarged() {
        let sizes = |width, height| moments(width, height, 9).sizes.map(|(_, w, h)| (w, h));
        assert_eq!(sizes(3840, 2160), [(320, 180), (640, 360), (1280, 720)]);
        assert_eq!(sizes(1080, 1920), [(180, 320), (360, 640), (720, 1280)]);
        assert_eq!(sizes(426, 240), [(320, 180), (426, 240), (426, 240)]);
        assert_eq!(sizes(64, 48), [(64, 48); 3]);
    }
}
