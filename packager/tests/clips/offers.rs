//! What films offer: sounds, subtitles, thumbnails, codecs, light, and less of it all to some viewers.

use std::{sync::Arc, time::Duration};

use contracts::{address::Flavour, asset::Thumbs, id::RenditionId};
use packager::{
    Presentation,
    codec::{Picture, vp9},
    dash, hls,
    index::{Index, Media},
    text,
};

use crate::{
    films::{clip, film, indexed, media, modern, present},
    playlists::all,
};

fn id(name: &str) -> RenditionId {
    RenditionId::parse(name).unwrap()
}

fn ids(names: &[&str]) -> Vec<RenditionId> {
    names.iter().map(|name| id(name)).collect()
}

fn subtitles(language: &str, label: Option<&str>) -> text::Track {
    let file = "WEBVTT\n\n00:01.000 --> 00:05.500\nHello\n\n00:08.000 --> 00:09.000\nGood-bye\n";
    text::Track {
        id: id(&format!("text-{language}")),
        language: Some(language.to_owned()),
        label: label.map(str::to_owned),
        document: Arc::new(text::parse(file.as_bytes()).unwrap()),
    }
}

fn thumbs() -> Thumbs {
    Thumbs {
        width: 80,
        height: 45,
        columns: 2,
        rows: 2,
        interval_ms: 2000,
        tiles: 5,
        sheet_bytes: vec![1500, 700],
    }
}

fn master(film: &Presentation, flavour: Flavour) -> Option<String> {
    hls::master(film, flavour, None).unwrap()
}

fn playlist(film: &Presentation, id: &RenditionId, flavour: Flavour) -> Option<String> {
    hls::playlist(film, id, flavour, None).unwrap()
}

fn iframes(film: &Presentation, id: &RenditionId, flavour: Flavour) -> Option<String> {
    hls::iframes(film, id, flavour, None).unwrap()
}

/// Three sounds, one with a name that needs care, two subtitles, thumbnails.
pub(crate) fn rich() -> Presentation {
    let sound = || indexed(&clip("film.audio-en.mp4"));
    let mut parts = media(vec![
        ("54p", indexed(&clip("film.54p.mp4"))),
        ("90p", indexed(&clip("film.90p.mp4"))),
        ("audio-en", sound()),
        ("audio-de", sound()),
        ("audio-en-2", sound()),
    ]);
    parts.sources[4].label = Some("\"Q&A\" <with the director>".to_owned());
    parts.texts = vec![
        subtitles("en", None),
        subtitles("de", Some("Deutsch & mehr")),
    ];
    parts.thumbs = Some(thumbs());
    Presentation::new(parts, Duration::from_secs(4)).unwrap()
}

/// The first samples of a clip.
fn beginning(name: &str, samples: usize) -> Index {
    let index = indexed(&clip(name));
    let kept = index.samples()[..samples].to_vec();
    Index::new(index.track().clone(), kept, *index.file()).unwrap()
}

/// The same pictures in three codecs, the same sound in two.
fn of_all_codecs() -> Presentation {
    present(vec![
        ("54p", beginning("film.54p.mp4", 135)),
        ("90p", beginning("film.90p.mp4", 135)),
        ("72p-hevc", indexed(&clip("hevc.72p.mp4"))),
        ("72p-av1", indexed(&clip("av1.72p.mp4"))),
        ("audio-en", beginning("film.audio-en.mp4", 253)),
        ("audio-en-opus", indexed(&clip("opus.audio-en.mp4"))),
    ])
}

/// H.265 with the colours of a transfer function (ITU-T H.273 §8.2).
fn lit(transfer: u8) -> Index {
    let index = indexed(&clip("hevc.72p.mp4"));
    let mut track = index.track().clone();
    if let Media::Video(video) = &mut track.media {
        let colour = [b"nclx".as_slice(), &[0, 9, 0, transfer, 0, 9, 0]];
        video.colour = Some(colour.concat());
    }
    Index::new(track, index.samples().to_vec(), *index.file()).unwrap()
}

