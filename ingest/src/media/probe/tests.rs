//! Facts from what ffprobe says.

use std::time::Duration;

use super::{
    stream::{clock, seconds},
    *,
};

fn of(streams: &str) -> Result<Facts, Refusal> {
    facts(format!(r#"{{"streams":[{streams}],"format":{{"duration":"2.5"}}}}"#).as_bytes())
}

const SOUND: &str = r#"{"index":1,"codec_type":"audio","channels":6,"tags":{"language":"ger"}}"#;

#[test]
fn rotation_and_pixel_shape_give_the_size_as_shown() {
    let picture = |more: &str| {
        let video = format!(
            r#"{{"index":0,"codec_type":"video","width":720,"height":576,
            "r_frame_rate":"25/1","avg_frame_rate":"25/1"{more}}}"#
        );
        let picture = of(&video).unwrap().picture;
        (picture.width, picture.height)
    };
    assert_eq!(picture(""), (720, 576));
    assert_eq!(picture(r#","sample_aspect_ratio":"64:45""#), (1024, 576));
    assert_eq!(picture(r#","sample_aspect_ratio":"1:2""#), (720, 1152));
    assert_eq!(picture(r#","sample_aspect_ratio":"0:1""#), (720, 576));
    assert_eq!(
        picture(r#","side_data_list":[{"rotation":-90}]"#),
        (576, 720)
    );
    assert_eq!(picture(r#","tags":{"rotate":"180"}"#), (720, 576));
}

#[test]
fn what_is_no_film_has_its_own_reason() {
    assert_eq!(of(""), Err(Refusal::NoPicture));
    assert_eq!(of(SOUND), Err(Refusal::SoundOnly));
    let cover =
        r#"{"index":0,"codec_type":"video","width":9,"height":9,"disposition":{"attached_pic":1}}"#;
    let unending = format!(r#"{{"streams":[{cover},{SOUND}]}}"#);
    assert_eq!(facts(unending.as_bytes()), Err(Refusal::SoundOnly));
    let vision = r#"{"index":0,"codec_type":"video","width":9,"height":9,"side_data_list":[{"dv_profile":5}]}"#;
    assert_eq!(of(vision), Err(Refusal::DolbyVision));
    assert_eq!(
        of(r#"{"index":0,"codec_type":"video"}"#),
        Err(Refusal::Damaged)
    );
    let huge = r#"{"index":0,"codec_type":"video","width":65535,"height":2}"#;
    assert!(matches!(of(huge), Err(Refusal::Dimensions { .. })));
    let bomb = r#"{"index":0,"codec_type":"video","width":16000,"height":16000}"#;
    assert!(matches!(of(bomb), Err(Refusal::Dimensions { .. })));
    assert_eq!(facts(b"{"), Err(Refusal::Damaged));
}

#[test]
fn a_cover_is_the_picture_of_a_sound_and_of_nothing_else() {
    let cover =
        r#"{"index":0,"codec_type":"video","width":9,"height":9,"disposition":{"attached_pic":1}}"#;
    let facts = of(&format!("{cover},{SOUND}")).unwrap();
    assert!(facts.picture.cover);
    assert_eq!(facts.picture.announced, facts.announced);
    let video = r#"{"index":2,"codec_type":"video","width":16,"height":16}"#;
    let facts = of(&format!("{cover},{SOUND},{video}")).unwrap();
    assert_eq!((facts.picture.stream, facts.picture.cover), (2, false));
    assert_eq!(of(cover), Err(Refusal::NoPicture));
}

#[test]
fn of_the_subtitles_inside_the_first_text_of_each_language_is_kept() {
    let video = r#"{"index":0,"codec_type":"video","width":16,"height":16}"#;
    let text = |index: u32, codec: &str, language: &str, forced: u8| {
        format!(
            r#"{{"index":{index},"codec_type":"subtitle","codec_name":"{codec}",
            "tags":{{"language":"{language}"}},"disposition":{{"forced":{forced}}}}}"#
        )
    };
    let streams = [
        video.to_owned(),
        text(1, "ass", "ger", 1),
        text(2, "mov_text", "ger", 0),
        text(3, "subrip", "de", 0),
        text(4, "dvd_subtitle", "fre", 0),
        text(5, "webvtt", "und", 0),
        text(6, "subrip", "eng", 0),
    ];
    let texts = of(&streams.join(",")).unwrap().texts;
    let told: Vec<_> = texts
        .iter()
        .map(|t| (t.stream, t.language.as_str()))
        .collect();
    assert_eq!(told, [(2, "de"), (6, "en")]);
}

#[test]
fn sounds_are_kept_that_can_be_told_apart_the_preferred_first() {
    let video = r#"{"index":0,"codec_type":"video","width":16,"height":16}"#;
    let others = r#"{"index":2,"codec_type":"audio","channels":1,"tags":{"language":"eng"},"disposition":{"default":1}},
        {"index":3,"codec_type":"audio","channels":2,"tags":{"language":"en"}},
        {"index":4,"codec_type":"audio","channels":2},
        {"index":5,"codec_type":"audio","channels":2,"tags":{"language":"en","title":" The \"director\"\u0007 "}},
        {"index":6,"codec_type":"audio","channels":2,"tags":{"language":"eng","title":"The 'director'"}},
        {"index":7,"codec_type":"audio","channels":2,"tags":{"handler_name":"SoundHandler"}},
        {"index":8,"codec_type":"audio","channels":2,"tags":{"language":"ger","handler_name":"Hörfilm"}},
        {"index":9,"codec_type":"audio","channels":6,"tags":{"language":"en"},"disposition":{"comment":1}},
        {"index":10,"codec_type":"audio","channels":1,"tags":{"language":"en"}},
        {"index":11,"codec_type":"audio","channels":6,"tags":{"language":"en"},"disposition":{"comment":1}}"#;
    let sounds = of(&format!("{video},{SOUND},{others}")).unwrap().sounds;
    let told: Vec<_> = sounds
        .iter()
        .map(|s| {
            (
                s.stream,
                s.channels,
                s.language.as_deref(),
                s.turn,
                s.label.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (2, 1, Some("en"), 1, None),
            (1, 6, Some("de"), 1, None),
            (4, 2, None, 1, None),
            (5, 2, Some("en"), 2, Some("The 'director'")),
            (6, 2, Some("en"), 3, Some("The 'director' (3)")),
            (7, 2, None, 2, Some("und (2)")),
            (8, 2, Some("de"), 2, Some("Hörfilm")),
            (9, 6, Some("en"), 4, Some("Commentary")),
            (10, 1, Some("en"), 5, Some("en (5)")),
            (11, 6, Some("en"), 6, Some("Commentary (6)")),
        ]
    );
}

#[test]
fn lengths_are_read_in_both_spellings() {
    assert_eq!(
        clock(Some("00:01:02.500000000")),
        Some(Duration::from_millis(62_500))
    );
    assert_eq!(clock(Some("x")), None);
    assert_eq!(seconds(Some("-1")), None);
    assert_eq!(seconds(Some("nan")), None);
    assert_eq!(seconds(Some("N/A")), None);
}

#[test]
fn ends_count_from_the_films_start_however_a_file_tells_them() {
    let film = |picture: &str, sound: &str| {
        let video = r#""codec_type":"video","width":16,"height":16"#;
        let audio = r#""codec_type":"audio","channels":2"#;
        of(&format!(
            r#"{{"index":0,{video},{picture}}},{{"index":1,{audio},{sound}}}"#
        ))
        .unwrap()
    };
    let told = |facts: &Facts| {
        let ends = [facts.picture.announced, facts.sounds[0].ends];
        ends.map(|ends| ends.unwrap_or_default().as_millis())
    };
    let begins = |at: &str| format!(r#""start_time":"{at}""#);
    let lasts = |length: &str| format!(r#","duration":"{length}""#);
    let (early, late) = (begins("1.4"), begins("3.4"));
    let facts = film(
        &(late.clone() + &lasts("4")),
        &(early.clone() + &lasts("5.5")),
    );
    assert_eq!(
        (told(&facts), facts.heard_after()),
        ([6000, 5500], Duration::ZERO)
    );
    assert_eq!(facts.filled(&facts.sounds[0]), Some(Duration::from_secs(6)));
    // Matroska's own tags tell ends, those of mkvmerge lengths.
    let tag = r#","tags":{"DURATION":"00:00:07.4"}"#;
    let merged = r#","tags":{"DURATION":"00:00:07.4","_STATISTICS_WRITING_APP":"mkvmerge"}"#;
    let facts = film(&(early.clone() + tag), &(late.clone() + merged));
    assert_eq!(told(&facts), [6000, 9400]);
    // What ends the film is not filled up to where it should end.
    assert!(facts.is_last(&facts.sounds[0]));
    assert_eq!(facts.filled(&facts.sounds[0]), Some(Duration::from_secs(6)));
    assert_eq!(facts.heard_after(), Duration::from_millis(3400));
    let facts = film(&(early + tag), &late);
    assert_eq!((facts.heard, facts.filled(&facts.sounds[0])), (None, None));
}

#[tokio::test]
async fn who_takes_too_long_to_look_is_asked_again_whatever_the_question() {
    let folder = tempfile::tempdir().unwrap();
    let (program, file) = (folder.path().join("ffprobe"), folder.path().join("film"));
    std::fs::write(&program, "#!/bin/sh\nexec tail -f /dev/null\n").unwrap();
    let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, runs).unwrap();
    std::fs::write(&file, "film").unwrap();
    let limits = Limits {
        time: Duration::from_millis(50),
        memory_bytes: 1 << 30,
        file_bytes: 1 << 20,
    };
    let facts = probe(&program, &file, folder.path(), limits).await;
    assert!(matches!(facts, Err(Fault::Strained(..))), "{facts:?}");
    let keys = key_pictures(&program, &file, folder.path(), (0, 9), limits).await;
    assert!(matches!(keys, Err(Fault::Strained(..))), "{keys:?}");
}
