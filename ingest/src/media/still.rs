//! Still images of a film: its poster, and the sheets of small pictures along its time line.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use contracts::asset::Thumbs;

use super::{
    blame::{settle, settle_glance},
    child::{self, Limits, Task},
    ladder::fit,
    probe::{Picture, input_limits},
    transcode::{Fault, words},
};

/// Makes the still image of a film whose picture has this length from its largest mezzanine: what is seen after a
/// quarter of it, and of less than a second its first picture.
///
/// # Errors
/// [`Fault`] says whether the film or the machine is at fault.
///
/// # Cancel safety
/// Dropping the future kills the child.
pub async fn poster(
    ffmpeg: &Path,
    mezzanine: &Path,
    length: Duration,
    into: &Path,
    limits: Limits,
) -> Result<(), Fault> {
    let at = if length < Duration::from_secs(1) {
        Duration::ZERO
    } else {
        length / 4
    };
    let mut list = words("-hide_banner -nostdin -y -v error");
    list.extend(["-ss".into(), format!("{:.3}", at.as_secs_f64()).into()]);
    list.extend(input_limits());
    list.extend(["-i".into(), mezzanine.into()]);
    list.extend(words(
        "-frames:v 1 -q:v 3 -pix_fmt yuvj420p -f image2 -update 1 -vf",
    ));
    list.push("scale='min(1280,iw)':-2".into());
    list.push(into.into());
    let folder = into.parent().unwrap_or(into);
    let task = Task {
        program: ffmpeg,
        arguments: &list,
        folder,
        reads: &[mezzanine],
    };
    settle_glance(child::run(task, limits, |_| ()).await?, limits)?;
    // Behind the last picture there is none, and nobody complains.
    let made = into.exists();
    made.then_some(())
        .ok_or_else(|| Fault::Tool("made no poster".to_owned()))
}

/// How the small pictures of a film are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Width of one tile in pixels, even.
    pub width: u32,
    /// Height of one tile in pixels, even.
    pub height: u32,
    /// Tiles in a row.
    pub columns: u32,
    /// Rows of every sheet.
    pub rows: u32,
    /// Whole seconds from one tile to the next.
    pub interval_s: u32,
    /// How many tiles there are in all; at least one.
    pub tiles: u32,
}

impl Layout {
    /// Lays out a picture that lasts `length`: the longer the film, the further apart the tiles,
    /// and never more than 3600.
    #[must_use]
    pub fn of(picture: &Picture, length: Duration) -> Self {
        let (width, height) = fit(picture.width, picture.height, LONG_SIDE, LONG_SIDE);
        let interval_s = interval_s(length);
        // Tile k shows k * interval_s, which lies within the film.
        let tiles = length
            .as_nanos()
            .div_ceil(u128::from(interval_s) * 1_000_000_000);
        let tiles = u32::try_from(tiles).map_or(MOST_TILES, |tiles| tiles.clamp(1, MOST_TILES));
        let columns = (1..MOST_ACROSS)
            .find(|side| side * side >= tiles)
            .unwrap_or(MOST_ACROSS);
        Self {
            width,
            height,
            columns,
            rows: tiles.div_ceil(columns).min(MOST_ACROSS),
            interval_s,
            tiles,
        }
    }

    /// How many sheets there are.
    #[must_use]
    pub const fn sheets(&self) -> u32 {
        self.tiles.div_ceil(self.columns * self.rows)
    }

    /// Makes the sheets from a mezzanine into `folder` and says what became of them. Every picture
    /// is decoded, so that each tile shows its moment and not the nearest key picture.
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
    ) -> Result<Sheets, Fault> {
        let task = Task {
            program: ffmpeg,
            arguments: &self.arguments(mezzanine),
            folder,
            reads: &[mezzanine],
        };
        let end = child::run(task, limits, |_| ()).await?;
        settle(end, limits)?;
        self.read_back(folder)
    }

    fn arguments(&self, mezzanine: &Path) -> Vec<OsString> {
        let mut list = words("-hide_banner -nostdin -y -v error");
        list.extend(input_limits());
        list.extend(["-i".into(), mezzanine.into()]);
        let Self {
            width,
            height,
            columns,
            rows,
            interval_s,
            tiles,
        } = self;
        // Rounded up, a moment's picture is the last that came until then.
        list.push("-vf".into());
        list.push(
            format!(
                "fps=fps=1/{interval_s}:start_time=0:round=up,trim=end_frame={tiles},\
                 scale={width}:{height}:flags=bicubic,setsar=1,tile={columns}x{rows}"
            )
            .into(),
        );
        // The folder's own name may hold what a pattern means something by.
        list.extend(words(&format!(
            "-an -q:v 4 -pix_fmt yuvj420p -f image2 -start_number 1 {PATTERN}"
        )));
        list
    }

    /// Sees that every sheet is there, and as large as ordered.
    fn read_back(&self, folder: &Path) -> Result<Sheets, Fault> {
        let mut files = Vec::new();
        let mut sheet_bytes = Vec::new();
        let size = (self.width * self.columns, self.height * self.rows);
        for number in 1..=self.sheets() {
            let file = folder.join(format!("sheet_{number}.jpg"));
            let bytes = std::fs::read(&file)?;
            if jpeg_size(&bytes) != Some(size) {
                let fault = format!("made sheet {number} in another size than ordered");
                return Err(Fault::Tool(fault));
            }
            sheet_bytes.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            files.push(file);
        }
        if folder
            .join(format!("sheet_{}.jpg", self.sheets() + 1))
            .exists()
        {
            return Err(Fault::Tool("made more sheets than ordered".to_owned()));
        }
        let thumbs = Thumbs {
            width: self.width,
            height: self.height,
            columns: self.columns,
            rows: self.rows,
            interval_ms: self.interval_s.saturating_mul(1000),
            tiles: self.tiles,
            sheet_bytes,
        };
        Ok(Sheets { files, thumbs })
    }
}

