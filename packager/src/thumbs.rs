//! The small pictures along a player's time line: announced to HLS and DASH players, and to those that read sprites.
//!
//! One set of sheets serves all of them; [`Thumbs`] tells how the tiles lie on the sheets.

use std::{fmt::Write, time::Duration};

use contracts::asset::Thumbs;

use crate::{rates::rate, text::time};

/// What manifests say of the sheets: `EXT-X-IMAGE-STREAM-INF` in HLS, an adaptation set of tiles in DASH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Width and height of one tile in pixels: `RESOLUTION` in HLS.
    pub tile: (u32, u32),
    /// Width and height of a whole sheet in pixels: `@width` and `@height` in DASH.
    pub sheet: (u32, u32),
    /// Columns and rows: with an `x` between them the value of `http://dashif.org/guidelines/thumbnail_tile`.
    pub layout: (u32, u32),
    /// How much of the film a full sheet shows: a segment's duration. Sheets count from 1.
    pub sheet_duration: Duration,
    /// Bits a second of the heaviest sheet.
    pub bandwidth: u64,
}

/// Gathers what manifests say.
#[must_use]
pub fn facts(thumbs: &Thumbs, film: Duration) -> Facts {
    let Thumbs {
        width,
        height,
        columns,
        rows,
        ..
    } = *thumbs;
    let side = |tile: u32, count: u32| tile.saturating_mul(count);
    // RFC 8216 §4.1 takes no peak over less than half the target duration: a last sheet of one tile is none.
    let longest = sheets(thumbs, film).map(|sheet| sheet.duration()).max();
    let least = longest.unwrap_or_default() / 2;
    let rates =
        sheets(thumbs, film).map(|sheet| rate(u64::from(sheet.bytes), sheet.duration().max(least)));
    Facts {
        tile: (width, height),
        sheet: (side(width, columns), side(height, rows)),
        layout: (columns, rows),
        sheet_duration: interval(thumbs).saturating_mul(per_sheet(thumbs)),
        bandwidth: rates.max().unwrap_or(1),
    }
}

/// Writes the HLS image media playlist: each segment is a sheet, and `EXT-X-TILES` tells how to cut it.
///
/// The tags are not of RFC 8216 but of the image media playlist that Roku, Shaka and others read; its version is 7.
/// `EXT-X-TILES` holds for one segment, so it is repeated. The last sheet lasts as long as it has tiles.
#[must_use]
pub fn playlist(thumbs: &Thumbs, film: Duration) -> String {
    let sheets: Vec<Sheet> = sheets(thumbs, film).collect();
    let longest = sheets.iter().map(Sheet::duration).max().unwrap_or_default();
    let target = longest.as_millis().div_ceil(1000).max(1);
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:1\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-IMAGES-ONLY\n"
    );
    let Thumbs {
        width,
        height,
        columns,
        rows,
        ..
    } = thumbs;
    let each = seconds(interval(thumbs));
    for sheet in sheets {
        let _ = write!(
            out,
            "#EXTINF:{},\n#EXT-X-TILES:RESOLUTION={width}x{height},LAYOUT={columns}x{rows},DURATION={each}\n\
             sheet_{}.jpg\n",
            seconds(sheet.duration()),
            sheet.number
        );
    }
    out.push_str("#EXT-X-ENDLIST\n");
    out
}

/// Writes the tiles as WebVTT for players that read sprites: each cue's text is a sheet's address, `name` and its number,
/// and the tile's rectangle behind it, as a spatial media fragment (W3C Media Fragments §4.2.2).
///
/// The last tile stands until the film's end.
#[must_use]
pub fn vtt(thumbs: &Thumbs, film: Duration, name: &str) -> String {
    let Thumbs { width, height, .. } = *thumbs;
    let columns = thumbs.columns.max(1);
    let mut out = String::from("WEBVTT\n");
    let tiles = sheets(thumbs, film).flat_map(|sheet| (0..sheet.tiles).map(move |at| (sheet, at)));
    let mut tiles = tiles.peekable();
    while let Some((sheet, at)) = tiles.next() {
        let start = sheet.start + interval(thumbs) * at;
        let end = match tiles.peek() {
            Some(_) => start + interval(thumbs),
            None => film,
        };
        let x = (at % columns).saturating_mul(width);
        let y = (at / columns).saturating_mul(height);
        out.push('\n');
        time::write_line(&mut out, start, end);
        let number = sheet.number;
        let _ = writeln!(out, "\n{name}{number}.jpg#xywh={x},{y},{width},{height}");
    }
    out
}

/// A sheet and the interval of the film that its tiles show.
#[derive(Clone, Copy)]
struct Sheet {
    /// Counted from 1.
    number: u32,
    tiles: u32,
    start: Duration,
    end: Duration,
    /// Of its file.
    bytes: u32,
}

impl Sheet {
    fn duration(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// The sheets that show something of the film. Numbers that contradict each other end them early.
fn sheets(thumbs: &Thumbs, film: Duration) -> impl Iterator<Item = Sheet> {
    let (interval, full) = (interval(thumbs), per_sheet(thumbs));
    let all = thumbs.tiles.min(MAX_TILES);
    // What begins within the last, broken millisecond could not be written as an interval.
    let film =
        Duration::from_secs(film.as_secs()) + Duration::from_millis(film.subsec_millis().into());
    (0..)
        .zip(&thumbs.sheet_bytes)
        .map_while(move |(at, &bytes)| {
            let first = full.checked_mul(at)?;
            let start = interval.saturating_mul(first);
            let reached = film.saturating_sub(start).as_millis();
            let reached = reached.div_ceil(interval.as_millis().max(1));
            let tiles = all.saturating_sub(first).min(full);
            let tiles = tiles.min(u32::try_from(reached).unwrap_or(u32::MAX));
            let sheet = Sheet {
                number: at + 1,
                tiles,
                start,
                end: film.min(start.saturating_add(interval.saturating_mul(tiles))),
                bytes,
            };
            (sheet.start < sheet.end).then_some(sheet)
        })
}

fn interval(thumbs: &Thumbs) -> Duration {
    Duration::from_millis(thumbs.interval_ms.into())
}

fn per_sheet(thumbs: &Thumbs) -> u32 {
    thumbs.columns.saturating_mul(thumbs.rows)
}

/// Seconds to the millisecond.
fn seconds(length: Duration) -> String {
    format!("{}.{:03}", length.as_secs(), length.subsec_millis())
}

/// The most tiles that are told of, whatever a description says: one a second of a film longer than a day.
pub const MAX_TILES: u32 = 100_000;