/// VP9 whose own record tells of the light; no `colr` box does.
fn lit_by_its_record(transfer: u8) -> Index {
    let index = indexed(&clip("vp9.72p.mp4"));
    let mut track = index.track().clone();
    let Media::Video(video) = &mut track.media else {
        panic!("not a picture")
    };
    let Picture::Vp9(config) = &video.config else {
        panic!("not VP9")
    };
    // Version and flags, profile, level, format; then primaries, transfer and matrix.
    let mut record = config.record().to_vec();
    record[7..10].copy_from_slice(&[9, transfer, 9]);
    video.config = Picture::Vp9(vp9::Config::parse(&record).unwrap());
    video.colour = None;
    Index::new(track, index.samples().to_vec(), *index.file()).unwrap()
}

#[test]
fn a_film_of_vp9_without_a_colour_box_tells_the_light_of_its_record() {
    for (transfer, range, property) in [
        (16, "PQ", "EssentialProperty"),
        (18, "HLG", "SupplementalProperty"),
    ] {
        let film = present(vec![("72p", lit_by_its_record(transfer))]);
        let master = hls::master(&film, Flavour::Cmaf, None).unwrap().unwrap();
        // The variant and its I-frames.
        let told = format!(",VIDEO-RANGE={range}");
        assert_eq!(master.matches(&told).count(), 2, "{master}");
        let manifest = dash::manifest(&film, None).unwrap().unwrap();
        let light = [
            ("ColourPrimaries", 9),
            ("TransferCharacteristics", transfer),
            ("MatrixCoefficients", 9),
        ];
        for (name, value) in light {
            let told = format!(
                "<{property} schemeIdUri=\"urn:mpeg:mpegB:cicp:{name}\" value=\"{value}\"/>"
            );
            assert!(manifest.contains(&told), "{told} is not in {manifest}");
        }
    }
}

#[test]
fn a_film_of_three_sounds_with_subtitles_and_thumbnails() {
    all("rich", &rich());
}

#[test]
fn a_film_in_many_codecs() {
    all("codecs", &of_all_codecs());
}

#[test]
fn a_film_in_all_lights() {
    let bright = [("72p-pq", lit(16)), ("72p-hlg", lit(18))];
    let normal = ("72p", indexed(&clip("hevc.72p.mp4")));
    all(
        "light",
        &present([normal].into_iter().chain(bright).collect()),
    );
}

#[test]
fn what_is_offered_to_some_is_a_part_of_the_film() {
    let whole = rich();
    let part = whole
        .only(&ids(&["54p", "audio-de", "text-en", "2160p"]))
        .unwrap();
    all("filtered", &part);
    for rendition in part.renditions() {
        let same = whole.find(rendition.id()).unwrap();
        assert!(same.segments().eq(rendition.segments()));
        assert!(same.iframes().eq(rendition.iframes()));
        for flavour in [Flavour::Cmaf, Flavour::Ts] {
            let id = rendition.id();
            assert_eq!(playlist(&part, id, flavour), playlist(&whole, id, flavour));
        }
    }
    assert_eq!(part.boundaries(), whole.boundaries());
    assert_eq!(part.duration(), whole.duration());
    assert!(part.thumbs().is_none());
}

#[test]
fn subtitles_alone_are_no_film() {
    assert!(rich().only(&ids(&["text-en", "thumbs"])).is_none());
    assert!(rich().only(&[]).is_none());
    assert!(
        rich()
            .only(&ids(&["90p", "thumbs"]))
            .unwrap()
            .thumbs()
            .is_some()
    );
}

#[test]
fn the_sound_inside_transport_streams_stays_what_it_is() {
    let whole = rich();
    let part = whole.only(&ids(&["54p", "audio-de"])).unwrap();
    let picture = part.find(&id("54p")).unwrap();
    assert_eq!(part.companion(picture).unwrap().id().as_str(), "audio-en");
}

