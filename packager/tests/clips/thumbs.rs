//! Thumbnails: what players read about the sheets.

use std::time::Duration;

use contracts::asset::Thumbs;
use packager::{text::webvtt, thumbs};

/// Seven tiles on two sheets of two by two, one every two seconds.
fn seven() -> Thumbs {
    Thumbs {
        width: 160,
        height: 90,
        columns: 2,
        rows: 2,
        interval_ms: 2000,
        tiles: 7,
        sheet_bytes: vec![9000, 8000],
    }
}

const FILM: Duration = Duration::from_millis(13_250);

#[test]
fn the_image_playlist_names_each_sheet_and_its_tiles() {
    let wanted = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:8\n#EXT-X-MEDIA-SEQUENCE:1\n\
        #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-IMAGES-ONLY\n\
        #EXTINF:8.000,\n#EXT-X-TILES:RESOLUTION=160x90,LAYOUT=2x2,DURATION=2.000\nsheet_1.jpg\n\
        #EXTINF:5.250,\n#EXT-X-TILES:RESOLUTION=160x90,LAYOUT=2x2,DURATION=2.000\nsheet_2.jpg\n\
        #EXT-X-ENDLIST\n";
    assert_eq!(thumbs::playlist(&seven(), FILM), wanted);
}

#[test]
fn sprites_are_cut_row_by_row_and_the_last_stands_until_the_end() {
    let written = thumbs::vtt(&seven(), FILM, "thumbs/sheet_");
    let sprites = webvtt::parse(written.as_bytes()).unwrap();
    let told: Vec<String> = sprites
        .cues()
        .iter()
        .map(|cue| format!("{:?}-{:?} {}", cue.start, cue.end, cue.text))
        .collect();
    let wanted = [
        "0ns-2s thumbs/sheet_1.jpg#xywh=0,0,160,90",
        "2s-4s thumbs/sheet_1.jpg#xywh=160,0,160,90",
        "4s-6s thumbs/sheet_1.jpg#xywh=0,90,160,90",
        "6s-8s thumbs/sheet_1.jpg#xywh=160,90,160,90",
        "8s-10s thumbs/sheet_2.jpg#xywh=0,0,160,90",
        "10s-12s thumbs/sheet_2.jpg#xywh=160,0,160,90",
        "12s-13.25s thumbs/sheet_2.jpg#xywh=0,90,160,90",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn manifests_learn_the_sheet_and_its_heaviest_rate() {
    let facts = thumbs::facts(&seven(), FILM);
    assert_eq!((facts.tile, facts.sheet), ((160, 90), (320, 180)));
    assert_eq!(facts.layout, (2, 2));
    assert_eq!(facts.sheet_duration, Duration::from_secs(8));
    // 8000 bytes in 5.25 s weigh more than 9000 in 8 s.
    assert_eq!(facts.bandwidth, 12_191);
    // But in a quarter of a second they are one sheet among others, not a peak.
    let facts = thumbs::facts(&seven(), Duration::from_millis(8250));
    assert_eq!(facts.bandwidth, 16_000);
}

#[test]
fn numbers_that_contradict_each_other_give_fewer_tiles_and_no_panic() {
    let most = u32::MAX;
    let odd = [
        Thumbs {
            columns: 0,
            ..seven()
        },
        Thumbs {
            interval_ms: 0,
            ..seven()
        },
        Thumbs {
            tiles: 0,
            ..seven()
        },
        Thumbs {
            sheet_bytes: Vec::new(),
            ..seven()
        },
        Thumbs {
            columns: most,
            rows: most,
            width: most,
            height: most,
            tiles: most,
            interval_ms: 1,
            ..seven()
        },
        Thumbs {
            interval_ms: most,
            tiles: most,
            ..seven()
        },
    ];
    for (thumbs, tiles) in odd.iter().zip([0, 0, 0, 0, 13_250, 1]) {
        let cues = thumbs::vtt(thumbs, FILM, "sheet_").matches(" --> ").count();
        assert_eq!(cues, tiles, "{thumbs:?}");
        let sheets = thumbs::playlist(thumbs, FILM).matches("#EXTINF").count();
        assert_eq!(sheets, tiles.min(1), "{thumbs:?}");
        assert!(thumbs::facts(thumbs, FILM).bandwidth > 0);
    }
    let broken = Duration::from_micros(8_000_500);
    assert_eq!(
        thumbs::vtt(&seven(), broken, "sheet_")
            .matches(" --> ")
            .count(),
        4
    );
    assert_eq!(
        thumbs::playlist(&seven(), broken)
            .matches("#EXTINF")
            .count(),
        1
    );
    let short = thumbs::vtt(&seven(), Duration::from_secs(3), "sheet_");
    assert_eq!(short.matches(" --> ").count(), 2);
}
