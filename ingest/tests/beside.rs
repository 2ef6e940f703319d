//! What stands beside the media: the segment index of a mezzanine, sheets of small pictures, and
//! the names of sounds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod house;

use std::{io::Cursor, path::Path};

use contracts::asset::{Asset, Image, StillSize, Thumbs};
use house::{House, ffmpeg, film};
use mp4_atom::{Any, Mdat, Moof, ReadFrom as _, Sidx};
use store::layout;

/// Where each box of a file begins and ends.
fn boxes(file: &Path) -> Vec<(u64, u64, Any)> {
    let bytes = std::fs::read(file).unwrap();
    let length = bytes.len() as u64;
    let mut reader = Cursor::new(bytes);
    let mut boxes = Vec::new();
    while reader.position() < length {
        let start = reader.position();
        let any = Any::read_from(&mut reader).unwrap();
        boxes.push((start, reader.position(), any));
    }
    boxes
}

/// The index, where what it refers to begins, and the start, size and duration of each fragment.
fn fragments(file: &Path) -> (Sidx, u64, Vec<(u64, u64, u64)>) {
    let boxes = boxes(file);
    let mut found = boxes.iter().filter_map(|(_, end, any)| match any {
        Any::Sidx(sidx) => Some((sidx.clone(), *end)),
        _ => None,
    });
    let (sidx, anchor) = found.next().unwrap();
    assert!(found.next().is_none(), "one index");
    let media = boxes.windows(2).filter_map(|pair| match pair {
        [
            (start, _, Any::Moof(Moof { traf, .. })),
            (_, end, Any::Mdat(Mdat { .. })),
        ] => {
            let usual = traf[0].tfhd.default_sample_duration.unwrap_or(0);
            let samples = traf[0].trun.iter().flat_map(|trun| &trun.samples);
            let duration = samples.map(|sample| u64::from(sample.duration.unwrap_or(usual)));
            Some((*start, end - start, duration.sum()))
        }
        _ => None,
    });
    (sidx, anchor, media.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mezzanine_begins_with_an_index_that_refers_to_each_of_its_fragments() {
    let house = House::new().await;
    let asset = house
        .publish(&film(
            "-f lavfi -i testsrc2=s=426x240:r=25:d=7 -f lavfi -i sine=440:d=7 -preset ultrafast -c:a aac",
            "a.mp4",
        ))
        .await;
    for (at, rendition) in asset.renditions.iter().enumerate() {
        let (sidx, anchor, media) = fragments(&house.mezzanine(&asset, at));
        assert_eq!(media.len(), sidx.references.len(), "{}", rendition.id);
        assert!(media.len() >= 4, "{}", rendition.id);
        assert_eq!(sidx.earliest_presentation_time, 0);
        let (mut place, mut whole) = (anchor + sidx.first_offset, 0);
        for (reference, (start, size, duration)) in sidx.references.iter().zip(&media) {
            assert!(!reference.reference_type && reference.starts_with_sap);
            assert_eq!(
                (place, u64::from(reference.referenced_size)),
                (*start, *size)
            );
            // The encoder's priming is in the first fragment of sound, and before 0.
            let early = duration - u64::from(reference.subsegment_duration);
            assert!(early == 0 || (whole == 0 && early == 1024), "{early}");
            place += size;
            whole += u64::from(reference.subsegment_duration);
        }
        let key = layout::index(&asset.video, asset.generation, &rendition.id);
        let bytes = house.store.read(&key).await.unwrap().unwrap();
        let index = packager::index::Index::decode(&bytes).unwrap();
        assert_eq!(index.end(), whole, "{}", rendition.id);
        assert_eq!(index.track().timescale, sidx.timescale);
    }
}

/// A white film with one grey picture at the beginning of every second, ten shades over and over.
fn grey(size: &str, rate: u32, seconds: u32) -> String {
    let shade = format!("34+18*mod(floor(N/{rate})\\,10)");
    format!(
        "-f lavfi -i nullsrc=s={size}:r={rate}:d={seconds},geq=lum=if(mod(N\\,{rate})\\,235\\,{shade}):cb=128:cr=128 \
         -pix_fmt yuv420p -c:v libx264 -preset ultrafast"
    )
}

/// The grey at the middle of each tile of each sheet, as far as there are tiles; then of what follows.
async fn tiles(house: &House, asset: &Asset) -> (Thumbs, Vec<u8>, Vec<u8>) {
    let thumbs = asset.thumbs.clone().unwrap();
    let mut greys = Vec::new();
    for (number, told) in (1..).zip(&thumbs.sheet_bytes) {
        let key = layout::sheet(&asset.video, asset.generation, number);
        let stored = house.store.size(&key).await.unwrap();
        assert_eq!(stored, Some(u64::from(*told)));
        let sheet = house.folder.path().join("store").join(key.as_str());
        let raw = house.folder.path().join("raw");
        let arguments = format!("-i {} -pix_fmt gray -f rawvideo", sheet.display());
        ffmpeg(&arguments, &raw);
        let raw = std::fs::read(raw).unwrap();
        let across = (thumbs.width * thumbs.columns) as usize;
        let down = (thumbs.height * thumbs.rows) as usize;
        assert_eq!(raw.len(), across * down, "as large as it is told");
        for row in 0..thumbs.rows {
            for column in 0..thumbs.columns {
                let x = (thumbs.width * column + thumbs.width / 2) as usize;
                let y = (thumbs.height * row + thumbs.height / 2) as usize;
                greys.push(raw[y * across + x]);
            }
        }
    }
    let rest = greys.split_off(thumbs.tiles as usize);
    (thumbs, greys, rest)
}

fn assert_shades(greys: &[u8], interval_s: usize) {
    for (at, grey) in greys.iter().enumerate() {
        assert_shade(*grey, at * interval_s);
    }
}

/// As the film shows at the beginning of a second.
fn assert_shade(grey: u8, second: usize) {
    let shade = 34 + 18 * (second % 10);
    // From 16..235 to 0..255.
    let wanted = (shade - 16) * 255 / 219;
    let off = usize::from(grey).abs_diff(wanted);
    assert!(off < 8, "second {second} is {grey}, not {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tile_shows_its_moment_in_the_shape_of_the_film() {
    let house = House::new().await;
    let turned = house.folder.path().join("flat.mp4");
    ffmpeg(&grey("320x180", 25, 3), &turned);
    let turned = format!("-i {} -c copy -metadata:s:v rotate=90", turned.display());
    let wide = format!("{} -vf setsar=2", grey("240x240", 25, 11));
    for (arguments, size, grid, tiles_wanted) in [
        (grey("320x180", 25, 11), (160, 90), (4, 3), 11),
        (wide, (160, 80), (4, 3), 11),
        (turned, (90, 160), (2, 2), 3),
        (grey("64x36", 5, 1), (64, 36), (1, 1), 1),
    ] {
        let asset = house.publish(&film(&arguments, "a.mp4")).await;
        let (thumbs, greys, rest) = tiles(&house, &asset).await;
        assert_eq!((thumbs.width, thumbs.height), size, "{arguments}");
        assert_eq!((thumbs.columns, thumbs.rows), grid, "{arguments}");
        assert_eq!((thumbs.tiles, thumbs.interval_ms), (tiles_wanted, 1000));
        assert_eq!(thumbs.sheet_bytes.len(), 1);
        assert_shades(&greys, 1);
        assert!(rest.iter().all(|grey| *grey < 8), "{rest:?}");
    }
}

/// What stands in the store of each still, the smallest first: its size, and the grey at its middle.
async fn stills(house: &House, asset: &Asset) -> Vec<[(u32, u32, u8); 3]> {
    let mut seen = Vec::new();
    for (number, still) in (1..).zip(&asset.stills) {
        let mut sizes = [(0, 0, 0); 3];
        for (at, size) in StillSize::ALL.into_iter().enumerate() {
            let Image {
                width,
                height,
                bytes,
            } = *still.image(size);
            let key = layout::still(&asset.video, asset.generation, (number, size));
            let stored = house.store.size(&key).await.unwrap();
            assert_eq!(stored, Some(u64::from(bytes)));
            let image = house.folder.path().join("store").join(key.as_str());
            let raw = house.folder.path().join("raw");
            let arguments = format!("-i {} -pix_fmt gray -f rawvideo", image.display());
            ffmpeg(&arguments, &raw);
            let raw = std::fs::read(raw).unwrap();
            assert_eq!(raw.len(), (width * height) as usize, "as large as told");
            let middle = (width * (height / 2) + width / 2) as usize;
            sizes[at] = (width, height, raw[middle]);
        }
        seen.push(sizes);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn stills_show_the_film_where_its_quarters_begin_in_sizes_that_are_not_enlarged() {
    let house = House::new().await;
    let turned = house.folder.path().join("flat.mp4");
    ffmpeg(&grey("320x180", 25, 4), &turned);
    let turned = format!("-i {} -c copy -metadata:s:v rotate=90", turned.display());
    let small = [(64, 36); 3];
    for (arguments, sizes, seconds) in [
        (
            grey("854x480", 5, 8),
            [(320, 180), (640, 360), (854, 480)],
            [0, 2, 4, 6],
        ),
        (turned, [(180, 320); 3], [0, 1, 2, 3]),
        (grey("64x36", 5, 4), small, [0, 1, 2, 3]),
        // One picture is all of its quarters.
        (
            format!("{} -frames:v 1", grey("64x36", 5, 1)),
            small,
            [0; 4],
        ),
    ] {
        let asset = house.publish(&film(&arguments, "a.mp4")).await;
        let moments: Vec<u64> = asset.stills.iter().map(|still| still.at_ms).collect();
        assert_eq!(moments, seconds.map(|second| second * 1000), "{arguments}");
        let seen = stills(&house, &asset).await;
        for (pictures, second) in seen.iter().zip(seconds) {
            let found = pictures.map(|(width, height, _)| (width, height));
            assert_eq!(found, sizes, "{arguments}");
            let greys = pictures.map(|(.., grey)| grey);
            let of = usize::try_from(second).unwrap();
            greys.iter().for_each(|grey| assert_shade(*grey, of));
        }
        let told = house.catalog.encodings.of(&asset.video).await.unwrap();
        assert_eq!(told.stills, asset.stills);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_with_many_tiles_has_several_sheets_and_a_longer_one_wider_steps() {
    let house = House::new().await;
    for (seconds, interval_s, count, sheets) in [(105, 1, 105, 2), (207, 2, 104, 2)] {
        let asset = house
            .publish(&film(&grey("64x36", 5, seconds), "a.mp4"))
            .await;
        let (thumbs, greys, rest) = tiles(&house, &asset).await;
        assert_eq!((thumbs.columns, thumbs.rows), (10, 10));
        assert_eq!(
            (thumbs.tiles, thumbs.interval_ms),
            (count, interval_s * 1000)
        );
        assert_eq!(thumbs.sheet_bytes.len(), sheets);
        assert_shades(&greys, interval_s as usize);
        assert!(rest.iter().all(|grey| *grey < 8), "{rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn further_sounds_of_a_language_are_kept_under_their_names_or_numbers() {
    let house = House::new().await;
    let asset = house
        .publish(&film(
            "-f lavfi -i testsrc2=s=64x48:r=25:d=1 -f lavfi -i sine=300:d=1 -f lavfi -i sine=600:d=1 \
             -f lavfi -i sine=900:d=1 -map 0 -map 1 -map 2 -map 3 -c:a aac -preset ultrafast \
             -metadata:s:a:0 language=eng -metadata:s:a:1 language=eng -metadata:s:a:1 title=Commentary \
             -metadata:s:a:2 language=eng",
            "a.mkv",
        ))
        .await;
    let told: Vec<_> = asset
        .renditions
        .iter()
        .skip(1)
        .map(|r| (r.id.as_str(), r.language.as_deref(), r.label.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("audio-en", Some("en"), None),
            ("audio-en-2", Some("en"), Some("Commentary")),
            ("audio-en-3", Some("en"), Some("en (3)")),
        ]
    );
}