#[test]
fn a_flavour_that_cannot_carry_the_pictures_has_no_master() {
    let film = modern("av1.72p.mp4").presentation;
    assert!(master(&film, Flavour::Ts).is_none());
    assert!(master(&film, Flavour::Cmaf).is_some());
    assert!(playlist(&film, &id("72p"), Flavour::Ts).is_none());
    assert!(iframes(&film, &id("72p"), Flavour::Ts).is_none());
    assert!(playlist(&film, &id("audio-en"), Flavour::Ts).is_none());
}

#[test]
fn pictures_without_a_sound_that_fits_are_silent_in_transport_streams() {
    let film = modern("hevc.72p.mp4").presentation;
    let told = master(&film, Flavour::Ts).unwrap();
    assert!(!told.contains("opus") && !told.contains("AUDIO"), "{told}");
    assert!(master(&film, Flavour::Cmaf).unwrap().contains("opus"));
}

#[test]
fn sound_has_no_i_frames_and_thumbnails_are_no_transport_stream() {
    let film = rich();
    assert!(iframes(&film, &id("audio-en"), Flavour::Cmaf).is_none());
    assert!(playlist(&film, &id("thumbs"), Flavour::Cmaf).is_some());
    assert!(playlist(&film, &id("thumbs"), Flavour::Ts).is_none());
    let plain = crate::films::film().presentation;
    assert!(playlist(&plain, &id("thumbs"), Flavour::Cmaf).is_none());
    assert!(playlist(&plain, &id("text-en"), Flavour::Cmaf).is_none());
}

#[test]
fn subtitles_are_cut_where_the_film_is_cut() {
    let film = rich();
    let intervals: Vec<_> = (1..).map_while(|number| film.interval(number)).collect();
    let seconds: Vec<f64> = intervals
        .iter()
        .map(|one| one.start.as_secs_f64())
        .collect();
    assert_eq!(seconds, [0.0, 4.0, 8.0]);
    assert_eq!(intervals[2].end, film.duration());
    assert!(film.interval(0).is_none() && film.interval(4).is_none());
    let playlist = playlist(&film, &id("text-de"), Flavour::Ts).unwrap();
    assert!(playlist.contains("segment_ts_3.vtt") && !playlist.contains("_4.vtt"));
}

#[test]
fn a_manifest_does_not_last_longer_than_its_film() {
    let stated = |film: &Presentation| {
        let text = dash::manifest(film, None).unwrap().unwrap();
        let value = text.split("mediaPresentationDuration=\"PT").nth(1).unwrap();
        value.split('S').next().unwrap().to_owned()
    };
    // 233 pictures at 25 a second.
    assert_eq!(stated(&film().presentation), "9.32");
    // 186 pictures of 1001 ticks of 30 kHz have no end among decimals: rounded down.
    assert_eq!(stated(&crate::films::silent().presentation), "6.2062");
}

#[test]
fn a_film_of_pixels_that_are_not_square_tells_players_how_wide_it_is_shown() {
    for (aspect, told, shown) in [
        (Some((64, 45)), "64:45", "1024x576"),
        (Some((16, 15)), "16:15", "768x576"),
        (Some((8, 9)), "8:9", "640x576"),
        (None, "1:1", "720x576"),
    ] {
        let index = indexed(&clip("film.90p.mp4"));
        let mut track = index.track().clone();
        if let Media::Video(video) = &mut track.media {
            (video.width, video.height, video.pixel_aspect) = (720, 576, aspect);
        }
        let index = Index::new(track, index.samples().to_vec(), *index.file()).unwrap();
        let film = present(vec![("576p", index)]);
        let master = hls::master(&film, Flavour::Cmaf, None).unwrap().unwrap();
        // The variant and its I-frames.
        let resolution = format!("RESOLUTION={shown},");
        assert_eq!(master.matches(&resolution).count(), 2, "{master}");
        let manifest = dash::manifest(&film, None).unwrap().unwrap();
        let coded = format!(" width=\"720\" height=\"576\" frameRate=\"25\" sar=\"{told}\"");
        assert!(manifest.contains(&coded), "{manifest}");
    }
}