/// Sheets that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheets {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// What they are, as the film tells it.
    pub thumbs: Thumbs,
}

fn interval_s(length: Duration) -> u32 {
    let usual = INTERVALS
        .into_iter()
        .find(|(longest_s, _)| length <= Duration::from_secs(*longest_s))
        .map_or(LONGEST_INTERVAL_S, |(_, interval_s)| interval_s);
    let least = length.as_millis().div_ceil(u128::from(MOST_TILES) * 1000);
    u32::try_from(least).map_or(u32::MAX, |least| least.max(usual))
}

/// The size that a JPEG file says it has: the first frame header, ITU-T T.81 §B.2.2.
pub(super) fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, high, low, body @ ..] = rest else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        match marker {
            // SOF0 to SOF15 without DHT, JPG and DAC, which lie between them.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, h1, h0, w1, w0, ..] = body else {
                    return None;
                };
                let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                return Some((side(*w1, *w0), side(*h1, *h0)));
            }
            0xd8..=0xda => return None,
            _ => rest = body.get(length.checked_sub(2)?..)?,
        }
    }
}

/// The longer side of a tile, where the picture is not smaller.
const LONG_SIDE: u32 = 160;
/// Tiles in a row or column of a sheet, at most.
const MOST_ACROSS: u32 = 10;
/// Tiles of a film, at most.
const MOST_TILES: u32 = 3600;
/// Films up to so many seconds have a tile every so many.
const INTERVALS: [(u64, u32); 3] = [(120, 1), (600, 2), (1800, 5)];
/// And those that are longer.
const LONGEST_INTERVAL_S: u32 = 10;
const PATTERN: &str = "sheet_%d.jpg";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::{probe::Facts, rate::Rate};

    fn layout(width: u32, height: u32, length: Duration) -> Layout {
        let facts = Facts::plain(width, height, Rate::new(25, 1).unwrap());
        Layout::of(&facts.picture, length)
    }

    #[test]
    fn longer_films_have_tiles_further_apart_on_fuller_sheets() {
        let told = |seconds| {
            let of = layout(1920, 1080, Duration::from_secs(seconds));
            (of.interval_s, of.tiles, of.columns, of.rows, of.sheets())
        };
        assert_eq!(told(0), (1, 1, 1, 1, 1));
        assert_eq!(told(3), (1, 3, 2, 2, 1));
        assert_eq!(told(120), (1, 120, 10, 10, 2));
        assert_eq!(told(121), (2, 61, 8, 8, 1));
        assert_eq!(told(600), (2, 300, 10, 10, 3));
        assert_eq!(told(601), (5, 121, 10, 10, 2));
        assert_eq!(told(1801), (10, 181, 10, 10, 2));
        assert_eq!(told(36_000), (10, 3600, 10, 10, 36));
        assert_eq!(told(36_001), (11, 3273, 10, 10, 33));
        let of = layout(16, 9, Duration::from_millis(2600));
        assert_eq!(of.tiles, 3, "0, 1 and 2 s");
    }

    #[test]
    fn a_tile_has_the_shape_that_is_shown_and_is_not_enlarged() {
        let size = |width, height| {
            let of = layout(width, height, Duration::from_secs(9));
            (of.width, of.height)
        };
        assert_eq!(size(1920, 1080), (160, 90));
        assert_eq!(size(1080, 1920), (90, 160));
        assert_eq!(size(1024, 576), (160, 90));
        assert_eq!(size(16_384, 2), (160, 2));
        assert_eq!(size(64, 48), (64, 48));
    }

    proptest! {
        #[test]
        fn every_tile_lies_within_the_film_and_none_is_missing(ms in 0_u64..200_000_000) {
            let length = Duration::from_millis(ms);
            let of = layout(1280, 720, length);
            let at = |tile: u32| Duration::from_secs(u64::from(tile) * u64::from(of.interval_s));
            prop_assert!(of.tiles <= MOST_TILES);
            prop_assert!(ms == 0 || at(of.tiles - 1) < length);
            prop_assert!(at(of.tiles) >= length);
            let sheet = of.columns * of.rows;
            prop_assert!(sheet * (of.sheets() - 1) < of.tiles && of.tiles <= sheet * of.sheets());
        }

        #[test]
        fn no_bytes_make_reading_a_size_panic(bytes: Vec<u8>) {
            let mut file = vec![0xff, 0xd8, 0xff];
            file.extend(bytes);
            let _ = jpeg_size(&file);
        }
    }

    #[test]
    fn a_size_is_read_from_the_frame_header_only() {
        let file = [
            &[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc4, 0, 2][..],
            &[0xff, 0xc0, 0, 11, 8, 1, 2, 3, 4, 1, 1, 0x11, 0],
        ]
        .concat();
        assert_eq!(jpeg_size(&file), Some((0x304, 0x102)));
        assert_eq!(jpeg_size(&file[..17]), None);
        assert_eq!(jpeg_size(b"GIF89a"), None);
    }
}
